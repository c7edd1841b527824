"""Singulars of English nouns, and hashtags that differ in number alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import HashtagError
from ggm.hashtags.plurals import singular, singular_key


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("dogs", "dog"),
        ("horses", "horse"),
        ("boxes", "box"),
        ("glasses", "glass"),
        ("beaches", "beach"),
        ("buses", "bus"),
        ("lenses", "lens"),
        ("shoes", "shoe"),
        ("tomatoes", "tomato"),
        ("toes", "toe"),
        ("parties", "party"),
        ("movies", "movie"),
        ("pies", "pie"),
        ("selfies", "selfie"),  # of creators
        ("yorkies", "yorkie"),  # that no list has
        ("corgis", "corgi"),
    ],
)
def test_singular_and_plural(plural: str, expected: str) -> None:
    assert singular(plural) == expected
    assert singular(expected) == expected


@pytest.mark.parametrize(
    "word", ["", "s", "is", "bus", "gas", "news", "tennis", "virus", "glass", "90s", "cafés"]
)
def test_what_is_no_plural_stays(word: str) -> None:
    assert singular(word) == word


@given(st.text("abehiosuxyz", max_size=8))
def test_only_the_end_changes(word: str) -> None:
    found = singular(word)
    assert found == word or (
        len(found) >= 3 and word.endswith("s") and word.startswith(found.removesuffix("y"))
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("GoldenRetriever", "goldenretrievers"), ("city", "Cities"), ("beach_party", "BeachParties")],
)
def test_hashtags_that_differ_in_number(one: str, other: str) -> None:
    assert singular_key(one) == singular_key(other)


def test_what_is_no_hashtag_has_no_key() -> None:
    with pytest.raises(HashtagError):
        singular_key("!!")
