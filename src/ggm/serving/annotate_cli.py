"""The command ``ggm annotate``: hashtags or features for all clips of a manifest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ggm.serving.options import (
    AllowOption,
    BlockOption,
    FramesOption,
    MinScoreOption,
    NovelOption,
    PlatformOption,
    PolicyOption,
    make_policy,
)
from ggm.serving.show import err, out, print_json_line

if TYPE_CHECKING:
    from ggm.bulk.run import Progress as RunProgress
    from ggm.bulk.work import Engine

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def annotate_command(
    manifest: Annotated[
        Path, typer.Argument(help="JSON Lines or Parquet, or a dataset's folder; hashtags may be missing.")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder of the shards; a run there is gone on with.")
    ],
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="local|auto|ray://…",
            help="Run on Ray: started on this machine, or a cluster's address; without it, in this process.",
        ),
    ] = None,
    features: Annotated[
        bool, typer.Option("--features", help="Keep the videos' features, as a cache for ggm train.")
    ] = False,
    hashtags: Annotated[
        bool, typer.Option("--hashtags/--no-hashtags", help="With --features: keep the features alone.")
    ] = True,
    top: Annotated[int, typer.Option(min=1, help="How many hashtags at most.")] = 5,
    fitting: Annotated[
        bool, typer.Option("--fitting", help="Fewer where fewer promise to fit better, by their scores.")
    ] = False,
    model: Annotated[str, typer.Option(help="A shipped bundle's name, or a folder.")] = "compact",
    device: Annotated[str, typer.Option(help="A torch device, such as cpu or cuda.")] = "cpu",
    pool: Annotated[Path | None, typer.Option(help="A living pool, in place of the bundle's own.")] = None,
    frames: FramesOption = "exact",
    runtime: Annotated[
        Path | None, typer.Option(help="Folder that `ggm export` wrote; its encoders are quicker.")
    ] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Rows of the manifest in a shard.")] = 256,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Clips worked on together; their frames are in memory.")
    ] = 16,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode; by default one for each processor.")
    ] = None,
    models: Annotated[
        int, typer.Option(min=1, help="With --ray: how many processes run the model, each with its own.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON line.")] = False,
    novel: NovelOption = None,
    platform: PlatformOption = None,
    min_score: MinScoreOption = None,
    block: BlockOption = None,
    allow: AllowOption = None,
    policy: PolicyOption = None,
) -> None:
    """Recommend hashtags for all clips of a manifest, in shards; a run that was ended goes on."""
    rules = make_policy(policy, novel=novel, platform=platform, min_score=min_score, block=block, allow=allow)
    from ggm.bulk.run import annotate
    from ggm.bulk.settings import Settings

    settings = Settings(
        model=model,
        hashtags=hashtags,
        features=features,
        top=top,
        fitting=fitting,
        policy=rules,
        pool=None if pool is None else str(pool),
        frames=frames,
        runtime=None if runtime is None else str(runtime),
        shard_rows=shard_rows,
        batch_size=batch_size,
        device=device,
    )
    started = monotonic()
    try:
        # Ray tells on standard output of what died; that is for the summary alone.
        with redirect_stdout(sys.stderr), _progress() as report:
            ended = annotate(
                manifest, out_dir, settings, _engine(ray, workers=workers, models=models), report=report
            )
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on with the shards that aren't there yet", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    _print_summary(ended, out_dir, seconds=monotonic() - started, as_json=as_json)


def _engine(ray: str | None, *, workers: int | None, models: int) -> Engine:
    if ray is None:
        from ggm.bulk.local import LocalEngine

        return LocalEngine(workers)
    from ggm.bulk.ray_data import RayEngine

    return RayEngine(ray, workers, models)


@contextmanager
def _progress() -> Iterator[Callable[[RunProgress], None]]:
    """A bar on standard error: rows, clips a second since the first batch, bad ones, and what remains."""
    columns = (
        TextColumn("clips"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}, {task.fields[bad]} bad, remaining"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=err, redirect_stdout=sys.stdout.isatty())
    begun: list[float] = []  # when the first batch was done: before it, models load

    with progress:
        task = progress.add_task("clips", total=None, rate="…", bad=0)

        def report(now: RunProgress) -> None:
            rate = "…"
            if now.done and not begun:
                begun.extend((monotonic(), now.done))
            elif now.done and (seconds := monotonic() - begun[0]) > 0:
                rate = f"{(now.done - begun[1]) / seconds:.1f}/s"
            progress.update(
                task, completed=now.before + now.done, total=now.total, rate=rate, bad=f"{now.bad:,}"
            )

        yield report


def _print_summary(ended: RunProgress, folder: Path, *, seconds: float, as_json: bool) -> None:
    rate = ended.done / seconds if seconds > 0 else 0.0
    if as_json:
        print_json_line({**asdict(ended), "seconds": round(seconds, 3), "out": str(folder)})
        return
    out.print(
        f"{ended.done:,} annotated, {ended.bad:,} of them bad, {ended.before:,} done before; "
        f"{rate:.1f} clips/s; {folder}",
        highlight=False,
        soft_wrap=True,
    )
