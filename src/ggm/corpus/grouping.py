"""Which posts belong together, so that a split can keep them on one side."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ggm.corpus.jsonlines import read_rows
from ggm.errors import DataError
from ggm.records import Post

GroupKeys = Callable[[Post], Iterable[Hashable]]
"""The keys of a post; posts that share one belong together."""

MIN_WORDS_ALIKE: Final = 5
"""Descriptions of so many words that are the same but for case and punctuation are no coincidence."""

_NOT_LETTERS = re.compile(r"[\W_]+")


def author_keys(post: Post) -> tuple[Hashable, ...]:
    """The author; a post without one stands alone."""
    return () if post.author is None else (post.author,)


def video_keys(post: Post) -> tuple[Hashable, ...]:
    """The video file, by its path."""
    return (_digest(os.path.normpath(post.video)),)


def near_duplicate_keys(post: Post) -> tuple[Hashable, ...]:
    """The video file, and the words of the description if there are enough: reposts share one of them."""
    words = [word for word in _NOT_LETTERS.split(post.description.casefold()) if word]
    if len(words) < MIN_WORDS_ALIKE:
        return video_keys(post)
    return (*video_keys(post), _digest(" ".join(words)))


def read_groups(path: Path | str) -> GroupKeys:
    """Groups that a file names: JSON Lines with ``id`` and ``group`` in each row, and perhaps more.

    Args:
        path: Such as the ``sources.jsonl`` of the clip-art corpus.

    Returns:
        The group of a post by its id.

    Raises:
        DataError: If the file can't be read, or a row has no id or group. The function that is
            returned raises it for a post that the file doesn't name.
    """
    path = Path(path)
    groups: dict[str, int] = {}
    for row in read_rows(path):
        value = row.value if isinstance(row.value, dict) else {}
        id_, group = value.get("id"), value.get("group")
        if not isinstance(id_, str) or not isinstance(group, str | int):
            raise DataError(f'{path}, row {row.number}: an object with "id" and "group" is expected')
        groups[id_] = _digest(str(group))

    def keys(post: Post) -> tuple[Hashable, ...]:
        if post.id not in groups:
            raise DataError(f"{path}: no group for the post {post.id!r}; give one for each post")
        return (groups[post.id],)

    return keys


def _digest(text: str) -> int:
    """Sixty-four bits that stand for a text in memory; the same on every run."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
