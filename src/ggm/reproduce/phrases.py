"""Figures of the report in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ggm.evaluation.human.report import p_text
from ggm.reproduce.document import Finding

Report = Mapping[str, Any]
"""See `ggm.reproduce.report.report_of`."""
NONE: Final = "–"

VERDICTS: Final = {
    "held": "yes",
    "undecided": "no: undecided",
    "contradicted": "no: the contrary",
    "not tested": "not tested",
}


def finding_of(claim: Mapping[str, Any]) -> Finding:
    """A claim of the report in words."""
    parts = []
    if claim["difference"] is not None:
        unit = "points" if claim["unit"] == "%" else claim["unit"]
        parts.append(f"{difference(claim)} {unit}")
    if claim["p"] is not None:
        parts.append(f"p {p_text(claim['p'])}")
    if claim["seeds"]:
        parts.append(f"claimed sign in {claim['seeds_held']} of {many(claim['seeds'], 'seed')}")
    return Finding(
        claim["claim"], claim["where"], VERDICTS[claim["verdict"]], ", ".join(parts), claim["note"]
    )


def findings(report: Report, table: int) -> tuple[Finding, ...]:
    """The claims that stand beside a table of the paper, in words."""
    return tuple(finding_of(claim) for claim in report["claims"] if claim["table"] == table)


def label(name: str, row: Mapping[str, Any]) -> str:
    """A system's name in a table of scores."""
    if "same_as" in row:
        return f"{name} (is {row['same_as']})"
    return f"{name}, first {row['top']}" if row["top"] else name


def interval(row: Mapping[str, Any], name: str) -> str:
    """Such as ``12.3 [11.0, 13.9]``."""
    return f"{row[name]:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def difference(row: Mapping[str, Any]) -> str:
    """Such as ``+1.2 [+0.3, +2.0]``; without ends where there is no interval."""
    digits = 2 if row.get("unit", "%") != "%" else 1
    ends = ""
    if row.get("low") is not None:
        ends = f" [{signed(row['low'], digits)}, {signed(row['high'], digits)}]"
    return f"{signed(row['difference'], digits)}{ends}"


def signed(value: float, digits: int = 1) -> str:
    """Such as ``+1.2``."""
    return f"{value:+.{digits}f}"


def p_cell(value: float) -> str:
    """Such as ``0.031`` or ``< 0.001``."""
    return p_text(value).removeprefix("= ")


def plus_minus(spread: float | None) -> str:
    """Such as `` ± 0.4``; empty if nothing is known."""
    return "" if spread is None else f" ± {spread:.1f}"


def many(count: int, name: str) -> str:
    """Such as ``1 seed`` or ``3 seeds``."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
