"""What one rater said: a file of JSON Lines that only grows, each line on the disk before it counts.

    {"item": "5f1d…", "understandability": 4, "relevancy": 2, "at": "2026-03-01T10:00:00Z"}
    {"item": "90ab…", "skipped": true, "at": "2026-03-01T10:00:09Z"}

The last line of an item counts. A line that a crash cut short was never acknowledged, and is dropped.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ggm.errors import DataError
from ggm.evaluation.human.study import Study

SCALES: Final = ("understandability", "relevancy")
LOWEST: Final = 1
HIGHEST: Final = 5
FOLDER_NAME: Final = "ratings"
_NAME: Final = re.compile(r"\w[\w-]{0,39}")


@dataclass(frozen=True)
class Rating:
    """What a rater said of one item.

    Args:
        item: Its id.
        understandability: 1 to 5; None where it was skipped.
        relevancy: 1 to 5; None where it was skipped.

    Raises:
        DataError: If one of the two is out of range, or only one is given.
    """

    item: str
    understandability: int | None
    relevancy: int | None

    def __post_init__(self) -> None:
        values = (self.understandability, self.relevancy)
        if values == (None, None):
            return
        if not all(type(value) is int and LOWEST <= value <= HIGHEST for value in values):
            raise DataError(
                f"understandability and relevancy must be whole numbers from {LOWEST} to {HIGHEST}, "
                f"got {values[0]!r} and {values[1]!r}"
            )

    @property
    def skipped(self) -> bool:
        """Whether the rater couldn't judge the item."""
        return self.understandability is None

    def value(self, scale: str) -> int:
        """The number on one of `SCALES`.

        Raises:
            ValueError: If the item was skipped, or there is no such scale.
        """
        value = {"understandability": self.understandability, "relevancy": self.relevancy}.get(scale)
        if value is None:
            raise ValueError(f"item {self.item} has no number for {scale!r}")
        return value

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file, without its time."""
        if self.skipped:
            return {"item": self.item, "skipped": True}
        return {
            "item": self.item,
            "understandability": self.understandability,
            "relevancy": self.relevancy,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rating:
        """The reverse of `to_dict`.

        Raises:
            DataError: If a field is missing, unknown or not what it should be.
        """
        fields = set(values) - {"at"}
        if not isinstance(values.get("item"), str):
            raise DataError("item must be the id of an item")
        if fields == {"item", "skipped"} and values["skipped"] is True:
            return cls(values["item"], None, None)
        if fields != {"item", *SCALES}:
            raise DataError(f"a rating has item, {' and '.join(SCALES)}, or item and skipped")
        rating = cls(values["item"], values[SCALES[0]], values[SCALES[1]])
        if rating.skipped:
            raise DataError("a rating without numbers is written as skipped")
        return rating


class RatingLog:
    """The ratings of one rater, kept on the disk.

    Args:
        study: What is rated.
        rater: Name of the rater: letters, digits, ``-`` and ``_``, at most 40.

    Raises:
        DataError: If the name can't be one, or the file of earlier ratings is damaged or can't be
            written.
    """

    def __init__(self, study: Study, rater: str) -> None:
        if not _NAME.fullmatch(rater):
            raise DataError(
                f"a rater's name must be 1 to 40 letters, digits, - and _, got {rater!r}; it names a file"
            )
        self.study = study
        self.rater = rater
        self.path = study.folder / FOLDER_NAME / f"{rater}.jsonl"
        self._items = {item.id for item in study.items}
        self._latest: dict[str, Rating] = {}
        try:
            self._open()
        except OSError as error:
            raise DataError(f"{self.path}: can't keep ratings: {error.strerror or error}") from error

    @property
    def latest(self) -> Mapping[str, Rating]:
        """What counts, by the item's id."""
        return dict(self._latest)

    def add(self, rating: Rating) -> None:
        """Keep a rating; when this returns, it is on the disk.

        Raises:
            DataError: If the study has no such item, or the file can't be written.
        """
        if rating.item not in self._items:
            raise DataError(f"the study has no item {rating.item!r}")
        time = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = json.dumps(rating.to_dict() | {"at": time}).encode() + b"\n"
        try:
            _append(self.path, line)
        except OSError as error:
            raise DataError(f"{self.path}: can't keep a rating: {error.strerror or error}") from error
        self._latest[rating.item] = rating

    def _open(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        if self.path.exists():
            self._latest = read_ratings(self.path, self.study)
            _mend(self.path)
        else:
            _append(self.path, b"")
            _sync_folder(self.path.parent)


def read_ratings(path: Path, study: Study) -> dict[str, Rating]:
    """Read what one rater said.

    Args:
        path: The rater's file.
        study: What was rated.

    Returns:
        The last rating of each item, by its id, in the order of the first ones.

    Raises:
        DataError: If the file can't be read, or a line isn't a rating of one of the study's items;
            the message has the number of the line. A last line without its end is passed over.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: can't read ratings: {error.strerror or error}") from error
    items = {item.id for item in study.items}
    ratings: dict[str, Rating] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rating = _parse(line)
            if rating.item not in items:
                raise DataError(f"the study has no item {rating.item!r}; these are ratings of another one")
        except DataError as error:
            if number == len(lines):
                continue
            raise DataError(f"{path}, line {number}: {error}") from error
        ratings[rating.item] = rating
    return ratings


def read_all_ratings(study: Study) -> dict[str, dict[str, Rating]]:
    """Read what all raters of a study said: by rater, then by item.

    Raises:
        DataError: As for `read_ratings`.
    """
    paths = sorted((study.folder / FOLDER_NAME).glob("*.jsonl"))
    return {path.stem: read_ratings(path, study) for path in paths}


def _parse(line: bytes) -> Rating:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON in UTF-8: {error}") from error
    if not isinstance(values, dict):
        raise DataError("not a JSON object")
    return Rating.from_dict(values)


def _mend(path: Path) -> None:
    """End the file with a whole line: what a crash cut short goes, a rating only lacks its end."""
    content = path.read_bytes()
    whole, newline, tail = content.rpartition(b"\n")
    if not tail:
        return
    try:
        _parse(tail)
    except DataError:
        os.truncate(path, len(whole) + len(newline))
    else:
        _append(path, b"\n")


def _append(path: Path, content: bytes) -> None:
    """Add to the end, all or nothing, and wait for the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, content) < len(content):
            os.ftruncate(descriptor, before)
            raise OSError("the disk is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last as well, where the system lets folders be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
