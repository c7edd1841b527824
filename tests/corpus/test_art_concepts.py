from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus.art import concepts
from ggm.corpus.art.concepts import Concepts, find_concepts, name_key
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.keywords import item_hashtags
from ggm.corpus.splits import grouped_split
from ggm.records import Post


def item(id_: str, title: str, *keywords: str, natural: bool = False, alike: tuple[str, ...] = ()) -> ArtItem:
    return ArtItem(
        id=id_, source=id_.split("/")[0], title=title, keywords=keywords, natural=natural, alike=alike
    )


def far_apart(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, 64, np.uint8) for _ in range(count)]


def find(*items: ArtItem, hashes: list[np.ndarray] | None = None) -> Concepts:
    hashtags = {one.id: item_hashtags(one) for one in items}
    return find_concepts(items, hashtags, hashes or far_apart(len(items)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (item("a/1", "arrow-up"), item("b/1", "arrow-up-circle")),
        (item("a/1", "account"), item("b/1", "account-outline")),
        (item("a/1", "dog"), item("noto/1", "dog face", natural=True)),
        (item("noto/1", "man running", alike=("emoji:1",)), item("twemoji/1", "other", alike=("emoji:1",))),
        (item("a/1", "text-file"), item("b/1", "file-text")),
        (item("a/1", "ice-cream"), item("b/1", "soft ice cream", natural=True)),
        (
            item("a/1", "one", "kw a", "kw b", "kw c", "two"),
            item("b/1", "two", "kw c", "kw b", "kw a", "one"),
        ),
    ],
)
def test_the_same_thing_is_one_group(one: ArtItem, other: ArtItem) -> None:
    groups = find(one, other, item("z/9", "bicycle", "kw a", "kw b")).groups
    assert groups == {one.id: one.id, other.id: one.id, "z/9": "z/9"}


def test_a_sentence_is_filed_under_no_word() -> None:
    sentence = item("a/1", "marching band drummer wearing a coat", natural=True)
    assert name_key(sentence) is None
    assert name_key(item("a/1", "")) is None
    assert len(set(find(sentence, item("b/1", "coat")).groups.values())) == 2


def test_pictures_that_look_alike_are_one_group() -> None:
    first, far = far_apart(2)
    near = first.copy()
    near[0] ^= 0b111
    groups = find(
        item("a/1", "sun"), item("b/1", "gear"), item("c/1", "moon"), hashes=[first, near, far]
    ).groups
    assert groups == {"a/1": "a/1", "b/1": "a/1", "c/1": "c/1"}


def test_groups_grow_to_a_limit_and_what_was_cut_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concepts, "LEAST_LARGEST", 2)
    alike = far_apart(1) * 3
    found = find(item("a/1", "sun"), item("b/1", "gear"), item("c/1", "moon"), hashes=alike)
    assert len(set(found.groups.values())) == 2
    assert found.torn({"a/1": "train", "b/1": "test", "c/1": "validation"}) == {"b/1", "c/1"}
    assert found.torn({"b/1": "test", "c/1": "validation"}) == {"c/1"}
    assert found.torn({"a/1": "test", "b/1": "test", "c/1": "test"}) == set()


names = st.lists(
    st.sampled_from(["sun", "moon", "gear", "file", "arrow", "user", "dog", "up", "outline", "circle"]),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(names, st.integers(0, 3), st.booleans()), min_size=1, max_size=40), st.integers(0, 3)
)
def test_nothing_that_belongs_together_lies_in_two_splits(
    drawn: list[tuple[list[str], int, bool]], seed: int
) -> None:
    items = [
        item(f"set/{number}", "-".join(words), "kw a", "kw b", "kw c", f"kw {look}", natural=natural)
        for number, (words, look, natural) in enumerate(drawn)
    ]
    looks = far_apart(12)
    hashes = [looks[look if number % 3 else 4 + number % 8] for number, (_, look, _) in enumerate(drawn)]
    found = find(*items, hashes=hashes)
    posts = [Post(id=one.id, video=Path("x"), description="", hashtags=("x",)) for one in items]
    splits = {
        p.id: name for name, part in grouped_split(posts, found.groups, seed=seed).items() for p in part
    }
    left = {id_: name for id_, name in splits.items() if id_ not in found.torn(splits)}
    for link in found.links:
        assert len({left[id_] for id_ in link if id_ in left}) <= 1
    for one in items:
        for other in items:
            if found.groups[one.id] == found.groups[other.id]:
                assert splits[one.id] == splits[other.id]
