"""Figures without windows or global state, as pictures or part of a page. The only user of matplotlib."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final, Literal

from ggm.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure

COLOURS: Final = ("#2a8fbd", "#e07a1f", "#3a9d5d", "#b0529a", "#c2452d", "#8a8f2a", "#6d6fc9", "#7b7b7b")
"""Told apart by most eyes, on white and on black."""

_INK: Final = "#010203"  # stands for the colour of the page's text
_PARTS_OF_XML: Final = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>|"
    r' xmlns(?::\w+)?="[^"]*"',
    re.DOTALL,
)


def new_figure(*, width: float = 6, height: float = 4) -> tuple[Figure, Axes]:
    """A figure of its own: pyplot, its windows and its global state are left alone.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        MissingDependencyError: If matplotlib isn't installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("plots need the package matplotlib: pip install 'ggm[data]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def picture(figure: Figure, kind: Literal["png", "svg"], *, salt: str) -> bytes:
    """A figure as the content of a file; the same figure gives the same bytes.

    Args:
        figure: What to show.
        kind: Of file.
        salt: For the names within an SVG, which would depend on chance.
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an element of an HTML page, which lends it font, text colour and background.

    Args:
        figure: What to show.
        name: Letters, another one for each figure of the page: the identifiers begin with it.

    Returns:
        ``<svg>...</svg>``, which refers to nothing outside of itself.
    """
    from matplotlib import rc_context

    _take_ink(figure)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = _PARTS_OF_XML.sub("", buffer.getvalue()).strip().replace("xlink:href", "href")
    text = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', text)
    text = re.sub(r"(url\(|href=\")#", rf"\1#{name}-", text)
    text = re.sub(r"font: (?:\w+ )?([\d.]+px) [^;\"]*", r"font-size: \1", text)  # older matplotlib
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    return text.replace(_INK, "currentColor")


def _take_ink(figure: Figure) -> None:
    for axes in figure.axes:
        axes.tick_params(which="both", color=_INK, labelcolor=_INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(_INK)
        legend = axes.get_legend()
        texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for text in [*texts, *(legend.get_texts() if legend else [])]:
            text.set_color(_INK)
