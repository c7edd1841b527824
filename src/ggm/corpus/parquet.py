"""Parquet: the rows of a manifest as columns, read and written in batches. The only user of pyarrow.

A manifest's columns are strings, and lists of strings for the hashtags; strings may be
dictionary-encoded, as pandas writes categories. Other tables say of what their columns are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ggm.corpus.atomic import replacing
from ggm.corpus.rows import FIELDS, Place, Problem, RawRow, RowError
from ggm.errors import DataError, MissingDependencyError

Column = Literal["integer", "string", "strings", "numbers"]
"""Of what a column is: one value a row, or a list of them."""

_CLIP = ("id", "video")
_READ_ROWS = 512
_WRITTEN_ROWS = 16_384  # a row group: some megabytes, which a reader holds
_BUFFER_BYTES = 1024**2
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read_rows(path: Path) -> Iterator[RawRow]:
    """Reads rows, a batch at a time; an index that pandas wrote is passed over.

    A text that isn't UTF-8 spoils its row only.

    Raises:
        DataError: If the file can't be read, is damaged, or has other columns than a manifest has.
        MissingDependencyError: If pyarrow isn't installed.
    """
    for row, _ in _read(path, Place(), required=(*_CLIP, "hashtags")):
        yield row


def read_placed_rows(path: Path, start: Place | None = None) -> Iterator[tuple[RawRow, Place]]:
    """Does what `read_rows` does, each row with the place behind it; hashtags may be missing.

    Args:
        path: The file.
        start: Where to go on; row groups before it are not read.

    Raises:
        DataError: As for `read_rows`.
        MissingDependencyError: If pyarrow isn't installed.
    """
    return _read(path, start or Place(), required=_CLIP)


def _read(path: Path, start: Place, *, required: tuple[str, ...]) -> Iterator[tuple[RawRow, Place]]:
    with _opened(path) as file:
        columns = _check_columns(path, file.schema_arrow, required)
        groups, number = _groups_from(file, start.row)
        reading = file.iter_batches(
            batch_size=_READ_ROWS, row_groups=groups, columns=columns, use_threads=False
        )
        for batch in reading:
            skipped = min(max(0, start.row - number), batch.num_rows)
            number += skipped
            for value, error in _values(batch.slice(skipped)):
                number += 1
                yield RawRow(number, value, error=error), Place(number)


def _groups_from(file: Any, row: int) -> tuple[list[int], int]:
    """The row groups from that on that holds a row, and how many rows come before them."""
    before = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if before + rows > row:
            return list(range(group, file.num_row_groups)), before
        before += rows
    return [], before


def count_rows(path: Path) -> int:
    """Number of rows, as the file's footer says.

    Raises:
        DataError: If the file can't be read.
        MissingDependencyError: If pyarrow isn't installed.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Writes the rows of a manifest, whole or not at all; returns how many.

    Args:
        rows: As `ggm.corpus.rows.to_rows` gives them.
        path: Replaced if it exists.

    Raises:
        DataError: If the file can't be written.
        MissingDependencyError: If pyarrow isn't installed.
    """
    return write_table(rows, path, {name: "strings" if name == "hashtags" else "string" for name in FIELDS})


def write_table(rows: Iterable[Mapping[str, Any]], path: Path, columns: Mapping[str, Column]) -> int:
    """Writes rows of any columns, whole or not at all; returns how many.

    Args:
        rows: Values by the column's name; what is missing is null.
        path: Replaced if it exists.
        columns: Of what each is.

    Raises:
        DataError: If the file can't be written.
        MissingDependencyError: If pyarrow isn't installed.
    """
    arrow, parquet = _libraries()
    kinds = {
        "integer": arrow.int64(),
        "string": arrow.string(),
        "strings": arrow.list_(arrow.string()),
        "numbers": arrow.list_(arrow.float64()),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    count, rows = 0, iter(rows)
    with (
        replacing(path) as partial,
        parquet.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        while batch := list(islice(rows, _WRITTEN_ROWS)):
            writer.write_batch(arrow.RecordBatch.from_pylist(batch, schema))
            count += len(batch)
    return count


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file whose every failure is a `DataError`."""
    arrow, parquet = _libraries()
    if path.is_dir():
        raise DataError(f"{path}: is a folder; a manifest is one Parquet file, join its parts")
    try:
        # Neither threads nor reading ahead: a row group may be the whole file.
        with parquet.ParquetFile(
            path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        ) as file:
            yield file
    except (arrow.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: can't be read as Parquet: {reason}") from error


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("Parquet needs the package pyarrow: pip install 'ggm[data]'") from error
    return pyarrow, pyarrow.parquet


def _check_columns(path: Path, schema: Any, required: tuple[str, ...]) -> list[str]:
    """The columns that are read."""
    columns = [name for name in schema.names if not _PANDAS_INDEX.fullmatch(name)]
    known = ", ".join(sorted(FIELDS))
    for name in columns:
        if name not in FIELDS:
            raise DataError(f"{path}: unknown column {name!r}; columns are {known}")
        if columns.count(name) > 1:
            raise DataError(f"{path}: two columns are named {name!r}")
        kind = schema.field(name).type
        if name == "hashtags" and not _is_list_of_strings(kind):
            raise DataError(f"{path}: the column hashtags must hold lists of strings, not {kind}")
        if name != "hashtags" and not _is_string(kind):
            raise DataError(f"{path}: the column {name} must hold strings, not {kind}; convert it")
    for name in required:
        if name not in columns:
            raise DataError(f"{path}: no column {name!r}; columns are {known}")
    return columns


def _is_string(kind: Any) -> bool:
    types = _libraries()[0].types
    if types.is_dictionary(kind):
        kind = kind.value_type
    # A column without a value has no type of its own.
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )


def _is_list_of_strings(kind: Any) -> bool:
    types = _libraries()[0].types
    if types.is_null(kind):
        return True
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and _is_string(kind.value_type))


def _values(batch: Any) -> Iterator[tuple[dict[str, Any], RowError | None]]:
    try:
        yield from ((value, None) for value in batch.to_pylist())
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _readable(batch.slice(index, 1))


def _readable(row: Any) -> tuple[dict[str, Any], RowError | None]:
    """The cells of one row that can be read, and what is wrong with the last of the others."""
    value: dict[str, Any] = {}
    error = None
    for name in row.schema.names:
        try:
            (value[name],) = row.column(name).to_pylist()
        except UnicodeDecodeError as reason:
            error = RowError(Problem.BAD_FIELD, f"{name} is not UTF-8: {reason}")
    return value, error
