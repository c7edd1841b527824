"""Guidance of training posts as a file, so that several generators learn from the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ggm.corpus.jsonlines import read_rows, write_json_lines
from ggm.errors import DataError
from ggm.records import Guidance, Hit, Post

KEPT: Final = 100
"""How many hashtags of a post's guidance are kept: the most that the paper tries (table 3)."""


def write_guidance_file(path: Path, posts: Iterable[Post], guidance: Iterable[Guidance]) -> None:
    """Write the guidance of each post, a line each.

    Raises:
        DataError: If the file can't be written.
    """
    write_json_lines(
        (
            {"id": post.id, "guidance": [[hit.text, hit.similarity] for hit in found.hits]}
            for post, found in zip(posts, guidance, strict=True)
        ),
        path,
    )


def read_guidance(path: Path, posts: Sequence[Post], *, top_k: int) -> list[Guidance]:
    """The first hashtags of each post's guidance, in the posts' order.

    Args:
        path: What `write_guidance_file` wrote.
        posts: All of them must be there.
        top_k: How many of a post, 1 to `KEPT`.

    Raises:
        DataError: If the file is missing or damaged, lacks a post, or keeps fewer hashtags than that.
    """
    if top_k > KEPT:
        raise DataError(f"{path}: {KEPT} hashtags of each post are kept, {top_k} are wanted")
    found: dict[str, Guidance] = {}
    for row in read_rows(path):
        try:
            values: Any = row.value
            hits = tuple(Hit(str(text), float(value)) for text, value in values["guidance"][:top_k])
            found[values["id"]] = Guidance(hits)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {row.number}: not the guidance of a post") from error
    if missing := [post.id for post in posts if post.id not in found]:
        raise DataError(f"{path}: no guidance for post {missing[0]!r} and {len(missing) - 1:,} others")
    return [found[post.id] for post in posts]
