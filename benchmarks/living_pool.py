"""How fast is a living pool while it changes? Random vectors; every add is on disk when it counts.

In brackets: the CPU time of the thread, at the median.

python benchmarks/living_pool.py --sizes 10000 100000 1000000 --width 512
"""

from __future__ import annotations

import argparse
import math
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ggm.pool import LivingPool
from ggm.retriever import HashtagPool

BATCH = 4096
THREADS = 16


def name(number: int) -> str:
    return "tag" + "".join(chr(97 + int(digit)) for digit in str(number))


class Bench:
    """A pool of one size, and what is measured of it."""

    def __init__(self, folder: Path, size: int, width: int) -> None:
        self.draw = np.random.default_rng(0)
        self.size, self.width, self.folder = size, width, folder
        self.next = size
        self.lock = threading.Lock()
        started = time.perf_counter()
        LivingPool.create(folder, HashtagPool(embedding_dim=width, retriever_fingerprint="random")).close()
        with LivingPool.open(folder) as pool:
            for start in range(0, size, BATCH):
                texts = [name(number) for number in range(start, min(start + BATCH, size))]
                pool.add(texts, self.vectors(len(texts)))
            self.build_seconds = Seconds(time.perf_counter() - started)
            self.compact_seconds = timed(pool.compact)
        self.open_seconds = timed(self.open)

    def open(self) -> None:
        self.pool = LivingPool.open(self.folder)

    def vectors(self, count: int) -> np.ndarray:
        return self.draw.standard_normal((count, self.width), np.float32)

    def add(self) -> None:
        with self.lock:
            self.next += 1
            text, vector = name(self.next), self.vectors(1)
        self.pool.add([text], vector)

    def search(self) -> None:
        with self.lock:
            query = self.vectors(1)[0]
        self.pool.search(query, 50)

    def added_bytes(self) -> int:
        """The most memory that one add takes; a new chunk, taken now and then, aside."""
        peaks = []
        for _ in range(5):
            tracemalloc.start()
            self.add()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return sorted(peaks)[len(peaks) // 2]

    @contextmanager
    def meanwhile(self, work: Callable[[], None]) -> Iterator[list[Seconds]]:
        """Another thread that works until the block ends, and how long each time took."""
        done, times = threading.Event(), []

        def repeat() -> None:
            while not done.is_set():
                times.append(timed(work))

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield times
        finally:
            done.set()
            thread.join()

    def adds_a_second(self, seconds: float = 3.0) -> float:
        """By many threads at once, which share what is synced."""
        end, counts = time.perf_counter() + seconds, [0] * THREADS

        def repeat(thread: int) -> None:
            while time.perf_counter() < end:
                self.add()
                counts[thread] += 1

        threads = [threading.Thread(target=repeat, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / seconds


class Seconds(float):
    """How long it took, and how long this thread computed, which a busy machine changes less."""

    cpu: float = math.nan


def timed(work: Callable[[], object]) -> Seconds:
    started, cpu_started = time.perf_counter(), time.thread_time()
    work()
    cpu = time.thread_time() - cpu_started
    seconds = Seconds(time.perf_counter() - started)
    seconds.cpu = cpu
    return seconds


def shown(times: list[Seconds]) -> str:
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    cpu = np.median([seconds.cpu for seconds in times]) * 1000
    return f"{p50:.1f} / {p99:.1f} ({cpu:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=100, help="Searches and adds that are timed.")
    arguments = parser.parse_args()
    table = Table("", *(f"{size:,}" for size in arguments.sizes), box=None, padding=(0, 2))
    rows: dict[str, list[str]] = {}

    def row(title: str, value: str) -> None:
        rows.setdefault(title, []).append(value)
        Console(stderr=True).print(f"{title}: {value}")

    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder) / "pool", size, arguments.width)
            row("build, s", f"{bench.build_seconds:.1f}")
            row("compact (CPU), s", f"{bench.compact_seconds:.1f} ({bench.compact_seconds.cpu:.1f})")
            row("open (CPU), s", f"{bench.open_seconds:.1f} ({bench.open_seconds.cpu:.1f})")
            row("memory of an add, KB", f"{bench.added_bytes() / 1000:,.0f}")
            row("add p50 / p99 (CPU), ms", shown([timed(bench.add) for _ in range(arguments.repeat)]))
            row(f"adds a second, {THREADS} threads", f"{bench.adds_a_second():,.0f}")
            row("search p50 / p99 (CPU), ms", shown([timed(bench.search) for _ in range(arguments.repeat)]))
            with bench.meanwhile(bench.add) as adds:
                searches = [timed(bench.search) for _ in range(arguments.repeat)]
            row("search while adding p50 / p99 (CPU), ms", shown(searches))
            row("add while searching p50 / p99 (CPU), ms", shown(adds))
            with bench.meanwhile(bench.search) as searches, bench.meanwhile(bench.add) as adds:
                bench.pool.compact()
                time.sleep(0.5)
            row("search while compacting p50 / p99 (CPU), ms", shown(searches))
            row("add while compacting p50 / p99 (CPU), ms", shown(adds))
            bench.pool.close()
    for title, values in rows.items():
        table.add_row(title, *values)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
