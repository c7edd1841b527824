"""A row of a manifest becomes a post, or says why it can't; the same for every format."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ggm.errors import DataError, HashtagError
from ggm.hashtags import MAX_LENGTH, key, normalise
from ggm.records import Post

FIELDS = ("id", "video", "description", "hashtags", "author", "created_at", "split")

_KNOWN = frozenset(FIELDS)
_OPTIONAL = ("author", "created_at", "split")


class Problem(StrEnum):
    """Why a row can't be used, as it is counted."""

    NOT_JSON = "not JSON"
    BAD_FIELD = "wrong or missing field"
    BAD_HASHTAG = "not a hashtag"
    NO_HASHTAG = "no hashtag"
    DUPLICATED_ID = "duplicated id"
    NO_VIDEO = "no video"
    UNREADABLE_VIDEO = "unreadable video"


@dataclass(frozen=True)
class BadRow:
    """A row of a manifest that can't be used.

    Args:
        number: Counted from 1; in JSON Lines, of the line.
        reason: What is wrong with it.
        text: The row itself, as JSON where it is one.
        problem: The kind of reason.
        id: Of its post, where that much is known.
    """

    number: int
    reason: str
    text: str
    problem: Problem
    id: str | None = None


class RowError(DataError):
    """What is wrong with one row; readers turn it into a `BadRow`, or raise it with the row's place.

    Args:
        problem: The kind of reason.
        reason: The reason in full.
    """

    def __init__(self, problem: Problem, reason: str) -> None:
        super().__init__(reason)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Clip:
    """A post without its hashtags: a video that has none yet, or whose own don't matter.

    Args:
        id: Unique within its manifest.
        video: Path of the video file.
        description: What the creator wrote; may be empty.
    """

    id: str
    video: Path
    description: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a manifest reading can go on.

    Args:
        row: How many rows come before it; in JSON Lines, lines.
        offset: How many bytes do, where the format is read by them.
    """

    row: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as a format's reader gives it.

    Args:
        number: Counted from 1.
        value: A JSON value; an object if it is any good.
        source: Its text in the file, if it has one.
        error: Why there is no value.
    """

    number: int
    value: object = None
    source: str | None = None
    error: RowError | None = None

    def clip(self, folder: Path) -> Clip:
        """The video it names, whether or not its hashtags are any good; see `parse_clip`.

        Raises:
            RowError: If it names none.
        """
        if self.error is not None:
            raise self.error
        return parse_clip(self.value, folder)

    @property
    def text(self) -> str:
        """The row as text."""
        if self.source is not None:
            return self.source
        return json.dumps(self.value, ensure_ascii=False, default=repr)

    def post(self, folder: Path) -> Post:
        """The post it holds; see `parse_row`.

        Raises:
            RowError: If it holds none.
        """
        if self.error is not None:
            raise self.error
        return parse_row(self.value, folder)

    def bad(self, error: RowError) -> BadRow:
        """The same row, set aside."""
        return BadRow(self.number, str(error), self.text, error.problem, row_id(self.value))


def parse_row(row: object, folder: Path) -> Post:
    """The post of a row.

    Args:
        row: A JSON value; an object is expected.
        folder: From where relative video paths lead.

    Returns:
        The post; its hashtags are canonical and without duplicates.

    Raises:
        RowError: If a field is unknown, missing or of the wrong kind, or there is no hashtag.
    """
    clip = parse_clip(row, folder)
    assert isinstance(row, dict)  # parse_clip saw to it
    author, split = (sys.intern(_string(row, name)) or None for name in ("author", "split"))  # they recur
    created_at = _string(row, "created_at") or None
    return Post(clip.id, clip.video, clip.description, _hashtags(row), author, created_at, split)


