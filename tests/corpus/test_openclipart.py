from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.openclipart import ClipArt, find_trees, parse_svg, read_clipart
from ggm.errors import DataError


def test_the_facts_of_a_drawing(library: Any) -> None:
    library.add(
        "birds/swan_01",
        title=" Black\n swan ",
        tags=["bird", " black swan "],
        description="On a lake.",
        author="Ann & Bob",
    )
    (art,) = read_clipart(library.root)
    assert art == ClipArt(
        id="birds/swan_01",
        png=library.root / "png/birds/swan_01.png",
        title="Black swan",
        description="On a lake.",
        author="Ann & Bob",
        tags=("bird", "black swan"),
        licences=("http://web.resource.org/cc/PublicDomain",),
        date="2005/05/30",
    )


def test_drawings_come_in_order_and_dots_in_names_are_kept(library: Any) -> None:
    for id_ in ("b", "a/z", "chip_v.2", "a/b"):
        library.add(id_)
    assert [art.id for art in read_clipart(library.root) if art] == ["a/b", "a/z", "b", "chip_v.2"]


def test_broken_xml_and_missing_pictures_are_none(library: Any) -> None:
    library.add("good")
    library.add("no_picture", picture=False)
    library.add("broken")
    (library.root / "svg/broken.svg").write_text("<svg><unclosed>")
    assert [art and art.id for art in read_clipart(library.root)] == [None, "good", None]


def test_a_link_is_the_same_drawing_under_a_second_heading(library: Any) -> None:
    library.add("animals/cat")
    library.add("pets")
    (library.root / "svg/second.svg").symlink_to("animals/cat.svg")
    (library.root / "png/second.png").symlink_to("animals/cat.png")
    assert [art.id for art in read_clipart(library.root) if art] == ["animals/cat", "pets"]


def test_an_svg_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    svg = tmp_path / "bomb.svg"
    svg.write_text(f'<!DOCTYPE svg [<!ENTITY e0 "xxxxxxxxxx">{entities}]><svg>&e11;</svg>')
    assert parse_svg(svg, id="bomb", png=tmp_path / "bomb.png") is None


@pytest.mark.parametrize(
    ("licences", "free"),
    [
        (("http://web.resource.org/cc/PublicDomain",), True),
        (("http://creativecommons.org/licenses/publicdomain/",), True),
        (("Public Domain", "http://web.resource.org/cc/PublicDomain"), True),
        ((), False),
        (("http://creativecommons.org/licenses/GPL/2.0/",), False),
        (("http://creativecommons.org/licenses/GPL/2.0/", "http://web.resource.org/cc/PublicDomain"), False),
        (("http://example.org/?http://web.resource.org/cc/PublicDomain",), False),
    ],
)
def test_only_a_stated_dedication_counts(licences: tuple[str, ...], free: bool) -> None:
    art = ClipArt(id="a", png=Path("a.png"), title="", description="", author="", tags=(), licences=licences)
    assert art.is_public_domain is free


@pytest.mark.parametrize("below", [".", "openclipart", "share/openclipart", "usr/share/openclipart"])
def test_the_trees_are_found_at_the_usual_places(tmp_path: Path, below: str) -> None:
    for kind in ("svg", "png"):
        (tmp_path / below / kind).mkdir(parents=True)
    assert find_trees(tmp_path) == tmp_path / below


def test_a_folder_without_the_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "svg").mkdir()
    with pytest.raises(DataError, match=r"neither openclipart-png_\*.deb and .* are there"):
        find_trees(tmp_path)
