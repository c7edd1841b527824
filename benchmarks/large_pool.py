"""Ten million hashtags: codes of four bits in memory, vectors as float16 in a file; adding while searching.

    python benchmarks/large_pool.py                     10,000,000 x 512: 10 GB of disk, 1 GB of memory
    python benchmarks/large_pool.py --size 100000

In float32 they would take 20 GiB, which an exact search has to read whole for each query. Here the codes
propose, and the vectors of what they propose, read from the file, say what is closest. Adding and
searching take turns, as FAISS has it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BLOCK, WIDTH, TOP, QUERIES = 100_000, 512, 50, 100
TRAINED_ON = 65_536
ADDED = 1_000


def blocks(size: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Unit vectors in clusters, float16, a block at a time."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((min(50_000, max(16, size // 200)), WIDTH)).astype(np.float32)
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        vectors = centres[rng.integers(len(centres), size=count)]
        vectors += 0.7 * rng.standard_normal((count, WIDTH), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield vectors.astype(np.float16)


class LargePool:
    """Codes in memory, vectors in a file.

    Args:
        path: Of the file, which is written.
        size: Hashtags, without those that are added later.
    """

    def __init__(self, path: Path, size: int) -> None:
        import faiss

        self.vectors = np.memmap(path, np.float16, "w+", shape=(size + ADDED, WIDTH))
        self.index: Any = faiss.index_factory(WIDTH, f"PQ{WIDTH // 4}x4fs", faiss.METRIC_INNER_PRODUCT)
        self.lock = threading.Lock()
        self.size = 0

    def add(self, vectors: np.ndarray) -> None:
        """Write behind the last row; the first block trains the codes."""
        if not self.index.is_trained:
            self.index.train(vectors[:TRAINED_ON].astype(np.float32))
        with self.lock:
            self.vectors[self.size : self.size + len(vectors)] = vectors
            self.index.add(vectors.astype(np.float32))
            self.size += len(vectors)

    def search(self, query: np.ndarray, *, candidates: int) -> np.ndarray:
        """The best rows for one query (E,)."""
        with self.lock:
            _, found = self.index.search(query[None], candidates * TOP)
        rows = np.sort(found[0])  # in the order of the file
        similarities = self.vectors[rows].astype(np.float32) @ query
        return rows[np.argsort(-similarities, kind="stable")[:TOP]]


def measure(size: int, folder: Path) -> list[str]:
    """Lines of Markdown."""
    pool = LargePool(folder / "vectors.bin", size)
    rng = np.random.default_rng(1)
    started, queries, best = time.perf_counter(), None, None
    for vectors in blocks(size):
        pool.add(vectors)
        wide = vectors.astype(np.float32)
        if queries is None:
            queries = wide[rng.integers(len(wide), size=QUERIES)]
            queries = queries + 0.03 * rng.standard_normal(queries.shape).astype(np.float32)
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        best = _merged(best, queries @ wide.T, first=pool.size - len(vectors))
    assert queries is not None
    assert best is not None
    truth = [set(rows.tolist()) for rows in best[1]]
    lines = [
        f"### {size:,} hashtags, width {WIDTH}, top {TOP}",
        "",
        f"Codes {size * WIDTH / 8 / 1e9:.2f} GB in memory, vectors {size * WIDTH * 2 / 1e9:.1f} GB (float16) "
        "in a file, of which the system keeps what fits; built and compared in "
        f"{time.perf_counter() - started:.0f} s.",
        "",
        "| candidates for each that is wanted | p50, ms | p99, ms | recall@50 |",
        "| --- | --- | --- | --- |",
    ]
    for candidates in (8, 32):
        taken, hits = [], 0
        for query, expected in zip(queries, truth, strict=True):
            begun = time.perf_counter()
            found = pool.search(query, candidates=candidates)
            taken.append(1000 * (time.perf_counter() - begun))
            hits += len(expected & set(found.tolist()))
        p50, p99 = np.percentile(taken, [50, 99])
        lines.append(f"| {candidates} | {p50:.1f} | {p99:.1f} | {hits / TOP / len(queries):.3f} |")
    return [*lines, "", *_while_adding(pool, queries)]


def _merged(
    best: tuple[np.ndarray, np.ndarray] | None, similarities: np.ndarray, *, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best rows so far and their similarities, each (queries, top)."""
    kept = min(TOP, similarities.shape[1])
    rows = np.argpartition(-similarities, kept - 1, axis=1)[:, :kept]
    values = np.take_along_axis(similarities, rows, axis=1)
    rows = rows + first
    if best is not None:
        values, rows = np.hstack([best[0], values]), np.hstack([best[1], rows])
    order = np.argsort(-values, axis=1, kind="stable")[:, :TOP]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _while_adding(pool: LargePool, queries: np.ndarray) -> list[str]:
    """One thread adds 1,000 hashtags one by one, another one searches meanwhile."""
    (fresh,) = blocks(ADDED, seed=2)
    adds: list[float] = []

    def add() -> None:
        for vector in fresh:
            begun = time.perf_counter()
            pool.add(vector[None])
            adds.append(1000 * (time.perf_counter() - begun))

    thread = threading.Thread(target=add)
    searches: list[float] = []
    thread.start()
    while thread.is_alive() or not searches:
        begun = time.perf_counter()
        pool.search(queries[len(searches) % len(queries)], candidates=8)
        searches.append(1000 * (time.perf_counter() - begun))
    thread.join()
    first = pool.size - ADDED
    found = [first + row in pool.search(fresh[row].astype(np.float32), candidates=8) for row in range(20)]
    (add_50, add_99), (search_50, search_99) = (np.percentile(times, [50, 99]) for times in (adds, searches))
    return [
        f"Adding {ADDED:,} hashtags one by one while another thread searches: an add takes {add_50:.1f} ms "
        f"(p50), {add_99:.1f} ms (p99), a search meanwhile {search_50:.1f} and {search_99:.1f} ms; of 20 "
        f"that were added {sum(found)} are found by their own vectors."
    ]


def main() -> None:
    """Measure one size, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="Where the file of vectors is for a while.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print("\n".join(measure(options.size, Path(folder))))


if __name__ == "__main__":
    main()
