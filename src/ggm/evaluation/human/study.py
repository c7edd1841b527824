"""A study as raters get it: hashtags of videos, and nothing that tells where they came from.

study/
  study.json         how many ratings each item needs, and the fingerprint of the items
  items.jsonl        {"id", "hashtag", "description", "video"}, in order of id
  videos/            if they were copied; else the items name them where they are
  ratings/           one file a rater, see `ggm.evaluation.human.ratings`
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ggm.corpus.jsonlines import write_json, write_json_lines
from ggm.errors import DataError

STUDY_NAME: Final = "study.json"
ITEMS_NAME: Final = "items.jsonl"
_FORMAT_VERSION: Final = 1
_ITEM_FIELDS: Final = frozenset({"id", "hashtag", "description", "video"})


@dataclass(frozen=True)
class Item:
    """One hashtag of one video, to be rated.

    Args:
        id: Drawn from post and hashtag by a hash, so that it tells nothing.
        hashtag: Canonical and in lower case, since capitals could tell where it came from.
        description: What the creator wrote.
        video: Path of the video file.
    """

    id: str
    hashtag: str
    description: str
    video: Path


@dataclass(frozen=True, repr=False)
class Study:
    """A study that was read.

    Args:
        folder: Where it lies.
        items: In order of id.
        raters: How many people shall rate each item.
        fingerprint: Of the items.
    """

    folder: Path
    items: tuple[Item, ...]
    raters: int
    fingerprint: str

    @property
    def missing_videos(self) -> tuple[Path, ...]:
        """Videos that aren't where the items say."""
        videos = dict.fromkeys(item.video for item in self.items)
        return tuple(video for video in videos if not video.is_file())

    def order(self, rater: str) -> tuple[Item, ...]:
        """All items as one rater sees them: shuffled, and never the same for two raters.

        Both hashtags of a video stand far apart, one in each half, so that they aren't rated by
        comparing them.

        Args:
            rater: Name of the rater; the order only depends on it and the items.
        """
        shuffled = list(self.items)
        random.Random(f"{self.fingerprint}/{rater}").shuffle(shuffled)
        seen: set[Path] = set()
        halves: tuple[list[Item], list[Item]] = ([], [])
        for item in shuffled:
            halves[item.video in seen].append(item)
            seen.add(item.video)
        return (*halves[0], *halves[1])

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}, items={len(self.items)}, raters={self.raters})"


def write_study(folder: Path, items: Sequence[Item], *, raters: int) -> str:
    """Write a study's items into a folder that exists.

    Args:
        folder: Videos inside of it are named from there, others by their absolute path.
        items: With ids that differ.
        raters: How many people shall rate each item.

    Returns:
        The items' fingerprint.

    Raises:
        DataError: If a file can't be written.
    """
    ordered = sorted(items, key=lambda item: item.id)
    write_json_lines((_to_row(item, folder) for item in ordered), folder / ITEMS_NAME)
    fingerprint = _fingerprint(folder / ITEMS_NAME)
    document = {
        "version": _FORMAT_VERSION,
        "raters": raters,
        "items": len(ordered),
        "fingerprint": fingerprint,
    }
    write_json(document, folder / STUDY_NAME)
    return fingerprint


def open_study(folder: str | Path) -> Study:
    """Read a study's items.

    Args:
        folder: As `ggm human sheet` wrote it.

    Raises:
        DataError: If there is no study, a file is damaged, or the items changed since.
    """
    folder = Path(folder)
    if not (folder / STUDY_NAME).is_file():
        raise DataError(f"{folder}: no study ({STUDY_NAME} is missing); make one with `ggm human sheet`")
    document = read_json_object(folder / STUDY_NAME)
    if document.get("version") != _FORMAT_VERSION:
        raise DataError(
            f"{folder / STUDY_NAME}: format version {document.get('version')!r} can't be read, "
            f"only version {_FORMAT_VERSION}"
        )
    raters = document.get("raters")
    if not isinstance(raters, int) or isinstance(raters, bool) or raters < 1:
        raise DataError(f"{folder / STUDY_NAME}: raters must be a positive integer, got {raters!r}")
    path = folder / ITEMS_NAME
    fingerprint = _fingerprint(path)
    if document.get("fingerprint") != fingerprint:
        raise DataError(f"{path}: not the items that {STUDY_NAME} was written for; restore the file")
    items = tuple(_read_items(path))
    if not items or len({item.id for item in items}) < len(items):
        raise DataError(f"{path}: no item, or an id that comes twice; make the study again")
    return Study(folder, items, raters, fingerprint)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        DataError: If it can't be read or holds something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: an object is expected, got {type(document).__name__}")
    return document


def _read_items(path: Path) -> list[Item]:
    items: list[Item] = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        try:
            items.append(_from_row(json.loads(line), path.parent))
        except (ValueError, RecursionError, DataError) as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    return items


def _from_row(row: Any, folder: Path) -> Item:
    if not isinstance(row, Mapping) or set(row) != _ITEM_FIELDS:
        raise DataError(f"an object with {', '.join(sorted(_ITEM_FIELDS))} is expected")
    if not all(isinstance(value, str) for value in row.values()) or not row["id"] or not row["video"]:
        raise DataError("all fields must be texts, id and video not empty")
    return Item(row["id"], row["hashtag"], row["description"], folder / row["video"])


def _to_row(item: Item, folder: Path) -> dict[str, str]:
    video, base = item.video.absolute(), folder.absolute()
    name = video.relative_to(base).as_posix() if video.is_relative_to(base) else str(video)
    return {"id": item.id, "hashtag": item.hashtag, "description": item.description, "video": name}


def _fingerprint(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
