"""The plots of the report, each an SVG element for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ggm.evaluation.reliability_plot import reliability_plot
from ggm.plots import COLOURS, inline_svg, new_figure
from ggm.reproduce.calibration import bins_of
from ggm.reproduce.written import MOST_WORDS, word_shares

if TYPE_CHECKING:
    from ggm.plots import Axes, Figure

Report = Mapping[str, Any]
_MARKERS: Final = "os^Dv<>P"
_HELD: Final = {"held": COLOURS[2], "contradicted": COLOURS[4], "undecided": COLOURS[7]}


def figures_of(report: Report) -> dict[str, str]:
    """Every plot that there are values for, by name.

    Args:
        report: See `ggm.reproduce.report.report_of`.

    Raises:
        MissingDependencyError: If matplotlib isn't installed.
    """
    drawn = {name: draw(report) for name, draw in _PLOTS.items()}
    return {name: inline_svg(figure, name) for name, figure in drawn.items() if figure is not None}


def _claims(report: Report) -> Figure | None:
    """A forest plot: the claims' differences with their intervals."""
    claims = [one for one in report["claims"] if one["unit"] == "%" and one["low"] is not None]
    if not claims:
        return None
    figure, axes = new_figure(width=8, height=0.9 + 0.42 * len(claims))
    for place, claim in enumerate(reversed(claims)):
        colour = _HELD[claim["verdict"]]
        axes.plot([claim["low"], claim["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([claim["difference"]], [place], color=colour, marker="o", linestyle="none")
    axes.set_yticks(range(len(claims)), [_wrapped(claim["claim"]) for claim in reversed(claims)], fontsize=8)
    axes.axvline(0, color=COLOURS[7], linewidth=1, linestyle="dashed")
    axes.set_xlabel("difference in points, positive where the paper says so")
    return figure


def _guidance(report: Report) -> Figure | None:
    rows = report["guidance_sweep"]
    if len(rows) < 2:
        return None
    figure, axes = new_figure()
    _with_intervals(axes, [row["k"] for row in rows], rows, "rouge1", label="GGM")
    if "GGM-ViT" in report["systems"]:
        _with_intervals(
            axes, [report["top_k"]], [report["systems"]["GGM-ViT"]], "rouge1", label="GGM-ViT", place=1
        )
        axes.legend(frameon=False)
    axes.set_xlabel("hashtags of guidance (k)")
    axes.set_ylabel("ROUGE-1, %")
    return figure


def _counts(report: Report) -> Figure | None:
    if not report["counts"]:
        return None
    figure, axes = new_figure()
    for place, (name, rows) in enumerate(report["counts"].items()):
        _line(axes, [row["count"] for row in rows], [row["rouge1"] for row in rows], name, place)
    if rival := report["systems"].get("VG-BART"):
        axes.axhline(rival["rouge1"], color=COLOURS[7], linestyle="dashed", label="VG-BART")
        axes.axhspan(rival["rouge1_low"], rival["rouge1_high"], color=COLOURS[7], alpha=0.15)
    axes.set_xlabel("hashtags that count")
    axes.set_ylabel("ROUGE-1, %")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _recall(report: Report) -> Figure | None:
    rows = [row for row in report["recall"] if row["split"] == "test"]
    if not rows:
        return None
    figure, axes = new_figure()
    for place, row in enumerate(rows):
        ks = list(map(int, row["at"]))
        _line(axes, ks, list(row["at"].values()), row["system"], place)
        axes.fill_between(
            ks, list(row["low"].values()), list(row["high"].values()), color=_colour(place), alpha=0.12
        )
    axes.set_xscale("log")
    axes.set_xticks(ks, list(map(str, ks)))
    axes.minorticks_off()
    axes.set_xlabel("k, logarithmic")
    axes.set_ylabel("recall at k, %")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _words(report: Report) -> Figure | None:
    written = {  # the table has the variants of GGM too
        name: counts for name, counts in report["words_per_hashtag"].items() if not name.startswith("GGM ")
    }
    counts = {"the dataset": report["statistics"]["words_per_hashtag"], **written}
    figure, axes = new_figure()
    labels = [*map(str, range(1, MOST_WORDS)), f"{MOST_WORDS}+"]
    for place, (name, by_words) in enumerate(counts.items()):
        shares = [100 * share for share in word_shares(by_words)]
        if place == 0:
            axes.bar(labels, shares, color=COLOURS[7], alpha=0.35, label=name)
        else:
            _line(axes, labels, shares, name, place - 1)
    axes.set_xlabel("words in a hashtag")
    axes.set_ylabel("hashtags, %")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _latency(report: Report) -> Figure | None:
    rows = report["latency"]
    if not rows:
        return None
    figure, axes = new_figure()
    for place, row in enumerate(rows):
        axes.plot(
            [1000 * row["seconds"]], [row["rouge1"]], color=_colour(place), marker="o", linestyle="none"
        )
        axes.annotate(
            row["system"], (1000 * row["seconds"], row["rouge1"]),
            xytext=(5, 4), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a post, logarithmic")
    axes.set_ylabel("ROUGE-1, %")
    axes.margins(x=0.2, y=0.1)
    return figure


def _calibration(report: Report) -> Figure | None:
    rows = report["calibration"]
    return reliability_plot({row["system"]: bins_of(row) for row in rows}) if rows else None


_PLOTS: Final[dict[str, Callable[[Report], Figure | None]]] = {
    "claims": _claims,
    "guidance": _guidance,
    "counts": _counts,
    "recall": _recall,
    "words": _words,
    "latency": _latency,
    "calibration": _calibration,
}


def _with_intervals(
    axes: Axes, places: Sequence[int], rows: Sequence[Report], score: str, *, label: str, place: int = 0
) -> None:
    values = [row[score] for row in rows]
    below = [row[score] - row[f"{score}_low"] for row in rows]
    above = [row[f"{score}_high"] - row[score] for row in rows]
    axes.errorbar(
        places,
        values,
        yerr=[below, above],
        color=_colour(place),
        marker=_MARKERS[place],
        capsize=3,
        label=label,
    )


def _line(axes: Axes, xs: Sequence[Any], ys: Sequence[float], name: str, place: int) -> None:
    marker = _MARKERS[place % len(_MARKERS)]
    style = "solid" if place < len(COLOURS) else "dotted"
    axes.plot(xs, ys, color=_colour(place), marker=marker, markersize=4, linestyle=style, label=name)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _wrapped(text: str, width: int = 48) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
