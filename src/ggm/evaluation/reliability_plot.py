"""The reliability plot: how often hashtags are right, by their probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ggm.evaluation.calibration import CalibrationBin
from ggm.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from ggm.plots import Figure

_MARKERS = "os^Dv<>P"


def reliability_plot(systems: Mapping[str, Sequence[CalibrationBin]]) -> Figure:
    """A line a system with the interval of each bin, and the diagonal of perfect calibration.

    Of a single system the number of hashtags stands beside each bin.

    Args:
        systems: The bins of each by its name, at least one.

    Raises:
        MissingDependencyError: If matplotlib isn't installed.
    """
    figure, axes = new_figure(width=5, height=4.5)
    axes.plot([0, 100], [0, 100], color=COLOURS[7], linestyle="dashed", linewidth=1, label="as it should be")
    for place, (name, bins) in enumerate(systems.items()):
        xs, ys = [100 * one.probability for one in bins], [100 * one.right for one in bins]
        # A percentile interval need not hold the share of all posts.
        below = [max(0.0, y - 100 * one.low) for one, y in zip(bins, ys, strict=True)]
        above = [max(0.0, 100 * one.high - y) for one, y in zip(bins, ys, strict=True)]
        axes.errorbar(
            xs,
            ys,
            yerr=[below, above],
            color=COLOURS[place % len(COLOURS)],
            marker=_MARKERS[place % len(_MARKERS)],
            capsize=3,
            label=name,
        )
        if len(systems) == 1:
            for one, x, y in zip(bins, xs, ys, strict=True):
                axes.annotate(
                    f"{one.count:,}", (x, y), xytext=(6, -11), textcoords="offset points", fontsize=7
                )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("probability, %")
    axes.set_ylabel("right, %")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure
