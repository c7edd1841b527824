"""A process that writes is killed at random moments: nothing that it acknowledged is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ggm
from ggm.pool import LivingPool
from pools import make_pool

TESTS = Path(__file__).parents[1]
PATH = f"{Path(ggm.__file__).parents[1]}{os.pathsep}{TESTS}"


def killed_writer(folder: Path, number: int, seconds: float) -> list[list[str]]:
    """Let a process write for a while, kill it, and give what it said."""
    command = [sys.executable, str(Path(__file__).with_name("writer_process.py")), str(folder), str(number)]
    environment = {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        if first:
            time.sleep(seconds)
            process.kill()
        said = process.stdout.read()
        assert first == "ready\n", process.stderr.read()
    # A line that was being written when it ended says nothing.
    return [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]


def kill_many_times(folder: Path, times: int) -> None:
    draw = random.Random(0)
    make_pool(folder, "snow").close()
    follower = LivingPool.open(folder, read_only=True)
    acknowledged: dict[str, str] = {}  # hashtag -> what was said of it last
    aliases: dict[str, str] = {}
    used: set[str] = set()
    said = 0
    for number in range(times):
        for verb, *names in killed_writer(folder, number, draw.uniform(0.02, 0.4)):
            said += 1
            if verb == "aliased":
                aliases[names[1]] = names[0]
            elif verb == "used":
                used.add(names[0])
            else:
                acknowledged |= dict.fromkeys(names, verb)
        follower.refresh()
        with LivingPool.open(folder) as pool:  # recovers, and the dead process's lock is free
            for name, verb in acknowledged.items():
                if verb != "removing":
                    assert (name in pool) == (verb == "added"), f"{name} was {verb}"
            assert {name for name in aliases if pool.aliases.get(name) != aliases[name]} == set()
            assert {name for name in used if not pool.uses(name).num_uses} == set()
            assert list(follower.rows()) == list(pool.rows())
            assert len({name for name in pool if name != "snow"} - set(acknowledged)) <= 4 * 2 * (number + 1)
    assert said > 10 * times
    follower.close()


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "pool", 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "pool", 100)
