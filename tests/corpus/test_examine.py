"""What is known of videos: the journal of a check, and what a video is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.examine import Journal, VideoFacts, VideoFile, VideoRecords, to_record
from ggm.errors import DataError


def test_a_record_of_a_path_that_no_system_has(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"video": "\\ud800", "size_bytes": -1, "mtime_ns": 0, "problem": "x"}\n')
    assert len(VideoRecords(tmp_path / "j")) == 1


def records() -> Iterator[tuple[VideoFile, VideoFacts]]:
    yield VideoFile("/a.mp4", 5, 7), VideoFacts(None, 1.5, True)
    yield VideoFile("/\udcff.mp4", 5, 7), VideoFacts("not a video")


def test_a_journal_is_read_back(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        for file, facts in records():
            journal.add(file, facts)
    known = VideoRecords(tmp_path / "j", tmp_path / "none")
    assert len(known) == 2
    assert all(known.get(file) == facts for file, facts in records())
    assert known.get(VideoFile("/a.mp4", 5, 8)) is None, "changed since"


@pytest.mark.parametrize(
    "odd",
    [
        {"video": 1}, {"size_bytes": True}, {"mtime_ns": 1.0}, {"duration_seconds": None}, {"has_sound": 1},
        {"duration_seconds": float("nan")},
    ],
)  # fmt: skip
def test_lines_that_are_no_records_are_passed_over(tmp_path: Path, odd: dict[str, Any]) -> None:
    file, facts = next(records())
    lines = ["[]", "{", json.dumps({**to_record(file, facts), **odd})]
    (tmp_path / "j").write_text("\n".join(lines))
    assert len(VideoRecords(tmp_path / "j")) == 0


def test_a_journal_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none/j: can't be written: No such file"):
        Journal(tmp_path / "none" / "j")


class FullDisk:
    def write(self, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        pass


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal._file.close()
        journal._file = FullDisk()  # type: ignore[assignment]
        with pytest.raises(DataError, match="j: can't be written: No space left"):
            journal.add(*next(records()))


def test_only_a_regular_file_is_a_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert VideoFile.at(tmp_path / "pipe") is None
    assert VideoFile.at(tmp_path) is None
    assert VideoFile.at(tmp_path / "none") is None
    assert VideoFile.at(Path("a\0b")) is None
    (tmp_path / "file").write_bytes(b"12")
    found = VideoFile.at(tmp_path / "file")
    assert found is not None
    assert (found.path, found.size_bytes) == (str(tmp_path / "file"), 2)
