"""How well and how fast does a pool in Milvus answer, beside the exact one?

The hashtags' vectors are drawn around centres that are drawn around others, as meanings lie, not evenly;
queries lie near them. Times are p50 / p99 of the time that passed, in brackets the CPU time of the
process at the median. Each pool is measured in a process of its own, whose memory is told.

python benchmarks/shared_pool.py --size 1000000 --width 512 --index flat
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ggm.pool import open_pool
from ggm.pool.migrate import migrate
from ggm.retriever.pool import write_pool

TOP_K = 50
BLOCK = 8192


def name(number: int) -> str:
    return "tag" + "".join(chr(97 + int(digit)) for digit in str(number))


class World:
    """Vectors that lie in clusters of clusters."""

    def __init__(self, width: int) -> None:
        self.draw = np.random.default_rng(0)
        broad = self.draw.standard_normal((64, width), np.float32)
        self.centres = np.repeat(broad, 64, axis=0) + self.draw.standard_normal((4096, width), np.float32)

    def vectors(self, count: int) -> np.ndarray:
        own = self.centres[self.draw.integers(len(self.centres), size=count)]
        return own + self.draw.standard_normal(own.shape, np.float32)


def measured(work: Callable[[], Any], times: int) -> tuple[list[float], list[float], list[Any]]:
    passed, computed, answers = [], [], []
    for _ in range(times):
        started, cpu = time.perf_counter(), time.process_time()
        answers.append(work())
        passed.append(time.perf_counter() - started)
        computed.append(time.process_time() - cpu)
    return passed, computed, answers


def measure(where: str, queries: np.ndarray, out: Path) -> None:
    """Open a pool, search it, add to it; in a process of its own."""
    world = World(queries.shape[1])
    started = time.perf_counter()
    with open_pool(where) as pool:
        opened = time.perf_counter() - started
        rows = iter(queries)
        pool.search(queries[0], TOP_K)
        passed, computed, answers = measured(lambda: pool.search(next(rows), TOP_K), len(queries))
        found = [[hit.text for hit in hits] for hits in answers]
        vectors = world.vectors(20)
        numbers = iter(range(20))

        def add() -> None:
            number = next(numbers)
            pool.add([f"fresh{name(number)}"], vectors[number : number + 1])

        added, added_cpu, _ = measured(add, 20)
        again, again_cpu, _ = measured(lambda: pool.search(queries[0], TOP_K), 5)
    out.write_text(
        json.dumps(
            {
                "open": opened,
                "search": passed,
                "search_cpu": computed,
                "add": added,
                "add_cpu": added_cpu,
                "after": again,
                "after_cpu": again_cpu,
                "found": found,
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def build(target: str, source: str, index: str, out: Path) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    migrate(source, target, index=index)
    out.write_text(json.dumps([time.perf_counter() - started, time.process_time() - cpu]))


def apart(work: Callable[..., None], *arguments: Any) -> Any:
    """What a process of its own writes into its last argument."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        process = multiprocessing.get_context("spawn").Process(target=work, args=(*arguments, out))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{work.__name__} ended with {process.exitcode}")
        return json.loads(out.read_text())


def times(seconds: list[float], cpu: list[float]) -> str:
    half, most = np.percentile(seconds, [50, 99]) * 1000
    return f"{half:,.1f} / {most:,.1f} ({np.percentile(cpu, 50) * 1000:,.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--index", nargs="+", default=["flat"], choices=["flat", "hnsw"])
    options = parser.parse_args()
    console = Console(width=140)
    world = World(options.width)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pool.safetensors"
        stored = np.empty((options.size, options.width), np.float16)
        for start in range(0, options.size, BLOCK):
            vectors = world.vectors(min(BLOCK, options.size - start))
            stored[start : start + BLOCK] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        write_pool(file, [name(n) for n in range(options.size)], stored, retriever_fingerprint="random")
        del stored
        queries = world.vectors(options.queries)
        columns = ("build, s", "open, s", "search, ms", "add, ms", "search then, ms", "MB", "recall")
        table = Table("pool", *columns)
        exact: list[list[str]] = []
        places = {"exact, in a folder": (str(Path(folder) / "living"), "flat")}
        places |= {f"Milvus Lite, {i}": (f"milvus:{folder}/{i}.db", i) for i in options.index}
        for title, (where, index) in places.items():
            seconds, cpu = apart(build, where, str(file), index)
            console.print(f"{title}: built in {seconds:,.0f} s ({cpu:,.0f})")
            found = apart(measure, where, queries)
            exact = exact or found["found"]
            pairs = zip(exact, found["found"], strict=True)
            recall = np.mean([len(set(a) & set(b)) / len(a) for a, b in pairs])
            table.add_row(
                title,
                f"{seconds:,.0f} ({cpu:,.0f})",
                f"{found['open']:,.1f}",
                times(found["search"], found["search_cpu"]),
                times(found["add"], found["add_cpu"]),
                times(found["after"], found["after_cpu"]),
                f"{found['memory_mb']:,.0f}",
                f"{recall:.4f}",
            )
            console.print(table)


if __name__ == "__main__":
    main()
