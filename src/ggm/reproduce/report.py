"""The report of a reproduction: JSON for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ggm.corpus.atomic import replacing
from ggm.corpus.jsonlines import write_json
from ggm.evaluation.bootstrap import bootstrap_mean
from ggm.evaluation.predictions import Prediction
from ggm.evaluation.score import measure
from ggm.reproduce.claims import (
    PAPERS_COUNT,
    best_count,
    examine_claims,
    mean_recall,
    mean_rouge_1,
    recalled_unseen,
)
from ggm.reproduce.runs import Reproduction
from ggm.training.recipes import Recipe

_RECALLS = (1, 5, 10, 25, 50, 100)


def report_of(done: Reproduction, recipe: Recipe, *, has_sound: bool) -> dict[str, Any]:
    """Every figure, scores in per cent, ready for JSON.

    Args:
        done: What was predicted.
        recipe: Of GGM.
        has_sound: Whether the profile hears.
    """
    unseen = {}
    if "GGM" in done.unseen and "GGM" in done.unseen_in_pool:
        of = len(done.unseen_hashtags)
        unseen = {
            label: {"recalled": recalled_unseen(done, runs["GGM"]).total() / len(runs["GGM"]), "of": of}
            for label, runs in (("without_pool", done.unseen), ("with_pool", done.unseen_in_pool))
        }
    claims = examine_claims(done, top_k=recipe.generator.top_k, has_sound=has_sound)
    metadata = done.dataset.metadata
    return {
        "data": str(metadata.get("name") or done.dataset.folder.resolve().name),
        "simulation": bool(metadata.get("simulation", False)),
        "splits": {name: len(posts) for name, posts in done.dataset.splits.items()},
        "recipe": recipe.name,
        "seeds": list(done.seeds),
        "systems": _systems(done),
        "recall": {
            name: {str(k): _percent(mean_recall(runs, k=k)) for k in _RECALLS}
            for name, runs in done.predictions.items()
            if name in done.validation
        },
        "unseen": unseen,
        "claims": [claim.to_dict() for claim in claims],
        "failures": done.failures,
    }


def _systems(done: Reproduction) -> dict[str, dict[str, Any]]:
    """A row a system; ranked lists are cut to the paper's count, and to the best one on validation."""
    rows: dict[str, dict[str, Any]] = {}
    reads = {system.name: system.reads for system in done.systems}
    for name, runs in done.predictions.items():
        if name not in done.validation:
            rows[name] = {"reads": reads[name], **_row(runs, None), **_time(done, name)}
            continue
        rows[name] = {"reads": reads[name], **_row(runs, PAPERS_COUNT), **_time(done, name)}
        best = best_count(done.validation[name])
        rows[f"{name}, best count"] = {"reads": reads[name], **_row(runs, best), **_time(done, name)}
    return rows


def _row(runs: Mapping[int, Sequence[Prediction]], top: int | None) -> dict[str, Any]:
    measured = [measure(list(predictions), top=top) for predictions in runs.values()]
    interval = bootstrap_mean(mean_rouge_1(runs, top=top))
    by_seed = [float(posts.rouge.rouge_1.mean()) for posts in measured]
    return {
        "rouge1": round(100 * interval.mean, 2),
        "rouge1_low": round(100 * interval.low, 2),
        "rouge1_high": round(100 * interval.high, 2),
        "rouge1_by_seed": [round(100 * value, 2) for value in by_seed],
        "rouge2": _percent(np.concatenate([posts.rouge.rouge_2 for posts in measured])),
        "f1": _percent(np.concatenate([posts.match.f1 for posts in measured])),
        "posts": interval.num_posts,
        "hashtags": round(float(np.mean([len(row) for posts in measured for row in posts.found])), 2),
        "top": top,
    }


def _time(done: Reproduction, name: str) -> dict[str, float]:
    return {"seconds_per_post": round(done.seconds[name], 4)} if name in done.seconds else {}


def _percent(values: Any) -> float:
    return round(100 * float(np.mean(values)), 2)


def write_report(report: dict[str, Any], out: Path) -> None:
    """Write ``report.json`` and ``report.md``.

    Raises:
        DataError: If one can't be written.
    """
    write_json(report, out / "report.json")
    with replacing(out / "report.md") as partial:
        partial.write_text(markdown(report), "utf-8")


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"# The paper's systems on {report['data']}", ""]
    if report["simulation"]:
        lines += ["**These posts are a simulation**: what holds here need not hold for real ones.", ""]
    sizes = ", ".join(f"{name} {count:,}" for name, count in report["splits"].items())
    seeds = ", ".join(map(str, report["seeds"]))
    lines += [f"Posts: {sizes}. Recipe {report['recipe']}, seeds {seeds}. Scores in per cent; 95 % intervals "
              "by bootstrap over posts.", ""]  # fmt: skip
    lines += ["## Systems (tables 2 and 3)", "", *_system_table(report["systems"]), ""]
    if report["recall"]:
        lines += ["## Recall (table 4)", "", *_recall_table(report["recall"]), ""]
    if report["unseen"]:
        without, with_pool = report["unseen"]["without_pool"], report["unseen"]["with_pool"]
        lines += [
            "## Unseen hashtags (table 5)",
            "",
            f"Of {without['of']} unseen hashtags GGM recalled {without['recalled']} at least once, "
            f"{with_pool['recalled']} with them in the pool. (The paper: 13 and 51 of 570.)",
            "",
        ]
    lines += ["## What the paper says, and what came out", "", *_claim_table(report["claims"]), ""]
    if report["failures"]:
        lines += ["## Systems that failed", ""]
        lines += [f"- {name}: {reason}" for name, reason in report["failures"].items()]
        lines += [""]
    return "\n".join(lines)


def _system_table(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = ["| system | reads | ROUGE-1 | by seed | ROUGE-2 | F1 | hashtags | s a post |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, row in systems.items():
        count = f", first {row['top']}" if row["top"] else ""
        seeds = " ".join(f"{value:.1f}" for value in row["rouge1_by_seed"])
        seconds = f"{row['seconds_per_post']:.3f}" if "seconds_per_post" in row else ""
        rows.append(
            f"| {name}{count} | {row['reads']} | {row['rouge1']:.1f} [{row['rouge1_low']:.1f}, "
            f"{row['rouge1_high']:.1f}] | {seeds} | {row['rouge2']:.1f} | {row['f1']:.1f} | "
            f"{row['hashtags']:.1f} | {seconds} |"
        )
    return rows


def _recall_table(recall: Mapping[str, Mapping[str, float]]) -> list[str]:
    ks = list(next(iter(recall.values())))
    rows = ["| system | " + " | ".join(f"@{k}" for k in ks) + " |", "| --- |" + " --- |" * len(ks)]
    rows += [f"| {name} | " + " | ".join(f"{row[k]:.1f}" for k in ks) + " |" for name, row in recall.items()]
    return rows


def _claim_table(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        "| the paper | where | held here | difference | p | how |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for claim in claims:
        held = {True: "**yes**", False: "**no**", None: "not tested"}[claim["held"]]
        difference = "" if claim["difference"] is None else f"{claim['difference']:+.1f}"
        if claim["low"] is not None:
            difference += f" [{claim['low']:+.1f}, {claim['high']:+.1f}]"
        p = "" if claim["p"] is None else f"{claim['p']:.3f}"
        rows.append(
            f"| {claim['claim']} | {claim['where']} | {held} | {difference} | {p} | {claim['note']} |"
        )
    return rows
