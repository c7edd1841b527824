"""Splits and filter as one would write them first, over whole posts: the slow, obvious twins."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from ggm.hashtags import key
from ggm.records import Post

NAMES = ("train", "validation", "test")
Ids = dict[str, str]
"""The split of each post, by id."""


def by_group(
    posts: Iterable[Post], groups: Mapping[str, Hashable], ratios: Sequence[float], seed: int
) -> Ids:
    ordered = sorted(posts, key=lambda post: post.id)
    members: dict[Hashable, list[Post]] = {}
    for post in ordered:
        members.setdefault(groups[post.id], []).append(post)
    shuffled = list(members.values())
    random.Random(seed).shuffle(shuffled)
    missing = [ratio * len(ordered) if ratio else float("-inf") for ratio in ratios]
    splits: Ids = {}
    for group in shuffled:
        index = max(range(3), key=missing.__getitem__)
        missing[index] -= len(group)
        splits |= {post.id: NAMES[index] for post in group}
    return splits


def by_time(posts: Iterable[Post], ratios: Sequence[float]) -> Ids:
    def instant(post: Post) -> datetime:
        made = datetime.fromisoformat(post.created_at or "")
        return made if made.tzinfo else made.replace(tzinfo=UTC)

    ordered = sorted(posts, key=lambda post: (instant(post), post.id))
    ends = [round(sum(ratios[: index + 1]) * len(ordered)) for index in range(3)]
    splits: Ids = {}
    for place, post in enumerate(ordered):
        same = [other for other in ordered[:place] if instant(other) == instant(post)]
        splits[post.id] = splits[same[0].id] if same else NAMES[min(i for i in range(3) if place < ends[i])]
    return splits


def unseen(posts: Sequence[Post], splits: Ids, *, count: int, seed: int, max_share: float) -> Ids | None:
    """None if so many hashtags can't be had."""
    training = [post for post in posts if splits[post.id] == "train"]
    tags = {post.id: {key(text) for text in post.hashtags} for post in posts}
    candidates = sorted({tag for post in training for tag in tags[post.id]})
    random.Random(seed).shuffle(candidates)
    chosen: set[str] = set()
    for tag in candidates:
        moved = [post for post in training if tags[post.id] & (chosen | {tag})]
        if len(chosen) < count and len(moved) <= max_share * len(training):
            chosen.add(tag)
    if len(chosen) < count:
        return None
    return {post.id: "unseen" if tags[post.id] & chosen else splits[post.id] for post in posts}


def frequent(posts: Sequence[Post], minimum: int) -> list[str]:
    counts = Counter(tag for post in posts for tag in {key(text) for text in post.hashtags})
    return [post.id for post in posts if max(counts[key(text)] for text in post.hashtags) >= minimum]
