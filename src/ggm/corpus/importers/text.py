"""Text files of any size, plain or compressed, that may be damaged."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from ggm.corpus.importers.reasons import RowError
from ggm.errors import ConfigError, DataError

MAX_LINE: Final = 16_000_000
"""Characters of the longest line; what is beyond is dropped, so that the line can't be parsed."""

_LINES_A_REPORT: Final = 1_000
_BROKEN: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


class TextFile:
    """A text that is read in pieces.

    Args:
        raw: The file as it lies on the disk, by which progress is measured.
        text: Decoded; bytes that can't be are surrogates (see `is_decoded`).
        report: Is told how many bytes of `raw` were read.
    """

    def __init__(self, raw: BinaryIO, text: io.TextIOWrapper, report: Callable[[int], None]) -> None:
        self._raw = raw
        self._text = text
        self._report = report

    def read(self, characters: int) -> str:
        """The next characters; fewer, or none, at the end.

        Raises:
            RowError: If the file breaks off or is damaged here.
        """
        try:
            text = self._text.read(characters)
        except _BROKEN as error:
            raise _broken(error) from error
        self._report(self._raw.tell())
        return text

    def line(self) -> str:
        """The next line with its end, or as much of it as `MAX_LINE` allows; "" at the end.

        Raises:
            RowError: If the file breaks off or is damaged here.
        """
        try:
            return self._text.readline(MAX_LINE)
        except _BROKEN as error:
            raise _broken(error) from error

    def lines(self) -> Iterator[str]:
        """Lines with their ends.

        Raises:
            RowError: If the file breaks off or is damaged; the lines before it come first.
        """
        number = 0
        try:
            while line := self._text.readline(MAX_LINE):
                if len(line) == MAX_LINE and not line.endswith("\n"):
                    self._drop_rest()
                yield line
                number += 1
                if number % _LINES_A_REPORT == 0:
                    self._report(self._raw.tell())
        except _BROKEN as error:
            raise _broken(error) from error
        self._report(self._raw.tell())

    def _drop_rest(self) -> None:
        while len(rest := self._text.readline(MAX_LINE)) == MAX_LINE and not rest.endswith("\n"):
            pass


@contextmanager
def open_text(
    path: Path,
    *,
    report: Callable[[int], None],
    encoding: str = "utf-8",
    newline: str = "\n",
) -> Iterator[TextFile]:
    """Opens a text, through bzip2, gzip or xz where the suffix says so.

    Args:
        path: The file.
        report: Is told how many bytes of it were read.
        encoding: Unless a byte order mark says otherwise.
        newline: As for `open`.

    Yields:
        The text.

    Raises:
        DataError: If the file can't be opened.
        ConfigError: If there is no such encoding.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    with raw:
        binary = _decompressed(raw, path.suffix.lower())
        try:
            head = binary.peek(4)[:4]
        except _BROKEN:
            head = b""  # said again, and dealt with, where the text is read
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), encoding)
        # UTF-16 and UTF-32 can't keep what they don't understand.
        wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))
        errors = "replace" if wide else "surrogateescape"
        try:
            text = io.TextIOWrapper(binary, encoding=encoding, errors=errors, newline=newline)
        except LookupError as error:
            raise ConfigError(f"no encoding {encoding!r}; try utf-8, utf-16, cp1252 or shift_jis") from error
        with text:
            yield TextFile(raw, text, report)


def _decompressed(raw: io.BufferedReader, suffix: str) -> io.BufferedReader:
    # All three have `peek`, and are told apart from a buffered reader by nothing that matters here.
    if suffix == ".bz2":
        return cast(io.BufferedReader, bz2.BZ2File(raw))
    if suffix == ".gz":
        return cast(io.BufferedReader, gzip.GzipFile(fileobj=raw))
    if suffix == ".xz":
        return cast(io.BufferedReader, lzma.LZMAFile(raw))
    return raw


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without that of a compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in {".bz2", ".gz", ".xz"}:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_decoded(text: str) -> bool:
    """Tells whether a text was decoded whole; bytes that could not be are surrogates."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


def _broken(error: BaseException) -> RowError:
    return RowError("the file breaks off or is damaged", str(error))
