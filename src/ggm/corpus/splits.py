"""Splits of a dataset: pure functions of posts and a seed.

Each takes posts in any order and gives the same split for the same posts and seed. The splits are
``train``, ``validation`` and ``test``; the posts they hold carry the name and stand in order of id.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    return _named(ordered, split_of)


def time_split(posts: Iterable[Post], *, ratios: Ratios = (0.8, 0.1, 0.1)) -> dict[str, tuple[Post, ...]]:
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
    _check_ratios(ratios)
    ordered = _by_id(posts)
    undated = [post.id for post in ordered if _instant(post) is None]
    if undated:
        raise DataError(
            f"{len(undated):,} posts have no created_at in ISO 8601, the first is {undated[0]!r}; "
            "split at random, or give them dates"
        )
    by_time = sorted(ordered, key=lambda post: (_instant(post), post.id))
    ends = [round(sum(ratios[: index + 1]) * len(by_time)) for index in range(len(SPLIT_NAMES))]
    split_of: dict[str, str] = {}
    before: tuple[datetime | None, str] = (None, "")
    for place, post in enumerate(by_time):
        instant = _instant(post)
        name = SPLIT_NAMES[next(index for index, end in enumerate(ends) if place < end)]
        before = before if before[0] == instant else (instant, name)
        split_of[post.id] = before[1]
    return _named(ordered, split_of)


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
        DataError: If so many hashtags can't be had within the limit, or an argument is out of range.
    """
    if count < 1 or not 0 <= max_share <= 1:
        raise DataError(f"count must be at least 1 and max_share a share, got {count} and {max_share}")
    posts_of: dict[str, list[int]] = {}
    training = sorted(splits.get("train", ()), key=lambda post: post.id)
    for row, post in enumerate(training):
        for hashtag in sorted({key(text) for text in post.hashtags}):
            posts_of.setdefault(hashtag, []).append(row)
    candidates = sorted(posts_of)
    random.Random(seed).shuffle(candidates)
    room = max_share * len(training)
    chosen: set[str] = set()
    moved: set[int] = set()
    for hashtag in candidates:
        together = moved.union(posts_of[hashtag])
        if len(together) <= room:
            moved = together
            chosen.add(hashtag)
        if len(chosen) == count:
            break
    if len(chosen) < count:
        raise DataError(
            f"only {len(chosen):,} of {count:,} unseen hashtags can be taken from {len(training):,} training "
            f"posts without moving more than {max_share:.0%} of them; ask for fewer, or allow more"
        )
    parts: dict[str, list[Post]] = {name: [] for name in (*splits, "unseen")}
    for name, posts in splits.items():
        for post in posts:
            unseen = not chosen.isdisjoint(key(text) for text in post.hashtags)
            parts["unseen" if unseen else name].append(replace(post, split="unseen") if unseen else post)
    return UnseenSplit({name: tuple(part) for name, part in parts.items()}, tuple(sorted(chosen)))


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


def _named(posts: Sequence[Post], split_of: Mapping[str, str]) -> dict[str, tuple[Post, ...]]:
    return {
        name: tuple(replace(post, split=name) for post in posts if split_of[post.id] == name)
        for name in SPLIT_NAMES
    }


def _instant(post: Post) -> datetime | None:
    """When a post was made; None if it doesn't say so in ISO 8601."""
    try:
        instant = datetime.fromisoformat(post.created_at or "")
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _by_id(posts: Iterable[Post]) -> list[Post]:
    ordered = sorted(posts, key=lambda post: post.id)
    for before, after in pairwise(ordered):
        if before.id == after.id:
            raise DataError(f"two posts have the id {after.id!r}; ids must differ")
    return ordered
