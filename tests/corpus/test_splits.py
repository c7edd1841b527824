from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus.splits import (
    SPLIT_NAMES,
    filter_rare,
    grouped_split,
    random_split,
    time_split,
    unseen_split,
)
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


def dated(minutes: list[int]) -> list[Post]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        replace(post(f"{n:03}"), created_at=(start + timedelta(minutes=minute)).isoformat())
        for n, minute in enumerate(minutes)
    ]


@settings(max_examples=60, deadline=None)
@given(minutes=st.lists(st.integers(0, 30), max_size=60), shuffle=st.randoms())
def test_a_split_by_time(minutes: list[int], shuffle: random.Random) -> None:
    posts = dated(minutes)
    splits = time_split(posts, ratios=(0.6, 0.2, 0.2))
    everything = [p for part in splits.values() for p in part]
    assert sorted(p.id for p in everything) == [p.id for p in posts], "every post exactly once"
    assert all(p.split == name for name, part in splits.items() for p in part)
    times = [[p.created_at or "" for p in part] for part in splits.values() if part]
    assert all(max(before) < min(after) for before, after in pairwise(times))
    shuffle.shuffle(posts)
    assert time_split(posts, ratios=(0.6, 0.2, 0.2)) == splits, "independent of the order"
    if len(set(minutes)) == len(minutes):
        assert abs(len(splits["train"]) - 0.6 * len(posts)) <= 1


def test_time_zones_count() -> None:
    """Ten o'clock in Tokyo is before nine in London."""
    early = replace(post("tokyo"), created_at="2026-01-01T10:00:00+09:00")
    late = replace(post("london"), created_at="2026-01-01T09:00:00")
    assert ids(time_split([late, early], ratios=(0.5, 0.0, 0.5))) == {
        "train": ["tokyo"],
        "validation": [],
        "test": ["london"],
    }


@pytest.mark.parametrize("created_at", [None, "yesterday", ""])
def test_posts_without_a_date_are_counted(created_at: str | None) -> None:
    with pytest.raises(DataError, match=r"1 posts have no created_at in ISO 8601, the first is 'x'"):
        time_split([*dated([1, 2]), replace(post("x"), created_at=created_at)])


tagged = st.lists(
    st.lists(st.sampled_from(["a", "A", "b", "C", "c", "d", "e", "f"]), min_size=1, max_size=3), max_size=40
)


@settings(max_examples=80, deadline=None)
@given(hashtags=tagged, count=st.integers(1, 4), seed=st.integers(0, 9))
def test_unseen_hashtags_are_in_no_training_post(hashtags: list[list[str]], count: int, seed: int) -> None:
    posts = [post(f"{n:03}", *tags) for n, tags in enumerate(hashtags)]
    splits = random_split(posts, ratios=(0.6, 0.2, 0.2), seed=seed)
    try:
        result = unseen_split(splits, count=count, seed=seed, max_share=0.5)
    except DataError:
        return
    assert len(result.hashtags) == count
    unseen = set(result.hashtags)

    def carries(one: Post) -> bool:
        return any(tag.casefold() in unseen for tag in one.hashtags)

    for name in SPLIT_NAMES:
        assert not any(map(carries, result.splits[name])), "nothing leaks, whatever the case"
        assert set(result.splits[name]) <= set(splits[name])
    assert all(map(carries, result.splits["unseen"]))
    assert {p.split for p in result.splits["unseen"]} <= {"unseen"}
    assert sorted(p.id for part in result.splits.values() for p in part) == [p.id for p in posts]
    trained = {tag.casefold() for p in splits["train"] for tag in p.hashtags}
    assert unseen <= trained, "they were training hashtags"
    assert len(splits["train"]) - len(result.splits["train"]) <= 0.5 * len(splits["train"])
    backwards = {name: part[::-1] for name, part in splits.items()}
    assert unseen_split(backwards, count=count, seed=seed, max_share=0.5).hashtags == result.hashtags


def test_a_frequent_hashtag_is_passed_over() -> None:
    """Half of the posts carry `all`: it would take them with it."""
    posts = [post(f"{n}", *(["all"] if n % 2 else []), f"rare{n}") for n in range(40)]
    splits = random_split(posts, ratios=(1.0, 0.0, 0.0), seed=0)
    drawn = [unseen_split(splits, count=6, seed=seed, max_share=0.2).hashtags for seed in range(20)]
    assert not any("all" in hashtags for hashtags in drawn)
    assert len(set(drawn)) == 20


def test_too_many_unseen_hashtags_are_refused() -> None:
    splits = random_split([post(f"{n}", f"t{n}") for n in range(10)], ratios=(1.0, 0.0, 0.0), seed=0)
    with pytest.raises(DataError, match=r"only 2 of 3 unseen hashtags .* moving more than 20%"):
        unseen_split(splits, count=3, seed=0)
    with pytest.raises(DataError, match="count must be at least 1"):
        unseen_split(splits, count=0, seed=0)
