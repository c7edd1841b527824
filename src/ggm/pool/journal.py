"""Changes on disk, each on a line of its own, before anybody is told that they happened.

    crc32 {"journal": 1, "pool": "4be7…", "first": 458}
    crc32 {"record": 458, "changes": [{"change": "add", …}, …]}
    crc32 {"record": 459, "changes": […]}

The checksum, eight hexadecimal digits, is of the JSON. A record is there in full or not at all: one
write, one fsync. What a crash leaves is an end without a newline, or, after a power failure, with
zeros where a block was never written; nobody was told of that record, and it is dropped. Anything
else that doesn't fit is damage, and an error that says where.
"""

from __future__ import annotations

import json
import os
import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ggm.errors import PoolError
from ggm.pool.state import Change

_FORMAT: Final = 1
_CHECKSUM: Final = 9  # eight digits and a space
_UNWRITTEN: Final = b"\0" * 64  # JSON holds no zero byte


@dataclass(frozen=True)
class Record:
    """One record of a journal.

    Args:
        number: Counted from 1 through all journals of a pool.
        changes: That happened together.
    """

    number: int
    changes: Sequence[Change]


def name_of(first: int) -> str:
    """The file name of the journal that begins with a record."""
    return f"journal-{first:012d}.jsonl"


def header(pool_id: str, first: int) -> bytes:
    """The first line of a journal."""
    return _line({"journal": _FORMAT, "pool": pool_id, "first": first})


class JournalWriter:
    """Appends records to a journal whose end is known.

    Args:
        path: The journal, which exists.
        size: Its bytes up to the end of the last whole record; what comes after is cut off.
        next_record: The number of the next one.

    Raises:
        PoolError: If it can't be opened.
    """

    def __init__(self, path: Path, *, size: int, next_record: int) -> None:
        self.path = path
        self.size = size
        self._next = next_record
        self._refusal: str | None = None
        try:
            self._file = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise PoolError(f"{path}: can't be opened: {error.strerror or error}") from error
        self.close = weakref.finalize(self, os.close, self._file)
        try:
            if os.fstat(self._file).st_size > size:
                os.ftruncate(self._file, size)
                os.fsync(self._file)
            os.lseek(self._file, size, os.SEEK_SET)
        except OSError as error:
            self.close()
            raise PoolError(f"{path}: can't be written: {error.strerror or error}") from error

    def append(self, changes: Sequence[Change]) -> Record:
        """Write a record; it is on disk when this returns.

        Raises:
            PoolError: If it can't be written. The journal is as it was, or this writer refuses to
                go on.
        """
        if self._refusal is not None:
            raise PoolError(self._refusal)
        line = memoryview(_line({"record": self._next, "changes": changes}))
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            self._give_up(error, complete=written == len(line))
        self.size += len(line)
        self._next += 1
        return Record(self._next - 1, changes)

    def _give_up(self, error: OSError, *, complete: bool) -> None:
        reason = f"{self.path}: can't be written: {error.strerror or error}"
        doubt = f"{reason}; what is on disk is uncertain, so close the pool and open it again"
        if complete:
            # After a failed fsync nobody knows what is on disk, and a second one may claim success.
            self._refusal = doubt
            raise PoolError(doubt) from error
        try:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
        except OSError:
            self._refusal = doubt
        raise PoolError(f"{reason}; the pool is as it was") from error


class JournalReader:
    """Reads a journal from its beginning, and later what was written since.

    Args:
        path: The journal.
        pool_id: Of the pool that it belongs to.
        first: The number of its first record.

    Raises:
        PoolError: If it isn't that journal, or can't be read.
        FileNotFoundError: If there is none.
    """

    def __init__(self, path: Path, *, pool_id: str, first: int) -> None:
        self.path = path
        self.first = first
        self.offset = 0
        """Bytes up to the end of the last whole record."""
        self.next_record = first
        self._ended = False
        try:
            self._file = path.open("rb")
            self.close = weakref.finalize(self, self._file.close)
            line = self._file.readline()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise PoolError(f"{path}: can't be read: {error.strerror or error}") from error
        if line != header(pool_id, first):
            self.close()
            raise damaged(path, 0, "its first line isn't that of this journal of this pool", kept=None)
        self.offset = len(line)

    @property
    def size(self) -> int:
        """Bytes of the file now, whether whole records or not."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, *, ended: bool) -> Iterator[Record]:
        """Whole records that weren't read before.

        Args:
            ended: Whether the writer is done with this journal, so that nothing may be torn.

        Raises:
            PoolError: If the journal is damaged, with file, byte, reason and what can be done.
        """
        self._ended = ended
        try:
            self._file.seek(0, os.SEEK_END)  # forgets what was buffered: a torn end may be another by now
            self._file.seek(self.offset)
            while line := self._file.readline():
                if self._is_torn(line):
                    if ended:
                        raise self._damaged("it ends within a record, though another journal follows")
                    return
                yield self._record(line)
                self.offset += len(line)  # once the record was taken
                self.next_record += 1
        except OSError as error:
            raise PoolError(f"{self.path}: can't be read: {error.strerror or error}") from error

    def _is_torn(self, line: bytes) -> bool:
        """Tell whether a line is what a crash may leave of the last write."""
        if not line.endswith(b"\n"):
            # Whole but for the newline's bits: the write had come to its end.
            return _checked(line[:-1]) is None
        return _UNWRITTEN in line and self._file.tell() == self.size

    def _record(self, line: bytes) -> Record:
        body = _checked(line[:-1])
        if body is None or not line.endswith(b"\n"):
            raise self._damaged("its checksum doesn't fit")
        if body.get("record") != self.next_record or not isinstance(body.get("changes"), list):
            raise self._damaged(f"record {self.next_record} is expected there, got {body.get('record')!r}")
        return Record(self.next_record, body["changes"])

    def _damaged(self, reason: str) -> PoolError:
        # Cutting a journal short helps if it is the last one only.
        return damaged(self.path, self.offset, reason, kept=None if self._ended else self.next_record - 1)


def damaged(path: Path, offset: int, reason: str, *, kept: int | None) -> PoolError:
    """What to say of damage in a journal.

    Args:
        path: The journal.
        offset: Byte of the record that can't be used.
        reason: Why.
        kept: The number of the last record before it; None if that can't be told.
    """
    remedy = "restore the pool's folder from a backup"
    if kept is not None:
        remedy += (
            f"; to go on with what was recorded before (up to record {kept}) and lose all that came "
            f"after, cut the file there: truncate -s {offset} {path}"
        )
    return PoolError(f"{path}, byte {offset}: damaged journal: {reason}; {remedy}")


def _line(body: Any) -> bytes:
    text = json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _checked(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line without its newline; None if the checksum doesn't fit."""
    text = line[_CHECKSUM:]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(text):
        return None
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
