from __future__ import annotations

import random
from typing import Any

import pytest

from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.icons import is_logo
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.keywords import SENTENCES, describe, draw_hashtags, item_hashtags
from ggm.corpus.art.names import base_words, name_words, shown_words, singular
from ggm.corpus.wording import description_words, occurs_in
from ggm.errors import ConfigError


@pytest.mark.parametrize(
    ("title", "named", "shown", "base"),
    [
        ("arrow-up-circle", ("arrow", "up", "circle"), ("arrow", "up", "circle"), ("arrow",)),
        ("account-outline", ("account", "outline"), ("account",), ("account",)),
        ("FileText2", ("file", "text"), ("file", "text"), ("file", "text")),
        ("Dog Face", ("dog", "face"), ("dog", "face"), ("dog",)),
        ("red apples", ("red", "apples"), ("red", "apples"), ("apple",)),
        ("circle-plus", ("circle", "plus"), ("circle", "plus"), ("circle", "plus")),
        ("outline", ("outline",), ("outline",), ("outline",)),
        ("10", ("10",), ("10",), ("10",)),
        ("", (), (), ()),
    ],
)
def test_words(title: str, named: tuple[str, ...], shown: tuple[str, ...], base: tuple[str, ...]) -> None:
    assert (name_words(title), shown_words(title), base_words(title)) == (named, shown, base)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("files", "file"),
        ("boxes", "box"),
        ("cherries", "cherry"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("is", "is"),
    ],
)
def test_singular(word: str, expected: str) -> None:
    assert singular(word) == expected


def item(title: str = "file-text", *keywords: str, **facts: Any) -> ArtItem:
    return ArtItem(id="set/x", source="set", title=title, keywords=keywords, **facts)


def test_keywords_become_hashtags() -> None:
    made = item(
        "ice-cream-outline", "*new*", "Outlined", "soft serve", "Ice Cream", "a b c d", "42", "x", "R&B"
    )
    assert item_hashtags(made) == ("icecream", "softserve", "randb")
    assert item_hashtags(item("a-long-name-of-words", "thing")) == ("thing",)
    assert item_hashtags(item("x", "ann", author="Ann")) == ()


def test_of_many_hashtags_some_are_drawn_in_order() -> None:
    many = tuple(f"tag{letter}" for letter in "abcdefghij")
    drawn = draw_hashtags(many, most=4, rng=random.Random(0))
    assert len(drawn) == 4
    assert list(drawn) == sorted(drawn)
    assert draw_hashtags(many[:3], most=4, rng=random.Random(0)) == many[:3]


def test_descriptions_are_of_four_kinds_in_known_shares() -> None:
    config, rng = ArtConfig(), random.Random(0)
    made = item("file-text", "document", "page", "paper", "note")
    texts = [describe(made, ("filetext", "document"), config=config, rng=rng) for _ in range(4000)]
    shares = {
        "empty": sum(not text for text in texts),
        "plain": texts.count("file text"),
        "related": sum("page" in text or "paper" in text or "note" in text for text in texts),
        "sentence": sum("file text" in text and text != "file text" for text in texts),
    }
    assert sum(shares.values()) == 4000
    expected = {"empty": 0.2, "related": 0.2, "plain": 0.3, "sentence": 0.3}
    assert {kind: count / 4000 for kind, count in shares.items()} == pytest.approx(expected, abs=0.03)
    related = {word for text in texts for word in description_words(text)}
    assert "document" not in related


def test_a_sentence_names_no_hashtag_of_its_own() -> None:
    for sentence in SENTENCES:
        words = description_words(sentence.format("kiwi"))
        assert occurs_in("kiwi", words)


def test_a_description_of_its_makers_is_kept() -> None:
    made = item("account", "person", description="User account or person icon", natural=True)
    texts = {describe(made, ("person",), config=ArtConfig(), rng=random.Random(n)) for n in range(50)}
    assert texts == {"", "User account or person icon"}


def test_logos_and_products_are_known() -> None:
    assert is_logo("brand", ["logo"])
    assert is_logo("logo-apple", [])
    assert is_logo("some-service", ["IBM Cloud"])
    assert not is_logo("apple", ["fruit", "recycling logo"])


@pytest.mark.parametrize(
    "values",
    [
        {"limit": 0},
        {"clips_per_item": 0},
        {"minimum": 0},
        {"max_hashtags": 0},
        {"empty_descriptions": -0.1},
        {"empty_descriptions": 0.6, "related_descriptions": 0.6},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ArtConfig(**values)
