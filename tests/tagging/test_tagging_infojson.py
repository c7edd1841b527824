"""Hashtags in JSON sidecars: the lists grow, the rest stays as text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import DataError
from ggm.tagging.edits import Edit, Reversal, edited
from ggm.tagging.infojson import read_info, with_tags
from sidecars import YTDLP

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
tag_lists = st.lists(st.text("abcäé雪", min_size=1, max_size=4), max_size=5)


def test_a_new_one() -> None:
    assert json.loads(with_tags(None, ["Cat", "Snow"])) == {
        "tags": ["Cat", "Snow"],
        "hashtags": ["Cat", "Snow"],
    }


def test_yt_dlps_is_extended() -> None:
    merged = with_tags(YTDLP, ["snow", "FirstSnow", "雪"])
    assert merged.replace(b', "FirstSnow", "\xe9\x9b\xaa"]', b"]", 1).startswith(YTDLP[:-1])
    values, before = json.loads(merged), json.loads(YTDLP)
    assert values.pop("tags") == ["cat", "Snow", "FirstSnow", "雪"]
    assert values.pop("hashtags") == ["snow", "FirstSnow", "雪"]
    before.pop("tags")
    assert values == before
    assert b'"tbr": 1.0E+3' in merged
    assert b"12345678901234567890" in merged


@given(
    others=st.dictionaries(st.text(), json_values, max_size=4),
    tags=st.none() | tag_lists,
    new=tag_lists,
    indent=st.none() | st.integers(0, 3),
    ascii_only=st.booleans(),
)
def test_merging_keeps_the_rest_and_is_taken_back(
    others: dict[str, Any], tags: list[str] | None, new: list[str], indent: int | None, ascii_only: bool
) -> None:
    others = {name: value for name, value in others.items() if name not in ("tags", "hashtags")}
    content = json.dumps({"tags": tags, **others}, indent=indent, ensure_ascii=ascii_only)
    before = content.encode("utf-8", "surrogatepass")
    try:
        before.decode()
    except UnicodeDecodeError:
        return  # lone surrogates aren't UTF-8
    merged = with_tags(before, new)
    assert Reversal.of(before, merged)(merged) == before
    values = json.loads(merged)
    assert {name: value for name, value in values.items() if name not in ("tags", "hashtags")} == others
    assert {tag.casefold() for tag in values["tags"] or ()} == {
        tag.casefold() for tag in [*(tags or ()), *new]
    }
    assert (values["tags"] or [])[: len(tags or ())] == (tags or [])
    assert read_info(merged) == values


@pytest.mark.parametrize(
    "content", ["{}", " {\n} \n", '{"tags": []}', '{"tags": [ ]}', '{"a": 1\n}\n', "\ufeff{}"]
)
def test_small_ones(content: str) -> None:
    merged = with_tags(content.encode(), ["Cat"])
    assert json.loads(merged.decode("utf-8-sig"))["tags"] == ["Cat"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "no JSON object"),
        (b"", "no JSON object"),
        (b'{"a": 1', "no JSON object"),
        (b'{"a" 1}', "no JSON object"),
        (b'{"a": 1,}', "no JSON object"),
        (b"{} {}", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"a":' + b"[" * 100_000, "no JSON object"),
        (b'{"tags": "a, b"}', "'tags' is no list"),
        (b'{"hashtags": [1]}', "'hashtags' is no list"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_what_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        with_tags(content, ["Cat"])


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_change_is_taken_back(before: bytes, after: bytes) -> None:
    reversal = Reversal.of(before, after)
    assert reversal(after) == before
    assert Reversal.from_dict(json.loads(json.dumps(reversal.to_dict()))) == reversal


@pytest.mark.parametrize(
    "values", [{}, {"prefix": -1, "suffix": 0, "middle": ""}, {"prefix": 0, "suffix": 0, "middle": "?"}]
)
def test_a_reversal_that_is_none(values: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not a reversal"):
        Reversal.from_dict(values)


def test_edits_are_made_together() -> None:
    assert edited(b"abcd", [Edit(3, 4, b"X"), Edit(1, 1, b"1"), Edit(1, 1, b"2")]) == b"a12bcX"
