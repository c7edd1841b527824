"""How well the probabilities of a reproduction's systems are calibrated; beyond the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ggm.evaluation.calibration import CalibrationBin
from ggm.evaluation.score import calibration_of
from ggm.reproduce.document import Section, Table
from ggm.reproduce.scoreboard import Entry, Scoreboard
from ggm.training.dataset import TEST

_IN_BIN: Final = ("probability", "right", "low", "high")


def calibration_rows(board: Scoreboard) -> list[dict[str, Any]]:
    """A row a system whose scores are meant as probabilities, all figures in per cent.

    The hashtags of all seeds count, and those of one post are drawn together.
    """
    rows = []
    for system in board.done.systems:
        entry = Entry(system.name, TEST)
        if not board.has(entry):
            continue
        runs = list(board.measured(entry).values())
        if system.gives_probabilities:
            runs = [
                replace(run, predictions=tuple(replace(one, probabilities=True) for one in run.predictions))
                for run in runs
            ]
        found = calibration_of(runs)
        if found is None:
            continue
        rows.append(
            {
                "system": system.name,
                "posts": found.error.num_posts,
                "predictions": found.num_predictions,
                "error": round(100 * found.error.mean, 2),
                "error_low": round(100 * found.error.low, 2),
                "error_high": round(100 * found.error.high, 2),
                "bins": [
                    {"count": one.count, **{name: round(100 * getattr(one, name), 2) for name in _IN_BIN}}
                    for one in found.bins
                ],
            }
        )
    return rows


def bins_of(row: Mapping[str, Any]) -> list[CalibrationBin]:
    """The bins of a row of the report, from 0 to 1."""
    return [
        CalibrationBin(count=one["count"], **{name: one[name] / 100 for name in _IN_BIN})
        for one in row["bins"]
    ]


def calibration_section(report: Mapping[str, Any]) -> Section | None:
    """A table of all, and the bins of each; None if no system gives probabilities."""
    rows = report["calibration"]
    if not rows:
        return None
    errors = tuple(
        (
            row["system"],
            f"{row['error']:.1f} [{row['error_low']:.1f}, {row['error_high']:.1f}]",
            f"{row['predictions']:,}",
            f"{row['posts']:,}",
        )
        for row in rows
    )
    tables = [
        Table(
            "Expected calibration error of all hashtags that are ranked",
            ("system", "error", "hashtags", "posts"),
            errors,
        )
    ]
    for row in rows:
        bins = tuple(
            (
                f"{one['probability']:.1f}",
                f"{one['right']:.1f} [{one['low']:.1f}, {one['high']:.1f}]",
                f"{one['count']:,}",
            )
            for one in row["bins"]
        )
        tables.append(
            Table(f"{row['system']}: reliability in ten bins", ("probability", "right", "hashtags"), bins)
        )
    text = (
        "Systems whose scores are meant as the probability that a post carries the hashtag. The paper says "
        "nothing of it. Files of predictions hold the first hundred hashtags of each post, so that what is "
        "less probable than those isn't counted. Intervals are over posts; that of the error tends to lie "
        "above it, since draws have more noise in their bins.",
    )
    return Section(
        "calibration",
        "Beyond the paper: do probabilities hold?",
        text,
        tuple(tables),
        figures=("calibration",),
    )
