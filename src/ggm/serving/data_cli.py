"""The commands ``ggm data``: posts of one's own are imported, checked, filtered, split and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ggm.serving.import_cli import import_command
from ggm.serving.show import out, print_warning, progress_bars

if TYPE_CHECKING:
    from ggm.corpus.derive import DerivedSummary
    from ggm.corpus.statistics import SplitStatistics, Statistics

data_app = typer.Typer(no_args_is_help=True, help="Import, check, filter, split and count posts of your own.")
data_app.command("import")(import_command)

DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder with a manifest.jsonl or manifest.parquet.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the new dataset.")]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes that decode videos.")]


@data_app.command()
def check(
    dataset: DatasetArgument,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new dataset; DATASET/checked if absent.")
    ] = None,
    workers: WorkersOption = 2,
) -> None:
    """Find the posts that can be used: the good rows become a new dataset, others get their reason.

    A run that was killed goes on when it is started again. The exit status is 0 if a post is left,
    even when rows were rejected.
    """
    from ggm.corpus.check import REJECTED_NAME, check_dataset

    folder = out_dir or (dataset if dataset.is_dir() else dataset.parent) / "checked"
    with _stages() as progress:
        summary = check_dataset(dataset, folder, workers=workers, progress=progress)
    table = _table("rows", "")
    table.add_row("good", f"{summary.good:,}")
    for problem, count in summary.bad.items():
        table.add_row(problem.value, f"{count:,}")
    out.print(table)
    _print(f"videos: {summary.videos:,}, of which {summary.examined:,} were examined now")
    _print(f"dataset: {summary.folder}")
    if summary.bad:
        _print(f"rejected: {summary.folder / REJECTED_NAME}")


@data_app.command("filter")
def filter_command(
    dataset: DatasetArgument,
    out_dir: OutOption,
    minimum: Annotated[int, typer.Option(min=1, help="Posts that carry a hashtag that isn't rare.")] = 5,
) -> None:
    """Drop the posts all of whose hashtags are rare."""
    from ggm.corpus.derive import filter_dataset

    with _stages() as progress:
        summary = filter_dataset(dataset, out_dir, minimum=minimum, progress=progress)
    _warn_of_bad_rows(summary)
    _print(f"posts: {summary.posts_written:,} of {summary.posts_read:,}")
    _print(f"dataset: {summary.folder}")


@data_app.command("split")
def split_command(
    dataset: DatasetArgument,
    out_dir: OutOption,
    by: Annotated[
        str,
        typer.Option(help="random, time, author, video, near-duplicates, or existing to keep the splits."),
    ] = "random",
    groups: Annotated[
        Path | None, typer.Option(help='JSON Lines with "id" and "group": groups stay together.')
    ] = None,
    ratios: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, validation and test.")
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    unseen: Annotated[
        int, typer.Option(min=0, help="Hashtags that no training post shall carry; the paper has 500.")
    ] = 0,
    max_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of training posts that may be moved for them.")
    ] = 0.2,
) -> None:
    """Give each post a split: train, validation, test, and unseen if asked for."""
    from ggm.corpus.derive import split_dataset

    with _stages() as progress:
        summary = split_dataset(
            dataset,
            out_dir,
            by=by,
            groups=groups,
            ratios=ratios,
            seed=seed,
            unseen=unseen,
            max_share=max_share,
            progress=progress,
        )
    _warn_of_bad_rows(summary)
    table = _table("split", "posts")
    for name, count in summary.posts_per_split.items():
        table.add_row(escape(name), f"{count:,}")
    out.print(table)
    for ratio, (name, count) in zip(ratios, summary.posts_per_split.items(), strict=False):
        if by != "existing" and ratio > 0 and not count:
            print_warning(f"the split {name} is empty: the groups are too large, or the posts too few")
    if summary.unseen_hashtags:
        _print(f"unseen hashtags: {summary.unseen_hashtags:,}, listed in {summary.folder / 'dataset.json'}")
    _print(f"dataset: {summary.folder}")


@data_app.command()
def stats(
    dataset: DatasetArgument,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for stats.json and the plots.")
    ] = None,
    durations: Annotated[bool, typer.Option("--durations", help="Examine videos that no check has.")] = False,
    workers: WorkersOption = 2,
) -> None:
    """Count what the paper's Table 1 counts, by split, and draw Figure 4 and the long tail."""
    from ggm.corpus.report import report_dataset

    with _stages() as progress:
        report = report_dataset(
            dataset, out=out_dir, measure_videos=durations, workers=workers, progress=progress
        )
    if report.bad_rows:
        print_warning(f"{report.bad_rows:,} rows were left out; `ggm data check` tells why")
    _print_statistics(report.statistics)
    for path in report.files:
        _print(f"written: {path}")


def _print_statistics(statistics: Statistics) -> None:
    columns = [(name or "no split", part) for name, part in statistics.splits.items()]
    if list(statistics.splits) == [""]:
        columns.clear()
    columns.append(("total", statistics.total))
    table = _table("", *(name for name, _ in columns))
    for title, show in _ROWS.items():
        table.add_row(title, *(show(part) for _, part in columns))
    out.print(table)


def _optional(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


_ROWS: dict[str, Callable[[SplitStatistics], str]] = {
    "posts": lambda part: f"{part.posts:,}",
    "unique hashtags": lambda part: f"{part.unique_hashtags:,}",
    "of these on one post": lambda part: f"{part.singletons:,}",
    "of these on 5 posts or more": lambda part: f"{part.frequent_hashtags:,}",
    "hashtags a post": lambda part: f"{part.hashtags_per_post:.2f}",
    "words a hashtag": lambda part: f"{part.words_per_hashtag:.2f}",
    "words a description": lambda part: f"{part.words_per_description:.2f}",
    "hashtags in the description": lambda part: f"{part.share_in_description:.2%}",
    "seconds a video": lambda part: _optional(part.duration_seconds, ".2f"),
    "videos without sound": lambda part: _optional(part.share_silent, ".2%"),
}


def _warn_of_bad_rows(summary: DerivedSummary) -> None:
    first = summary.first_bad_row
    if first is not None:
        print_warning(
            f"{summary.bad_rows:,} rows can't be used and were left out; "
            f"the first is row {first.number}: {first.reason}"
        )


def _table(*titles: str) -> Table:
    table = Table(*map(escape, titles), box=None, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _print(line: str) -> None:
    out.print(escape(line), highlight=False, soft_wrap=True)


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each stage that is reported."""
    with progress_bars() as bar:
        stages: dict[str, Callable[..., None]] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar(stage)
            stages[stage](done, total)

        yield report
