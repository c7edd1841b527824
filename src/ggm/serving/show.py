"""What the commands print: results on standard output, errors and progress on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ggm.errors import GgmError, MediaError

if TYPE_CHECKING:
    from ggm.evaluation.calibration import Reliability
    from ggm.evaluation.evaluate import Evaluation
    from ggm.records import Recommendation

_WIDE: Final = 150  # columns of what is piped to a file, where rich would assume 80
out = Console(width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True)

SOURCE_STYLES: Final = {
    "guidance": "green",
    "vocabulary": "cyan",
    "description": "blue",
    "history": "blue",
    "novel": "magenta",
}


def print_error(error: GgmError) -> None:
    """One line, whatever the message."""
    line = " ".join(str(error).split())
    err.print(f"[bold red]error[/]: {escape(line)}", highlight=False, soft_wrap=True)


def print_warning(message: str) -> None:
    """What should be known, though the work goes on."""
    err.print(f"[bold yellow]warning[/]: {escape(message)}", highlight=False, soft_wrap=True)


def print_json_line(value: dict[str, Any]) -> None:
    """One line of JSON, at once; in ASCII where standard output can't take its characters."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        line = json.dumps(value)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_recommendation(answer: Recommendation, *, explain: bool) -> None:
    """The hashtags of one video and what to know about them.

    Args:
        answer: What was recommended.
        explain: Whether to show scores, sources, what the policy changed and the guidance as well.
    """
    chips = "  ".join(
        f"[{SOURCE_STYLES[item.source]}]#{escape(item.display)}[/]" + (" (novel)" if item.flagged else "")
        for item in answer.hashtags
    )
    _print_line(f"[bold]{escape(answer.video)}[/]  [dim]{answer.seconds['total']:.1f} s[/]")
    _print_line(f"  {chips or '[dim]no hashtag[/]'}")
    for notice in answer.notices:
        _print_line(f"  [yellow]note[/]: {escape(notice)}")
    if explain:
        table = Table("hashtag", "score", "source", box=None, padding=(0, 2))
        for item in answer.hashtags:
            table.add_row(f"#{escape(item.display)}", f"{item.score:.3f}", item.source)
        out.print(table)
        for change in answer.changes:
            result = f" to #{escape(change.result)}" if change.result else ""
            _print_line(
                f"  [dim]{change.action}[/] #{escape(change.text)}{result}: "
                f"{change.rule.replace('_', ' ')} ({escape(change.matched)})"
            )
        hits = answer.guidance.hits
        guidance = "  ".join(f"#{escape(hit.text)} [dim]{hit.similarity:.3f}[/]" for hit in hits)
        _print_line(f"  guidance: {guidance or '[dim]none[/]'}")


def _print_line(markup: str) -> None:
    """One line, however long: a terminal wraps it, a file keeps it whole."""
    out.print(markup, highlight=False, soft_wrap=True)


def answer_json(video: Path, answer: Recommendation | MediaError) -> dict[str, Any]:
    """The JSON of one video.

    Args:
        video: The path as it was given.
        answer: Its hashtags, or why there are none.
    """
    if isinstance(answer, MediaError):
        return {"video": str(video), "error": {"type": type(answer).__name__, "message": str(answer)}}
    return {
        "video": answer.video,
        "description": answer.description,
        "hashtags": [
            {
                "text": item.text,
                "display": item.display,
                "score": round(item.score, 6),
                "source": item.source,
                "flagged": item.flagged,
            }
            for item in answer.hashtags
        ],
        "changes": [asdict(change) | {"score": round(change.score, 6)} for change in answer.changes],
        "guidance": [
            {"text": hit.text, "similarity": round(hit.similarity, 6)} for hit in answer.guidance.hits
        ],
        "notices": list(answer.notices),
        "seconds": {stage: round(value, 4) for stage, value in answer.seconds.items()},
    }


def print_settings(record: Any) -> None:
    """The fields of a dataclass, a line each."""
    table = Table(box=None, show_header=False)
    for name, value in asdict(record).items():
        table.add_row(name.replace("_", " "), escape(f"{value:,}" if isinstance(value, int) else str(value)))
    out.print(table)


def print_scores(evaluation: Evaluation) -> None:
    """Two tables of systems: how good their hashtags are, and what they cover.

    Args:
        evaluation: Of one system or several.
    """
    from ggm.evaluation.report import calibration_tables, tables_of

    for cells in tables_of(evaluation):
        table = Table(*cells.titles, box=None, padding=(0, 1))
        for row in cells.rows:
            table.add_row(*map(escape, row))
        out.print(table)
    for system, cells in calibration_tables(evaluation).items():
        out.print(f"{system}: how often hashtags are right, by their probability", markup=False)
        table = Table(*cells.titles, box=None, padding=(0, 1))
        for row in cells.rows:
            table.add_row(*row)
        out.print(table)


def print_reliability(name: str, found: Reliability) -> None:
    """What became of candidates by their probability."""
    table = Table(f"{name}: probability", "right", "candidates", box=None, padding=(0, 2))
    for one in found.bins:
        table.add_row(f"{one.probability:.3f}", f"{one.right:.3f}", f"{one.count:,}")
    out.print(table)
    out.print(f"expected calibration error, {name}: {found.error:.3f}")


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Callable[..., None]]]:
    """Progress bars on standard error: bar(name) gives a callback (done, total[, loss])."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Results that go to a file must not be taken for lines above the bar.
    progress = Progress(*columns, console=err, redirect_stdout=sys.stdout.isatty())

    def bar(name: str) -> Callable[..., None]:
        progress.start()  # not before: without a bar, nothing is printed
        task = progress.add_task(name, total=None)

        def advance(done: int, total: int, loss: float | None = None) -> None:
            unknown = loss is None or math.isnan(loss)  # before the first entry of the log
            shown = name if unknown else f"{name} loss {loss:.3f}"
            progress.update(task, completed=done, total=total, description=shown)

        return advance

    try:
        yield bar
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def stage_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each stage that is reported, as report(stage, done, total)."""
    with progress_bars() as bar:
        stages: dict[str, Callable[..., None]] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar(stage)
            stages[stage](done, total)

        yield report
