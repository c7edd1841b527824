"""Table 1 and Figure 4 of the paper, for any dataset: read once, with memory for its hashtags alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from ggm.corpus.assignment import SPLIT_NAMES, UNSEEN
from ggm.corpus.examine import VideoFacts
from ggm.corpus.wording import description_words, occurs_in
from ggm.hashtags import key, split_words
from ggm.records import Post

_ORDER = (*SPLIT_NAMES, UNSEEN)

FREQUENT = 5
"""A hashtag that so many posts carry isn't rare (paper, section 4.1)."""


@dataclass(frozen=True)
class SplitStatistics:
    """One column of Table 1. Hashtags that differ in case alone are one.

    Args:
        posts: Number of posts.
        hashtags: Number of hashtags of all posts; one that ten posts carry counts ten times.
        unique_hashtags: Number of different ones.
        singletons: Number of those that one post alone carries.
        frequent_hashtags: Number of those that `FREQUENT` posts or more carry.
        hashtags_per_post: Mean number.
        words_per_hashtag: Mean number, over the hashtags of all posts.
        words_per_description: Mean number, as divided by white space.
        share_in_description: Share of the hashtags of all posts that occur in the description of
            their post, see `ggm.corpus.wording.occurs_in`.
        videos_measured: Number of posts whose video was examined and can be used.
        duration_seconds: Their mean length; None without any.
        share_silent: Share of them without sound; None without any.
    """

    posts: int
    hashtags: int
    unique_hashtags: int
    singletons: int
    frequent_hashtags: int
    hashtags_per_post: float
    words_per_hashtag: float
    words_per_description: float
    share_in_description: float
    videos_measured: int = 0
    duration_seconds: float | None = None
    share_silent: float | None = None


@dataclass(frozen=True)
class Statistics:
    """Of a dataset.

    Args:
        splits: By name, in the order in which they are used; posts without a split are those of
            the name "".
        total: Of all posts.
        words_per_hashtag: How many hashtags of all posts have so many words (Figure 4).
        posts_per_hashtag: How many different hashtags so many posts carry (the long tail).
    """

    splits: Mapping[str, SplitStatistics]
    total: SplitStatistics
    words_per_hashtag: Mapping[int, int]
    posts_per_hashtag: Mapping[int, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def gather_statistics(
    posts: Iterable[Post], facts_of: Callable[[Post], VideoFacts | None] | None = None
) -> Statistics:
    """Reads posts once and counts.

    Args:
        posts: Any number, also none.
        facts_of: What is known of a post's video; None where nothing is.

    Returns:
        The statistics.
    """
    tallies: dict[str, _Tally] = {}
    for post in posts:
        tally = tallies.setdefault(post.split or "", _Tally())
        tally.add(post, None if facts_of is None else facts_of(post))
    total = _Tally()
    for tally in tallies.values():
        total.merge(tally)
    return Statistics(
        splits={name: tallies[name].statistics() for name in sorted(tallies, key=_place)},
        total=total.statistics(),
        words_per_hashtag=dict(sorted(total.words.items())),
        posts_per_hashtag=dict(sorted(Counter(total.posts_of.values()).items())),
    )


@dataclass
class _Tally:
    """What is counted of the posts of one split."""

    posts: int = 0
    description_words: int = 0
    in_description: int = 0
    videos: int = 0
    silent: int = 0
    seconds: float = 0.0
    posts_of: Counter[str] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)

    def add(self, post: Post, facts: VideoFacts | None) -> None:
        self.posts += 1
        self.description_words += len(post.description.split())
        words = description_words(post.description)
        forms = {_key(form): form for form in reversed(post.hashtags)}
        for own_key, form in forms.items():
            self.posts_of[own_key] += 1
            self.words[len(split_words(form))] += 1
            self.in_description += occurs_in(form, words)
        if facts is not None and facts.duration_seconds is not None:
            self.videos += 1
            self.silent += not facts.has_sound
            self.seconds += facts.duration_seconds

    def merge(self, other: _Tally) -> None:
        for name in ("posts", "description_words", "in_description", "videos", "silent", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.posts_of.update(other.posts_of)
        self.words.update(other.words)

    def statistics(self) -> SplitStatistics:
        hashtags = self.posts_of.total()
        counts = self.posts_of.values()
        return SplitStatistics(
            posts=self.posts,
            hashtags=hashtags,
            unique_hashtags=len(self.posts_of),
            singletons=sum(count == 1 for count in counts),
            frequent_hashtags=sum(count >= FREQUENT for count in counts),
            hashtags_per_post=_mean(hashtags, self.posts),
            words_per_hashtag=_mean(sum(words * uses for words, uses in self.words.items()), hashtags),
            words_per_description=_mean(self.description_words, self.posts),
            share_in_description=_mean(self.in_description, hashtags),
            videos_measured=self.videos,
            duration_seconds=_mean(self.seconds, self.videos) if self.videos else None,
            share_silent=_mean(self.silent, self.videos) if self.videos else None,
        )


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _mean(total: float, count: int) -> float:
    return total / count if count else 0.0


@lru_cache(maxsize=1 << 17)
def _key(form: str) -> str:
    return key(form)
