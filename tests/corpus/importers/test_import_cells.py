from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.corpus.importers.cells import (
    MAX_HASHTAGS,
    join_texts,
    read_hashtags,
    read_id,
    read_person,
    read_text,
    read_time,
)
from ggm.corpus.importers.reasons import RowError


@pytest.mark.parametrize(
    ("cell", "hashtags"),
    [
        ('["winter", "first snow"]', ["winter", "first snow"]),
        ("['winter', 'été']", ["winter", "été"]),
        ('[{"title": "fyp"}, {"hashtagName": "été"}, {"x": 1}]', ["fyp", "été"]),
        ("#a #b", ["a", "b"]),
        ("#a#b ＃日本", ["a", "b", "日本"]),
        ("a, b c ,,d", ["a", "b c", "d"]),
        ("a;b|c\nd", ["a", "b", "c", "d"]),
        ("#birthday cake, #snow", ["birthday cake", "snow"]),
        ("日本、東京", ["日本", "東京"]),
        ("a b  c", ["a", "b", "c"]),
        ("[a, b]", ["a", "b"]),
        (["a", None, " b ", 7, math.nan], ["a", "b", "7"]),
        ({"name": "a"}, ["a"]),
        (None, []),
        (math.nan, []),
        ("", []),
        ("null", []),
        ("NaN", []),
        ("[]", []),
        (2024, ["2024"]),
    ],
)
def test_hashtags_in_any_notation(cell: object, hashtags: list[str]) -> None:
    assert list(read_hashtags(cell)) == hashtags


def test_what_is_no_list_of_hashtags() -> None:
    with pytest.raises(RowError, match="too many hashtags"):
        read_hashtags("#a " * (MAX_HASHTAGS + 1))
    with pytest.raises(RowError, match="text is expected: got list"):
        read_hashtags([["a"]])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (" x ", "x"),
        (None, ""),
        (math.nan, ""),
        (7.0, "7"),
        (7.5, "7.5"),
        (math.inf, "inf"),
        (7123456789012345678, "7123456789012345678"),
        ("a\0b", "ab"),
        ("half \ud83d", "half \ufffd"),
        ("\ud83d\ude00", "😀"),
        (date(2024, 5, 6), "2024-05-06"),
    ],
)
def test_text(cell: object, text: str) -> None:
    assert read_text(cell) == text


def test_what_is_no_text() -> None:
    for value in ([], {}, b"x"):
        with pytest.raises(RowError, match="text is expected"):
            read_text(value)


def test_ids_and_people() -> None:
    assert read_id("1.5") == "1.5"
    for rounded in ("7.12346E+18", "7,12346E+18"):
        with pytest.raises(RowError, match="an id that a spreadsheet rounded"):
            read_id(rounded)
    assert read_person({"id": "7", "uniqueId": "ann"}) == "ann"
    assert read_person({}) == ""
    with pytest.raises(RowError, match="text is expected"):
        read_person(["ann"])


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        (1331840483, "2012-03-15T19:41:23Z"),
        ("1331840483", "2012-03-15T19:41:23Z"),
        ("1331840483.0", "2012-03-15T19:41:23Z"),
        (1331840483000, "2012-03-15T19:41:23Z"),
        ("1331840483000000", "2012-03-15T19:41:23Z"),
        (1331840483000000000, "2012-03-15T19:41:23Z"),
        ("20120315", "2012-03-15"),
        (20120315, "2012-03-15"),
        ("2012-03-15", "2012-03-15"),
        ("2012-02-16 09:56:37.0", "2012-02-16T09:56:37"),
        ("2014-01-05T20:44:13.000000", "2014-01-05T20:44:13"),
        ("2012-03-15T20:41:23+01:00", "2012-03-15T19:41:23Z"),
        ("2012-03-15T19:41:23.000Z", "2012-03-15T19:41:23Z"),
        ("2012-03-15T20:41:23+0100", "2012-03-15T19:41:23Z"),
        ("2012-03-15 19:41:23 UTC", "2012-03-15T19:41:23Z"),
        ("Thu, 15 Mar 2012 19:41:23 GMT", "2012-03-15T19:41:23Z"),
        ("Thu Mar 15 19:41:23 +0000 2012", "2012-03-15T19:41:23Z"),
        (datetime(2012, 3, 15, 19, 41, 23, tzinfo=UTC), "2012-03-15T19:41:23Z"),
        (datetime(2012, 3, 15), "2012-03-15T00:00:00"),
        (date(2012, 3, 15), "2012-03-15"),
        (0, None),
        ("0", None),
        ("", None),
        ("null", None),
        (None, None),
        (math.nan, None),
    ],
)
def test_times_in_any_notation(cell: object, moment: str | None) -> None:
    assert read_time(cell) == moment
    if moment is not None:
        assert datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "cell",
    [
        "yesterday",
        "05/06/2024",
        "99",
        "20241399",
        -5,
        math.inf,
        "9" * 5_000,
        "9" * 19,
        [],
        {"x": 1},
        "0.5",
    ],
)
def test_times_that_cannot_be_read(cell: object) -> None:
    with pytest.raises(RowError, match="a time that can't be read"):
        read_time(cell)


@pytest.mark.parametrize(
    ("title", "description", "joined"),
    [
        ("", "", ""),
        ("A", "", "A"),
        ("", "B", "B"),
        ("A", "B", "A. B"),
        ("A!", "B", "A! B"),
        ("Snow is...", "snow is falling", "snow is falling"),
        ("…", "B", "B"),
    ],
)
def test_titles_and_descriptions(title: str, description: str, joined: str) -> None:
    assert join_texts(title, description) == joined


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(ANYTHING)
def test_any_cell_is_read_or_refused(cell: object) -> None:
    for read in (read_text, read_id, read_person, read_hashtags, read_time):
        with suppress(RowError):
            read(cell)  # type: ignore[operator]


@given(st.text(st.characters(exclude_categories=[])))
def test_texts_can_be_written(text: str) -> None:
    read_text(text).encode("utf-8")
    for hashtag in read_hashtags(text):
        hashtag.encode("utf-8")
