from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus.splits import SPLIT_NAMES, filter_rare, grouped_split, random_split
from ggm.errors import DataError
from ggm.records import Post


def post(id_: str, *hashtags: str) -> Post:
    return Post(id=id_, video=Path(f"{id_}.mp4"), description="", hashtags=hashtags or ("x1",))


def ids(splits: dict[str, tuple[Post, ...]]) -> dict[str, list[str]]:
    return {name: [p.id for p in part] for name, part in splits.items()}


grouped_posts = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.integers(0, 6), max_size=60)


@settings(max_examples=60, deadline=None)
@given(group_of=grouped_posts, seed=st.integers(0, 99), shuffle=st.randoms())
def test_a_grouped_split(group_of: dict[str, int], seed: int, shuffle: random.Random) -> None:
    posts = [post(id_) for id_ in group_of]
    splits = grouped_split(posts, group_of, seed=seed)
    everything = [p for part in splits.values() for p in part]
    assert list(splits) == list(SPLIT_NAMES)
    assert sorted(p.id for p in everything) == sorted(group_of), "every post exactly once"
    assert all(p.split == name for name, part in splits.items() for p in part)
    splits_of_group: dict[int, set[str | None]] = {}
    for one in everything:
        splits_of_group.setdefault(group_of[one.id], set()).add(one.split)
    assert all(len(names) == 1 for names in splits_of_group.values()), "no group in two splits"
    shuffle.shuffle(posts)
    assert grouped_split(posts, group_of, seed=seed) == splits, "independent of the order"
    renamed = {id_: f"group {100 - group}" for id_, group in group_of.items()}
    assert grouped_split(posts, renamed, seed=seed) == splits, "independent of the groups' names"


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 120), seed=st.integers(0, 9))
def test_a_random_split_keeps_the_shares_to_within_one_post(count: int, seed: int) -> None:
    splits = random_split([post(str(n)) for n in range(count)], ratios=(0.7, 0.2, 0.1), seed=seed)
    for part, share in zip(splits.values(), (0.7, 0.2, 0.1), strict=True):
        assert abs(len(part) - share * count) <= 1


def test_seeds_differ() -> None:
    posts = [post(f"{n:03}") for n in range(100)]
    assert ids(random_split(posts, seed=0)) != ids(random_split(posts, seed=1))


def test_every_post_can_come_into_every_split() -> None:
    posts = [post(f"{n:02}") for n in range(10)]
    where = Counter(
        (name, p.id)
        for seed in range(300)
        for name, part in random_split(posts, seed=seed).items()
        for p in part
    )
    assert all(where[name, p.id] > 0 for name in SPLIT_NAMES for p in posts)


def test_a_share_of_nothing_stays_empty() -> None:
    splits = random_split([post(str(n)) for n in range(20)], ratios=(0.5, 0.0, 0.5), seed=0)
    assert [len(part) for part in splits.values()] == [10, 0, 10]


@pytest.mark.parametrize("ratios", [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5), (0.5, 0.5)])
def test_ratios_must_be_shares(ratios: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="ratios must be 3 shares with sum 1"):
        random_split([post("a")], ratios=ratios, seed=0)


def test_ids_must_differ() -> None:
    with pytest.raises(DataError, match="two posts have the id 'a'"):
        random_split([post("a"), post("b"), post("a")], seed=0)


def test_each_post_needs_a_group() -> None:
    with pytest.raises(DataError, match="post 'b' has no group"):
        grouped_split([post("a"), post("b")], {"a": 1}, seed=0)


def test_only_posts_all_of_whose_hashtags_are_rare_are_dropped() -> None:
    posts = [post("a", "cat"), post("b", "Cat", "rare"), post("c", "rare2", "rare3"), post("d", "CAT", "cat")]
    assert [p.id for p in filter_rare(posts, minimum=3)] == ["a", "b", "d"]
    assert filter_rare(posts, minimum=3)[1].hashtags == ("Cat", "rare"), "rare hashtags stay on a kept post"
    # "d" carries the hashtag twice, in two cases: that is one post.
    assert filter_rare(posts, minimum=4) == ()
    assert filter_rare(posts, minimum=1) == tuple(posts)


def test_five_is_the_default_minimum() -> None:
    assert len(filter_rare([post(str(n), "cat") for n in range(5)])) == 5
    assert filter_rare([post(str(n), "cat") for n in range(4)]) == ()


def test_the_minimum_must_be_positive() -> None:
    with pytest.raises(DataError, match="at least 1"):
        filter_rare([post("a")], minimum=0)
