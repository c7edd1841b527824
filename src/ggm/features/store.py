"""Arrays on disk by key: many writers, bounded size, nothing lost but what wasn't yet written.

Entries wait in memory until there are enough of them for a shard (`ggm.features.shards`), which is
written aside, synced and renamed. A shard is never changed, so that processes need not agree on
anything: each writes shards of its own and sees those of the others once they are whole. Only the
removal of the least recently used takes a lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy.typing as npt

from ggm.errors import DataError
from ggm.features.eviction import make_room, remove, remove_abandoned, touch
from ggm.features.shards import (
    KEY_BYTES,
    Arrays,
    DamagedError,
    Kind,
    OpenFiles,
    Shard,
    checked,
    encode_shard,
    new_shard_path,
    open_shard,
    shard_names,
    write_shard,
)

_SHARD_BYTES: Final = 64 * 1024**2
_WAIT_SECONDS: Final = 60.0
_OPEN_FILES: Final = 64
_SHARDS_OF_A_FULL_STORE: Final = 8  # at least: removing one shall not empty it
_TOUCH_SECONDS: Final = 60.0
_SETTLED_SECONDS: Final = 1.0  # coarser clocks of file systems can hide a second change
_ROW_BITS: Final = 32


class ArrayStore:
    """Entries of named arrays by key, in a folder that any number of processes may share.

    Use it as a context manager, or `close` it: what was put last is then on the disk. A process
    that is killed loses what it put in the last minute; one that ends in order loses nothing.
    Damaged shards are found when they are read, and replaced by what is left of them.

    Args:
        folder: Made when first written to.
        max_bytes: Size on disk, above which the least recently used shards are removed; None for no
            limit. Several writers at once may exceed it by a shard each; what is larger is not kept.
        shard_bytes: Bytes of entries that wait in memory, at most.
        wait_seconds: How long an entry waits, at most, as long as the store is used.

    Raises:
        ValueError: If a limit isn't positive.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        max_bytes: int | None = None,
        shard_bytes: int = _SHARD_BYTES,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes must be positive, got {max_bytes}")
        if shard_bytes < 1 or wait_seconds <= 0:
            raise ValueError("shard_bytes and wait_seconds must be positive")
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.shard_bytes = shard_bytes
        self.wait_seconds = wait_seconds
        self._lock = threading.RLock()
        self._index: dict[
            bytes, int
        ] = {}  # shard number and row; lists and objects would be 5 times as large
        self._shards: dict[int, Shard] = {}
        self._numbers: dict[str, int] = {}  # of the shards, by file name
        self._refused: set[str] = set()  # files that can neither be read nor removed
        self._next_number = 0
        self._kinds: dict[Kind, Kind] = {}
        self._listed: int | None = None  # the folder's time of change when it was last listed
        self._files = OpenFiles(_OPEN_FILES)
        self._waiting = _Waiting()
        self._finalizer = weakref.finalize(self, _end, self.folder, self._waiting, self._files)

    def get(self, key: str, names: Collection[str] | None = None) -> Arrays | None:
        """Read an entry.

        Args:
            key: As it was put.
            names: Of the arrays to read; the others are not touched. All of them by default.

        Returns:
            New arrays by name, without those that the entry lacks. None if there is no such entry,
            it was removed, or it is damaged.

        Raises:
            DataError: If entries that waited long enough can't be written.
        """
        digest = _digest(key)
        with self._lock:
            self._flush_if_due()
            waiting = self._waiting.entries.get(digest)
            if waiting is not None:
                return {
                    name: array.copy() for name, array in waiting.items() if names is None or name in names
                }
            while (place := self._find(digest)) is not None:
                shard = self._shards[place >> _ROW_BITS]
                try:
                    arrays = shard.read(self._open(place), place & (1 << _ROW_BITS) - 1, names)
                except DamagedError:
                    self._salvage(place >> _ROW_BITS)
                except OSError:  # removed by another process, or the disk can't read it
                    self._refuse(place >> _ROW_BITS)
                else:
                    self._touch(shard)
                    return arrays
        return None

    def put(self, key: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Keep an entry, in place of any that is there. It is written with later ones.

        Args:
            key: Such as the hash of what the arrays were made from.
            arrays: Of booleans or numbers, of any shape; they are copied.

        Raises:
            ValueError: If an array holds anything else.
            DataError: If the store can't be written, for instance because the disk is full. What
                waited to be written is then given up.
        """
        entry = {name: checked(array) for name, array in arrays.items()}
        with self._lock:
            if not self._waiting.entries:
                self._prepare_folder()
            self._waiting.add(_digest(key), entry)
            if self._waiting.num_bytes >= self.most_waiting_bytes:
                self.flush()
            else:
                self._flush_if_due()

    def __contains__(self, key: object) -> bool:
        """Whether there is such an entry; it may yet turn out to be damaged."""
        if not isinstance(key, str):
            return False
        with self._lock:
            digest = _digest(key)
            return digest in self._waiting.entries or self._find(digest) is not None

    def __len__(self) -> int:
        """Number of entries, as of the last `refresh`."""
        with self._lock:
            written = sum(1 for place in self._index.values() if place >> _ROW_BITS in self._shards)
            return written + sum(self._is_new(digest) for digest in self._waiting.entries)

    def _is_new(self, digest: bytes) -> bool:
        return self._index.get(digest, -1) >> _ROW_BITS not in self._shards

    @property
    def num_bytes(self) -> int:
        """Size on disk, as of the last `refresh`."""
        with self._lock:
            return sum(shard.num_bytes for shard in self._shards.values())

    @property
    def most_waiting_bytes(self) -> int:
        """How many bytes may wait in memory: fewer in a small store, which one shard must not fill."""
        if self.max_bytes is None:
            return self.shard_bytes
        return min(self.shard_bytes, max(1, self.max_bytes // _SHARDS_OF_A_FULL_STORE))

    def flush(self) -> None:
        """Write the entries that wait, and see that the store is within its size.

        Raises:
            DataError: If they can't be written. They are then given up.
        """
        with self._lock:
            try:
                entries = self._waiting.take()
                if entries:
                    self._publish(entries, new_shard_path(self.folder))
                elif self.folder.is_dir():
                    self._make_room(0)
            except OSError as error:
                raise self._unwritable(error) from error

    def refresh(self) -> None:
        """See what other processes wrote and removed. A key that isn't found does so by itself."""
        with self._lock:
            self._listed = self._time_of_change()
            names = set(shard_names(self.folder)) - self._refused
            for name in self._numbers.keys() - names:
                self._forget(self._numbers[name])
            for name in sorted(names - self._numbers.keys()):  # later ones replace earlier ones
                self._load(self.folder / name)

    def close(self) -> None:
        """Write the entries that wait, and close the files. The store may be used again.

        Raises:
            DataError: As for `flush`.
        """
        with self._lock:
            try:
                self.flush()
            finally:
                self._files.close()

    def __enter__(self) -> ArrayStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self, digest: bytes) -> int | None:
        """Shard number and row of an entry, looking for new shards if it isn't known."""
        place = self._index.get(digest)
        if place is not None and place >> _ROW_BITS in self._shards:
            return place
        if self._listed is None or self._listed != self._time_of_change():
            self.refresh()
            place = self._index.get(digest)
            if place is not None and place >> _ROW_BITS in self._shards:
                return place
        self._index.pop(digest, None)
        return None

    def _time_of_change(self) -> int | None:
        """When a file of the folder last came or went; None while it may still change unnoticed."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            return 0
        return changed if abs(time.time_ns() - changed) > _SETTLED_SECONDS * 1e9 else None

    def _load(self, path: Path) -> None:
        """Take a shard's entries into the index."""
        try:
            shard, digests = open_shard(path, kinds_seen=self._kinds)
            is_whole = path.stat().st_size == shard.num_bytes
        except DamagedError:
            remove(path)
            return
        except OSError:  # removed since, or not readable now
            return
        number = self._next_number
        self._next_number += 1
        self._shards[number] = shard
        self._numbers[path.name] = number
        for row, digest in enumerate(digests):
            self._index[digest] = number << _ROW_BITS | row
        if not is_whole:
            self._salvage(number)

    def _forget(self, number: int) -> None:
        """Its entries stay in the index until they are looked for, and are then not found."""
        del self._numbers[self._shards.pop(number).path.name]
        self._files.discard(number)

    def _open(self, place: int) -> int:
        number = place >> _ROW_BITS
        return self._files.open(number, self._shards[number].path)

    def _refuse(self, number: int) -> None:
        """Forget a shard, and don't load it again."""
        self._refused.add(self._shards[number].path.name)
        self._forget(number)

    def _touch(self, shard: Shard) -> None:
        now = time.monotonic()
        if now - shard.touched > _TOUCH_SECONDS:
            shard.touched = now
            touch(shard.path)

    def _salvage(self, number: int) -> None:
        """Replace a damaged shard by one of its sound entries."""
        path = self._shards[number].path
        entries: dict[bytes, Arrays] = {}
        try:
            shard, digests = open_shard(path, kinds_seen=self._kinds)
            descriptor = self._files.open(number, path)
            for row, digest in enumerate(digests):
                if self._index.get(digest) == number << _ROW_BITS | row:
                    with contextlib.suppress(DamagedError):
                        entries[digest] = shard.read(descriptor, row)
        except DamagedError:
            entries.clear()
        except OSError:
            self._refuse(number)
            return
        self._refuse(number)
        try:
            if entries:
                self._publish(entries, new_shard_path(self.folder, like=path))
        except OSError:
            return  # better a damaged one than none, for those who can do more about it
        remove(path)

    def _publish(self, entries: Mapping[bytes, Arrays], path: Path) -> None:
        """Write a shard of these entries, unless it is larger than the store may be."""
        encoded = encode_shard(entries)
        if self.max_bytes is None or encoded.num_bytes <= self.max_bytes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(encoded.num_bytes)
            write_shard(path, encoded)
            self._load(path)

    def _make_room(self, num_bytes: int) -> None:
        if self.max_bytes is not None:
            for name in make_room(self.folder, num_bytes, max_bytes=self.max_bytes):
                if name in self._numbers:
                    self._forget(self._numbers[name])

    def _prepare_folder(self) -> None:
        """Make the folder early: that it can't be made should not be found out after hours of work."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_abandoned(self.folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def _flush_if_due(self) -> None:
        if self._waiting.entries and time.monotonic() - self._waiting.since > self.wait_seconds:
            self.flush()

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.folder}: cannot write the cache: {error.strerror or error}; "
            "free some space, or choose another folder"
        )


class _Waiting:
    """Entries that are not yet written, and since when. Those of a parent process are its own to write."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Arrays] = {}
        self.num_bytes = 0
        self.since = 0.0
        self._owner = os.getpid()

    def add(self, digest: bytes, arrays: Arrays) -> None:
        if self._owner != os.getpid():
            self.take()
        if not self.entries:
            self.since = time.monotonic()
        self.num_bytes += _size(arrays) - _size(self.entries.get(digest, {}))
        self.entries[digest] = arrays

    def take(self) -> dict[bytes, Arrays]:
        """All entries that are this process's to write; none wait afterwards."""
        entries = self.entries if self._owner == os.getpid() else {}
        self.entries, self.num_bytes, self._owner = {}, 0, os.getpid()
        return entries


def _end(folder: Path, waiting: _Waiting, files: OpenFiles) -> None:
    """What `close` does, for a store that was not closed: then nobody can be told of an error."""
    files.close()
    entries = waiting.take()
    if entries:
        with contextlib.suppress(OSError):
            write_shard(new_shard_path(folder), encode_shard(entries))


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=KEY_BYTES).digest()


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
