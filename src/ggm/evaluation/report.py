"""Scores as a table and as Markdown, and the files of an evaluation's report."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ggm.corpus.manifest import write_json
from ggm.errors import DataError
from ggm.evaluation.bootstrap import Comparison, Interval
from ggm.evaluation.evaluate import Evaluation
from ggm.evaluation.score import NovelScores, Scores

Cell = Callable[[Scores], str]

_ALWAYS: tuple[tuple[str, Cell], ...] = (
    ("system", lambda scores: scores.system),
    ("posts", lambda scores: f"{scores.num_posts:,}"),
    ("top", lambda scores: "all" if scores.top is None else str(scores.top)),
    ("ROUGE-1", lambda scores: with_interval(scores.rouge_1)),
    ("ROUGE-2", lambda scores: with_interval(scores.rouge_2)),
    ("F1", lambda scores: with_interval(scores.f1)),
    ("F1 of means", lambda scores: percent(scores.f1_of_means)),
)

_IF_ASKED: tuple[tuple[str, Cell], ...] = (
    ("BERTScore", lambda scores: percent(scores.bert_f1)),
    ("recall@10", lambda scores: percent(scores.recall_at.get(10))),
    ("recall@50", lambda scores: percent(scores.recall_at.get(50))),
    ("hashtags", lambda scores: f"{scores.mean_count.mean:.1f}"),
    ("novel", lambda scores: percent(_novel(scores, lambda novel: novel.share))),
    ("well-formed", lambda scores: percent(_novel(scores, lambda novel: novel.well_formed))),
    ("gain exact", lambda scores: percent(_novel(scores, lambda novel: novel.gain_exact))),
    ("gain soft", lambda scores: percent(_novel(scores, lambda novel: novel.gain_soft))),
    ("unseen", lambda scores: _unseen(scores)),
)


def table_of(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """The titles and rows of a table, a row a system; columns that are empty everywhere are left out.

    Args:
        evaluation: What to show, in percent; the last column compares the first system to each other.
    """
    scores = evaluation.scores
    columns = [
        *_ALWAYS,
        *((title, cell) for title, cell in _IF_ASKED if any(cell(value) for value in scores)),
    ]
    rows = [[cell(value) for _, cell in columns] for value in scores]
    titles = [title for title, _ in columns]
    if evaluation.comparisons:
        titles.append("ROUGE-1: first minus it")
        rows[0].append("")
        for row, comparison in zip(rows[1:], evaluation.comparisons, strict=True):
            row.append(difference(comparison["rouge_1"]))
    return titles, rows


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
        blocks.append(_markdown_table(*table_of(evaluation)))
        if evaluation.comparisons:
            blocks.append(f"{evaluation.scores[0].system} minus the others, paired bootstrap:")
            names = list(evaluation.comparisons[0])
            rows = [
                [other.system, *(difference(comparison[name]) for name in names)]
                for other, comparison in zip(evaluation.scores[1:], evaluation.comparisons, strict=True)
            ]
            blocks.append(_markdown_table(["system", *names], rows))
    return "\n\n".join(blocks) + "\n"


def write_report(folder: Path, evaluations: Sequence[Evaluation], facts: Mapping[str, Any]) -> None:
    """Write ``scores.json`` and ``scores.md``, each whole or not at all.

    Args:
        folder: Where.
        evaluations: Of the same systems with other numbers of hashtags.
        facts: What else stands in the JSON.

    Raises:
        DataError: If they can't be written.
    """
    path = folder / "scores.md"
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_json(
            {**facts, "evaluations": [value.to_dict() for value in evaluations]}, folder / "scores.json"
        )
        try:
            temporary.write_text(markdown(evaluations), encoding="utf-8", newline="\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't write the report: {error.strerror or error}") from error


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


def _unseen(scores: Scores) -> str:
    return "" if scores.unseen_recalled is None else f"{scores.unseen_recalled} of {scores.num_unseen}"


def _markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(titles), line(["---"] * len(titles)), *map(line, rows)])
