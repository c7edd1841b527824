"""Hashes of files' contents, remembered on disk: hashing many videos again would read them all.

Each process appends to a log of its own; all logs are read at the start. A line that was cut off or
damaged is passed over, and its file hashed again:

    <hash of path, size and time of change> <hash of the content> <CRC-32 of the two>
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zlib
from pathlib import Path
from typing import Final

from ggm.errors import MediaNotFoundError

_STATE_BYTES: Final = 16
_CONTENT_BYTES: Final = 20
_SUFFIX: Final = ".hashes-1"
_YOUNG_NANOSECONDS: Final = 2_000_000_000


class ContentHashes:
    """Hash of a file's bytes, remembered as long as its path, size and time of change are the same.

    Args:
        folder: Of the logs; made when first needed. What can't be written there is not remembered.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._known: dict[bytes, bytes] | None = None
        self._log = self.folder / f"{time.time_ns():020d}-{os.urandom(6).hex()}{_SUFFIX}"

    def hash_of(self, path: Path) -> str:
        """The hash of a file's content, 40 hexadecimal digits.

        Raises:
            MediaNotFoundError: If the file can't be read.
        """
        if self._known is None:
            self._known = self._read_logs()
        try:
            state, _ = _state(path, path.stat())
            known = self._known.get(state)
            return (known or self._hash(path, self._known)).hex()
        except (OSError, ValueError) as error:  # a path with a null character is a ValueError
            reason = getattr(error, "strerror", None) or error
            raise MediaNotFoundError(f"{path}: cannot read the video: {reason}") from error

    def _hash(self, path: Path, known: dict[bytes, bytes]) -> bytes:
        started = time.time_ns()
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_CONTENT_BYTES)).digest()
            after = os.fstat(file.fileno())
        state, changed = _state(path, before)
        if state == _state(path, after)[0]:
            known[state] = digest
            # What changed a moment ago may change again within the same tick of the file system's clock.
            if abs(started - changed) > _YOUNG_NANOSECONDS:
                self._append(state, digest)
        return digest

    def _append(self, state: bytes, digest: bytes) -> None:
        line = f"{state.hex()} {digest.hex()}".encode()
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._log.open("ab", buffering=0) as log:
                log.write(b"%s %08x\n" % (line, zlib.crc32(line)))

    def _read_logs(self) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(OSError), path.open("rb") as log:
                for line in log:
                    if (entry := _parse(line)) is not None:
                        known[entry[0]] = entry[1]
        return known


def _state(path: Path, status: os.stat_result) -> tuple[bytes, int]:
    """Hash of what a file looks like from outside, and when it changed."""
    described = os.fsencode(path.absolute()) + f"\0{status.st_size}\0{status.st_mtime_ns}".encode()
    return hashlib.blake2b(described, digest_size=_STATE_BYTES).digest(), status.st_mtime_ns


def _parse(line: bytes) -> tuple[bytes, bytes] | None:
    """State and content of a whole line, None for any other."""
    body, _, check = line.rstrip(b"\n").rpartition(b" ")
    if check != b"%08x" % zlib.crc32(body):
        return None
    state, _, content = body.partition(b" ")
    try:
        entry = bytes.fromhex(state.decode()), bytes.fromhex(content.decode())
    except ValueError:
        return None
    return entry if (len(entry[0]), len(entry[1])) == (_STATE_BYTES, _CONTENT_BYTES) else None
