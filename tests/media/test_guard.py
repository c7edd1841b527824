from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from ggm.errors import MediaError, MediaTimeoutError
from ggm.media import DecodingWorker, MediaLimits, decode_video, guard
from videos import frame_colour, write_video


def pid_of(worker: DecodingWorker) -> int:
    assert worker._process is not None
    return worker._process._popen.pid


def is_gone(pid: int) -> bool:
    """Whether no process has this id, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def worker():
    with DecodingWorker() as worker:
        yield worker


def test_the_same_as_in_this_process(worker, clip) -> None:
    here = decode_video(clip, short_side=32, sound_rate_hz=16_000, sound_seconds=1.5)
    there = worker.decode(clip, short_side=32, sound_rate_hz=16_000, sound_seconds=1.5)
    np.testing.assert_array_equal(there.frames.pixels, here.frames.pixels)
    np.testing.assert_array_equal(there.frames.timestamps_seconds, here.frames.timestamps_seconds)
    np.testing.assert_array_equal(there.sound.samples, here.sound.samples)
    assert there.sound.sample_rate_hz == here.sound.sample_rate_hz == 16_000
    assert there.duration_seconds == here.duration_seconds
    assert there.notices == here.notices


def test_one_process_serves_many_videos(worker, clip, silent_clip) -> None:
    worker.decode(clip)
    pid = pid_of(worker)
    assert worker.decode(silent_clip, sound_rate_hz=16_000).sound is None
    with pytest.raises(MediaError):
        worker.decode(clip, limits=MediaLimits(max_streams=1))
    worker.decode(clip)
    assert pid_of(worker) == pid


def test_relative_paths_follow_the_current_folder(worker, clip, tmp_path, monkeypatch) -> None:
    worker.decode(clip)
    monkeypatch.chdir(tmp_path)
    Path("näme \udcff.mp4").write_bytes(clip.read_bytes())
    assert len(worker.decode("näme \udcff.mp4").frames) == 4


def test_threads_take_turns(worker, tmp_path) -> None:
    paths = []
    for index in range(4):
        pictures = [np.full((48, 64, 3), frame_colour(index), np.uint8)] * 10
        paths.append(write_video(tmp_path / f"{index}.mp4", pictures=pictures))
    expected = [decode_video(path).frames.pixels for path in paths]
    with ThreadPoolExecutor(4) as pool:
        videos = list(pool.map(worker.decode, paths * 3))
    for video, pixels in zip(videos, expected * 3, strict=True):
        np.testing.assert_array_equal(video.frames.pixels, pixels)


@pytest.mark.parametrize("cause", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_an_error_and_the_next_call_works(clip, cause) -> None:
    with DecodingWorker() as worker:
        worker.decode(clip)
        pid = pid_of(worker)
        os.kill(pid, signal.SIGSTOP)  # so that the next call surely waits

        def crash() -> None:
            os.kill(pid, cause)
            os.kill(pid, signal.SIGCONT)

        timer = threading.Timer(0.2, crash)
        timer.start()
        with pytest.raises(MediaTimeoutError, match=f"{clip}.*ended by {cause.name}"):
            worker.decode(clip)
        timer.join()
        assert is_gone(pid)
        assert len(worker.decode(clip).frames) == 4
        assert pid_of(worker) != pid


def test_a_process_that_died_between_calls_is_replaced(clip) -> None:
    with DecodingWorker() as worker:
        worker.decode(clip)
        pid = pid_of(worker)
        os.kill(pid, signal.SIGKILL)
        worker._process._popen.wait()
        assert len(worker.decode(clip).frames) == 4
        assert pid_of(worker) != pid


def test_a_timeout_ends_the_process_and_the_next_call_works(clip) -> None:
    with DecodingWorker(timeout_seconds=0.5) as worker:
        worker.timeout_seconds = 30  # a busy machine may need longer than the timeout under test
        worker.decode(clip)
        worker.timeout_seconds = 0.5
        pid = pid_of(worker)
        os.kill(pid, signal.SIGSTOP)
        begin = time.perf_counter()
        with pytest.raises(MediaTimeoutError, match=f"{clip}.*took more than 0.5 s"):
            worker.decode(clip)
        assert 0.4 < time.perf_counter() - begin < 5
        assert is_gone(pid)
        worker.timeout_seconds = 30
        assert len(worker.decode(clip).frames) == 4


def test_too_much_memory_is_an_error_and_the_next_call_works(tmp_path, clip) -> None:
    pictures = [np.full((2160, 3840, 3), 100, np.uint8)] * 2
    large = write_video(
        tmp_path / "a.mp4", fps=5, pictures=pictures, sound=False, options={"preset": "ultrafast"}
    )
    with DecodingWorker(memory_bytes=40 * 1024**2) as worker:
        assert len(worker.decode(clip, sound_rate_hz=16_000).frames) == 4
        with pytest.raises(MediaTimeoutError, match=f"{large}.*memory"):
            worker.decode(large)
        assert len(worker.decode(clip, sound_rate_hz=16_000).frames) == 4


def test_memory_does_not_grow_with_the_file(tmp_path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((1080, 1280), 128, np.uint8), format="yuv420p")
        for index in range(80):
            frame.pts = index
            out.mux(stream.encode(frame))
    memory_bytes = 64 * 1024**2
    assert path.stat().st_size > 1.5 * memory_bytes
    with DecodingWorker(memory_bytes=memory_bytes) as worker:
        video = worker.decode(path, short_side=32)
    assert len(video.frames) == 15
    assert video.notices == ()


def test_nothing_is_left_behind(clip) -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    worker = DecodingWorker()
    with worker:
        worker.decode(clip)
        pid = pid_of(worker)
    assert is_gone(pid)
    worker.close()
    worker.decode(clip)
    pid = pid_of(worker)
    del worker
    gc.collect()
    assert is_gone(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_it_ends_with_its_owner(clip) -> None:
    script = (
        "import sys; from ggm.media import DecodingWorker\n"
        "worker = DecodingWorker(); worker.decode(sys.argv[1])\n"
        "print(worker._process._popen.pid, flush=True)\n"
        "import os; os._exit(0)"
    )
    root = str(Path(guard.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script, str(clip)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    pid, deadline = int(done.stdout), time.monotonic() + 10
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return  # an orphan that nobody has waited for yet
    assert is_gone(pid)


def test_an_interrupt_leaves_no_half_answer(clip, silent_clip, monkeypatch) -> None:
    with DecodingWorker() as worker:
        worker.decode(clip)
        monkeypatch.setattr(guard, "read_video", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            worker.decode(clip)
        monkeypatch.undo()
        assert len(worker.decode(silent_clip).frames) == 2


def test_a_process_that_breaks_the_protocol_is_ended(clip, monkeypatch) -> None:
    with DecodingWorker() as worker:
        worker.decode(clip)
        pid = pid_of(worker)
        worker.memory_bytes = 100  # so that the honest answer looks too large
        with pytest.raises(MediaTimeoutError, match="too large"):
            worker.decode(clip)
        assert is_gone(pid)


def test_what_it_said_last_is_in_the_error(tmp_path, monkeypatch, clip) -> None:
    package = tmp_path / "ggm" / "media"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "worker.py").write_text("raise RuntimeError('broken on purpose')")
    monkeypatch.setattr(guard, "_PACKAGE_ROOT", tmp_path)
    worker = DecodingWorker()
    with pytest.raises(MediaError, match=r"(?s)didn't start.*broken on purpose"):
        worker.decode(clip)
    worker.close()


def test_the_current_folder_is_not_trusted(tmp_path, monkeypatch, clip) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a stranger ran')")
    monkeypatch.chdir(tmp_path)
    with DecodingWorker() as worker:
        assert len(worker.decode(clip).frames) == 4


def test_secrets_and_limits(monkeypatch, clip) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    with DecodingWorker(timeout_seconds=20, memory_bytes=512 * 1024**2) as worker:
        worker.decode(clip)
        process = Path(f"/proc/{pid_of(worker)}")
        assert b"hunter2" not in (process / "environ").read_bytes()
        limits = {
            line[:25].strip(): line[25:].split()[0] for line in (process / "limits").read_text().splitlines()
        }
        assert 512 * 1024**2 < int(limits["Max address space"]) < 2048 * 1024**2
        assert 20 < int(limits["Max cpu time"]) < 40
        assert limits["Max core file size"] == "0"


def test_the_owner_loads_neither_decoders_nor_torch() -> None:
    script = (
        "import sys; import ggm.media; ggm.media.DecodingWorker()\n"
        "sys.exit('av' in sys.modules or 'torch' in sys.modules)"
    )
    root = str(Path(guard.__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root}, check=True)


def test_the_process_does_not_load_torch() -> None:
    script = "import sys; import ggm.media.worker; sys.exit('torch' in sys.modules)"
    root = str(Path(guard.__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root}, check=True)


@pytest.mark.parametrize(
    "options", [{"timeout_seconds": 0}, {"timeout_seconds": float("inf")}, {"timeout_seconds": float("nan")},
                {"memory_bytes": 0}],
)  # fmt: skip
def test_options_of_the_worker(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DecodingWorker(**options)


@pytest.mark.parametrize("options", [{"short_side": 0}, {"sound_rate_hz": -1}, {"sound_seconds": 0}])
def test_options_of_a_call(worker, clip, options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        worker.decode(clip, **options)


def test_a_process_that_was_started_ahead_is_the_one_that_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1.0, sound=False)
    with DecodingWorker() as worker:
        worker.start()
        process = worker._process
        worker.start()
        assert worker._process is process is not None
        first, second = worker.decode(path), worker.decode(path)
        assert worker._process is process
        np.testing.assert_array_equal(first.frames.pixels, second.frames.pixels)


def test_a_process_that_died_before_its_first_request_is_replaced(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", seconds=1.0, sound=False)
    with DecodingWorker() as worker:
        worker.start()
        assert worker._process is not None
        worker._process._popen.kill()
        worker._process._popen.wait()
        assert len(worker.decode(path).frames) == 2


def test_a_process_can_be_waited_for(clip) -> None:
    with DecodingWorker() as worker:
        worker.ensure_started()
        pid = pid_of(worker)
        worker.ensure_started()
        worker.decode(clip)
        assert pid_of(worker) == pid
        os.kill(pid, signal.SIGKILL)
        worker._process._popen.wait()
        worker.ensure_started()
        assert pid_of(worker) != pid


def test_a_process_that_can_not_be_started_is_no_fault_of_a_file(monkeypatch) -> None:
    def refuse(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with (
        DecodingWorker() as worker,
        pytest.raises(MediaError, match="can't be started: Resource temporarily"),
    ):
        worker.ensure_started()
