"""Who used which hashtag when, read from a stream of posts."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from ggm.corpus.jsonlines import rows_of
from ggm.corpus.keys import UNDATED, instant_of
from ggm.corpus.rows import BadRow, Problem, RawRow, RowError
from ggm.errors import HashtagError
from ggm.hashtags import key, normalise
from ggm.pool.changes import Observed
from ggm.pool.changing import ChangingPool
from ggm.pool.uses import DAY_SECONDS, HalfLives, joined, used_once

_MOST_AHEAD_SECONDS: Final = DAY_SECONDS  # clocks and zones err by that much
_SOURCE_DIGITS: Final = 16
_POSTS_AT_ONCE: Final = 1000
_PATIENCE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class PostUses:
    """The hashtags of one post.

    Args:
        hashtags: Canonical, by key, at least one.
        at: When it was posted, in seconds since 1970.
        source: Stands for its author or, where that isn't known, for the post: a digest.
    """

    hashtags: dict[str, str]
    at: float
    source: str


@dataclass(frozen=True)
class Learned:
    """What a pool learned from posts.

    Args:
        posts: How many were read.
        uses: Of hashtags in them.
        added: Hashtags that came into the pool.
    """

    posts: int
    uses: int
    added: tuple[str, ...]


def learn(
    pool: ChangingPool,
    posts: Iterable[PostUses],
    *,
    min_sources: int = 3,
    timer: Callable[[], float] = time.monotonic,
) -> Learned:
    """Count the uses of hashtags in posts, and put in what is new and used by enough people.

    A thousand posts are recorded together; where posts come slowly, each at once. Each post has to
    be given once: it isn't known whether it was counted before.

    Args:
        pool: Open for writing.
        posts: In any order; may go on for ever.
        min_sources: See `ChangingPool.observe`.
        timer: Seconds since whenever.

    Raises:
        PoolError: As for `ChangingPool.observe`.
        ValueError: If ``min_sources`` is below 1.
    """
    count, uses = 0, 0
    added: list[str] = []
    waiting: list[PostUses] = []
    recorded = timer()
    for post in posts:
        waiting.append(post)
        count, uses = count + 1, uses + len(post.hashtags)
        if len(waiting) == _POSTS_AT_ONCE or timer() - recorded >= _PATIENCE_SECONDS:
            added += pool.observe(gather(waiting, pool.settings.half_lives), min_sources=min_sources)
            waiting.clear()
            recorded = timer()
    added += pool.observe(gather(waiting, pool.settings.half_lives), min_sources=min_sources)
    return Learned(count, uses, tuple(added))


def read_post_uses(
    file: BinaryIO,
    name: Path | str,
    *,
    now: Callable[[], float],
    on_bad_row: Callable[[BadRow], None],
) -> Iterator[PostUses]:
    """Read posts from JSON Lines, one after another.

    A row needs ``hashtags``, a list of strings of which those that are no hashtag are passed over,
    and ``created_at``, ISO 8601, taken as UTC where no zone is named. ``author``, else ``id``, tells
    whether two posts are of different people; other fields may be there.

    Args:
        file: Open, such as standard input.
        name: What to call it in errors.
        now: Seconds since 1970; a post of more than a day later is a bad row.
        on_bad_row: Is told of each row that can't be used; reading goes on.

    Raises:
        DataError: If it is something else than JSON Lines.
    """
    for row in rows_of(file, name):
        try:
            yield _post_uses(row, now())
        except RowError as error:
            on_bad_row(row.bad(error))


def gather(posts: Iterable[PostUses], half_lives: HalfLives) -> dict[str, Observed]:
    """The uses of each hashtag in some posts, by key."""
    found: dict[str, Observed] = {}
    sources: dict[str, dict[str, None]] = {}
    for post in posts:
        once = used_once(post.at)
        for name, text in post.hashtags.items():
            own = found.get(name)
            uses = once if own is None else joined(own.uses, once, half_lives)
            found[name] = Observed(text if own is None else own.text, uses, ())
            sources.setdefault(name, {})[post.source] = None
    return {name: replace(item, sources=tuple(sources[name])) for name, item in found.items()}


def _post_uses(row: RawRow, now: float) -> PostUses:
    if row.error is not None:
        raise row.error
    values: Any = row.value
    if not isinstance(values, dict):
        raise RowError(Problem.NOT_JSON, f"an object is expected, got {type(values).__name__}")
    created_at = values.get("created_at")
    instant = instant_of(created_at) if isinstance(created_at, str) else UNDATED
    if instant == UNDATED:
        raise RowError(
            Problem.BAD_FIELD, f"created_at must be a date and time in ISO 8601, got {created_at!r}"
        )
    if instant / 1e6 > now + _MOST_AHEAD_SECONDS:
        raise RowError(Problem.BAD_FIELD, f"created_at is in the future: {created_at}")
    return PostUses(_hashtags(values.get("hashtags")), instant / 1e6, _source(row, values))


def _hashtags(texts: object) -> dict[str, str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RowError(Problem.BAD_FIELD, "hashtags must be a list of strings")
    found: dict[str, str] = {}
    for text in texts:
        try:
            found.setdefault(key(text), normalise(text))
        except HashtagError:
            continue
    if not found:
        raise RowError(Problem.NO_HASHTAG, "no hashtag")
    return found


def _source(row: RawRow, values: dict[str, Any]) -> str:
    author, own_id = (values.get(name) for name in ("author", "id"))
    if isinstance(author, str | int) and author != "":
        text = f"author {author}"
    elif isinstance(own_id, str | int) and own_id != "":
        text = f"post {own_id}"
    else:
        text = f"row {row.text}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_SOURCE_DIGITS]
