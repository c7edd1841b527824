"""A folder of videos, each with its caption in a text file beside it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from ggm.corpus.importers.cells import read_text
from ggm.corpus.importers.drafts import Context, Draft, Found, Rejected, Row
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import is_video
from ggm.errors import DataError

CAPTION_SUFFIXES: Final = (".caption", ".txt", ".description")
"""In the order in which they are believed."""

MAX_CAPTION_BYTES: Final = 1_000_000

_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Captions:
    """Videos and their captions: ``a.mp4`` and ``a.txt``, or ``a.mp4.txt``; folders within as well.

    Args:
        encoding: Of the captions, unless a byte order mark says otherwise.
    """

    name: ClassVar[str] = "captions"
    encoding: str = "utf-8"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads videos; see `Importer`.

        Raises:
            DataError: If there is no such folder.
        """
        root = Path(source)
        if not root.is_dir():
            raise DataError(f"{root}: not a folder of videos and captions")
        done = 0
        for parent, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            names = sorted(name for name in names if not name.startswith("."))
            captions = {name for name in names if name.lower().endswith(CAPTION_SUFFIXES)}
            used: set[str] = set()  # stems of captions that a video has
            for name in names:
                if is_video(name):
                    done += 1
                    context.report(done, None)
                    caption = _caption_of(name, captions)
                    used.add(Path(caption).stem)
                    yield self._read_one(Path(parent, name), caption, root)
            for name in sorted(captions):
                if Path(name).stem not in used:
                    yield Rejected(_row(Path(parent, name), root, None), "no video beside the caption")

    def _read_one(self, video: Path, caption: str, root: Path) -> Found:
        if not caption:
            return Rejected(_row(video, root, None), "no caption beside the video")
        path = video.with_name(caption)
        try:
            text = self._read_caption(path)
        except RowError as error:
            return Rejected(_row(path, root, None), error.reason, error.detail)
        return Draft(_row(path, root, text), video=video, description=text)

    def _read_caption(self, path: Path) -> str:
        try:
            with path.open("rb") as caption:
                content = caption.read(MAX_CAPTION_BYTES + 1)
        except OSError as error:
            raise RowError("a caption that can't be read", error.strerror or str(error)) from error
        if len(content) > MAX_CAPTION_BYTES:
            raise RowError("a caption that is too long", f"more than {MAX_CAPTION_BYTES:,} bytes")
        encoding = "utf-16" if content.startswith(_WIDE_MARKS) else self.encoding
        try:
            return read_text(content.decode(encoding).removeprefix("\ufeff"))
        except UnicodeError as error:
            raise RowError("bytes that can't be decoded", "name the encoding by --encoding") from error


def _caption_of(video: str, captions: set[str]) -> str:
    """The caption's file name, or ""; suffixes in any case."""
    for base in (Path(video).stem, video):
        for suffix in CAPTION_SUFFIXES:
            for name in (base + suffix, base + suffix.upper(), base + suffix.title()):
                if name in captions:
                    return name
    return ""


def _row(path: Path, root: Path, content: str | None) -> Row:
    return Row(path.relative_to(root).as_posix(), 0, content)
