from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ggm.corpus.render import flatten
from ggm.corpus.series import HASH_BITS, MAX_HASH_DISTANCE, connect, difference_hash, near_pairs


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.unpackbits(one ^ other).sum())


def test_size_and_colour_hardly_change_the_hash_and_shape_does(draw: Any) -> None:
    original = difference_hash(flatten(draw(0b101010101)))
    assert original.shape == (HASH_BITS // 8,)
    assert (
        distance(original, difference_hash(flatten(draw(0b101010101).resize((150, 150)))))
        <= MAX_HASH_DISTANCE
    )
    assert (
        distance(original, difference_hash(flatten(draw(0b101010101, colour=(20, 90, 200)))))
        <= MAX_HASH_DISTANCE
    )
    assert distance(original, difference_hash(flatten(draw(0b010101010)))) > MAX_HASH_DISTANCE


def test_a_flat_picture_has_no_edges() -> None:
    assert not difference_hash(Image.new("RGB", (50, 50), (90, 90, 90))).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=2, max_size=2), max_size=12), st.integers(0, 16))
def test_near_pairs_are_those_of_a_plain_double_loop(rows: list[bytes], most: int) -> None:
    hashes = np.array([list(row) for row in rows], dtype=np.uint8).reshape(-1, 2)
    slow = [
        (i, j)
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
        if sum((a ^ b).bit_count() for a, b in zip(rows[i], rows[j], strict=True)) <= most
    ]
    assert near_pairs(hashes, max_distance=most) == slow


def test_ids_are_connected_through_others() -> None:
    groups = connect({"d": ["x"], "a": ["y", "x"], "b": ["z"], "c": ["y"], "e": []})
    assert groups == {"d": "a", "a": "a", "b": "b", "c": "a", "e": "e"}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3), st.lists(st.integers(0, 12), max_size=3), max_size=15
    )
)
def test_groups_are_the_connected_components(keys: dict[str, list[int]]) -> None:
    groups = connect(keys)
    for start in keys:
        component, reached = {start}, {start}
        while reached:
            reached = {
                id_ for id_ in keys if any(set(keys[id_]) & set(keys[one]) for one in reached)
            } - component
            component |= reached
        assert {id_ for id_ in keys if groups[id_] == groups[start]} == component
        assert groups[start] == min(component)
