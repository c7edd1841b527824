from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ggm.errors import MediaNotFoundError
from ggm.features.contents import ContentHashes


@pytest.fixture
def clip(video_files: list[Path]) -> Path:
    return video_files[0]


def age(path: Path, *, seconds: float = 100) -> None:
    """Let a file look as if it had been written a while ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_second_start_reads_no_video(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(clip)
    first = ContentHashes(tmp_path / "hashes").hash_of(clip)
    second = ContentHashes(tmp_path / "hashes")
    monkeypatch.setattr(ContentHashes, "_hash", lambda *_: pytest.fail("it was read again"))
    assert second.hash_of(clip) == first
    assert len(first) == 40


def test_a_file_that_changed_is_hashed_again(clip: Path, tmp_path: Path) -> None:
    age(clip)
    first = ContentHashes(tmp_path / "hashes").hash_of(clip)
    clip.write_bytes(b"7")  # the same size
    age(clip, seconds=50)
    assert ContentHashes(tmp_path / "hashes").hash_of(clip) != first


def test_a_file_that_may_still_change_unnoticed_is_not_remembered(clip: Path, tmp_path: Path) -> None:
    """Its time of change may be too coarse to tell a second change from the first."""
    ContentHashes(tmp_path / "hashes").hash_of(clip)
    assert not (tmp_path / "hashes").exists()


def test_the_logs_of_several_processes_are_read(video_files: list[Path], tmp_path: Path) -> None:
    hashes = [ContentHashes(tmp_path / "hashes") for _ in video_files]
    for each, path in zip(hashes, video_files, strict=True):
        age(path)
        each.hash_of(path)
    assert len(list((tmp_path / "hashes").iterdir())) == 4
    assert len(ContentHashes(tmp_path / "hashes")._read_logs()) == 4


@pytest.mark.parametrize("damage", ["torn", "bit", "garbage", "empty", "joined"])
def test_damaged_lines_are_passed_over(video_files: list[Path], tmp_path: Path, damage: str) -> None:
    hashes = ContentHashes(tmp_path / "hashes")
    for path in video_files:
        age(path)
    expected = [hashes.hash_of(path) for path in video_files]
    (log,) = (tmp_path / "hashes").iterdir()
    content = log.read_bytes()
    line = len(content) // 4
    log.write_bytes(
        {
            "torn": content[:-5],
            "bit": content[:10] + bytes([content[10] ^ 1]) + content[11:],
            "garbage": b"\xff\n \n  \nno hash 00000000\n" + content + b"\x00" * 50,
            "empty": b"",
            "joined": content[: line // 2] + content[line:],
        }[damage]
    )
    known = ContentHashes(tmp_path / "hashes")._read_logs()
    assert len(known) == {"torn": 3, "bit": 3, "garbage": 4, "empty": 0, "joined": 2}[damage]
    again = ContentHashes(tmp_path / "hashes")
    assert [again.hash_of(path) for path in video_files] == expected


def test_a_folder_that_can_not_be_written_is_no_harm(clip: Path, tmp_path: Path) -> None:
    age(clip)
    (tmp_path / "hashes").write_text("a file")
    hashes = ContentHashes(tmp_path / "hashes")
    assert hashes.hash_of(clip) == hashes.hash_of(clip)


@pytest.mark.parametrize("name", ["absent.mp4", "nul\0.mp4", "."])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(MediaNotFoundError, match="cannot read the video: "):
        ContentHashes(tmp_path / "hashes").hash_of(tmp_path / name)
