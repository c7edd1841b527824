"""How long `ggm data` takes, and how much memory, on 3,000, 30,000 and 300,000 posts.

The posts are made here: hashtags of one to three English words with a Zipf distribution, a hundredth
of the rows bad, and a few dozen small videos that the posts share, one of them damaged. Each command
runs in a process of its own; its memory is the largest sum of the resident sets of all its
processes, read from /proc every 20 ms. Fails if one takes a gibibyte.

    python benchmarks/corpus_scale.py [--sizes 3000 30000 300000] [--formats jsonl parquet]
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import wordninja
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from ggm.corpus import parquet
from ggm.corpus.render import SIDE, write_video

SIZES = (3_000, 30_000, 300_000)
FORMATS = ("jsonl", "parquet")
MAX_BYTES = 1024**3
VIDEOS = 36
HASHTAGS = 100_000
BAD_ROW = 100  # one row of so many
POLL_SECONDS = 0.02


def make_videos(folder: Path) -> None:
    """Small clips of half a second; the last is cut off."""
    folder.mkdir(parents=True)
    for number in range(VIDEOS):
        frames = []
        for step in range(4):
            frame = Image.new("RGB", (SIDE, SIDE), (number * 7 % 256, 90, 160))
            ImageDraw.Draw(frame).rectangle((8 * step, number, 8 * step + 90, number + 90), fill="white")
            frames.append(frame)
        write_video(iter(frames), folder / f"{number}.mp4")
    last = folder / f"{VIDEOS - 1}.mp4"
    last.write_bytes(last.read_bytes()[:200])


def make_rows(size: int) -> Iterator[dict[str, Any]]:
    """The rows of a manifest, bad ones among them."""
    chance = random.Random(0)
    listed = Path(wordninja.__file__).with_name("wordninja") / "wordninja_words.txt.gz"
    words = [word for word in gzip.decompress(listed.read_bytes()).decode().split()[:20_000] if len(word) > 2]
    hashtags = ["".join(chance.choices(words, k=chance.choice((1, 1, 1, 2, 2, 3)))) for _ in range(HASHTAGS)]
    hashtags = [tag.title() if n % 10 == 0 else tag for n, tag in enumerate(hashtags)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(HASHTAGS)))
    start = datetime(2015, 1, 1, tzinfo=UTC)
    for number in range(size):
        tags = [hashtags[bisect(weights, chance.random() * weights[-1])] for _ in range(chance.randint(1, 7))]
        description = chance.choices(words, k=chance.randint(0, 14))
        row = {
            "id": f"post-{number:07}",
            # The damaged one is rare.
            "video": f"videos/{VIDEOS - 1 if number % 500 == 7 else number % (VIDEOS - 1)}.mp4",
            "description": " ".join([*description, *tags[:1]] if number % 5 == 0 else description),
            "hashtags": tags,
            "author": f"author-{int(chance.paretovariate(0.6)) % max(1, size // 10)}",
            "created_at": (start + timedelta(seconds=chance.randrange(10**8))).isoformat(),
        }
        if number % BAD_ROW == 50:
            odd = ({"hashtags": []}, {"id": "post-0000000"}, {"video": "videos/none.mp4"}, {"video": ""})
            row |= odd[number // BAD_ROW % len(odd)]
        yield row


def make_corpus(folder: Path, size: int, kind: str) -> None:
    make_videos(folder / "videos")
    if kind == "parquet":
        parquet.write_rows(make_rows(size), folder / "manifest.parquet")
        return
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number, row in enumerate(make_rows(size)):
            line = json.dumps(row)
            manifest.write((line[: len(line) // 2] if number % BAD_ROW == 99 else line) + "\n")


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak_bytes: int


def run(*arguments: object) -> Cost:
    """Run a command of ggm and watch it and its children."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "ggm", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident_bytes(process.pid))
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    errors = process.stderr.read()
    assert process.returncode == 0, f"{arguments}: {errors}"
    assert peak < MAX_BYTES, f"{arguments}: {peak:,} bytes"
    return Cost(seconds, peak)


def resident_bytes(pid: int) -> int:
    """Resident set of a process and of all that descend from it."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total = int(line.split()[1]) * 1024
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, ValueError):  # it ended meanwhile
        return total
    return total + sum(map(resident_bytes, children))


def measure(folder: Path, size: int) -> Iterator[tuple[str, Cost]]:
    """Each step on what the one before made."""
    unseen = min(500, size // 100)
    checked, kept = folder / "checked", folder / "filtered"
    yield "check", run("data", "check", folder, "--out", checked)
    yield "check again", run("data", "check", folder, "--out", checked)
    yield "filter", run("data", "filter", checked, "--out", kept)
    split = ("data", "split", kept, "--out")
    yield f"split, random, {unseen} unseen", run(*split, folder / "random", "--unseen", unseen)
    yield "split, time", run(*split, folder / "time", "--by", "time")
    yield "split, author", run(*split, folder / "author", "--by", "author")
    yield "split, near-duplicates", run(*split, folder / "near", "--by", "near-duplicates")
    yield "stats", run("data", "stats", folder / "random", "--out", folder / "stats")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--formats", nargs="+", default=FORMATS, choices=FORMATS)
    arguments = parser.parse_args()
    costs: dict[str, dict[tuple[str, int], Cost]] = {}
    progress = Console(stderr=True)
    for kind, size in itertools.product(arguments.formats, arguments.sizes):
        with tempfile.TemporaryDirectory() as folder:
            make_corpus(Path(folder), size, kind)
            for step, cost in measure(Path(folder), size):
                name = "split, random + unseen" if "unseen" in step else step
                costs.setdefault(name, {})[kind, size] = cost
                progress.print(
                    f"{kind} {size:,} {step}: {cost.seconds:.1f} s, {cost.peak_bytes / 2**20:.0f} MiB"
                )
    report(costs, arguments.formats, arguments.sizes)


def report(costs: dict[str, dict[tuple[str, int], Cost]], kinds: list[str], sizes: list[int]) -> None:
    console = Console(width=150)
    for kind in kinds:
        table = Table("step", box=None, padding=(0, 1), title=f"{kind}: seconds, posts/s, peak MiB")
        for size in sizes:
            table.add_column(f"{size:,} posts", justify="right")
        for step, row in costs.items():
            cells = []
            for size in sizes:
                cost = row[kind, size]
                rate = f"{size / cost.seconds:,.0f}/s"
                cells.append(f"{cost.seconds:7.1f} s {rate:>9} {cost.peak_bytes / 2**20:5.0f} MiB")
            table.add_row(step, *cells)
        console.print(table)


if __name__ == "__main__":
    main()