def parse_clip(row: object, folder: Path) -> Clip:
    """What a row says of its video; its hashtags are not looked at.

    Args:
        row: A JSON value; an object is expected.
        folder: From where relative video paths lead.

    Raises:
        RowError: If a field is unknown, or id, video or description is missing or of the wrong kind.
    """
    if not isinstance(row, dict):
        raise RowError(Problem.NOT_JSON, f"an object is expected, got {type(row).__name__}")
    if not _KNOWN.issuperset(row):
        unknown = min(set(row) - _KNOWN)
        raise RowError(
            Problem.BAD_FIELD, f"unknown field {unknown!r}; fields are {', '.join(sorted(_KNOWN))}"
        )
    # The strings of a row that stands for another dataset's export may hold numbers; ids often do.
    id_ = _string(row, "id", required=True)
    video = _string(row, "video", required=True)
    return Clip(id_, folder / video, _string(row, "description"))


def row_id(row: object) -> str | None:
    """The id of a row that may be bad."""
    value = row.get("id") if isinstance(row, dict) else None
    return value if isinstance(value, str) and value and _is_text(value) else None


def to_rows(posts: Iterable[Post], folder: Path, *, root: Path | None = None) -> Iterator[dict[str, Any]]:
    """The rows of posts.

    Args:
        posts: Any.
        folder: Of the manifest. Videos inside it are written relative to it, others absolute.
        root: Videos whose path begins with this folder are written relative to `folder` as well, so
            that the two can be moved together.

    Yields:
        JSON objects; optional fields that are empty are left out.

    Raises:
        DataError: If a post holds what no text can, such as the path of a file name of unknown encoding.
    """
    place = lru_cache(maxsize=1 << 12)(partial(_relative_folder, folder=folder, root=root))
    for post in posts:
        row: dict[str, Any] = {
            "id": post.id,
            "video": place(post.video.parent) + post.video.name,
            "description": post.description,
            "hashtags": list(post.hashtags),
        }
        for name in _OPTIONAL:
            value = getattr(post, name)
            if value is not None:
                row[name] = value
        for name, value in row.items():
            if not all(map(_is_text, value if name == "hashtags" else (value,))):
                raise DataError(f"post {post.id!r}: {name} holds a character that no text has")
        yield row


def _relative_folder(parent: Path, *, folder: Path, root: Path | None) -> str:
    """Where the videos of one folder lie, seen from the manifest's; ends with a slash or is empty."""
    there, here = parent.absolute(), folder.absolute()
    if there.is_relative_to(here):
        inside = there.relative_to(here).as_posix()
        return "" if inside == "." else f"{inside}/"
    if root is not None and there.is_relative_to(root.absolute()):
        real = root.resolve()
        for part in there.relative_to(root.absolute()).parts:
            # ".." leads out of what a link points to; other links stay as they are.
            real = real.resolve().parent if part == ".." else real / part
        return Path(os.path.relpath(real, folder.resolve())).as_posix() + "/"
    return f"{there.as_posix().rstrip('/')}/"


def _string(row: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = row.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise RowError(Problem.BAD_FIELD, f"{name} must be a string, got {type(value).__name__}")
    if required and not value:
        raise RowError(Problem.BAD_FIELD, f"{name} is missing")
    if not _is_text(value):
        raise RowError(Problem.BAD_FIELD, f"{name} holds a character that no text has")
    return value


def _is_text(value: str) -> bool:
    if "\0" in value:
        return False
    try:
        return value.isascii() or bool(value.encode("utf-8"))
    except UnicodeEncodeError:  # a surrogate
        return False


def _hashtags(row: Mapping[str, Any]) -> tuple[str, ...]:
    value = row.get("hashtags", ())
    if value is None or value == ():
        raise RowError(Problem.NO_HASHTAG, "no hashtag")
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise RowError(Problem.BAD_FIELD, "hashtags must be a list of strings")
    hashtags: dict[str, str] = {}
    for text in value:
        try:
            # A hashtag is used again and again; a long text is none, and would fill the cache.
            own_key, canonical = _canonical(text) if len(text) <= MAX_LENGTH else (key(text), normalise(text))
        except HashtagError as error:
            raise RowError(Problem.BAD_HASHTAG, str(error)) from error
        hashtags.setdefault(own_key, canonical)
    if not hashtags:
        raise RowError(Problem.NO_HASHTAG, "no hashtag")
    return tuple(hashtags.values())


@lru_cache(maxsize=1 << 17)
def _canonical(text: str) -> tuple[str, str]:
    return key(text), normalise(text)
