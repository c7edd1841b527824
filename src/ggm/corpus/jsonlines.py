"""JSON Lines: one JSON value a line, read and written one after another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ggm.corpus.atomic import replacing
from ggm.corpus.rows import Place, Problem, RawRow, RowError
from ggm.errors import DataError

MAX_LINE_BYTES = 16 * 1024**2
"""A longer line is bad; only so much of it is kept."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_MAGIC = b"PAR1"
_BLOCK_BYTES = 1024**2


def read_rows(path: Path) -> Iterator[RawRow]:
    """Does what `read_placed_rows` does from the beginning, without the places.

    Raises:
        DataError: If the file can't be read, or is something else.
    """
    for row, _ in read_placed_rows(path):
        yield row


def read_placed_rows(path: Path, start: Place | None = None) -> Iterator[tuple[RawRow, Place]]:
    """Reads rows, each with the place behind it; lines of white space are passed over.

    Bytes that aren't UTF-8, and a line that is no JSON or too long, spoil their row only.

    Raises:
        DataError: If the file can't be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            start = start or Place()
            file.seek(start.offset)
            for row in rows_of(file, path, first=start.row + 1):
                yield row, Place(row.number, file.tell())
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def rows_of(file: BinaryIO, name: Path | str, *, first: int = 1) -> Iterator[RawRow]:
    """Reads the rows of an open file, such as standard input, as `read_rows` does.

    Args:
        file: Each line is taken when its turn comes.
        name: What to call it in errors.
        first: Number of the line that comes next.

    Raises:
        DataError: If it is something else than JSON Lines.
    """
    for number, line in enumerate(_lines(file), start=first):
        if number == 1:
            if line.startswith(_PARQUET_MAGIC):
                raise DataError(f"{name}: is a Parquet file; give its name the suffix .parquet")
            line = line.removeprefix(_BYTE_ORDER_MARK)  # spreadsheets put it there
        if line.strip():
            yield _parse(number, line)


def count_rows(path: Path) -> int:
    """Number of lines, empty ones included.

    Raises:
        DataError: If the file can't be read.
    """
    count, last = 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                count += block.count(b"\n")
                last = block[-1:]
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    return count + (last != b"\n")


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Writes one JSON object a line, whole or not at all; returns how many.

    Raises:
        DataError: If the file can't be written.
    """
    count = 0
    with json_lines(path) as write:
        for row in rows:
            write(row)
            count += 1
    return count


@contextmanager
def json_lines(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A file that takes one JSON object a line, and its place when the block ends well.

    Yields:
        The function that writes an object.

    Raises:
        DataError: If the file can't be written.
    """
    # What isn't text, such as a file name of unknown encoding, becomes an escape of JSON.
    with (
        replacing(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as out,
    ):

        def write(row: Mapping[str, Any]) -> None:
            out.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

        yield write


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Writes one JSON object for people to read, whole or not at all.

    Raises:
        DataError: If the file can't be written.
    """
    with replacing(path) as partial:
        partial.write_text(
            json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n",
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
        )


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends; of one that is too long, its beginning, one byte too long."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while rest := file.readline(_BLOCK_BYTES):
                if rest.endswith(b"\n"):
                    break
            yield line
        else:
            yield line.rstrip(b"\r\n")


def _parse(number: int, line: bytes) -> RawRow:
    if len(line) > MAX_LINE_BYTES:
        error = RowError(Problem.NOT_JSON, f"longer than {MAX_LINE_BYTES:,} bytes, which no post is")
        return RawRow(number, source=_readable(line), error=error)
    try:
        text = line.decode("utf-8")
        return RawRow(number, json.loads(text), text)
    except (ValueError, RecursionError) as reason:
        error = RowError(Problem.NOT_JSON, f"not JSON in UTF-8: {reason}")
        return RawRow(number, source=_readable(line), error=error)


def _readable(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
