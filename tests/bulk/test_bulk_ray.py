"""Bulk work on a real Ray of this machine: the same output, and what dies is done again."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ggm
from bulk_world import rows_of
from ggm.bulk import ray_data
from ggm.bulk.local import LocalEngine
from ggm.bulk.ray_data import RayEngine
from ggm.bulk.run import Progress, annotate
from ggm.bulk.settings import Settings
from ggm.errors import BundleError, DataError
from ggm.features.cache import FeatureCache

psutil = pytest.importorskip("psutil")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # a busy machine needs a minute to start Ray
    # Of Ray's own making: it reads its deprecated settings, and leaves its children to their fate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """One Ray for all tests, started as a run would start it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray isn't installed")
    if "ray" in sys.modules:
        pytest.skip("another test imported ray; run this module by itself")
    engine = RayEngine("local", workers=1, models=1)
    with ray_data._environment("local"), engine._connected(ray_data._library()):
        yield engine


@pytest.fixture
def settings(tiny_bundle_dir: Path) -> Settings:
    return Settings(str(tiny_bundle_dir), top=3, shard_rows=4, batch_size=3)


def parts_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*"))}


def ray_processes(name: str) -> list[Any]:
    """Processes of Ray below this one whose title has a name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found


def lives(process: Any) -> bool:
    """Whether it runs; one that nobody asked for its status doesn't."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def test_the_same_files_as_without_ray(
    engine: RayEngine, manifest: Path, tmp_path: Path, settings: Settings
) -> None:
    wanted = replace(settings, features=True)
    assert annotate(manifest, tmp_path / "here", wanted, LocalEngine(1)) == Progress(11, 0, 11, 3)
    assert annotate(manifest, tmp_path / "ray", wanted, engine) == Progress(11, 0, 11, 3)
    assert len(parts_of(tmp_path / "ray")) == 3
    assert parts_of(tmp_path / "ray") == parts_of(tmp_path / "here")
    stores = [next((tmp_path / name / "features").glob("*/tokens")).parent for name in ("here", "ray")]
    assert stores[0].name == stores[1].name
    from ggm.bundle import load_bundle

    fingerprint = load_bundle(settings.model).extractor.fingerprint
    caches = [FeatureCache(tmp_path / name / "features", fingerprint) for name in ("here", "ray")]
    clip = Path(json.loads(manifest.read_text().splitlines()[0])["video"])
    here, there = (cache.get(clip) for cache in caches)
    assert here is not None
    assert there is not None
    assert (here.frame_tokens == there.frame_tokens).all()


def test_nothing_listens_to_other_machines(engine: RayEngine) -> None:
    servers = {
        connection.laddr.ip
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert servers
    assert servers <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_killed_workers_are_replaced(
    engine: RayEngine, manifest: Path, tmp_path: Path, settings: Settings
) -> None:
    killed: list[str] = []

    def kill(now: Progress) -> None:
        names = ("ray::MapWorker(MapBatches(Model))", "ray::Map(decode)", "ggm.media.worker")
        for name in names if now.done and not killed else ():
            for process in ray_processes(name):
                process.kill()
                killed.append(name)

    one_by_one = replace(settings, shard_rows=1, batch_size=1)
    assert annotate(manifest, tmp_path / "out", one_by_one, engine, report=kill).bad == 3
    assert "ray::MapWorker(MapBatches(Model))" in killed  # which doesn't decode
    annotate(manifest, tmp_path / "here", one_by_one, LocalEngine(1))
    assert parts_of(tmp_path / "out") == parts_of(tmp_path / "here")


def test_interrupted_and_begun_again(
    engine: RayEngine, manifest: Path, tmp_path: Path, settings: Settings
) -> None:
    def interrupt(now: Progress) -> None:
        if now.done:
            raise KeyboardInterrupt

    one_by_one = replace(settings, shard_rows=1, batch_size=1)
    with pytest.raises(KeyboardInterrupt):
        annotate(manifest, tmp_path / "out", one_by_one, engine, report=interrupt)
    assert len(parts_of(tmp_path / "out")) == 1
    ended = annotate(manifest, tmp_path / "out", one_by_one, engine)
    assert (ended.before, ended.done) == (1, 10)
    assert [row["row"] for row in rows_of(tmp_path / "out")] == list(range(1, 12))


def test_what_is_wrong_there_is_said_here(
    engine: RayEngine, manifest: Path, tmp_path: Path, settings: Settings
) -> None:
    def shrink(now: Progress) -> None:
        manifest.write_text("")

    with pytest.raises(DataError, match="changed while it was read"):
        annotate(manifest, tmp_path / "out", settings, engine, report=shrink)
    assert not parts_of(tmp_path / "out")
    model = ray_data.Model(
        json.dumps(
            {
                "settings": settings.to_dict(),
                "decoding": {"short_side": 32, "sound_rate_hz": None},
                "fingerprint": "another",
                "features_folder": None,
            }
        )
    )
    with pytest.raises(BundleError, match="another bundle on a node"):
        model._loaded()


def test_the_command_killed_and_begun_again(
    engine: RayEngine, clips: list[Path], tmp_path: Path, tiny_bundle_dir: Path
) -> None:
    """SIGKILL of the command; its Ray dies with it; the rest is done here."""
    path, out = tmp_path / "m.jsonl", tmp_path / "out"
    path.write_text(
        "".join(json.dumps({"id": str(row), "video": str(clips[row % 4])}) + "\n" for row in range(60))
    )
    arguments = ["annotate", path, "--out", out, "--model", tiny_bundle_dir, "--ray", "local"]
    arguments += ["--workers", 1, "--shard-rows", 2, "--batch-size", 2]
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "ggm", *map(str, arguments)], env=environment)
    deadline = time.monotonic() + 600
    while len(list(out.glob("part-*"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL
    there = parts_of(out)
    assert 3 <= len(there) < 30
    ended = annotate(path, out, Settings(str(tiny_bundle_dir), shard_rows=2, batch_size=2), engine)
    assert ended == Progress(60, 2 * len(there), 60 - 2 * len(there))
    assert [row["id"] for row in rows_of(out)] == [str(row) for row in range(60)]
    assert {name: parts_of(out)[name] for name in there} == there
    deadline = time.monotonic() + 120
    while (alive := [child for child in children if lives(child)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive
