"""What filters and splits need to know of posts, as numbers: 300,000 posts take some tens of megabytes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post

Integers = npt.NDArray[np.int64]

UNDATED = np.iinfo(np.int64).min
"""The instant of a post that doesn't say when it was made."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class PostKeys:
    """Light keys of posts; rows are counted from 0 in the order in which they came.

    Args:
        ids: By row.
        instants: Microseconds since 1970 by row, or `UNDATED`.
        hashtags: Key of each hashtag, by its code.
        codes: Codes of the hashtags of all posts, one post after another.
        hashtags_per_post: How many of the codes belong to each row.
        split_names: Names of the splits that posts already have.
        splits: Index into `split_names` by row; -1 without one.
    """

    ids: Sequence[str]
    instants: Integers
    hashtags: Sequence[str]
    codes: Integers
    hashtags_per_post: Integers
    split_names: Sequence[str]
    splits: Integers

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def rows(self) -> Integers:
        """The row to which each of the codes belongs."""
        return np.repeat(np.arange(len(self)), self.hashtags_per_post)

    @cached_property
    def order(self) -> Integers:
        """Rows in order of id, so that what is drawn doesn't depend on the order of the posts.

        Raises:
            DataError: If two posts have one id.
        """
        ordered = sorted(range(len(self)), key=self.ids.__getitem__)
        for before, after in pairwise(ordered):
            if self.ids[before] == self.ids[after]:
                raise DataError(f"two posts have the id {self.ids[after]!r}; ids must differ")
        return np.array(ordered, dtype=np.int64)


def gather_keys(posts: Iterable[Post]) -> PostKeys:
    """Reads posts once and keeps their keys.

    Args:
        posts: Any number.

    Returns:
        Their keys, in order.
    """
    ids: list[str] = []
    instants, codes, counts, splits = array("q"), array("q"), array("q"), array("q")
    code_of_key: dict[str, int] = {}
    code_of_form: dict[str, int] = {}  # keys take time, forms recur
    split_codes: dict[str, int] = {}
    for post in posts:
        ids.append(post.id)
        instants.append(instant_of(post.created_at))
        for form in post.hashtags:
            if form not in code_of_form:
                code_of_form[form] = code_of_key.setdefault(key(form), len(code_of_key))
        own = dict.fromkeys(code_of_form[form] for form in post.hashtags)
        codes.extend(own)
        counts.append(len(own))
        splits.append(-1 if post.split is None else split_codes.setdefault(post.split, len(split_codes)))
    return PostKeys(
        ids=ids,
        instants=_integers(instants),
        hashtags=list(code_of_key),
        codes=_integers(codes),
        hashtags_per_post=_integers(counts),
        split_names=list(split_codes),
        splits=_integers(splits),
    )


def instant_of(created_at: str | None) -> int:
    """Microseconds since 1970; `UNDATED` if the text is no date and time in ISO 8601.

    Without a zone it is taken as UTC.
    """
    try:
        instant = datetime.fromisoformat(created_at or "")
    except ValueError:
        return UNDATED
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


class Links:
    """Groups of posts that share a key, directly or through others (union-find by row).

    Args:
        keys_of: The keys of a post; one without any stands alone.
    """

    def __init__(self, keys_of: Callable[[Post], Iterable[Hashable]]) -> None:
        self._keys_of = keys_of
        self._parents = array("q")
        self._first_with: dict[Hashable, int] = {}

    def watch(self, posts: Iterable[Post]) -> Iterator[Post]:
        """Hands posts on, and links each to those before it."""
        for post in posts:
            row = len(self._parents)
            self._parents.append(row)
            for own_key in self._keys_of(post):
                one, other = self._root(row), self._root(self._first_with.setdefault(own_key, row))
                self._parents[max(one, other)] = min(one, other)
            yield post

    def groups(self) -> Integers:
        """The group of each row that went by, named by its first row."""
        return np.array([self._root(row) for row in range(len(self._parents))], dtype=np.int64)

    def _root(self, row: int) -> int:
        while self._parents[row] != row:
            self._parents[row] = self._parents[self._parents[row]]
            row = self._parents[row]
        return row


def _integers(values: array[int]) -> Integers:
    return np.frombuffer(values, dtype=np.int64) if values else np.zeros(0, dtype=np.int64)
