"""A pool's state and its folder together: what is recorded, read back, followed and compacted."""

from __future__ import annotations

import os
import secrets
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from ggm.errors import GgmError, PoolError
from ggm.pool import folder as files
from ggm.pool.folder import Manifest
from ggm.pool.journal import JournalReader, JournalWriter, damaged, header, name_of
from ggm.pool.state import Change, Frozen, State

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.02


def make(folder: Path, state: State) -> None:
    """Make the folder of a new pool.

    Args:
        folder: Made if it isn't there; else empty, or what is left of an attempt that was killed.
        state: What the pool holds at first.

    Raises:
        PoolError: If the folder holds anything, or can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.lock(folder):
            if files.exists(folder):
                raise PoolError(f"{folder}: holds a living pool already")
            if files.holds_something_else(folder):
                raise PoolError(f"{folder}: holds something that isn't a living pool; name another folder")
            files.remove_leftovers(folder, None)
            sha256 = files.write_snapshot(folder, 0, state.freeze(), state.settings)
            pool_id = secrets.token_hex(8)
            files.write_file(folder / name_of(1), header(pool_id, 1))
            files.write_manifest(folder, Manifest(pool_id, state.settings, 0, sha256, (1,)))
    except OSError as error:
        raise PoolError(f"{folder}: can't be made: {error.strerror or error}") from error


class DurableState:
    """The state of a pool in a folder. One thread at a time uses it, but for `look`.

    Args:
        folder: That `make` made.
        write: Whether to be the one process that writes; else another's changes can be followed.

    Raises:
        PoolError: If there is no pool, it is damaged, or another process writes to it.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        self.folder = folder
        self.manifest = files.read_manifest(folder)
        self._writer: JournalWriter | None = None
        self._refusal: str | None = None
        self.closed = False
        lock: IO[bytes] | None = files.lock(folder) if write else None
        # Not left to whoever opens a pool and forgets it.
        self._release: Callable[[], object] = weakref.finalize(self, lock.close) if lock else _nothing
        try:
            self.state, self._reader = self._load()
            self.records = self._reader.next_record - 1
            """The number of the last record that the state includes."""
            if write:
                files.remove_leftovers(folder, self.manifest)
                self._writer = JournalWriter(
                    self._reader.path, size=self._reader.offset, next_record=self._reader.next_record
                )
                self._reader.close()
        except BaseException:
            self._release()
            raise

    @property
    def writable(self) -> bool:
        """Whether this process may write."""
        return self._writer is not None

    @property
    def journal_bytes(self) -> int:
        """How much there is to read besides the snapshot."""
        paths = (self.folder / name_of(first) for first in self.manifest.journals)
        return sum(path.stat().st_size for path in paths if path.exists())

    def close(self) -> None:
        """Let another process write. The state stays."""
        self.closed = True
        self._refusal = f"{self.folder}: the pool was closed"
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self._release()

    def check_writable(self) -> None:
        """See whether a change could be recorded.

        Raises:
            PoolError: If the pool was closed, opened for reading, or failed before.
        """
        if self._refusal is not None:
            raise PoolError(self._refusal)
        if self._writer is None:
            raise PoolError(f"{self.folder}: the pool was opened for reading; another process may write")

    def record(self, changes: list[Change]) -> None:
        """Make changes durable, then visible.

        Raises:
            PoolError: If they can't be written. Nothing is changed.
        """
        self.check_writable()
        assert self._writer is not None
        self._writer.append(changes)
        try:
            self.state.apply(changes)
        except BaseException:
            self._refuse("memory isn't what was recorded")
            raise
        self.records += 1

    def begin_compaction(self) -> Frozen | None:
        """Begin a new journal, and give the state up to it; None if the snapshot has it all.

        Raises:
            PoolError: If it can't be written.
        """
        self.check_writable()
        if self.records == self.manifest.records:
            return None
        if self.manifest.journals[-1] != self.records + 1:  # else an attempt failed after this
            path = self.folder / name_of(self.records + 1)
            content = header(self.manifest.pool_id, self.records + 1)
            files.write_file(path, content)
            writer = JournalWriter(path, size=len(content), next_record=self.records + 1)
            journals = (*self.manifest.journals, self.records + 1)
            self._replace_manifest(replace(self.manifest, journals=journals))
            assert self._writer is not None
            self._writer.close()
            self._writer = writer
        return self.state.freeze()

    def end_compaction(self, records: int, sha256: dict[str, str]) -> None:
        """Let a snapshot that was written count, and remove what it replaces.

        Args:
            records: How many records it includes.
            sha256: Of its files, by name.

        Raises:
            PoolError: If it can't be written.
        """
        self.check_writable()
        journals = tuple(first for first in self.manifest.journals if first > records)
        self._replace_manifest(replace(self.manifest, records=records, sha256=sha256, journals=journals))
        files.remove_leftovers(self.folder, self.manifest)

    def look(self) -> tuple[int, ...]:
        """What differs once another process has written; costs two system calls.

        Nothing, if it can't be told without waiting.

        Raises:
            PoolError: If the folder can't be read.
        """
        try:
            manifest = os.stat(self.folder / files.MANIFEST)  # noqa: PTH116 - fast: before each search
        except OSError as error:
            raise PoolError(f"{self.folder}: can't be read: {error.strerror or error}") from error
        reader = self._reader
        try:
            return manifest.st_ino, manifest.st_mtime_ns, reader.first, reader.size
        except (OSError, ValueError):  # another thread goes on to the next journal just now
            return ()

    def follow(self) -> None:
        """Read and apply what another process has written since.

        Raises:
            PoolError: If the folder is gone or damaged.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self._follow()
                return
            except (PoolError, FileNotFoundError) as error:
                # A journal may be cut, or give way to a snapshot, just while it is read.
                if attempt == _ATTEMPTS - 1:
                    raise _as_pool_error(self.folder, error) from error
                time.sleep(_PAUSE_SECONDS)

    def _follow(self) -> None:
        manifest = files.read_manifest(self.folder)
        if manifest.pool_id != self.manifest.pool_id:
            raise PoolError(f"{self.folder}: another pool has taken its place; open it anew")
        later = [first for first in manifest.journals if first > self._reader.first]
        self._replay(self._reader, self.state, ended=bool(later))
        self.records = self._reader.next_record - 1
        for first in later:
            if first != self.records + 1:
                # Journals in between are gone: only the snapshot has what they said.
                old = self._reader
                self.state, self._reader = self._load()
                self.records = self._reader.next_record - 1
                old.close()
                return
            old, self._reader = self._reader, self._open(manifest, first)
            old.close()
            self._replay(self._reader, self.state, ended=first != later[-1])
            self.records = self._reader.next_record - 1
        self.manifest = manifest

    def _load(self) -> tuple[State, JournalReader]:
        """Snapshot and journals, as the manifest says now."""
        for attempt in range(_ATTEMPTS):
            try:
                self.manifest = files.read_manifest(self.folder)
                state = files.read_snapshot(self.folder, self.manifest)
                reader, expected = None, self.manifest.records + 1
                for first in self.manifest.journals:
                    if first != expected:
                        raise PoolError(
                            f"{self.folder}: damaged: records {expected} to {first - 1} are missing; "
                            "restore the pool's folder from a backup"
                        )
                    if reader is not None:
                        reader.close()
                    reader = self._open(self.manifest, first)
                    self._replay(reader, state, ended=first != self.manifest.journals[-1])
                    expected = reader.next_record
                if reader is None:
                    raise PoolError(f"{self.folder / files.MANIFEST}: damaged: it names no journal")
                return state, reader
            except FileNotFoundError as error:
                # Another process may have compacted the pool since the manifest was read.
                if attempt == _ATTEMPTS - 1:
                    raise _as_pool_error(self.folder, error) from error
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError

    def _open(self, manifest: Manifest, first: int) -> JournalReader:
        return JournalReader(self.folder / name_of(first), pool_id=manifest.pool_id, first=first)

    def _replay(self, reader: JournalReader, state: State, *, ended: bool) -> None:
        for record in reader.read(ended=ended):
            try:
                state.apply(record.changes)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, GgmError) as error:
                reason = f"record {record.number} doesn't fit what came before: {error!r}"
                raise damaged(reader.path, reader.offset, reason, kept=None) from error

    def _replace_manifest(self, manifest: Manifest) -> None:
        try:
            files.write_manifest(self.folder, manifest)
        except PoolError:
            if files.read_manifest(self.folder) != self.manifest:
                self._refuse("what is on disk is uncertain")
            raise
        self.manifest = manifest

    def _refuse(self, reason: str) -> None:
        self._refusal = f"{self.folder}: {reason}, so close the pool and open it again"


def _as_pool_error(folder: Path, error: Exception) -> PoolError:
    if isinstance(error, PoolError):
        return error
    return PoolError(f"{folder}: damaged: a file is missing: {error}; restore the folder from a backup")


def _nothing() -> None:
    pass
