"""Scores as a table and as Markdown, and the files of an evaluation's report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggm.corpus.atomic import replacing
from ggm.corpus.jsonlines import write_json
from ggm.errors import MissingDependencyError
from ggm.evaluation.bootstrap import Comparison, Interval
from ggm.evaluation.evaluate import Evaluation
from ggm.evaluation.reliability_plot import reliability_plot
from ggm.evaluation.score import NovelScores, Scores
from ggm.plots import picture

Cell = Callable[[Scores], str]

_QUALITY: tuple[tuple[str, Cell], ...] = (
    ("system", lambda scores: scores.system),
    ("posts", lambda scores: f"{scores.num_posts:,}"),
    ("top", lambda scores: "all" if scores.top is None else str(scores.top)),
    ("ROUGE-1", lambda scores: with_interval(scores.rouge_1)),
    ("ROUGE-2", lambda scores: with_interval(scores.rouge_2)),
    ("F1", lambda scores: with_interval(scores.f1)),
    ("F1 of means", lambda scores: percent(scores.f1_of_means)),
    ("BERTScore", lambda scores: percent(scores.bert_f1)),
)

_COVERAGE: tuple[tuple[str, Cell], ...] = (
    ("system", lambda scores: scores.system),
    ("hashtags", lambda scores: f"{scores.mean_count.mean:.1f}"),
    ("recall@10", lambda scores: percent(scores.recall_at.get(10))),
    ("recall@50", lambda scores: percent(scores.recall_at.get(50))),
    ("novel", lambda scores: percent(_novel(scores, lambda novel: novel.share))),
    ("well-formed", lambda scores: percent(_novel(scores, lambda novel: novel.well_formed))),
    ("credited", lambda scores: percent(_novel(scores, lambda novel: novel.credited))),
    ("gain exact", lambda scores: percent(_novel(scores, lambda novel: novel.gain_exact))),
    ("gain soft", lambda scores: percent(_novel(scores, lambda novel: novel.gain_soft))),
    ("unseen", lambda scores: _unseen(scores)),
    ("calibration error", lambda scores: _calibration_error(scores)),
)


@dataclass(frozen=True)
class Table:
    """Cells to show; all rows are as long as the titles."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(evaluation: Evaluation) -> tuple[Table, Table]:
    """How good the hashtags are, and what they cover, a row a system, in percent.

    The first table's last column compares the first system to each other. Columns that nobody asked
    for are left out.

    Args:
        evaluation: What to show.
    """
    quality, coverage = (_table(evaluation.scores, columns) for columns in (_QUALITY, _COVERAGE))
    if evaluation.comparisons:
        differences = ["", *(difference(comparison["rouge_1"]) for comparison in evaluation.comparisons)]
        rows = zip(quality.rows, differences, strict=True)
        quality = Table(
            (*quality.titles, "first minus it, ROUGE-1"), tuple((*row, cell) for row, cell in rows)
        )
    return quality, coverage


def calibration_tables(evaluation: Evaluation) -> dict[str, Table]:
    """The bins of each system whose scores are probabilities, by its name, in percent.

    Args:
        evaluation: What to show.
    """
    return {
        scores.system: Table(
            ("probability", "right", "hashtags"),
            tuple(
                (
                    f"{100 * one.probability:.1f}",
                    with_interval(Interval(one.right, one.low, one.high, scores.num_posts)),
                    f"{one.count:,}",
                )
                for one in scores.calibration.bins
            ),
        )
        for scores in evaluation.scores
        if scores.calibration is not None
    }


def _table(scores: Sequence[Scores], columns: Sequence[tuple[str, Cell]]) -> Table:
    shown = [(title, cell) for title, cell in columns if any(cell(value) for value in scores)]
    rows = tuple(tuple(cell(value) for _, cell in shown) for value in scores)
    return Table(tuple(title for title, _ in shown), rows)


def markdown(evaluations: Sequence[Evaluation]) -> str:
    """All figures that people ask for, in Markdown.

    Args:
        evaluations: Of the same systems with other numbers of hashtags.
    """
    blocks = [
        "Scores in percent with 95 % bootstrap intervals over posts; what each of them is stands in "
        "docs/evaluation.md."
    ]
    for evaluation in evaluations:
        blocks += map(_markdown_table, tables_of(evaluation))
        for system, table in calibration_tables(evaluation).items():
            blocks += [
                f"{system}: how often hashtags are right, by their probability.",
                _markdown_table(table),
            ]
        if evaluation.comparisons:
            blocks.append(f"{evaluation.scores[0].system} minus the others, paired bootstrap:")
            names = list(evaluation.comparisons[0])
            rows = tuple(
                (other.system, *(difference(comparison[name]) for name in names))
                for other, comparison in zip(evaluation.scores[1:], evaluation.comparisons, strict=True)
            )
            blocks.append(_markdown_table(Table(("system", *names), rows)))
    return "\n\n".join(blocks) + "\n"


def write_report(folder: Path, evaluations: Sequence[Evaluation], facts: Mapping[str, Any]) -> None:
    """Write ``scores.json`` and ``scores.md``, each whole or not at all.

    Where scores are probabilities, and matplotlib is installed, ``calibration.png`` as well.

    Args:
        folder: Where.
        evaluations: Of the same systems with other numbers of hashtags.
        facts: What else stands in the JSON.

    Raises:
        DataError: If they can't be written.
    """
    write_json({**facts, "evaluations": [value.to_dict() for value in evaluations]}, folder / "scores.json")
    with replacing(folder / "scores.md") as partial:
        partial.write_text(markdown(evaluations), encoding="utf-8", newline="\n")
    lines = {
        scores.system
        if scores.top is None
        else f"{scores.system}, first {scores.top}": scores.calibration.bins
        for evaluation in evaluations
        for scores in evaluation.scores
        if scores.calibration is not None
    }
    if lines:
        with suppress(MissingDependencyError):
            content = picture(reliability_plot(lines), "png", salt="calibration")
            with replacing(folder / "calibration.png") as partial:
                partial.write_bytes(content)


def with_interval(interval: Interval) -> str:
    """Such as ``12.3 [11.0, 13.9]``, in percent."""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def percent(interval: Interval | None) -> str:
    """The figure alone, in percent; empty if there is none."""
    return "" if interval is None else f"{100 * interval.mean:.1f}"


def difference(comparison: Comparison) -> str:
    """Such as ``+1.2 [+0.3, +2.0] p=0.010``, in percent."""
    return (
        f"{100 * comparison.difference:+.1f} [{100 * comparison.low:+.1f}, {100 * comparison.high:+.1f}] "
        f"p={comparison.p_value:.3f}"
    )


def _novel(scores: Scores, figure: Callable[[NovelScores], Interval]) -> Interval | None:
    return None if scores.novel is None else figure(scores.novel)


def _calibration_error(scores: Scores) -> str:
    return "" if scores.calibration is None else with_interval(scores.calibration.error)


def _unseen(scores: Scores) -> str:
    return "" if scores.unseen_recalled is None else f"{scores.unseen_recalled} of {scores.num_unseen}"


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(table.titles), line(["---"] * len(table.titles)), *map(line, table.rows)])
