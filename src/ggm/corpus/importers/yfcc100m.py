"""YFCC100M: the metadata of a hundred million Flickr posts, of which the videos count here."""

from __future__ import annotations

import hashlib
import html
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote, unquote_plus

from ggm.corpus.importers.cells import join_texts, read_text
from ggm.corpus.importers.drafts import Context, Draft, Found, Rejected, Row, Skipped, until_broken
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.text import is_decoded, open_text
from ggm.corpus.importers.yfcc100m_durations import read_durations
from ggm.errors import ConfigError, DataError

# The 22 columns from the author on are the same in all releases; what stands before them isn't.
_COLUMNS: Final = (
    "uid", "unickname", "datetaken", "dateuploaded", "capturedevice", "title", "description", "usertags",
    "machinetags", "longitude", "latitude", "accuracy", "pageurl", "downloadurl", "licensename",
    "licenseurl", "serverid", "farmid", "secret", "secretoriginal", "ext", "marker",
)  # fmt: skip
_WIDTHS: Final = range(1 + len(_COLUMNS), 4 + len(_COLUMNS))
_MARKUP: Final = re.compile(
    r"</?(?:a|b|i|u|s|em|strong|blockquote|br|p|img|ul|ol|li)\b[^<>]*>", re.IGNORECASE
)
_KEY: Final = re.compile(r"[0-9a-f]{16,32}")
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_PLACES: Final = ("data/videos/mp4", "videos/mp4", "mp4", "")

_PHOTO: Final = Skipped("a photo")
_LONG: Final = Skipped("longer than the limit")


@dataclass(frozen=True)
class Yfcc100m:
    """``yfcc100m_dataset``, plain or compressed; its ten parts in a folder; or the SQLite file.

    The user tags are the hashtags. The video is looked for where the Multimedia Commons keep it,
    ``data/videos/mp4/abc/def/abcdef….mp4``, and as ``KEY.mp4`` or ``PHOTO_ID.mp4``.

    Args:
        durations: ``video_length.txt``: a line "KEY.mp4 HH:MM:SS.ss" for each video.
        max_seconds: Videos that last longer are left out; needs `durations`.
    """

    name: ClassVar[str] = "yfcc100m"
    durations: Path | None = None
    max_seconds: float | None = None

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads videos, and counts photographs; see `Importer`.

        Raises:
            DataError: If the source or the durations can't be read.
            ConfigError: If there is a limit, but no durations.
        """
        if self.max_seconds is not None and self.durations is None:
            raise ConfigError("--max-seconds needs --durations, the file video_length.txt")
        seconds = None if self.durations is None else read_durations(self.durations)
        path = Path(source)
        files = sorted(path.glob("yfcc100m_dataset*")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path}: no yfcc100m_dataset file in this folder")
        done = 0
        total = sum(file.stat().st_size for file in files if file.is_file())
        for file in files:
            rows = _read_part(file, context, done, total)
            for found in until_broken(rows, str(file), alone=len(files) == 1):
                yield self._limit(found, seconds)
            done += file.stat().st_size

    def _limit(self, found: Found, seconds: dict[bytes, float] | None) -> Found:
        if seconds is None or not isinstance(found, Draft):
            return found
        known = (seconds[key] for name in found.names if (key := name.encode()) in seconds)
        length = next(known, None)
        if length is None:
            return Rejected(found.row, "no known duration", found.names[0])
        return _LONG if self.max_seconds is not None and length > self.max_seconds else found


def _read_part(path: Path, context: Context, done: int, total: int) -> Iterator[Found]:
    yield from _read_sqlite(path) if _is_sqlite(path) else _read_text(path, context, done, total)


def _read_text(path: Path, context: Context, done: int, total: int) -> Iterator[Found]:
    with open_text(path, report=lambda here: context.report(done + here, total)) as text:
        for number, line in enumerate(text.lines(), start=1):
            line = line.rstrip("\r\n")
            if line.endswith("\t0"):  # 99 of 100; nothing else is done for them
                yield _PHOTO
            elif line:
                cells = line.split("\t")
                row = Row(str(path), number, line)
                try:
                    if len(cells) not in _WIDTHS:
                        raise RowError("not 23 to 25 columns", f"{len(cells)}")
                    if not is_decoded(line):
                        raise RowError("bytes that can't be decoded")
                    yield _draft(row, cells)
                except RowError as error:
                    yield Rejected(row, error.reason, error.detail)


def _read_sqlite(path: Path) -> Iterator[Found]:
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    query = f"SELECT photoid, {', '.join(_COLUMNS)} FROM yfcc100m_dataset WHERE marker = 1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.text_factory = lambda value: value.decode("utf-8", "replace")
            for number, values in enumerate(database.execute(query), start=1):
                cells = ["" if value is None else str(value) for value in values]
                row = Row(str(path), number, cells)
                try:
                    yield _draft(row, cells)
                except RowError as error:
                    yield Rejected(row, error.reason, error.detail)
    except sqlite3.Error as error:
        raise RowError("the file breaks off or is damaged", str(error)) from error


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _draft(row: Row, cells: list[str]) -> Draft:
    post = dict(zip(_COLUMNS, cells[-len(_COLUMNS) :], strict=True))
    if post["marker"] != "1":
        raise RowError("neither a photo nor a video", post["marker"][:100])
    before = cells[: -len(_COLUMNS)]  # perhaps the line's number, the id, perhaps the key
    keys = [before.pop()] if len(before) > 1 and _is_key(before[-1]) else []
    photo_id = before[-1]
    if not photo_id.isdecimal():
        raise RowError("an id that is no number", photo_id[:100])
    keys = list(dict.fromkeys((media_key(post["downloadurl"]), *keys)))
    facts = {
        "page": post["pageurl"],
        "licence": post["licensename"],
        "licence_address": post["licenseurl"],
        "author": _decode(post["unickname"]),
    }
    return Draft(
        row=row,
        id=photo_id,
        paths=(*(path for key in keys for path in _places(key)), f"{photo_id}.mp4"),
        names=tuple(keys),
        description=join_texts(_plain(post["title"]), _plain(post["description"])),
        # Split before they are decoded: a tag may hold a comma, as %2C.
        hashtags=tuple(tag for part in post["usertags"].split(",") if (tag := _decode(part))),
        author=post["uid"],
        created=_uploaded(post["dateuploaded"]) or _taken(post["datetaken"]),
        facts={name: fact for name, fact in facts.items() if fact},
    )


def media_key(address: str) -> str:
    """The name of a video in the Multimedia Commons.

    It is the MD5 of the address it was downloaded from, each byte in hexadecimal, but without the
    leading zero of bytes below 16: most keys have fewer than 32 digits.
    """
    digest = hashlib.md5(address.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return "".join(f"{byte:x}" for byte in digest)


def _places(key: str) -> Iterator[str]:
    for place in _PLACES:
        yield f"{place}/{key[:3]}/{key[3:6]}/{key}.mp4" if place else f"{key}.mp4"


def _is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def _decode(text: str) -> str:
    return read_text(unquote_plus(text))


def _plain(text: str) -> str:
    """A text without its encoding as an address, its HTML and its entities."""
    return read_text(html.unescape(_MARKUP.sub(" ", _decode(text))))


def _uploaded(text: str) -> str | None:
    """Seconds since 1970; None where nothing sensible stands."""
    return text if text.isdecimal() and text.strip("0") else None


def _taken(text: str) -> str | None:
    """A camera's clock; None where nothing sensible stands, as in ``0000-00-00 00:00:00.0``."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text
