"""Keywords in XMP: where they go, and that nothing else changes."""

from __future__ import annotations

import string
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import DataError
from ggm.tagging.edits import Reversal
from ggm.tagging.xmp import DC, LIGHTROOM, RDF, read_xmp, with_keywords
from sidecars import DARKTABLE, DIGIKAM, EXIFTOOL, FOREIGN, ODD
from sidecars import LIGHTROOM as BY_LIGHTROOM

DIGIKAM_LIST = "{http://www.digikam.org/ns/1.0/}TagsList"
MICROSOFT_LIST = "{http://ns.microsoft.com/photo/1.0/}LastKeywordXMP"
SUBJECT, HIERARCHICAL = f"{{{DC}}}subject", f"{{{LIGHTROOM}}}hierarchicalSubject"

TITLED = DARKTABLE.replace(
    b"   xmp:Rating", b"   xmlns:dc='http://purl.org/dc/elements/1.1/' dc:title='Ice' xmp:Rating"
)

keywords = st.lists(
    st.text(string.ascii_letters + string.digits + "_éüß雪中", min_size=1, max_size=8), max_size=6
)


def lists(content: bytes) -> dict[str, list[str]]:
    """All keyword lists, read by another parser."""
    found: dict[str, list[str]] = {}
    for element in fromstring(content).iter():
        if element.tag in (SUBJECT, HIERARCHICAL, DIGIKAM_LIST, MICROSOFT_LIST):
            assert element.tag not in found, "a property stands there once"
            found[element.tag] = [item.text or "" for item in element.iter(f"{{{RDF}}}li")]
    return found


def without_lists(content: bytes) -> list[tuple[Any, ...]]:
    """Everything else: all elements but keyword lists and the descriptions around them."""

    def walk(element: ET.Element) -> list[tuple[Any, ...]]:
        if element.tag in (SUBJECT, HIERARCHICAL, DIGIKAM_LIST, MICROSOFT_LIST):
            return []
        inner = [found for child in element for found in walk(child)]
        if element.tag == f"{{{RDF}}}Description" and not inner and len(element.attrib) <= 1:
            return []
        return [(element.tag, tuple(element.attrib.items()), (element.text or "").strip(), tuple(inner))]

    return walk(fromstring(content))


def test_a_new_sidecar() -> None:
    made = with_keywords(None, ["Cat", "Snow"])
    assert lists(made) == {SUBJECT: ["Cat", "Snow"], HIERARCHICAL: ["Cat", "Snow"]}
    assert made.startswith(b'<?xpacket begin="\xef\xbb\xbf"')
    assert made.endswith(b'<?xpacket end="w"?>\n')
    assert read_xmp(made).keywords() == ["Cat", "Snow"]


def test_exiftools_keywords_are_extended_and_not_hidden() -> None:
    merged = with_keywords(EXIFTOOL, ["snow", "Cat"])
    # A lr:hierarchicalSubject of ours alone would hide the user's keywords from digiKam and darktable.
    assert lists(merged) == {SUBJECT: ["Alps", "Snow", "Cat"], HIERARCHICAL: ["Alps", "Snow", "Cat"]}
    assert b"    <rdf:li>Snow</rdf:li>\n    <rdf:li>Cat</rdf:li>\n   </rdf:Bag>" in merged


def test_digikams_own_lists_are_extended() -> None:
    merged = with_keywords(DIGIKAM, ["Cat"])
    assert lists(merged) == {
        DIGIKAM_LIST: ["Places/Alps", "Cat"],
        MICROSOFT_LIST: ["Places/Alps", "Cat"],
        HIERARCHICAL: ["Places|Alps", "Cat"],
        SUBJECT: ["Alps", "Cat"],
    }


@pytest.mark.parametrize("content", [DARKTABLE, BY_LIGHTROOM])
def test_without_keywords_a_description_is_added(content: bytes) -> None:
    merged = with_keywords(content, ["Cat"])
    assert lists(merged) == {SUBJECT: ["Cat"], HIERARCHICAL: ["Cat"]}
    abouts = {e.get(f"{{{RDF}}}about") for e in fromstring(merged).iter(f"{{{RDF}}}Description")}
    assert len(abouts) == 1  # XMP wants all descriptions to be about the same


