from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import MediaFormatError
from ggm.media import DecodingWorkers, decode_video
from ggm.media.guard import DecodingWorker
from ggm.media.workers import available_processors
from ggm.records import Video


def test_videos_are_those_of_decode_video(clips: list[Path]) -> None:
    with DecodingWorkers(2) as workers:
        for clip in clips:
            there = workers.decode(clip, short_side=32, sound_rate_hz=16_000, sound_seconds=1.0)
            here = decode_video(clip, short_side=32, sound_rate_hz=16_000, sound_seconds=1.0)
            np.testing.assert_array_equal(there.frames.pixels, here.frames.pixels)
            assert (there.sound is None) == (here.sound is None)


def test_as_many_at_once_as_there_are_processes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = DecodingWorker.decode
    together = threading.Barrier(2, timeout=20)
    busy, most = 0, 0
    lock = threading.Lock()

    def counting(self: DecodingWorker, *arguments: object, **named: object) -> Video:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        together.wait()
        video = real(self, *arguments, **named)  # type: ignore[arg-type]
        with lock:
            busy -= 1
        return video

    monkeypatch.setattr(DecodingWorker, "decode", counting)
    with DecodingWorkers(2) as workers:
        threads = [threading.Thread(target=workers.decode, args=(clip,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 2


def test_a_bad_video_gives_its_process_back(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    with DecodingWorkers(1) as workers:
        for _ in range(2):
            with pytest.raises(MediaFormatError, match=r"bad\.mp4"):
                workers.decode(tmp_path / "bad.mp4")
        assert len(workers.decode(clip).frames) > 0


def test_processes_start_when_they_are_needed_and_again_after_closing(clip: Path) -> None:
    workers = DecodingWorkers(3)
    for _ in range(2):
        assert [worker._process for worker in workers._workers] == [None] * 3
        workers.decode(clip)
        workers.decode(clip)
        assert sum(worker._process is not None for worker in workers._workers) == 1
        workers.close()


def test_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DecodingWorkers().count == available_processors() >= 1
    with pytest.raises(ValueError, match="count must be positive, got 0"):
        DecodingWorkers(0)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert available_processors() >= 1
