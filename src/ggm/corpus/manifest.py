"""Manifests: JSON Lines, one post a line. A dataset is a folder with a manifest and its videos.

folder/
  manifest.jsonl     {"id", "video", "description", "hashtags", "author"?, "created_at"?, "split"?}
  dataset.json       how it was made, if known
  videos/            or wherever the manifest's paths lead, from the folder
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ggm.errors import DataError, HashtagError
from ggm.hashtags import key, normalise
from ggm.records import Post

MANIFEST_NAME = "manifest.jsonl"
METADATA_NAME = "dataset.json"

_FIELDS = frozenset({"id", "video", "description", "hashtags", "author", "created_at", "split"})


@dataclass(frozen=True)
class BadRow:
    """A row of a manifest that can't be used.

    Args:
        number: Counted from 1.
        reason: What is wrong with it.
        text: The row itself.
    """

    number: int
    reason: str
    text: str


@dataclass(frozen=True, repr=False)
class Dataset:
    """A dataset that was read.

    Args:
        folder: Where it lies.
        posts: All of them, in the manifest's order.
        metadata: What ``dataset.json`` says; empty without it.
        rows: Of each post the row of the manifest, from 1; empty where that isn't known.
    """

    folder: Path
    posts: tuple[Post, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[int, ...] = ()

    @property
    def splits(self) -> dict[str, tuple[Post, ...]]:
        """Posts by the name of their split, in the manifest's order; those without one left out."""
        names = dict.fromkeys(post.split for post in self.posts if post.split is not None)
        return {name: tuple(post for post in self.posts if post.split == name) for name in names}

    def split(self, name: str) -> tuple[Post, ...]:
        """The posts of one split.

        Raises:
            DataError: If no post belongs to it.
        """
        splits = self.splits
        if name not in splits:
            raise DataError(f"{self.folder}: no split {name!r}; there is {', '.join(splits) or 'none'}")
        return splits[name]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(posts)}" for name, posts in self.splits.items())
        return f"Dataset({str(self.folder)!r}, posts={len(self.posts)}{', ' + sizes if sizes else ''})"


def read_manifest(
    path: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Iterator[Post]:
    """Reads posts one after another; memory holds only their ids.

    Hashtags come out canonical and without duplicates. Empty lines are passed over.

    Args:
        path: The manifest. Relative video paths are taken from its folder.
        check_videos: Whether a video that isn't there makes a row bad.
        on_bad_row: Is told of each bad row, and reading goes on; without it the first one raises.

    Yields:
        Posts in order.

    Raises:
        DataError: If the manifest can't be read, or a row is bad and `on_bad_row` is None.
    """
    for _, post in numbered_posts(path, check_videos=check_videos, on_bad_row=on_bad_row):
        yield post


def numbered_posts(
    path: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Iterator[tuple[int, Post]]:
    """Does what `read_manifest` does, and says for each post in which row, from 1, it stands.

    Raises:
        DataError: As for `read_manifest`.
    """
    path = Path(path)
    seen: set[str] = set()
    for number, text in _lines(path):
        try:
            post = _parse_row(text, path.parent)
            if post.id in seen:
                raise DataError(f"the id {post.id!r} occurs twice")
            if check_videos and not post.video.is_file():
                raise DataError(f"no video {post.video}")
        except DataError as error:
            if on_bad_row is None:
                raise DataError(f"{path}, row {number}: {error}") from error
            on_bad_row(BadRow(number, str(error), text))
            continue
        seen.add(post.id)
        yield number, post


def write_manifest(posts: Iterable[Post], path: Path | str) -> int:
    """Writes a manifest, whole or not at all.

    Args:
        posts: Videos inside the manifest's folder are written relative to it, others absolute.
        path: Replaced if it exists.

    Returns:
        Number of posts written.
    """
    path = Path(path)
    rows = (_to_row(post, path.parent) for post in posts)
    return write_json_lines(rows, path)


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Writes one JSON object a line, whole or not at all; returns how many."""
    count = 0
    with _replacing(path) as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Writes one JSON object for people to read, whole or not at all."""
    with _replacing(path) as out:
        out.write(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n")


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A text file that takes its place when the block ends well, else leaves what was there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as out:
            yield out
        # mkstemp's files are private; a manifest is as readable as its neighbours.
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_dataset(
    folder: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Dataset:
    """Reads a dataset folder.

    Args:
        folder: With ``manifest.jsonl`` and perhaps ``dataset.json``.
        check_videos: As for `read_manifest`.
        on_bad_row: As for `read_manifest`.

    Returns:
        The dataset.

    Raises:
        DataError: If the manifest or the metadata can't be read, a row is bad, or there is no post.
    """
    folder = Path(folder)
    manifest = folder / MANIFEST_NAME
    numbered = list(numbered_posts(manifest, check_videos=check_videos, on_bad_row=on_bad_row))
    if not numbered:
        raise DataError(f"{manifest}: no usable post")
    return Dataset(
        folder=folder,
        posts=tuple(post for _, post in numbered),
        metadata=_read_metadata(folder / METADATA_NAME),
        rows=tuple(number for number, _ in numbered),
    )


def _read_metadata(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{path}: an object is expected, got {type(metadata).__name__}")
    return metadata


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark first. Undecodable bytes spoil their row only.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _parse_row(text: str, folder: Path) -> Post:
    try:
        text.encode("utf-8")
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON in UTF-8: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"an object is expected, got {type(row).__name__}")
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise DataError(f"unknown field {unknown[0]!r}; fields are {', '.join(sorted(_FIELDS))}")
    # The strings of a row that stands for another dataset's export may hold numbers; ids often do.
    video = _string(row, "video", required=True)
    return Post(
        id=_string(row, "id", required=True),
        video=folder / video,
        description=_string(row, "description"),
        hashtags=_hashtags(row),
        author=_string(row, "author") or None,
        created_at=_string(row, "created_at") or None,
        split=_string(row, "split") or None,
    )


def _string(row: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = row.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise DataError(f"{name} must be a string, got {type(value).__name__}")
    if required and not value:
        raise DataError(f"{name} is missing")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise DataError(f"{name} holds a character that no text has")
    return value


def _hashtags(row: Mapping[str, Any]) -> tuple[str, ...]:
    value = row.get("hashtags")
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError("hashtags must be a list of strings")
    hashtags: dict[str, str] = {}
    for text in value:
        try:
            hashtags.setdefault(key(text), normalise(text))
        except HashtagError as error:
            raise DataError(str(error)) from error
    if not hashtags:
        raise DataError("no hashtag")
    return tuple(hashtags.values())


def _to_row(post: Post, folder: Path) -> dict[str, Any]:
    video, base = post.video.absolute(), folder.absolute()
    row: dict[str, Any] = {
        "id": post.id,
        "video": video.relative_to(base).as_posix() if video.is_relative_to(base) else str(video),
        "description": post.description,
        "hashtags": list(post.hashtags),
    }
    for name in ("author", "created_at", "split"):
        value = getattr(post, name)
        if value is not None:
            row[name] = value
    return row