def test_an_unusual_layout() -> None:
    merged = with_keywords(ODD, ["Cat"])
    assert lists(merged) == {SUBJECT: ["Cat"], HIERARCHICAL: ["Cat"]}
    assert b"<d:subject><Bag><li>Cat</li></Bag></d:subject>" in merged


@pytest.mark.parametrize(
    "empty", [b"<dc:subject/>", b"<dc:subject></dc:subject>", b"<dc:subject> </dc:subject>"]
)
def test_an_empty_property(empty: bytes) -> None:
    content = (
        b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="" '
        b'xmlns:dc="http://purl.org/dc/elements/1.1/">' + empty + b"</r:Description></r:RDF>"
    )
    assert lists(with_keywords(content, ["Cat"]))[SUBJECT] == ["Cat"]


def test_an_empty_rdf() -> None:
    content = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
    assert lists(with_keywords(content, ["Cat"])) == {SUBJECT: ["Cat"], HIERARCHICAL: ["Cat"]}


def test_markup_in_a_keyword_is_text() -> None:
    assert read_xmp(with_keywords(EXIFTOOL, ["a<b&c>"])).keywords() == ["Alps", "Snow", "a<b&c>"]


@pytest.mark.parametrize("name", FOREIGN)
@given(given_keywords=keywords)
def test_merging_only_inserts_and_is_taken_back(name: str, given_keywords: list[str]) -> None:
    content = FOREIGN[name]
    merged = with_keywords(content, given_keywords)
    assert Reversal.of(content, merged)(merged) == content
    assert with_keywords(merged, given_keywords) == merged
    assert without_lists(merged) == without_lists(content)
    before, after = read_xmp(content).keywords(), read_xmp(merged).keywords()
    assert after[: len(before)] == before
    assert {text.casefold() for text in after} == {text.casefold() for text in [*before, *given_keywords]}
    if content != ODD:  # whose empty Bag has to be opened
        rest = iter(merged)
        assert all(byte in rest for byte in content)  # all of its bytes, in their order


@pytest.mark.parametrize(
    ("content", "title", "description"),
    [
        (EXIFTOOL, "", "Snow & ice at Mürren"),
        (DIGIKAM, "First snow", ""),
        (DARKTABLE, "", ""),
        (EXIFTOOL.replace(b"'x-default'", b"'en'"), "", "Snow & ice at Mürren"),
        (TITLED, "Ice", ""),
    ],
)  # fmt: skip
def test_title_and_description(content: bytes, title: str, description: str) -> None:
    xmp = read_xmp(content)
    assert (xmp.title, xmp.description) == (title, description)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (BOMB, "document type"),
        (EXTERNAL, "document type"),
        (b"<x>", "no XML"),
        (b"", "no XML"),
        (b"<x/>", "no rdf:RDF"),
        (EXIFTOOL.decode().encode("utf-16"), "UTF-16"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><x/>', "ISO-8859-1"),
        (EXIFTOOL.replace(b"<rdf:Bag>", b"<rdf:other>").replace(b"</rdf:Bag>", b"</rdf:other>"), "no list"),
        (EXIFTOOL.replace(b"xmlns:dc=", b"dc:subject='a, b' xmlns:dc="), "no list"),
        (b"\xff\xfe\xfd", "no XML"),
    ],
)
def test_what_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        with_keywords(content, ["Cat"])


def test_depth_is_no_danger() -> None:
    with pytest.raises(DataError, match="no rdf:RDF"):
        read_xmp(b"<a>" * 100_000 + b"</a>" * 100_000)


def test_a_byte_order_mark_shifts_nothing() -> None:
    merged = with_keywords(b"\xef\xbb\xbf" + EXIFTOOL, ["Cat"])
    assert merged == b"\xef\xbb\xbf" + with_keywords(EXIFTOOL, ["Cat"])
