"""Killed at any moment, a run leaves whole files, goes on, and is undone exactly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ggm
from ggm.tagging.finding import leftovers
from ggm.tagging.xmp import read_xmp
from sidecars import EXIFTOOL, YTDLP
from tagging_world import files_of

TESTS = Path(__file__).parents[1]
NUM_VIDEOS = 60


def start(folder: Path, kind: str, settings: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(Path(ggm.__file__).parents[1]), str(TESTS)])
    command = [sys.executable, str(Path(__file__).with_name("tagging_process.py")), folder, kind, settings]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE)


def kill_at(process: subprocess.Popen[bytes], folder: Path, lines: int) -> bool:
    """SIGKILL once so many lines were added to the ledger; whether it was still running."""
    path = folder / ".ggm/tagged.jsonl"
    first = path.read_bytes().count(b"\n") if path.exists() else 0
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= first + lines:
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    _, complaint = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), complaint
    return process.returncode != 0


def finish(folder: Path, kind: str, settings: str) -> None:
    process = start(folder, kind, settings)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint


@pytest.mark.parametrize("kind", ["sidecar", "json", "csv"])
def test_killed_again_and_again(tmp_path: Path, kind: str) -> None:
    draw = random.Random(kind)
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(NUM_VIDEOS):
        (folder / f"{number}.mp4").write_bytes(b"video %d" % number)
        if number % 2:
            (folder / f"{number}.xmp").write_bytes(EXIFTOOL)
            (folder / f"{number}.info.json").write_bytes(YTDLP)
    before = files_of(folder)
    killed = 0
    for turn in range(4):  # the settings change, so that what was written is written anew
        killed += kill_at(start(folder, kind, str(turn)), folder, draw.randrange(2, NUM_VIDEOS // 2))
        if kind == "sidecar":
            for path in folder.glob("*.xmp"):
                read_xmp(path.read_bytes())  # whole, each of them
    assert killed >= 2
    finish(folder, kind, "last")
    if kind == "sidecar":
        keywords = [read_xmp(path.read_bytes()).keywords() for path in folder.glob("*.xmp")]
        assert len(keywords) == NUM_VIDEOS
        assert all(found in (["Taglast"], ["Alps", "Snow", "Taglast"]) for found in keywords)
    kill_at(start(folder, kind, "undo"), folder, draw.randrange(2, NUM_VIDEOS // 2))
    for path in leftovers(folder):
        path.unlink()
    finish(folder, kind, "undo")
    assert files_of(folder) == before
