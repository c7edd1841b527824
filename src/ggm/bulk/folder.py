"""The folder that a bulk run writes.

    run.json             settings, the manifest's digest, rows and shards
    part-00000.parquet   the annotations of a shard, for each row of the manifest one:
                         row, id, hashtags, scores, sources, error_kind, error_reason, bundle_fingerprint
    features/            a feature cache, if features are wanted; see `ggm.features.cache`

A part takes its place whole or not at all, and is never written again. One run at a time works on
a folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from ggm.bulk.plan import Span
from ggm.bulk.settings import differences
from ggm.bulk.work import Annotation
from ggm.corpus.atomic import lock_file, remove_leftovers
from ggm.corpus.jsonlines import write_json
from ggm.corpus.parquet import Column, count_rows, write_table
from ggm.errors import ConfigError, DataError

FORMAT: Final = 1
COLUMNS: Final[Mapping[str, Column]] = {
    "row": "integer",
    "id": "string",
    "hashtags": "strings",
    "scores": "numbers",
    "sources": "strings",
    "error_kind": "string",
    "error_reason": "string",
    "bundle_fingerprint": "string",
}
FEATURES: Final = "features"

_RUN: Final = "run.json"
_LOCK: Final = ".annotate.lock"


class Output:
    """The folder of one run, kept from other runs. Close it, or use it in a ``with`` block.

    Args:
        folder: Made if it isn't there.
        settings: As `ggm.bulk.settings.Settings.identity` gives them.
        about: What else ``run.json`` shall say.

    Raises:
        ConfigError: If a run with other settings began there.
        DataError: If the folder can't be used, or another run works on it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self._lock: IO[bytes] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK).open("ab")
        except OSError as error:
            raise DataError(f"{folder}: can't be written: {error.strerror or error}") from error
        try:
            if not lock_file(self._lock):
                raise DataError(f"{folder}: another run works on it; wait for it, or name another folder")
            self._begin(settings, about)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another run work on the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, settings: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        path = self.folder / _RUN
        if path.exists():
            other = differences(_settings_of(path), json.loads(json.dumps(settings)))
            if other:
                raise ConfigError(
                    f"{self.folder}: was begun with other settings: {'; '.join(other)}; "
                    "say the same again to go on, or name another folder"
                )
        elif any(self.folder.glob("part-*.parquet")):
            raise DataError(f"{self.folder}: holds parts, and no {_RUN} says of what; name another folder")
        else:
            remove_leftovers(path)
            write_json({"format": FORMAT, **about, "settings": settings}, path)

    def path_of(self, shard: int) -> Path:
        """Where the part of a shard is or will be."""
        return self.folder / f"part-{shard:05d}.parquet"

    def finished(self, spans: Sequence[Span]) -> set[int]:
        """Numbers of the shards that are there. What killed runs left unfinished, or a disk damaged, goes.

        Raises:
            MissingDependencyError: If pyarrow isn't installed.
            DataError: If a damaged part can't be removed.
        """
        done = set()
        try:
            for leftover in self.folder.glob(".part-*.parquet.*"):
                leftover.unlink()
            for span in spans:
                path = self.path_of(span.shard)
                if path.exists():
                    if _rows_of(path) == span.rows:
                        done.add(span.shard)
                    else:
                        path.unlink()
        except OSError as error:
            raise DataError(f"{self.folder}: can't be written: {error.strerror or error}") from error
        return done

    def publish(self, shard: int, annotations: Sequence[Annotation], *, bundle_fingerprint: str) -> None:
        """Write the part of a shard.

        Args:
            shard: Its number.
            annotations: Of all its rows, in any order.
            bundle_fingerprint: Of the system that made them.

        Raises:
            DataError: If it can't be written.
            MissingDependencyError: If pyarrow isn't installed.
        """
        rows = [
            {
                "row": one.row,
                "id": one.id,
                "hashtags": one.hashtags,
                "scores": one.scores,
                "sources": one.sources,
                "error_kind": None if one.problem is None else one.problem.kind,
                "error_reason": None if one.problem is None else one.problem.reason,
                "bundle_fingerprint": bundle_fingerprint,
            }
            for one in sorted(annotations, key=lambda one: one.row)
        ]
        write_table(rows, self.path_of(shard), COLUMNS)


def _rows_of(path: Path) -> int | None:
    try:
        return count_rows(path)
    except DataError:
        return None


def _settings_of(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text("utf-8"))
        if run["format"] != FORMAT:
            raise DataError(f"{path}: of format {run['format']!r}, this version writes {FORMAT}")
        return dict(run["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: isn't what a bulk run writes: {error}; name another folder") from error
