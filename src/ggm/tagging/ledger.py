"""What was written into a folder, remembered before it is written: an append-only file of JSON lines.

Each write of a sidecar is first a line here, with the digest of the file before and after and with what
takes it back. So a run that is killed at any moment leaves a sidecar that is either of the two, and the
digest tells which. A line that was cut off by a crash is the last one, and its sidecar was not written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from ggm.corpus.atomic import lock_file
from ggm.errors import DataError
from ggm.tagging.edits import Reversal
from ggm.tagging.files import write
from ggm.tagging.finding import Kind

VERSION: Final = 1
_NAME: Final = "tagged.jsonl"
_LOCK: Final = "lock"
_SLACK: Final = 100  # outdated lines before the file is written anew


@dataclass(frozen=True)
class Entry:
    """One write.

    Args:
        kind: What was written.
        video: Below the folder, with ``/``; for the CSV file itself empty.
        target: The file that was written, likewise; of a row of the CSV file empty.
        stamp: Size and time of change of the video.
        settings: Digest of all that the hashtags follow from besides the video.
        hashtags: As they were written, without number signs.
        scores: Of each, 0 to 1.
        base: Digest of what undoing gives; None if the file wasn't there.
        before: Digest of what the write took the place of; None if nothing was there.
        after: Digest of what was written.
        reversal: From that to the base; None if the file wasn't there.
    """

    kind: Kind
    video: str
    target: str
    stamp: tuple[int, int]
    settings: str
    hashtags: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    base: str | None = None
    before: str | None = None
    after: str | None = None
    reversal: Reversal | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = dict(self.__dict__)
        values["reversal"] = None if self.reversal is None else self.reversal.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Entry:
        """The reverse of `to_dict`.

        Raises:
            DataError: If it isn't one.
        """
        try:
            size, changed = values["stamp"]
            reversal = values["reversal"]
            entry = cls(
                kind=values["kind"],
                video=str(values["video"]),
                target=str(values["target"]),
                stamp=(int(size), int(changed)),
                settings=str(values["settings"]),
                hashtags=tuple(map(str, values["hashtags"])),
                scores=tuple(map(float, values["scores"])),
                base=values["base"],
                before=values["before"],
                after=values["after"],
                reversal=None if reversal is None else Reversal.from_dict(reversal),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not an entry: {error}") from error
        if entry.kind not in ("sidecar", "json", "csv"):
            raise DataError(f"not an entry: of kind {entry.kind!r}")
        return entry


Slot = tuple[str, str]  # kind and video


class Ledger:
    """The ledger of one folder. Close it, or use it in a ``with`` block.

    Args:
        state: Folder that it lies in; made when the first entry comes.
        read_only: Whether nothing may be written, not even the lock.

    Raises:
        DataError: If it is damaged or can't be read, or another process has it open.
    """

    def __init__(self, state: Path, *, read_only: bool = False) -> None:
        self._state = state
        self._read_only = read_only
        self._path = state / _NAME
        self._slots: dict[Slot, tuple[Entry, ...]] = {}
        self._lines = 0
        self._file: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        try:
            if state.is_dir() and not read_only:
                self._take()
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process tag the folder."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Entry]:
        """The last entry of each video and kind, and of the CSV file."""
        return (entries[-1] for entries in self._slots.values())

    def last(self, kind: Kind, video: str) -> Entry | None:
        """The last entry of a video; it may not have been written any more."""
        entries = self._slots.get((kind, video))
        return None if entries is None else entries[-1]

    def standing(self, kind: Kind, video: str, digest: str | None) -> Entry | None:
        """The entry that made a file what it is; None if somebody else did.

        Args:
            kind: What.
            video: Of which.
            digest: Of the file as it is; None if it isn't there.
        """
        entries = self._slots.get((kind, video), ())
        return next((entry for entry in reversed(entries) if entry.after == digest), None)

    def append(self, entry: Entry) -> None:
        """Remember a write that is about to happen, durably.

        Raises:
            DataError: If it can't be remembered; then it must not happen.
        """
        self._write({"wrote": entry.to_dict()})
        self._apply(entry)

    def forget(self, kind: Kind, video: str) -> None:
        """Remember that a video's write was taken back.

        Raises:
            DataError: If it can't be written.
        """
        self._write({"undone": [kind, video]})
        self._slots.pop((kind, video), None)

    def remove_if_empty(self) -> None:
        """Take the ledger away when nothing is left to take back; a folder with other files stays."""
        if self._slots or not self._state.is_dir():
            return
        self.close()
        try:
            for name in (_NAME, _LOCK):
                (self._state / name).unlink(missing_ok=True)
            if not any(self._state.iterdir()):
                self._state.rmdir()
        except OSError as error:
            raise DataError(f"{self._state}: can't be removed: {error.strerror or error}") from error

    def _apply(self, entry: Entry) -> None:
        slot = (entry.kind, entry.video)
        # Of those before only that counts on top of which this one was written.
        under = [old for old in self._slots.get(slot, ()) if old.after == entry.before and old.target]
        self._slots[slot] = (*under[-1:], entry)

    def _take(self) -> None:
        try:
            self._lock = (self._state / _LOCK).open("ab")
        except OSError as error:
            raise DataError(f"{self._state}: can't be written: {error.strerror or error}") from error
        if not lock_file(self._lock):
            raise DataError(f"{self._state}: another `ggm tag` is at work on this folder")

    def _load(self) -> None:
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise DataError(f"{self._path}: can't be read: {error.strerror or error}") from error
        lines = content.split(b"\n")
        torn = lines.pop()  # empty, or what a crash left of a line
        for number, line in enumerate(lines, start=1):
            try:
                self._replay(json.loads(line))
            except (ValueError, TypeError, KeyError, DataError) as error:
                raise DataError(
                    f"{self._path}: line {number} is damaged ({error}); put the file aside to go on without "
                    "what it remembers"
                ) from error
        self._lines = len(lines)
        kept = sum(map(len, self._slots.values()))
        if not self._read_only and (torn or self._lines > 2 * kept + _SLACK):
            self._compact()

    def _replay(self, values: dict[str, Any]) -> None:
        if "ledger" in values:
            if values["ledger"] != VERSION:
                raise DataError(f"of version {values['ledger']}, which this ggm doesn't know")
        elif "undone" in values:
            kind, video = values["undone"]
            self._slots.pop((kind, video), None)
        else:
            self._apply(Entry.from_dict(values["wrote"]))

    def _compact(self) -> None:
        entries = [entry for slot in self._slots.values() for entry in slot]
        values: list[dict[str, Any]] = [{"ledger": VERSION}, *({"wrote": e.to_dict()} for e in entries)]
        write(self._path, b"".join(map(_line, values)))
        self._lines = len(values)

    def _write(self, values: dict[str, Any]) -> None:
        try:
            if self._file is None:
                self._state.mkdir(parents=True, exist_ok=True)
                if self._lock is None:
                    self._take()
                self._file = self._path.open("ab")
            if not (size := self._path.stat().st_size):
                self._file.write(_line({"ledger": VERSION}))
            try:
                self._file.write(_line(values))
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError:
                self._file.close()  # what it holds back is lost, as it should be
                self._file = None
                os.truncate(self._path, size)
                raise
        except OSError as error:
            raise DataError(f"{self._path}: can't be written: {error.strerror or error}") from error
        self._lines += 1


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, separators=(",", ":")) + "\n").encode()
