"""Entries and files of a feature store, for its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ggm.features import shards
from ggm.features.shards import SUFFIX
from ggm.features.store import ArrayStore


def entry(number: int, *, size: int = 100) -> dict[str, np.ndarray]:
    return {
        "small": np.array([number, number + 1]),
        "large": np.full(size, number % 251, np.uint8),
    }


def same(found: Any, expected: Any) -> bool:
    return (
        found is not None
        and found.keys() == expected.keys()
        and all(
            found[name].dtype == array.dtype
            and found[name].shape == array.shape
            and found[name].tobytes() == array.tobytes()
            for name, array in expected.items()
        )
    )


def fill(folder: Path, numbers: Iterator[int] | range, *, size: int = 100, each: int = 10) -> None:
    """Shards of some entries each."""
    with ArrayStore(folder) as writer:
        for count, number in enumerate(numbers, start=1):
            writer.put(str(number), entry(number, size=size))
            if count % each == 0:
                writer.flush()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def position_of(file: Path, content: bytes) -> int:
    (place,) = [i for i in range(file.stat().st_size) if file.read_bytes()[i : i + len(content)] == content]
    return place


def open_files() -> int:
    """Of this process; 0 where the system doesn't say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


HUGE = {"format": shards.FORMAT, "entries": "4000000000", "arrays": "1", "bytes": "9"}


def header(text: str) -> bytes:
    """The beginning of a shard."""
    return len(text).to_bytes(8, "little") + text.encode() + bytes(100)


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 16
    file.write_bytes(content)
