"""Posts in JSON, whatever their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ggm.corpus.importers.columns import ColumnFinder, Columns, draft_from
from ggm.corpus.importers.drafts import Context, Found, Rejected, Row, until_broken
from ggm.corpus.importers.json_values import json_files, read_values
from ggm.corpus.importers.reasons import RowError


@dataclass(frozen=True)
class JsonPosts:
    """JSON Lines, an array of objects, or an object with a list of objects inside.

    Args:
        columns: Which key holds what; deeper ones are joined by dots.
        encoding: Unless a byte order mark says otherwise.
    """

    name: ClassVar[str] = "json"
    columns: Columns = field(default_factory=Columns)
    encoding: str = "utf-8"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads objects of a file, or of all JSON files of a folder; see `Importer`.

        Raises:
            DataError: If it can't be read.
            ConfigError: If there is no such encoding.
        """
        files = json_files(source)
        for path in files:
            yield from until_broken(self._read(path, context), str(path), alone=len(files) == 1)

    def _read(self, path: Path, context: Context) -> Iterator[Found]:
        find = ColumnFinder(self.columns)
        for number, text, value in read_values(path, context, encoding=self.encoding):
            row = Row(str(path), number, text or value)
            try:
                if isinstance(value, RowError):
                    raise value
                if not isinstance(value, Mapping):
                    raise RowError("an object is expected", f"got {type(value).__name__}")
                yield draft_from(row, value, find(value))
            except RowError as error:
                yield Rejected(row, error.reason, error.detail)
