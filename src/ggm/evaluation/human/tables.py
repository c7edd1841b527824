"""A report as rows of a table, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ggm.corpus.atomic import replacing
from ggm.corpus.jsonlines import write_json
from ggm.errors import ConfigError, DataError
from ggm.evaluation.bootstrap import Interval
from ggm.evaluation.human.answers import KINDS
from ggm.evaluation.human.ratings import SCALES
from ggm.evaluation.human.report import Claim, HumanReport, RaterResult, ScaleResult, p_text
from ggm.settings import from_dict

TABLE_TITLES: Final = (
    "scale",
    *KINDS,
    "novel minus ground truth",
    "p (paired bootstrap)",
    "p (Wilcoxon)",
    "agreement (α)",
)
RATER_TITLES: Final = (
    "rater",
    "rated",
    "can't judge",
    "missing",
    *(f"{scale}, {kind}" for scale in SCALES for kind in KINDS),
)
_NONE: Final = "–"


def status(report: HumanReport) -> str:
    """Whether the study is complete, and how much of it there is, in a sentence."""
    got = (
        f"{report.num_ratings:,} of {report.num_wanted:,} ratings, {report.num_items_rated:,} of "
        f"{report.num_items:,} items rated, {report.num_skipped:,} times “can't judge”"
    )
    if report.complete:
        return f"Complete: {got}."
    return f"PARTIAL, {report.num_missing:,} ratings are missing: {got}."


def table_rows(report: HumanReport) -> list[tuple[str, ...]]:
    """Table 6 in words, a row a scale; its titles are `TABLE_TITLES`."""
    return [_scale_row(name, result) for name, result in report.scales.items()]


def rater_rows(report: HumanReport) -> list[tuple[str, ...]]:
    """A row a rater; its titles are `RATER_TITLES`."""
    return [_rater_row(rater) for rater in report.raters]


def verdict(claim: Claim) -> str:
    """A claim with what became of it, in a sentence."""
    words = {True: "HELD", False: "DID NOT HOLD", None: "CAN'T BE SAID"}
    return f"{words[claim.held]}: {claim.text} ({claim.found})"


def to_markdown(report: HumanReport) -> str:
    """The whole report as Markdown."""
    lines = [
        f"# Human evaluation of {_code(report.system)}",
        "",
        f"{status(report)} {report.num_posts:,} posts, a novel and a ground-truth hashtag each.",
        "",
        *_table(TABLE_TITLES, table_rows(report)),
        "",
        "Means over items (an item's is the mean of its raters), 1 to 5, with 95 % bootstrap intervals. "
        "Tests are two-sided, over posts with both kinds rated. α is Krippendorff's, ordinal.",
        "",
        "## The paper's claims",
        "",
        *(f"- **{words}**: {rest}" for words, _, rest in (verdict(c).partition(": ") for c in report.claims)),
        "",
        "## Raters",
        "",
        *_table(RATER_TITLES, [(_code(row[0]), *row[1:]) for row in rater_rows(report)]),
        "",
        "Drawn with "
        + ", ".join(f"{name} {_code(str(value))}" for name, value in report.drawn.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def write_report(report: HumanReport, path: Path) -> tuple[Path, Path]:
    """Write a report as Markdown, and its JSON beside it, each whole or not at all.

    Args:
        report: What to write.
        path: Of the Markdown file; the other has the suffix ``.json``.

    Returns:
        Both paths.

    Raises:
        DataError: If the path's own suffix is ``.json``, or a file can't be written.
    """
    if path.suffix == ".json":
        raise DataError(f"{path}: this names the Markdown file; JSON is written beside it")
    target = path.with_suffix(".json") if path.suffix == ".md" else path.with_name(f"{path.name}.json")
    write_json(report.to_dict(), target)
    with replacing(path) as partial:
        partial.write_text(to_markdown(report), encoding="utf-8", newline="\n")
    return path, target


def read_report(path: Path) -> HumanReport:
    """Read the JSON of a report.

    Raises:
        DataError: If the file can't be read or isn't such a report.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        values.pop("complete")
        report = from_dict(HumanReport, values, where=str(path))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, ConfigError) as error:
        raise DataError(f"{path}: not the JSON of `ggm human report`: {error}") from error
    if set(report.scales) != set(SCALES) or len(report.claims) != 2:
        raise DataError(f"{path}: not the JSON of `ggm human report`: it has other scales or claims")
    return report


def _scale_row(name: str, result: ScaleResult) -> tuple[str, ...]:
    comparison = result.comparison
    difference = p_value = _NONE
    if comparison is not None:
        difference = f"{comparison.difference:+.2f} [{comparison.low:+.2f}, {comparison.high:+.2f}]"
        p_value = _p_value(comparison.p_value)
    means = (_interval(result.means[kind]) for kind in KINDS)
    return (name, *means, difference, p_value, _p_value(result.wilcoxon_p), _number(result.agreement, 2))


def _rater_row(rater: RaterResult) -> tuple[str, ...]:
    counts = (rater.num_rated, rater.num_skipped, rater.num_missing)
    means = (_number(rater.means[scale][kind], 2) for scale in SCALES for kind in KINDS)
    return (rater.name, *(f"{count:,}" for count in counts), *means)


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return _NONE
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}] (n = {interval.num_posts:,})"


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _p_value(value: float | None) -> str:
    return _NONE if value is None else p_text(value).removeprefix("= ")


def _code(text: str) -> str:
    """Text in which Markdown sees no marks of its own."""
    return "`" + text.replace("`", "'").replace("|", "¦").replace("\n", " ") + "`"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows)]
