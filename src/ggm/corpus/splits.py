"""Splits of a dataset: pure functions of posts and a seed.

Each takes posts in any order and gives the same split for the same posts and seed. The splits are
``train``, ``validation`` and ``test``; the posts they hold carry the name and stand in order of id.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post

SPLIT_NAMES = ("train", "validation", "test")

Ratios = tuple[float, float, float]


def random_split(
    posts: Iterable[Post], *, ratios: Ratios = (0.8, 0.1, 0.1), seed: int
) -> dict[str, tuple[Post, ...]]:
    """Splits posts at random (paper, section 4.1).

    Args:
        posts: With ids that differ.
        ratios: Shares of train, validation and test; at least 0, sum 1.
        seed: Of the shuffle.

    Returns:
        Posts by split name.

    Raises:
        DataError: If ratios aren't shares, or two posts have one id.
    """
    posts = tuple(posts)
    return grouped_split(posts, {post.id: post.id for post in posts}, ratios=ratios, seed=seed)


def grouped_split(
    posts: Iterable[Post],
    groups: Mapping[str, Hashable],
    *,
    ratios: Ratios = (0.8, 0.1, 0.1),
    seed: int,
) -> dict[str, tuple[Post, ...]]:
    """Splits posts at random, never one group in two splits.

    Groups are shuffled, and each goes where most posts are missing, so that the shares come out
    to within one group. What the groups are called plays no part.

    Args:
        posts: With ids that differ.
        groups: Group of each post, by post id: its author, or its series of near-duplicates.
        ratios: Shares of train, validation and test; at least 0, sum 1.
        seed: Of the shuffle.

    Returns:
        Posts by split name.

    Raises:
        DataError: If ratios aren't shares, two posts have one id, or a post has no group.
    """
    _check_ratios(ratios)
    ordered = _by_id(posts)
    members: dict[Hashable, list[Post]] = {}
    for post in ordered:
        if post.id not in groups:
            raise DataError(f"post {post.id!r} has no group; give one for each post")
        members.setdefault(groups[post.id], []).append(post)
    shuffled = list(members.values())
    random.Random(seed).shuffle(shuffled)
    missing = [ratio * len(ordered) for ratio in ratios]
    split_of: dict[str, str] = {}
    for group in shuffled:
        index = max(range(len(missing)), key=missing.__getitem__)
        missing[index] -= len(group)
        split_of.update((post.id, SPLIT_NAMES[index]) for post in group)
    return {
        name: tuple(replace(post, split=name) for post in ordered if split_of[post.id] == name)
        for name in SPLIT_NAMES
    }


def filter_rare(posts: Iterable[Post], *, minimum: int = 5) -> tuple[Post, ...]:
    """Drops the posts all of whose hashtags are rare (paper, section 4.1).

    Args:
        posts: Of the whole dataset, before it is split.
        minimum: Of posts that must carry a hashtag, at least 1; case is ignored.

    Returns:
        The other posts in their order, with all of their hashtags.

    Raises:
        DataError: If the minimum is less than 1.
    """
    if minimum < 1:
        raise DataError(f"minimum must be at least 1, got {minimum}")
    posts = tuple(posts)
    counts = Counter(hashtag for post in posts for hashtag in {key(text) for text in post.hashtags})
    return tuple(post for post in posts if any(counts[key(text)] >= minimum for text in post.hashtags))


def _check_ratios(ratios: Sequence[float]) -> None:
    # Comparisons written so that NaN fails them.
    if (
        len(ratios) != len(SPLIT_NAMES)
        or not all(ratio >= 0 for ratio in ratios)
        or not abs(sum(ratios) - 1) < 1e-6
    ):
        raise DataError(f"ratios must be {len(SPLIT_NAMES)} shares with sum 1, got {tuple(ratios)}")


def _by_id(posts: Iterable[Post]) -> list[Post]:
    ordered = sorted(posts, key=lambda post: post.id)
    for before, after in pairwise(ordered):
        if before.id == after.id:
            raise DataError(f"two posts have the id {after.id!r}; ids must differ")
    return ordered
