"""Datasets of the library `datasets`: on the hub, saved on the disk, or a folder of data files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from ggm.corpus.importers.columns import ColumnFinder, Columns, deep_keys, draft_from
from ggm.corpus.importers.drafts import Context, Found, Rejected, Row
from ggm.corpus.importers.reasons import RowError
from ggm.errors import ConfigError, DataError, MissingDependencyError

_ROWS_A_REPORT: Final = 10
_READERS: Final = {
    ".parquet": "parquet", ".arrow": "arrow", ".json": "json", ".jsonl": "json", ".csv": "csv",
}  # fmt: skip
_SAVED: Final = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class HuggingFace:
    """A dataset by its name on the hub, or by its folder or file.

    Rows are streamed. Videos within them are written, undecoded, to ``videos/`` of the result,
    named by their content. Code of a dataset is never run.

    Args:
        columns: Which column holds what; deeper ones are joined by dots.
        split: The splits to import; empty for all.
        config: Of the dataset, if it has several.
    """

    name: ClassVar[str] = "huggingface"
    columns: Columns = field(default_factory=Columns)
    split: tuple[str, ...] = ()
    config: str | None = None

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads rows; see `Importer`.

        Raises:
            DataError: If there is no such dataset, or columns are missing.
            ConfigError: If there is no such split.
            MissingDependencyError: If `datasets` isn't installed.
        """
        splits = self._chosen(_load(source, self.config), source)
        total = _num_rows(splits)
        done = 0
        for name, rows in splits.items():
            where = f"{source} ({name})"
            find: ColumnFinder | None = None
            # More than one: the dataset says what is for training. A lone "train" says nothing.
            kept = name if len(splits) > 1 else ""
            for number, row in enumerate(_survivors(rows), start=1):
                if isinstance(row, RowError):
                    yield Rejected(Row(where, 0, None), row.reason, row.detail)
                    break
                if find is None:
                    self.columns.find_in_header(deep_keys(row), file=where)
                    find = ColumnFinder(self.columns)
                try:
                    draft = draft_from(Row(where, number, row), row, find(row))
                    yield replace(draft, split=draft.split or kept)
                except RowError as error:
                    yield Rejected(Row(where, number, row), error.reason, error.detail)
                done += 1
                if done % _ROWS_A_REPORT == 0 or done == total:
                    context.report(done, total)

    def _chosen(self, splits: dict[str, Any], source: str) -> dict[str, Any]:
        for name in self.split:
            if name not in splits:
                raise ConfigError(f"{source}: no split {name!r}; there is {', '.join(splits)}")
        return {name: rows for name, rows in splits.items() if not self.split or name in self.split}


def _load(source: str, config: str | None) -> dict[str, Any]:
    """Streams of rows by split; nothing is decoded and no code of the dataset is run."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError('Hugging Face datasets need: pip install "ggm[huggingface]"') from error
    path = Path(source)
    try:
        if path.is_file():
            if path.suffix.lower() not in _READERS:
                raise DataError(f"{path}: not one of {', '.join(_READERS)}")
            reader = _READERS[path.suffix.lower()]
            loaded = datasets.load_dataset(reader, data_files=str(path), streaming=True)
        elif any((path / name).is_file() for name in _SAVED):
            loaded = datasets.load_from_disk(source)
        else:
            loaded = datasets.load_dataset(source, config, streaming=True)
    except DataError:
        raise
    except Exception as error:  # each reader and file system has errors of its own
        raise DataError(f"{source}: can't be loaded by datasets: {error}") from error
    splits = dict(loaded) if isinstance(loaded, dict) else {str(loaded.split or "all"): loaded}
    return {str(name): _undecoded(rows) for name, rows in splits.items()}


def _undecoded(rows: Any) -> Any:
    """Tables of one row, as Arrow holds it.

    As Python values, rows of a folder of videos would be encoded first, for which `datasets` loads
    torchcodec with decoding off as well, and fails where that is installed but can't be loaded.
    """
    stream = rows.to_iterable_dataset() if hasattr(rows, "to_iterable_dataset") else rows
    return stream.decode(False).with_format("arrow")


def _num_rows(splits: Mapping[str, Any]) -> int | None:
    total = 0
    for name, rows in splits.items():
        known = (rows.info.splits or {}).get(name)
        if known is None or not known.num_examples:
            return None
        total += known.num_examples
    return total


def _survivors(rows: Any) -> Iterator[dict[str, Any] | RowError]:
    """Rows, and why there are no more if reading fails."""
    try:
        for table in rows:
            yield from table.to_pylist()
    except Exception as error:  # each reader and file system has errors of its own
        yield RowError("the dataset breaks off or is damaged", f"{type(error).__name__}: {error}")
