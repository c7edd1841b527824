"""Videos that come: noticed, and left alone until they have stopped growing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ggm.errors import DataError
from ggm.tagging.finding import find_videos
from ggm.tagging.watching import Resting, settled_videos


def test_resting(tmp_path: Path) -> None:
    def look(now: float) -> list[str]:
        return [video.name for video in resting.look(find_videos(tmp_path), now)]

    resting = Resting(5)
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    assert (look(0), resting.waiting) == ([], True)
    video.write_bytes(b"one two")
    assert look(4) == []  # grown: it starts again
    assert look(8) == []
    assert (look(9), resting.waiting) == (["a.mp4"], False)
    assert (look(99), resting.waiting) == ([], False)
    video.write_bytes(b"another")
    (tmp_path / "b.mp4").write_bytes(b"b")
    assert look(100) == []
    video.unlink()
    assert look(106) == ["b.mp4"]


@pytest.mark.parametrize("poll", [False, True])
def test_a_folder_is_watched(tmp_path: Path, poll: bool) -> None:
    (tmp_path / "there.mp4").write_bytes(b"there")
    stop, found = threading.Event(), []

    def write() -> None:
        time.sleep(0.8)
        (tmp_path / "new").mkdir()
        with (tmp_path / "new/slow.mp4").open("wb") as file:
            for _ in range(12):
                file.write(b"more")
                file.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    deadline = threading.Timer(30, stop.set)
    deadline.start()
    for videos in settled_videos(tmp_path, settle_seconds=0.6, poll=poll, stop=stop):
        found += [(video.name, video.stamp[0]) for video in videos]
        if len(found) == 2:
            stop.set()
    deadline.cancel()
    writer.join()
    assert found == [("there.mp4", 5), ("new/slow.mp4", 48)]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="above 0"):
        next(settled_videos(tmp_path, settle_seconds=0))
    with pytest.raises(DataError, match="no such folder"):
        next(settled_videos(tmp_path / "none"))
