"""Which post goes where: the arithmetic of filters and splits, on light keys alone.

All draws depend on the seed and on the posts, never on the order in which these come.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ggm.corpus.keys import UNDATED, Integers, PostKeys
from ggm.errors import DataError

SPLIT_NAMES = ("train", "validation", "test")
UNSEEN = "unseen"

Ratios = tuple[float, float, float]
"""Shares of train, validation and test; at least 0, sum 1."""

DEFAULT_RATIOS: Ratios = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Assignment:
    """The split of each post.

    Args:
        names: Of the splits.
        labels: Index into `names` by row.
        unseen_hashtags: Keys of the hashtags that no training post carries, sorted.
    """

    names: tuple[str, ...]
    labels: Integers
    unseen_hashtags: tuple[str, ...] = ()

    def name_of(self, row: int) -> str:
        """The split of a post."""
        return self.names[int(self.labels[row])]

    def sizes(self) -> dict[str, int]:
        """Number of posts by split."""
        counts = np.bincount(self.labels, minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, counts, strict=True)}


def assign_randomly(keys: PostKeys, *, ratios: Ratios = DEFAULT_RATIOS, seed: int) -> Assignment:
    """Splits at random; see `ggm.corpus.splits.random_split`.

    Raises:
        DataError: If ratios aren't shares, or two posts have one id.
    """
    return assign_groups(keys, np.arange(len(keys)), ratios=ratios, seed=seed)


def assign_groups(
    keys: PostKeys, groups: Integers, *, ratios: Ratios = DEFAULT_RATIOS, seed: int
) -> Assignment:
    """Splits at random, never one group in two splits; see `ggm.corpus.splits.grouped_split`.

    Args:
        keys: Of all posts.
        groups: Group of each row.
        ratios: Shares of the splits.
        seed: Of the shuffle.

    Raises:
        DataError: If ratios aren't shares, or two posts have one id.
    """
    check_ratios(ratios)
    _, first, inverse, sizes = np.unique(
        groups[keys.order], return_index=True, return_inverse=True, return_counts=True
    )
    shuffled = np.argsort(first).tolist()  # groups in order of their first id, whatever their names
    random.Random(seed).shuffle(shuffled)
    missing = [ratio * len(keys) for ratio in ratios]
    wanted = [index for index, ratio in enumerate(ratios) if ratio > 0]
    label_of_group = np.zeros(len(sizes), dtype=np.int64)
    for group in shuffled:
        index = max(wanted, key=missing.__getitem__)
        missing[index] -= int(sizes[group])
        label_of_group[group] = index
    labels = np.zeros(len(keys), dtype=np.int64)
    labels[keys.order] = label_of_group[inverse]
    return Assignment(SPLIT_NAMES, labels)


def assign_by_time(keys: PostKeys, *, ratios: Ratios = DEFAULT_RATIOS) -> Assignment:
    """Splits by time, posts of one instant together; see `ggm.corpus.splits.time_split`.

    Raises:
        DataError: If ratios aren't shares, two posts have one id, or posts have no date and time.
    """
    check_ratios(ratios)
    instants = keys.instants[keys.order]
    undated = keys.order[instants == UNDATED]
    if len(undated):
        raise DataError(
            f"{len(undated):,} posts have no created_at in ISO 8601, the first is "
            f"{keys.ids[undated[0]]!r}; split at random, or give them dates"
        )
    by_time = np.argsort(instants, kind="stable")
    instants = instants[by_time]
    ends = [round(sum(ratios[: index + 1]) * len(keys)) for index in range(len(ratios))]
    places = np.arange(len(keys))
    is_first = np.concatenate([[True], instants[1:] != instants[:-1]])[: len(keys)]
    first_places = np.maximum.accumulate(np.where(is_first, places, 0))
    # Shares whose sum is a hair below 1 may end before the last post does.
    last = max(index for index, ratio in enumerate(ratios) if ratio > 0)
    labels = np.zeros(len(keys), dtype=np.int64)
    labels[keys.order[by_time]] = np.minimum(np.searchsorted(ends, first_places, side="right"), last)
    return Assignment(SPLIT_NAMES, labels)


def assign_as_before(keys: PostKeys) -> Assignment:
    """Keeps the splits that posts already have.

    Raises:
        DataError: If a post has none.
    """
    without = np.flatnonzero(keys.splits < 0)
    if len(without):
        raise DataError(
            f"{len(without):,} posts belong to no split, the first is {keys.ids[without[0]]!r}; "
            "split them at random, or in another way"
        )
    return Assignment(tuple(keys.split_names), keys.splits)


def assign_unseen(
    keys: PostKeys, assignment: Assignment, *, count: int = 500, seed: int, max_share: float = 0.2
) -> Assignment:
    """Moves the posts of some hashtags to a split of their own; see `ggm.corpus.splits.unseen_split`.

    Args:
        keys: Of all posts.
        assignment: Their splits, with ``train``.
        count: How many hashtags are drawn, at least 1.
        seed: Of the draw.
        max_share: Of training posts that may be moved, 0 to 1.

    Raises:
        DataError: If so many hashtags can't be had within the limit, two posts have one id, or an
            argument is out of range.
    """
    if count < 1 or not 0 <= max_share <= 1:
        raise DataError(f"count must be at least 1 and max_share a share, got {count} and {max_share}")
    is_training = assignment.labels == _index(assignment.names, SPLIT_NAMES[0])
    num_training = int(is_training[keys.order].sum())
    in_training = is_training[keys.rows]
    codes, rows = keys.codes[in_training], keys.rows[in_training]
    by_code = np.argsort(codes, kind="stable")
    rows = rows[by_code]
    bounds = np.searchsorted(codes[by_code], np.arange(len(keys.hashtags) + 1))
    # The draw is from the hashtags in order, not from their codes, which depend on the posts' order.
    candidates = sorted(np.unique(codes).tolist(), key=keys.hashtags.__getitem__)
    random.Random(seed).shuffle(candidates)
    room = max_share * num_training
    chosen: list[int] = []
    is_moved = np.zeros(len(keys), dtype=np.bool_)
    for code in candidates:
        own = rows[bounds[code] : bounds[code + 1]]
        more = int(np.count_nonzero(~is_moved[own]))
        if more <= room:
            room -= more
            is_moved[own] = True
            chosen.append(code)
        if len(chosen) == count:
            break
    if len(chosen) < count:
        raise DataError(
            f"only {len(chosen):,} of {count:,} unseen hashtags can be taken from {num_training:,} training "
            f"posts without moving more than {max_share:.0%} of them; ask for fewer, or allow more"
        )
    names = tuple(dict.fromkeys((*assignment.names, UNSEEN)))
    labels = assignment.labels.copy()
    labels[keys.rows[np.isin(keys.codes, chosen)]] = names.index(UNSEEN)
    return Assignment(names, labels, tuple(sorted(keys.hashtags[code] for code in chosen)))


def has_frequent_hashtag(keys: PostKeys, *, minimum: int = 5) -> npt.NDArray[np.bool_]:
    """Which posts have a hashtag that is not rare; see `ggm.corpus.splits.filter_rare`.

    Raises:
        DataError: If the minimum is less than 1.
    """
    if minimum < 1:
        raise DataError(f"minimum must be at least 1, got {minimum}")
    is_frequent = np.bincount(keys.codes, minlength=len(keys.hashtags)) >= minimum
    kept = np.zeros(len(keys), dtype=np.bool_)
    kept[keys.rows[is_frequent[keys.codes]]] = True
    return kept


def check_ratios(ratios: Sequence[float]) -> None:
    """Check the shares of train, validation and test.

    Raises:
        DataError: If they aren't three shares with sum 1.
    """
    # Comparisons written so that NaN fails them.
    if (
        len(ratios) != len(SPLIT_NAMES)
        or not all(ratio >= 0 for ratio in ratios)
        or not abs(sum(ratios) - 1) < 1e-6
    ):
        raise DataError(f"ratios must be {len(SPLIT_NAMES)} shares with sum 1, got {tuple(ratios)}")


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1
