"""How fast is the feature cache, beside a file for each video, and how fast does it start?

Features have the compact profile's sizes (4 frames of 49 tokens of 1,280 channels: a clip of two
seconds) and random content. Reading is measured cold, as far as the system drops the files' pages
when asked to, and again warm.

    python benchmarks/feature_cache.py [--posts 5000] [--frames 4] [--shards 10000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors import safe_open
from safetensors.numpy import save

from ggm.features.store import ArrayStore

Arrays = dict[str, np.ndarray]
POOLED = ("frame_embeddings", "frame_pooled")


class FilePerVideo:
    """The layout before: one safetensors file a video, checksums in its header, read whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, arrays: Arrays) -> None:
        target = self.folder / key[:2] / f"{key}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        sums = {name: zlib.crc32(array.data) for name, array in arrays.items()}
        descriptor, name = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(save(arrays, metadata={"crc32": json.dumps(sums)}))
        Path(name).replace(target)

    def get(self, key: str, names: tuple[str, ...] | None = None) -> Arrays:
        with safe_open(self.folder / key[:2] / f"{key}.safetensors", framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            sums = json.loads(file.metadata()["crc32"])
        assert sums == {name: zlib.crc32(array.data) for name, array in arrays.items()}
        return arrays if names is None else {name: arrays[name] for name in names}

    def close(self) -> None:
        pass


class TwoStores:
    """The layout now: pooled features and tokens in stores of their own, as in `FeatureCache`."""

    def __init__(self, folder: Path) -> None:
        self.pooled, self.tokens = ArrayStore(folder / "pooled"), ArrayStore(folder / "tokens")

    def put(self, key: str, arrays: Arrays) -> None:
        self.tokens.put(key, {"frame_tokens": arrays["frame_tokens"]})
        self.pooled.put(key, {name: arrays[name] for name in POOLED})

    def get(self, key: str, names: tuple[str, ...] | None = None) -> Arrays:
        pooled = self.pooled.get(key)
        tokens = {} if names == POOLED else self.tokens.get(key)
        assert pooled is not None
        assert tokens is not None
        return pooled | tokens

    def close(self) -> None:
        self.pooled.close()
        self.tokens.close()


def features(index: int, frames: int) -> Arrays:
    random = np.random.default_rng(index)
    return {
        "frame_embeddings": random.random((frames, 384), np.float32),
        "frame_pooled": random.random((frames, 1280), np.float32),
        "frame_tokens": random.random((frames, 49, 1280), np.float32).astype(np.float16),
    }


def key_of(index: int) -> str:
    return f"{zlib.crc32(str(index).encode()):08x}{index:032x}"


def forget_pages(folder: Path) -> None:
    """Have the system drop what it holds of these files in memory."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(make: type[FilePerVideo] | type[TwoStores], folder: Path, posts: int, frames: int) -> list[str]:
    """Seconds of writing, and of reading cold and warm: the pooled part of all, tokens of some at random."""
    made = [features(index, frames) for index in range(200)]  # so that making them isn't measured
    writer = make(folder)

    def write() -> None:
        for index in range(posts):
            writer.put(key_of(index), made[index % len(made)])
        writer.close()
        os.sync()

    written = seconds(write)
    drawn = np.random.default_rng(0).integers(0, posts, 1000).tolist()

    def read(names: tuple[str, ...] | None, indices: list[int]) -> Iterator[float]:
        forget_pages(folder)
        reader = make(folder)  # checksums are looked at in the first pass
        for _ in ("cold", "warm"):
            yield seconds(lambda: [reader.get(key_of(index), names) for index in indices])
        reader.close()

    pooled, tokens = list(read(POOLED, list(range(posts)))), list(read(None, drawn))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    files = sum(path.is_file() for path in folder.rglob("*"))
    return [
        f"{files:,}",
        f"{size / 1e9:.2f}",
        f"{written:.1f} ({size / 1e6 / written:,.0f} MB/s)",
        *(f"{value:.2f} ({1e6 * value / posts:,.0f} µs each)" for value in pooled),
        *(f"{value:.2f} ({1e6 * value / len(drawn):,.0f} µs each)" for value in tokens),
    ]


def start(folder: Path, shards: int, entries: int) -> tuple[float, float, float]:
    """Seconds that a new process takes to know all entries, cold and warm, and bytes of memory an entry."""
    with ArrayStore(folder, shard_bytes=entries * 64) as store:
        for index in range(shards * entries):
            store.put(
                key_of(index), {"frame_embeddings": np.zeros(8, np.float32), "frame_pooled": np.zeros(8)[:4]}
            )
    code = (
        "import sys, time, tracemalloc\nfrom ggm.features.store import ArrayStore\n"
        "if sys.argv[2:]: tracemalloc.start()\n"
        "started = time.perf_counter(); store = ArrayStore(sys.argv[1]); store.refresh()\n"
        "print(time.perf_counter() - started, len(store), tracemalloc.get_traced_memory()[0])"
    )

    def run(*arguments: str) -> list[float]:
        command = [sys.executable, "-c", code, str(folder), *arguments]
        return [float(word) for word in subprocess.check_output(command, text=True).split()]

    forget_pages(folder)
    cold, warm, traced = run(), run(), run("traced")
    assert cold[1] == shards * entries
    return cold[0], warm[0], traced[2] / traced[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posts", type=int, default=5000)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=30, help="of each of these shards")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    console = Console(width=150)
    columns = (
        "files",
        "GB",
        "write, s",
        "pooled of all, cold, s",
        "warm",
        "1,000 at random, cold, s",
        "warm",
    )
    table = Table("layout", *columns, box=None, padding=(0, 1))
    for name, make in (("a file a video", FilePerVideo), ("shards", TwoStores)):
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            table.add_row(name, *measure(make, folder, arguments.posts, arguments.frames))
        finally:
            shutil.rmtree(folder)
    console.print(f"{arguments.posts:,} posts of {arguments.frames} frames")
    console.print(table)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        cold, warm, memory = start(folder, arguments.shards, arguments.entries)
    finally:
        shutil.rmtree(folder)
    console.print(
        f"start with {arguments.shards:,} shards of {arguments.entries} entries: {cold:.2f} s cold, "
        f"{warm:.2f} s warm, {memory:.0f} bytes of memory an entry"
    )


if __name__ == "__main__":
    main()
