"""Tables as text: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from ggm.corpus.importers.columns import Columns, draft_from
from ggm.corpus.importers.drafts import Context, Found, Rejected, Row, until_broken
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.text import is_decoded, open_text, plain_suffix
from ggm.errors import ConfigError, DataError

MAX_CELL: Final = 1_000_000
"""Characters; a quote that is never closed spoils no more than this."""

_DELIMITERS: Final = ",\t;|"


@dataclass(frozen=True)
class Table:
    """A table with a header, one post a row.

    Args:
        columns: Which column holds what.
        delimiter: Between cells; found from the header if None.
        encoding: Unless a byte order mark says otherwise.
    """

    name: ClassVar[str] = "csv"
    columns: Columns = field(default_factory=Columns)
    delimiter: str | None = None
    encoding: str = "utf-8"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads rows; see `Importer`.

        Raises:
            DataError: If the file can't be read, has no header, or columns are missing.
            ConfigError: If the delimiter isn't one character, or there is no such encoding.
        """
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise ConfigError(f"a delimiter is one character, got {self.delimiter!r}")
        yield from until_broken(self._read(Path(source), context), source)

    def _read(self, path: Path, context: Context) -> Iterator[Found]:
        total = path.stat().st_size if path.is_file() else None
        with open_text(
            path, report=lambda done: context.report(done, total), encoding=self.encoding, newline=""
        ) as text:
            lines = _Remembered(text.lines())
            header_line = next(lines, "")
            delimiter = self.delimiter or _delimiter(header_line, path)
            lines.again(header_line)
            records = _records(lines, delimiter)
            number, header = next(records, (0, []))
            if isinstance(header, RowError) or not any(cell.strip() for cell in header):
                raise DataError(f"{path}: no header; its first row must name the columns")
            names = [cell.strip() for cell in header]
            columns = self.columns.find_in_header(names, file=str(path))
            for number, cells in records:
                try:
                    if isinstance(cells, RowError):
                        raise cells
                    row = Row(str(path), number, cells)
                    if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                        raise RowError("more cells than the header has")
                    if not all(map(is_decoded, cells)):
                        raise RowError("bytes that can't be decoded", "name the encoding by --encoding")
                    # Without those that a short row leaves out.
                    yield draft_from(row, dict(zip(names, cells, strict=False)), columns)
                except RowError as error:
                    content = "".join(lines.kept) if isinstance(cells, RowError) else cells
                    yield Rejected(Row(str(path), number, content), error.reason, error.detail)


class _Remembered:
    """Lines, and those since `forget`, so that what can't be parsed can be shown."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: list[str] = []
        self.kept: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.kept.append(line)
        return line

    def again(self, line: str) -> None:
        """Gives a line once more."""
        self._again.append(line)

    def forget(self) -> None:
        """Begins a new row."""
        self.kept.clear()


def _records(lines: _Remembered, delimiter: str) -> Iterator[tuple[int, list[str] | RowError]]:
    """Rows with their numbers, as a spreadsheet counts them; empty ones are passed over."""
    reader = csv.reader(lines, delimiter=delimiter)
    number = 0
    while True:
        number += 1
        lines.forget()
        # The limit belongs to the whole process, so it is ours for this one row only.
        limit = csv.field_size_limit(MAX_CELL)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, RowError("not a row of a table", str(error))
            continue
        finally:
            csv.field_size_limit(limit)
        if any(cells):
            yield number, cells


def _delimiter(header: str, path: Path) -> str:
    """What separates the header's names: whatever stands there most often outside of quotes."""
    if plain_suffix(path) in {".tsv", ".tab"}:
        return "\t"
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)
