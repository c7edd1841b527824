"""Bulk annotation on Ray: what kill -9 leaves of it, and how quick it is beside a plain loop.

    python benchmarks/bulk.py kills corpora/art --out runs/bulk     # 2,000 clips; takes a while
    python benchmarks/bulk.py speed corpora/art                     # a short alternation

`kills` ends a process that decodes, the one that holds the model, and the command itself, each by
SIGKILL, begins again, and counts rows. Ray has two processors: one decodes, one runs the model.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import psutil
from pyarrow import parquet

from ggm.bulk.local import LocalEngine
from ggm.bulk.ray_data import RayEngine
from ggm.bulk.run import Progress, annotate
from ggm.bulk.settings import Settings
from ggm.corpus.manifest import find_manifest, read_manifest, write_manifest
from ggm.recommend import Recommender

SHARD_ROWS = 64


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("what", choices=("kills", "speed"))
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--out", type=Path, default=Path("runs/bulk"))
    arguments.add_argument("--clips", type=int)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--runtime", type=Path, help="for kills: what ggm export wrote")
    arguments.add_argument("--tiny", action="store_true", help="for kills: a little system of random weights")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    clips = options.clips or (2000 if options.what == "kills" else 64)
    manifest = options.out.absolute() / f"{options.what}-{clips}.jsonl"
    posts = islice(read_manifest(find_manifest(options.corpus.absolute())), clips)
    print(f"{write_manifest(posts, manifest):,} clips of {options.corpus}", flush=True)
    if options.what == "kills":
        extra = [] if options.runtime is None else ["--runtime", options.runtime]
        if options.tiny:
            extra += ["--model", tiny_bundle(options.out.absolute() / "tiny")]
        kills(manifest, options.out.absolute() / "kills", extra)
    else:
        speed(manifest, options.out.absolute(), options.rounds)


def tiny_bundle(folder: Path) -> Path:
    """A system as the tests have it: every part real but small, random and untrained."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from ggm.bundle import save_bundle
    from systems import random_bundle

    save_bundle(random_bundle("tiny"), folder)
    return folder


def kills(manifest: Path, out: Path, extra: list[object]) -> None:
    rows = sum(1 for _ in manifest.open("rb"))
    parts = -(-rows // SHARD_ROWS)
    command = [sys.executable, "-m", "ggm", "annotate", manifest, "--out", out, "--shard-rows", SHARD_ROWS]
    command += ["--ray", "local", "--workers", 1, "--models", 1]
    command += extra
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - started:6.0f} s  {num_parts(out):3} parts  {text}", flush=True)

    first = subprocess.Popen([*map(str, command)])
    for share, wanted in ((0.15, "Map(decode)"), (0.3, "MapWorker")):
        wait(first, out, parts * share)
        say(f"kill -9 of {kill(first.pid, wanted)}")
    wait(first, out, parts * 0.5)
    titles = {child: title_of(child) for child in psutil.Process(first.pid).children(recursive=True)}
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    first.kill()
    first.wait()
    say("kill -9 of the command itself")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(map(is_alive, titles)):
        time.sleep(0.5)
    alive = [child for child in titles if is_alive(child)]
    say(f"{len(titles) - len(alive)} of its {len(titles)} processes ended with it within a minute")
    for child in alive:
        print(f"still there: {titles[child][:100]}")
        child.kill()
    subprocess.run([*map(str, command)], check=True)
    say("begun again, and ended")
    untouched = sum((out / name).stat().st_mtime_ns == moment for name, moment in before.items())
    table = [row for path in sorted(out.glob("part-*")) for row in parquet.read_table(path).to_pylist()]
    wanted_ids = Counter(json.loads(line)["id"] for line in manifest.open())
    found = Counter(row["id"] for row in table)
    print(f"{len(table):,} rows, {len(found):,} ids, each exactly once: {found == wanted_ids}")
    print(f"in the manifest's order: {[row['row'] for row in table] == list(range(1, rows + 1))}")
    print(f"{untouched} of {len(before)} parts that were there before weren't touched again")
    print(f"{sum(row['error_kind'] is not None for row in table)} rows have an error")


def kill(driver: int, name: str) -> str:
    """SIGKILL a process of the command whose title has a name, once there is one."""
    while True:
        for process in psutil.Process(driver).children(recursive=True):
            try:
                title = title_of(process)
                if title.startswith(f"ray::{name}"):
                    process.kill()
                    return title.strip()
            except psutil.Error:
                continue
        time.sleep(0.05)


def title_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody asks for its status does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait(process: subprocess.Popen[bytes], out: Path, parts: float) -> None:
    while num_parts(out) < parts:
        if process.poll() is not None:
            sys.exit(f"the command ended with {process.returncode}")
        time.sleep(0.2)


def num_parts(out: Path) -> int:
    return len(list(out.glob("part-*")))


def speed(manifest: Path, out: Path, rounds: int) -> None:
    """Clips a second once models are loaded: from the end of the first batch to the end of the last."""
    settings = Settings(shard_rows=SHARD_ROWS)
    rates: dict[str, list[float]] = {}
    engines = {"in one process": LocalEngine(1), "on Ray": RayEngine("local", 1, 1)}
    for turn in range(rounds):
        rates.setdefault("plain loop", []).append(plain_loop(manifest, settings.batch_size))
        for name, engine in engines.items():
            moments: list[tuple[float, int]] = []

            def note(now: Progress, moments: list[tuple[float, int]] = moments) -> None:
                if now.done:
                    moments.append((time.perf_counter(), now.done))

            folder = out / f"speed-{time.time_ns()}"
            annotate(manifest, folder, settings, engine, report=note)
            (begin, first), (end, last) = moments[0], moments[-1]
            rates.setdefault(name, []).append((last - first) / (end - begin))
        latest = "  ".join(f"{name} {values[-1]:.2f}" for name, values in rates.items())
        print(f"round {turn + 1}: {latest} clips/s", flush=True)
    loop = statistics.median(rates["plain loop"])
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"{name}: {middle:.2f} clips/s, {middle / loop:.2f} times the plain loop")


def plain_loop(manifest: Path, warm: int) -> float:
    """What anybody would write: one video after the other."""
    with Recommender.from_pretrained() as recommender:
        posts = [(post.video, post.description) for post in read_manifest(manifest)]
        answers = recommender.recommend_many(posts)
        for _ in islice(answers, warm):
            pass
        begin = time.perf_counter()
        count = sum(1 for _ in answers)
        return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    main()
