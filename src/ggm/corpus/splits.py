"""Splits of a dataset: pure functions of posts and a seed.

Each takes posts in any order and gives the same split for the same posts and seed. The splits are
``train``, ``validation`` and ``test``; the posts they hold carry the name and stand in order of id.
What is decided here in memory, `ggm.corpus.derive` decides alike for manifests of any size.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from ggm.corpus import assignment
from ggm.corpus.assignment import DEFAULT_RATIOS, SPLIT_NAMES, UNSEEN, Assignment, Ratios
from ggm.corpus.keys import PostKeys, gather_keys
from ggm.errors import DataError
from ggm.records import Post

__all__ = [
    "SPLIT_NAMES",
    "Ratios",
    "UnseenSplit",
    "filter_rare",
    "grouped_split",
    "random_split",
    "time_split",
    "unseen_split",
]


def random_split(
    posts: Iterable[Post], *, ratios: Ratios = DEFAULT_RATIOS, seed: int
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
    keys = gather_keys(posts)
    return _named(posts, keys, assignment.assign_randomly(keys, ratios=ratios, seed=seed))


def grouped_split(
    posts: Iterable[Post],
    groups: Mapping[str, Hashable],
    *,
    ratios: Ratios = DEFAULT_RATIOS,
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
    assignment.check_ratios(ratios)
    posts = tuple(posts)
    codes: dict[Hashable, int] = {}
    rows = np.zeros(len(posts), dtype=np.int64)
    for row, post in enumerate(posts):
        if post.id not in groups:
            raise DataError(f"post {post.id!r} has no group; give one for each post")
        rows[row] = codes.setdefault(groups[post.id], len(codes))
    keys = gather_keys(posts)
    return _named(posts, keys, assignment.assign_groups(keys, rows, ratios=ratios, seed=seed))


def time_split(posts: Iterable[Post], *, ratios: Ratios = DEFAULT_RATIOS) -> dict[str, tuple[Post, ...]]:
    """Splits posts by time, to study drift: the oldest are for training, the newest for testing.

    Posts of the same instant stay together, in the split of the first of them.

    Args:
        posts: With ids that differ and a ``created_at`` each; without a zone it is taken as UTC.
        ratios: Shares of train, validation and test; at least 0, sum 1.

    Returns:
        Posts by split name.

    Raises:
        DataError: If ratios aren't shares, two posts have one id, or posts have no date and time.
    """
    posts = tuple(posts)
    keys = gather_keys(posts)
    return _named(posts, keys, assignment.assign_by_time(keys, ratios=ratios))


@dataclass(frozen=True)
class UnseenSplit:
    """A split with hashtags that no training post carries (paper, section 4.1).

    Args:
        splits: Posts by split name; ``unseen`` is the last.
        hashtags: Keys of the unseen hashtags, sorted.
    """

    splits: dict[str, tuple[Post, ...]]
    hashtags: tuple[str, ...]


def unseen_split(
    splits: Mapping[str, Sequence[Post]], *, count: int = 500, seed: int, max_share: float = 0.2
) -> UnseenSplit:
    """Moves every post that carries one of some hashtags to the split ``unseen``.

    The hashtags are drawn from those of the training split. Frequent ones would take most of it
    with them, so one that would bring the moved share above the limit is passed over. Validation
    posts are moved as well, since checkpoints are chosen on them. Seen hashtags may occur among the
    unseen split's, beside the others.

    Args:
        splits: Posts by split name, with ``train``.
        count: How many hashtags are drawn, at least 1.
        seed: Of the draw.
        max_share: Of training posts that may be moved, 0 to 1.

    Returns:
        The new splits and the hashtags.

    Raises:
        DataError: If so many hashtags can't be had within the limit, two posts have one id, or an
            argument is out of range.
    """
    names = tuple(splits)
    posts = [post for part in splits.values() for post in part]
    labels = np.repeat(np.arange(len(names)), [len(part) for part in splits.values()])
    moved = assignment.assign_unseen(
        gather_keys(posts), Assignment(names, labels), count=count, seed=seed, max_share=max_share
    )
    parts: dict[str, list[Post]] = {name: [] for name in moved.names}
    for row, post in enumerate(posts):
        name = moved.name_of(row)
        parts[name].append(replace(post, split=UNSEEN) if name == UNSEEN else post)
    return UnseenSplit({name: tuple(part) for name, part in parts.items()}, moved.unseen_hashtags)


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
    posts = tuple(posts)
    return tuple(compress(posts, assignment.has_frequent_hashtag(gather_keys(posts), minimum=minimum)))


def _named(posts: Sequence[Post], keys: PostKeys, splits: Assignment) -> dict[str, tuple[Post, ...]]:
    parts: dict[str, list[Post]] = {name: [] for name in splits.names}
    for row in keys.order:
        name = splits.name_of(row)
        parts[name].append(replace(posts[row], split=name))
    return {name: tuple(part) for name, part in parts.items()}
