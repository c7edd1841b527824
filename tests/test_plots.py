"""Figures as pictures and as parts of a page."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ggm.errors import MissingDependencyError
from ggm.plots import COLOURS, inline_svg, new_figure, picture

if TYPE_CHECKING:
    from ggm.plots import Figure


def drawn() -> Figure:
    figure, axes = new_figure(width=3, height=2)
    for place, colour in enumerate(COLOURS[:2]):
        axes.plot([1, 2], [place, 3], color=colour, marker="o", label=f"<line> {place}")
    axes.set_xlabel("weeks & days")
    axes.legend()
    return figure


def test_the_same_figure_gives_the_same_pictures() -> None:
    assert picture(drawn(), "png", salt="a") == picture(drawn(), "png", salt="a")
    assert picture(drawn(), "svg", salt="a") == picture(drawn(), "svg", salt="a")
    assert picture(drawn(), "png", salt="a").startswith(b"\x89PNG")
    assert inline_svg(drawn(), "a") == inline_svg(drawn(), "a")


def test_a_part_of_a_page_refers_to_itself_alone() -> None:
    svg = inline_svg(drawn(), "one")
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids)) > 5
    assert all(name.startswith("one-") for name in ids)
    references = re.findall(r'(?:href="|url\()#([^")]+)', svg)
    assert references
    assert set(references) <= set(ids)
    assert "http" not in svg
    assert "<style" not in svg


def test_texts_are_texts_in_the_colour_of_the_page() -> None:
    root = ElementTree.fromstring(inline_svg(drawn(), "one"))
    texts = {element.text: element.get("style", "") for element in root.iter() if element.tag == "text"}
    assert {"weeks & days", "<line> 0", "<line> 1"} <= texts.keys()
    assert all("fill: currentColor" in style for style in texts.values())
    assert all("font-family" not in style and "'" not in style for style in texts.values())
    styles = " ".join(element.get("style", "") for element in root.iter())
    assert COLOURS[0] in styles
    assert "#000000" not in styles.lower()


def test_without_matplotlib_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[data\]'"):
        new_figure()
