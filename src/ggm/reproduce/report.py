"""The report of a reproduction: JSON for programs, Markdown and an HTML page for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggm.corpus.atomic import replacing
from ggm.corpus.jsonlines import write_json
from ggm.corpus.report import known_videos
from ggm.corpus.statistics import gather_statistics
from ggm.evaluation.human.report import HumanReport
from ggm.evaluation.score import TextScorer
from ggm.reproduce.calibration import calibration_rows
from ggm.reproduce.claims import compare_readings, examine_claims
from ggm.reproduce.conditions import conditions_of
from ggm.reproduce.markdown import markdown_of
from ggm.reproduce.page import page_of
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.scoreboard import Scoreboard
from ggm.reproduce.sections import document_of
from ggm.reproduce.tables import (
    count_rows,
    latency_rows,
    part_rows,
    recall_rows,
    sweep_rows,
    system_rows,
    unseen_recalled,
    unseen_rows,
)
from ggm.reproduce.written import cases, known_hashtags, novel_rows, words_by_generator
from ggm.training.recipes import Recipe

_SHOWN_OF_STUDY = (
    "complete", "system", "num_posts", "num_items", "num_ratings", "num_wanted", "num_missing", "scales"
)  # fmt: skip


def report_of(
    done: Reproduction,
    *,
    bert: TextScorer | None = None,
    human: HumanReport | None = None,
    base: Recipe | None = None,
) -> dict[str, Any]:
    """Every figure, scores in per cent, ready for JSON.

    Args:
        done: What was predicted.
        bert: For BERTScore; None leaves it out. It must score each pair of texts on its own (no idf).
        human: What people said of the novel hashtags (see `ggm.evaluation.human`).
        base: The recipe as it stands in its file, to say which settings were changed.

    Raises:
        DataError: If systems predicted for different posts.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    board = Scoreboard(done, bert=bert)
    known = known_hashtags(board)
    metadata, dataset = done.dataset.metadata, done.dataset
    systems = system_rows(board)
    statistics = gather_statistics(dataset.posts, known_videos(dataset.folder))
    return {
        "data": str(metadata.get("name") or dataset.folder.resolve().name),
        "simulation": bool(metadata.get("simulation", False)),
        "splits": {name: len(posts) for name, posts in dataset.splits.items()},
        "recipe": done.recipe.name,
        "seeds": list(done.seeds),
        "top_k": done.recipe.generator.top_k,
        "has_sound": done.has_sound,
        "bert_score": getattr(bert, "name", "") if bert is not None else None,
        "conditions": conditions_of(done.recipe, base=base),
        "statistics": statistics.to_dict(),
        "systems": systems,
        "guidance_sweep": sweep_rows(board),
        "counts": count_rows(board),
        "comparisons": compare_readings(board),
        "recall": recall_rows(board),
        "unseen": unseen_recalled(board),
        "unseen_systems": unseen_rows(board),
        "human": None if human is None else _study(human),
        "parts": part_rows(done),
        "words_per_hashtag": words_by_generator(board),
        "cases": cases(board, known),
        "novel": novel_rows(board, known),
        "latency": latency_rows(systems),
        "calibration": calibration_rows(board),
        "claims": [claim.to_dict() for claim in examine_claims(board, human=human)],
        "failures": done.failures,
    }


def _study(human: HumanReport) -> dict[str, Any]:
    values = human.to_dict()
    return {name: values[name] for name in _SHOWN_OF_STUDY}


def write_report(report: Mapping[str, Any], out: Path) -> None:
    """Write ``report.json``, ``report.md`` and ``report.html``, each whole or not at all.

    Args:
        report: See `report_of`.
        out: Folder.

    Raises:
        DataError: If one can't be written.
    """
    write_json(report, out / "report.json")
    document = document_of(report)
    texts: dict[str, Callable[[], str]] = {
        "report.md": lambda: markdown_of(document),
        "report.html": lambda: page_of(document, report),
    }
    for name, text in texts.items():
        with replacing(out / name) as partial:
            partial.write_text(text(), encoding="utf-8", errors="backslashreplace", newline="\n")
