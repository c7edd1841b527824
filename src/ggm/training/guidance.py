"""Guidance of training posts as a file, so that several generators learn from the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ggm.corpus.jsonlines import read_rows, write_json_lines
from ggm.errors import DataError
from ggm.records import Guidance, Hit, Post

KEPT: Final = 100
"""How many hashtags of a post's guidance are kept: the most that the paper tries (table 3)."""


@dataclass(frozen=True)
class PostGuidance:
    """Guidance of a training post.

    Args:
        described: What is found with its description.
        silent: What is found without: the same where guidance is looked for with the video alone.
    """

    described: Guidance
    silent: Guidance

    @classmethod
    def of_video(cls, guidance: Guidance) -> PostGuidance:
        """Guidance that no description had a part in."""
        return cls(guidance, guidance)


def write_guidance_file(path: Path, posts: Iterable[Post], guidance: Iterable[PostGuidance]) -> None:
    """Write the guidance of each post, a line each.

    Raises:
        DataError: If the file can't be written.
    """
    write_json_lines(
        (
            {"id": post.id, "guidance": _pairs(found.described)}
            | ({} if found.silent == found.described else {"silent": _pairs(found.silent)})
            for post, found in zip(posts, guidance, strict=True)
        ),
        path,
    )


def read_guidance(path: Path, posts: Sequence[Post], *, top_k: int) -> list[PostGuidance]:
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
    found: dict[str, PostGuidance] = {}
    for row in read_rows(path):
        try:
            values: Any = row.value
            described = _guidance(values["guidance"][:top_k])
            silent = _guidance(values["silent"][:top_k]) if "silent" in values else described
            found[values["id"]] = PostGuidance(described, silent)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {row.number}: not the guidance of a post") from error
    if missing := [post.id for post in posts if post.id not in found]:
        raise DataError(f"{path}: no guidance for post {missing[0]!r} and {len(missing) - 1:,} others")
    return [found[post.id] for post in posts]


def _pairs(guidance: Guidance) -> list[list[str | float]]:
    return [[hit.text, hit.similarity] for hit in guidance.hits]


def _guidance(pairs: Any) -> Guidance:
    return Guidance(tuple(Hit(str(text), float(value)) for text, value in pairs))
