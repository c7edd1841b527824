"""The command ``ggm tag``: hashtags for the videos of a folder, beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.markup import escape

from ggm.errors import ConfigError, MediaError
from ggm.serving.options import (
    AllowOption,
    BlockOption,
    MinScoreOption,
    NovelOption,
    PlatformOption,
    PolicyOption,
    make_policy,
)
from ggm.serving.show import out, print_error, print_json_line, print_warning, progress_bars

if TYPE_CHECKING:
    from ggm.policy import Policy
    from ggm.recommend import Recommender
    from ggm.records import Recommendation
    from ggm.tagging.ledger import Ledger
    from ggm.tagging.run import Event, Job


def tag_command(
    folder: Annotated[Path, typer.Argument(help="Folder with videos; folders within count.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--write",
            metavar="sidecar|json|csv",
            help="XMP sidecars, .info.json files as yt-dlp writes them, or one CSV file.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with videos that come, until Ctrl-C.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take back what was written, where nobody changed it since.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
    describe: Annotated[
        str,
        typer.Option(
            metavar="sidecars|name|nothing", help="Descriptions: from sidecars, else file names too, or none."
        ),
    ] = "sidecars",
    state: Annotated[
        Path | None, typer.Option(help="Folder of the ledger of writes; by default FOLDER/.ggm.")
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0.1, help="With --watch: seconds for which a video must not have grown.")
    ] = 5.0,
    poll: Annotated[
        bool, typer.Option("--poll", help="With --watch: look through the folder; for network shares.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="How many hashtags at most.")] = 5,
    fitting: Annotated[
        bool, typer.Option("--fitting", help="Fewer where fewer promise to fit better, by their scores.")
    ] = False,
    model: Annotated[str, typer.Option(help="A shipped bundle's name, or a folder.")] = "compact",
    device: Annotated[str, typer.Option(help="A torch device, such as cpu or cuda.")] = "cpu",
    pool: Annotated[
        str | None, typer.Option(help="A living pool, or milvus:…, in place of the bundle's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a video or file.")] = False,
    novel: NovelOption = None,
    platform: PlatformOption = None,
    min_score: MinScoreOption = None,
    block: BlockOption = None,
    allow: AllowOption = None,
    policy: PolicyOption = None,
) -> None:
    """Recommend hashtags for all videos of a folder and write them beside the videos."""
    from ggm.tagging.describing import Describe
    from ggm.tagging.finding import Kind
    from ggm.tagging.ledger import Ledger

    if undo == (kind is not None) or (undo and watch):
        raise ConfigError("say either --write sidecar, --write json or --write csv, or --undo alone")
    if describe not in get_args(Describe):
        raise ConfigError(f"--describe must be one of {', '.join(get_args(Describe))}, got {describe!r}")
    if watch and dry_run:
        raise ConfigError("--watch with --dry-run would say the same again and again; leave one out")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    if kind is not None and kind not in get_args(Kind):
        raise ConfigError(f"--write must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    rules = make_policy(policy, novel=novel, platform=platform, min_score=min_score, block=block, allow=allow)
    show = _Show(as_json)
    with Ledger(state or folder / ".ggm", read_only=dry_run) as ledger:
        if kind is None:
            _undo(folder, ledger, show, dry_run=dry_run)
            return
        from ggm.bundle import bundle_fingerprint
        from ggm.recommend import Recommender
        from ggm.tagging.run import Job

        with Recommender.from_pretrained(model, device=device, pool=pool) as recommender:
            job = Job(
                folder,
                cast(Kind, kind),
                _Answers(recommender, top=top, fitting=fitting, policy=rules),
                settings={
                    "model": bundle_fingerprint(model),
                    "pool": None if pool is None else str(pool),
                    "top": top,
                    "fitting": fitting,
                    "policy": rules.to_dict(),
                },
                describe=cast(Describe, describe),
                dry_run=dry_run,
            )
            if watch:
                _watch(job, ledger, show, settle_seconds=settle, poll=poll)
            else:
                _tag_once(job, ledger, show)
    show.summary()
    if show.counts["failed"] and not watch:
        raise typer.Exit(1)


class _Answers:
    """A recommender with its settings."""

    def __init__(self, recommender: Recommender, *, top: int, fitting: bool, policy: Policy) -> None:
        self._recommender = recommender
        self._settings: dict[str, Any] = {"top": top, "fitting": fitting, "policy": policy}

    def __call__(self, posts: Iterable[tuple[str | Path, str]], /) -> Iterator[Recommendation | MediaError]:
        return self._recommender.recommend_many(posts, **self._settings)


def _tag_once(job: Job, ledger: Ledger, show: _Show) -> None:
    from ggm.tagging.finding import find_videos
    from ggm.tagging.run import tag_videos

    if not job.dry_run:
        _remove_leftovers(job.folder)
    with progress_bars() as bar:
        videos = list(find_videos(job.folder))
        report = bar("videos") if videos else None
        with closing(tag_videos(job, ledger, videos, report=report)) as events:
            for event in events:
                show.event(event, dry_run=job.dry_run)


def _watch(job: Job, ledger: Ledger, show: _Show, *, settle_seconds: float, poll: bool) -> None:
    from ggm.tagging.run import tag_videos
    from ggm.tagging.watching import settled_videos

    _remove_leftovers(job.folder)
    try:
        for videos in settled_videos(job.folder, settle_seconds=settle_seconds, poll=poll):
            with closing(tag_videos(job, ledger, videos)) as events:
                for event in events:
                    show.event(event)
    except KeyboardInterrupt:
        pass


def _remove_leftovers(folder: Path) -> None:
    """What killed runs left unfinished."""
    from ggm.tagging.finding import leftovers

    for leftover in leftovers(folder):
        with suppress(OSError):
            leftover.unlink()


def _undo(folder: Path, ledger: Ledger, show: _Show, *, dry_run: bool) -> None:
    from ggm.tagging.undo import undo

    if not dry_run:
        _remove_leftovers(folder)
    kept = 0
    for one in undo(folder, ledger, dry_run=dry_run):
        if one.outcome == "kept":
            kept += 1
            print_warning(f"{one.target}: kept, {one.reason}")
        show.line(
            {"file": one.target, "outcome": one.outcome, "reason": one.reason},
            f"{escape(one.target)}  [dim]{one.outcome}[/]",
        )
    if not dry_run:
        ledger.remove_if_empty()
    if kept:
        raise typer.Exit(1)


@dataclass
class _Show:
    """Prints what happens, and counts it."""

    as_json: bool

    def __post_init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def line(self, values: dict[str, Any], markup: str) -> None:
        """One line, as JSON or for people."""
        if self.as_json:
            print_json_line(values)
        else:
            out.print(markup, highlight=False, soft_wrap=True)

    def event(self, event: Event, *, dry_run: bool = False) -> None:
        """What became of a video; of those that were done before nothing is said."""
        from ggm.tagging.run import Done, Failed

        if isinstance(event, Done):
            self.counts["done"] += 1
        elif isinstance(event, Failed):
            self.counts["failed"] += 1
            if self.as_json:
                error = {"type": type(event.error).__name__, "message": str(event.error)}
                print_json_line({"video": event.video, "error": error})
            else:
                print_error(event.error)
        else:
            self.counts["tagged"] += 1
            tags = " ".join(f"#{tag}" for tag in event.hashtags) or "no hashtag"
            verb = "would go to" if dry_run else "in"
            values = {"video": event.video, "file": event.target, "hashtags": list(event.hashtags)}
            self.line(
                values | {"notices": list(event.notices)},
                f"[bold]{escape(event.video)}[/]  {escape(tags)}  [dim]{verb} {escape(event.target)}[/]",
            )

    def summary(self) -> None:
        """How many of each."""
        if not self.as_json:
            tagged, done, failed = (self.counts[name] for name in ("tagged", "done", "failed"))
            out.print(f"{tagged} tagged, {done} done before, {failed} failed", highlight=False)
