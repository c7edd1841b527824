"""What a creator used before, as further guidance; beyond the paper, whose authors leave it to the future.

A history is the hashtags of a creator's earlier posts. How **familiar** a hashtag is to its creator is the
logarithm of one plus how often they used it, where a use counts half for each `HALF_LIFE` posts that came
after it. Familiarity, times one weight, is added to a candidate's log-odds of being right. The creator's
most familiar hashtags are candidates too, measured against the video like all others, so that what doesn't
fit the video stays where it is.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from ggm.errors import HashtagError
from ggm.hashtags import key, normalise, parse_caption
from ggm.ranking import Ranked
from ggm.records import Hit, Post

HALF_LIFE: Final = 100
"""After so many further posts, a use counts half."""

MOST_POSTS: Final = 1_000
"""Earlier posts that are looked at: what is older counts less than a thousandth."""

CANDIDATES: Final = 30
"""How many of a history's most familiar hashtags join the ranking."""

WEIGHT: Final = 2.0
"""Log-odds for a familiarity of 1; see docs/preference.md."""

COSINE_WEIGHT: Final = 0.15
"""The same for the retriever alone, in units of cosine similarity."""

_MOST_LOG_ODDS: Final = 700  # exp overflows soon after
_BETWEEN: Final = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class History:
    """A creator's earlier posts.

    Args:
        posts: The canonical hashtags of each, oldest first; older ones than the last `MOST_POSTS` play no
            part. May be empty, which is as if there were no history.
    """

    posts: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> History:
        """From texts, one a post, oldest first.

        Args:
            texts: Hashtags with or without number signs, set apart by spaces or commas; or a caption, of
                which the hashtags with number signs count. Empty ones are no posts.

        Raises:
            HashtagError: If a text that isn't empty holds no hashtag.
        """
        posts = []
        for text in [texts] if isinstance(texts, str) else texts:
            if not text.strip():
                continue
            hashtags = _hashtags(text)
            if not hashtags:
                raise HashtagError(f"history: no hashtag in {text.strip()[:60]!r}")
            posts.append(hashtags)
        return cls(tuple(posts))

    def __bool__(self) -> bool:
        return bool(self.posts)

    @cached_property
    def familiarity(self) -> Mapping[str, float]:
        """By the keys of its hashtags how familiar each is, above 0; the most familiar first."""
        uses: dict[str, float] = {}
        for age, hashtags in enumerate(reversed(self.posts[-MOST_POSTS:])):
            for name in dict.fromkeys(map(key, hashtags)):
                uses[name] = uses.get(name, 0.0) + 0.5 ** (age / HALF_LIFE)
        return dict(sorted(((n, math.log1p(u)) for n, u in uses.items()), key=lambda pair: -pair[1]))

    @cached_property
    def hashtags(self) -> tuple[str, ...]:
        """As their creator writes each most often, the most familiar first."""
        forms: dict[str, Counter[str]] = {}
        for hashtags in self.posts[-MOST_POSTS:]:
            for text in hashtags:
                forms.setdefault(key(text), Counter())[text] += 1
        return tuple(forms[name].most_common(1)[0][0] for name in self.familiarity)


def preferred(ranked: Sequence[Ranked], history: History, *, weight: float = WEIGHT) -> list[Ranked]:
    """Candidates in the order of their log-odds with their creator's preference added.

    Args:
        ranked: Best first, with probabilities as scores, from 0 to 1.
        history: Of the creator. If it is empty, nothing changes.
        weight: Log-odds for a familiarity of 1, 0 or more.

    Returns:
        Best first; ties as before. Scores are the new probabilities.
    """
    if not history or not weight:
        return list(ranked)
    familiarity = history.familiarity
    found = []
    for item in ranked:
        raised = weight * familiarity.get(key(item.text), 0.0)
        found.append(Ranked(item.text, _raised(item.score, raised), item.damped) if raised else item)
    return sorted(found, key=lambda item: -item.score)


def preferred_hits(
    hits: Iterable[Hit], history: History, *, weight: float = COSINE_WEIGHT
) -> list[tuple[str, float]]:
    """Hashtags that the retriever measured, in the order of similarity with their creator's preference added.

    Args:
        hits: Measured against a video, each hashtag once.
        history: Of the creator; may be empty.
        weight: Cosine similarity for a familiarity of 1, 0 or more.

    Returns:
        Hashtags with the sums, best first; ties in the order of the hits.
    """
    familiarity = history.familiarity
    sums = [(hit.text, hit.similarity + weight * familiarity.get(key(hit.text), 0.0)) for hit in hits]
    return sorted(sums, key=lambda pair: -pair[1])


def earlier_posts(posts: Iterable[Post], of: Iterable[Post]) -> dict[str, History]:
    """What the authors of some posts had used before each.

    Only posts of the same author count that are strictly earlier, so never the post itself, another of the
    same second, or a later one. Posts without author or time have no history and are in none.

    Args:
        posts: All that there are, of any split.
        of: Whose histories are wanted.

    Returns:
        By the post's id; posts without earlier ones aren't in it.
    """
    wanted = {post.id for post in of if post.author is not None and _moment(post) is not None}
    by_author: dict[str, list[tuple[datetime, Post]]] = {}
    for post in posts:
        moment = _moment(post)
        if post.author is not None and moment is not None:
            by_author.setdefault(post.author, []).append((moment, post))
    histories: dict[str, History] = {}
    for own in by_author.values():
        own.sort(key=lambda pair: pair[0])
        before: deque[tuple[str, ...]] = deque(maxlen=MOST_POSTS)
        waiting: list[Post] = []  # of the moment that is looked at
        for place, (moment, post) in enumerate(own):
            if place and moment != own[place - 1][0]:
                before.extend(other.hashtags for other in waiting)
                waiting = []
            waiting.append(post)
            if before and post.id in wanted:
                histories[post.id] = History(tuple(before))
    return histories


def _moment(post: Post) -> datetime | None:
    """When it was posted; a time without zone is taken for UTC."""
    if post.created_at is None:
        return None
    try:
        moment = datetime.fromisoformat(post.created_at)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _raised(score: float, log_odds: float) -> float:
    """A probability whose log-odds are raised."""
    if not 0 < score < 1:
        return score
    raised = math.log(score) - math.log1p(-score) + log_odds
    return 1 / (1 + math.exp(-max(raised, -_MOST_LOG_ODDS)))


def _hashtags(text: str) -> tuple[str, ...]:
    if "#" in text or "＃" in text:
        return parse_caption(text).hashtags
    found: dict[str, str] = {}
    for word in _BETWEEN.split(text.strip()):
        try:
            hashtag = normalise(word)
        except HashtagError:
            continue
        found.setdefault(key(hashtag), hashtag)
    return tuple(found.values())
