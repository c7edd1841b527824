"""`ggm annotate`: what is printed, what is refused, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import ggm
from bulk_world import rows_of
from commands import Run


@pytest.fixture
def run(run: Run) -> Run:
    """Run `ggm annotate` with arguments."""
    return partial(run, "annotate")


@pytest.fixture
def manifest(tmp_path: Path, clips: list[Path]) -> Path:
    path = tmp_path / "manifest.jsonl"
    rows = [{"id": str(row), "video": str(clips[row])} for row in range(3)] + [
        {"id": "3", "video": "none.mp4"}
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_shards_a_summary_and_going_on(
    run: Run, manifest: Path, tmp_path: Path, tiny_bundle_dir: Path
) -> None:
    out = tmp_path / "out"
    arguments = (manifest, "--out", out, "--model", tiny_bundle_dir, "--shard-rows", 2, "--top", 2)
    status, printed, complaints = run(*arguments)
    assert status == 0  # a bad video is a row
    assert printed.startswith("4 annotated, 1 of them bad, 0 done before; ")
    assert "4/4" in complaints
    assert "1 bad" in complaints
    assert [row["error_kind"] for row in rows_of(out)] == [None, None, None, "MediaNotFoundError"]
    (out / "part-00001.parquet").unlink()
    status, printed, _ = run(*arguments, "--json")
    summary = json.loads(printed)
    assert (summary["total"], summary["before"], summary["done"], summary["bad"]) == (4, 2, 2, 1)
    status, printed, complaints = run(*arguments[:-1], 3)
    assert (status, printed) == (1, "")
    assert "top was 2, is 3; say the same again to go on" in " ".join(complaints.split())


def test_a_dataset_folder_and_a_policy(
    run: Run, tiny_dataset: Path, tmp_path: Path, tiny_bundle_dir: Path
) -> None:
    status, _, _ = run(
        *(tiny_dataset, "--out", tmp_path / "out", "--model", tiny_bundle_dir, "--novel", "forbid"),
        *("--block", "c*", "--features", "--batch-size", 5),
    )
    assert status == 0
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 12
    assert all(row["hashtags"] for row in rows)
    assert not [tag for row in rows for tag in row["hashtags"] if tag.startswith("c")]
    assert {source for row in rows for source in row["sources"]} <= {"guidance", "vocabulary"}
    assert list((tmp_path / "out/features").iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--no-hashtags",), "nothing to do"),
        (("--features", "--frames", "nearest-keyframe"), "leave out --frames"),
        (("--model", "none"), "no bundle there"),
    ],
)
def test_what_is_refused(
    run: Run, manifest: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    status, _, complaint = run(manifest, "--out", tmp_path / "out", *arguments)
    assert status == 1
    assert reason in " ".join(complaint.split())


def test_without_ray(
    run: Run, manifest: Path, tmp_path: Path, tiny_bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    before = dict(os.environ)
    arguments = (manifest, "--out", tmp_path / "out", "--model", tiny_bundle_dir)
    status, _, complaint = run(*arguments, "--ray", "local")
    assert status == 1
    assert "pip install 'ggm[ray]'" in complaint
    assert dict(os.environ) == before
    assert run(*arguments)[0] == 0  # the same folder, without Ray


def test_with_a_ray_of_somebody_else(
    run: Run, manifest: Path, tmp_path: Path, tiny_bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once imported, Ray can't be kept from listening to other machines."""
    from ggm.bulk import ray_data

    stranger = ModuleType("ray")
    stranger.is_initialized = lambda: False
    for name, module in (("ray", stranger), ("ray.data", ModuleType("data")), ("ray.exceptions", None)):
        monkeypatch.setitem(sys.modules, name, module or ModuleType(name))
    ray_data._imported_here.cache_clear()
    try:
        status, _, complaint = run(
            *(manifest, "--out", tmp_path / "out", "--model", tiny_bundle_dir, "--ray", "local")
        )
    finally:
        ray_data._imported_here.cache_clear()
    assert status == 1
    assert "Ray was imported before this run" in " ".join(complaint.split())


def test_interrupted(manifest: Path, clips: list[Path], tmp_path: Path, tiny_bundle_dir: Path) -> None:
    rows = [{"id": str(row), "video": str(clips[row % 3])} for row in range(400)]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ggm", "annotate", manifest, "--out", out, "--shard-rows", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*map(str, command), "--model", str(tiny_bundle_dir)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 100
        while not list(out.glob("part-*")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the decoding processes get it too
        _, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, complaints
    assert "stopped; the same command goes on" in complaints
    found = rows_of(out)
    assert 0 < len(found) < 400
    assert [row["row"] for row in found] == list(range(1, len(found) + 1))
    assert not [row for row in found if row["error_kind"]]
    assert not list(out.glob(".part*"))
