"""Keeping a folder of shards within its size: the least recently used ones go.

A shard's time of change is when it was last used, see `touch`. A removed shard that a process has
open stays readable for it, and takes space until it is closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ggm.features.shards import PARTIAL_SUFFIX, SUFFIX

_ABANDONED_SECONDS: Final = 3600.0


def make_room(folder: Path, num_bytes: int, *, max_bytes: int) -> list[str]:
    """Remove the least recently used shards until so many bytes fit below the limit.

    Args:
        folder: Of the shards.
        num_bytes: Size of what is going to be written, at most `max_bytes`.
        max_bytes: Of all shards together.

    Returns:
        Names of the removed shards.

    Raises:
        OSError: If the folder can't be read.
    """
    with _locked(folder):
        used = sorted(_used(folder))
        total = sum(size for _, _, size in used)
        removed = []
        for _, name, size in used:
            if total + num_bytes <= max_bytes:
                break
            remove(folder / name)
            removed.append(name)
            total -= size
    return removed


def touch(path: Path) -> None:
    """Note that a shard was used; nothing happens where that can't be written."""
    with contextlib.suppress(OSError):
        os.utime(path)


def remove(path: Path) -> None:
    """Remove a file if that is possible; another process may have."""
    with contextlib.suppress(OSError):
        path.unlink()


def remove_abandoned(folder: Path) -> None:
    """Remove what writers that were killed an hour ago or earlier left half-written."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _used(folder: Path) -> Iterator[tuple[int, str, int]]:
    """Time of last use, name and size of each shard."""
    with os.scandir(folder) as files:
        for file in files:
            if file.name.endswith(SUFFIX):
                with contextlib.suppress(FileNotFoundError):
                    status = file.stat()
                    yield status.st_mtime_ns, file.name, status.st_size


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, where the file system has locks; else two may remove more than needed."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
