"""The commands ``ggm human``: draw a blind sheet, rate it, count it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ggm.serving.show import out, print_warning

if TYPE_CHECKING:
    from ggm.evaluation.human.report import HumanReport

human_app = typer.Typer(no_args_is_help=True, help="Let people rate novel hashtags, blind.")

StudyArgument = Annotated[Path, typer.Argument(help="A study's folder, as `ggm human sheet` wrote it.")]


@human_app.command("sheet")
def sheet_command(
    predictions: Annotated[Path, typer.Argument(help="Predictions of one system, see `ggm predict`.")],
    data: Annotated[Path, typer.Option(help="Dataset folder; its training split says what is novel.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the study; must not exist.")],
    count: Annotated[
        int, typer.Option(min=1, help="Posts, with one novel and one ground-truth hashtag each.")
    ] = 100,
    raters: Annotated[int, typer.Option(min=1, help="People who shall rate each item.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    top: Annotated[
        int | None, typer.Option(min=1, help="Take novel hashtags from the first N of each list alone.")
    ] = None,
    copy_videos: Annotated[
        bool, typer.Option("--copy-videos", help="Copy the videos, so that the folder can be given away.")
    ] = False,
) -> None:
    """Draw novel hashtags and as many that creators chose, mixed so that raters can't tell which is which."""
    from ggm.corpus.manifest import load_dataset
    from ggm.evaluation.human.answers import key_path
    from ggm.evaluation.human.sheet import make_study
    from ggm.evaluation.predictions import read_predictions

    summary = make_study(
        read_predictions(predictions),
        load_dataset(data, check_videos=False),
        out_dir,
        count=count,
        raters=raters,
        seed=seed,
        top=top,
        copy_videos=copy_videos,
    )
    if summary.posts < count:
        print_warning(f"only {summary.posts:,} posts have a novel hashtag, {count:,} were asked for")
    if summary.without_video:
        print_warning(f"{summary.without_video:,} posts with a novel hashtag were left out: no video")
    _print_line(f"study: {out_dir} ({summary.items:,} items of {summary.posts:,} posts)")
    _print_line(f"key: {key_path(out_dir)} (keep it from the raters)")


@human_app.command("rate")
def rate_command(
    study: StudyArgument,
    rater: Annotated[str, typer.Option(help="Who rates; names the file of the ratings.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Rate a study on a page that only this computer can open; stop and go on whenever you like."""
    from ggm.evaluation.human.ratings import RatingLog
    from ggm.evaluation.human.study import open_study
    from ggm.serving.rating_page import RatingServer

    opened = open_study(study)
    if opened.missing_videos:
        missing = opened.missing_videos
        print_warning(
            f"{len(missing):,} videos aren't there, such as {missing[0]}; their items can't be seen"
        )
    log = RatingLog(opened, rater)
    with RatingServer(log, port=port) as server:
        _print_line(f"open {server.url} in a browser; Ctrl+C ends")
        server.run()
    _print_line(f"{len(log.latest):,} of {len(opened.items):,} items done, kept in {log.path}")


@human_app.command("report")
def report_command(
    study: StudyArgument,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Markdown file, JSON beside it; STUDY.report.md if not given."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The study's key; STUDY.key.json if not given.")] = None,
) -> None:
    """Count the ratings: means, intervals, agreement, tests, and whether the paper's claims held."""
    from ggm.evaluation.human.answers import key_path, read_key
    from ggm.evaluation.human.ratings import read_all_ratings
    from ggm.evaluation.human.report import make_report
    from ggm.evaluation.human.study import open_study
    from ggm.evaluation.human.tables import write_report

    opened = open_study(study)
    folder = study.resolve()
    report = make_report(opened, read_key(key or key_path(study), opened), read_all_ratings(opened))
    paths = write_report(report, out_file or folder.with_name(f"{folder.name}.report.md"))
    _print_report(report)
    _print_line(f"report: {paths[0]}, {paths[1]}")


def _print_report(report: HumanReport) -> None:
    from ggm.evaluation.human import tables

    _print_line(tables.status(report))
    for titles, rows in (
        (tables.TABLE_TITLES, tables.table_rows(report)),
        (tables.RATER_TITLES, tables.rater_rows(report)),
    ):
        table = Table(*titles, box=None, padding=(0, 1))
        for row in rows:
            table.add_row(*map(escape, row))
        out.print(table)
    for claim in report.claims:
        _print_line(tables.verdict(claim))


def _print_line(text: str) -> None:
    out.print(escape(text), highlight=False, soft_wrap=True)
