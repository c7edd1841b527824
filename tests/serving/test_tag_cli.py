"""`ggm tag`, with a real system: what is printed, what is written, and the exit status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import ggm
from commands import Run
from ggm.tagging.xmp import read_xmp
from sidecars import EXIFTOOL
from tagging_world import files_of


@pytest.fixture
def run(run: Run) -> Run:
    """Run `ggm tag` with arguments."""
    return partial(run, "tag")


@pytest.fixture
def folder(tmp_path: Path, clips: list[Path]) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in clips[:2]:
        shutil.copy(clip, folder / clip.name)
    (folder / "bad.mp4").write_bytes(b"no video")
    (folder / "sound.xmp").write_bytes(EXIFTOOL)
    return folder


def test_tag_again_and_undo(run: Run, folder: Path, tiny_bundle_dir: Path) -> None:
    before = files_of(folder)
    arguments = (folder, "--write", "sidecar", "--model", tiny_bundle_dir, "--top", 2)
    status, printed, complaints = run(*arguments)
    assert status == 1  # for the bad one
    assert printed.splitlines()[-1] == "2 tagged, 0 done before, 1 failed"
    assert "error: " in complaints
    assert "bad.mp4" in complaints
    assert len(read_xmp((folder / "silent.mp4.xmp").read_bytes()).keywords()) == 2
    assert len(read_xmp((folder / "sound.xmp").read_bytes()).keywords()) == 4

    (folder / "bad.mp4").unlink()
    del before["bad.mp4"]
    assert run(*arguments)[:2] == (0, "0 tagged, 2 done before, 0 failed\n")
    assert run(*arguments[:-1], 3)[1].endswith("2 tagged, 0 done before, 0 failed\n")

    assert run(folder, "--undo", "--dry-run")[:2] == (0, "silent.mp4.xmp  removed\nsound.xmp  restored\n")
    (folder / "silent.mp4.xmp").write_bytes(b"mine now")
    status, printed, complaints = run(folder, "--undo", "--json")
    assert status == 1
    assert [json.loads(line)["outcome"] for line in printed.splitlines()] == ["kept", "restored"]
    assert "silent.mp4.xmp: kept, it was changed since" in complaints
    (folder / "silent.mp4.xmp").unlink()
    assert run(folder, "--undo")[0] == 0
    assert files_of(folder) == before


def test_a_policy_and_json(run: Run, folder: Path, tiny_bundle_dir: Path, tmp_path: Path) -> None:
    status, printed, _ = run(
        *(folder, "--write", "csv", "--model", tiny_bundle_dir, "--json"),
        *("--novel", "forbid", "--block", "*o*", "--state", tmp_path / "state"),
    )
    assert status == 1
    answers = {answer["video"]: answer for answer in map(json.loads, printed.splitlines())}
    assert answers["bad.mp4"]["error"]["type"] == "MediaFormatError"
    for name in ("sound.mp4", "silent.mp4"):
        assert answers[name]["file"] == "ggm-hashtags.csv"
        assert answers[name]["hashtags"]
        assert not any("o" in tag.casefold() for tag in answers[name]["hashtags"])
    assert (tmp_path / "state/tagged.jsonl").exists()
    assert not (folder / ".ggm").exists()


def test_a_dry_run(run: Run, folder: Path, tiny_bundle_dir: Path) -> None:
    before = files_of(folder)
    status, printed, _ = run(folder, "--write", "sidecar", "--model", tiny_bundle_dir, "--dry-run")
    assert status == 1
    assert "would go to sound.xmp" in printed
    assert files_of(folder) == before


def test_no_videos(run: Run, tmp_path: Path, tiny_bundle_dir: Path) -> None:
    status, printed, _ = run(tmp_path, "--write", "json", "--model", tiny_bundle_dir)
    assert (status, printed) == (0, "0 tagged, 0 done before, 0 failed\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "either --write"),
        (("--write", "csv", "--undo"), "either --write"),
        (("--undo", "--watch"), "either --write"),
        (("--write", "exif"), "one of sidecar, json, csv"),
        (("--write", "csv", "--describe", "x"), "--describe must be one of"),
        (("--write", "csv", "--watch", "--dry-run"), "leave one out"),
    ],
)
def test_what_is_refused(run: Run, folder: Path, arguments: tuple[str, ...], reason: str) -> None:
    status, _, complaint = run(folder, *arguments)
    assert status == 1
    assert reason in " ".join(complaint.split())


def test_no_such_folder(run: Run, tmp_path: Path) -> None:
    status, _, complaint = run(tmp_path / "none", "--write", "csv")
    assert status == 1
    assert "no such folder" in complaint


def test_watch_until_interrupted(folder: Path, clips: list[Path], tiny_bundle_dir: Path) -> None:
    command = [sys.executable, "-m", "ggm", "tag", folder, "--write", "sidecar", "--watch", "--settle", "0.3"]
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*map(str, command), "--model", str(tiny_bundle_dir)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(folder / "silent.mp4.xmp", process)
        shutil.copy(clips[2], folder / "later.mp4")
        wait_for(folder / "later.mp4.xmp", process)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        printed, complaints = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, complaints
    assert printed.splitlines()[-1] == "3 tagged, 0 done before, 1 failed"


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
