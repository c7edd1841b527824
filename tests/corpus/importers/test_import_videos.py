"""Which files a row may name, and which are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import VideoFolder, address_name
from importing import make_videos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_videos(tmp_path, ["secret.mp4", "videos-2/b.mp4"])
    names = ["a.mp4", "sub/b.webm", "sub/c.MP4", "one/twin.mp4", "two/twin.mp4", ".hidden/d.mp4", "e.txt"]
    return make_videos(tmp_path / "videos", names)


def reason(videos: VideoFolder, *paths: str, names: tuple[str, ...] = ()) -> str:
    with pytest.raises(RowError) as caught:
        videos.find(paths, names)
    return caught.value.reason


@pytest.mark.parametrize("path", ["a.mp4", "./sub/../a.mp4", "sub\\..\\a.mp4"])
def test_relative_paths(folder: Path, path: str) -> None:
    assert VideoFolder(folder).find([path]) == folder / "a.mp4"


def test_a_path_of_windows(folder: Path) -> None:
    assert VideoFolder(folder).find(["sub\\b.webm"]) == folder / "sub/b.webm"


def test_absolute_paths_within_the_folder(folder: Path) -> None:
    assert VideoFolder(folder).find([str(folder / "sub" / "b.webm")]) == folder / "sub" / "b.webm"


OUTSIDE = "a path that leads out of the videos folder"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.mp4",
        "sub/../../secret.mp4",
        "..\\secret.mp4",
        "../videos-2/b.mp4",
        "/etc/passwd",
        "link.mp4",
        "linked/secret.mp4",
        "..",
    ],
)
def test_paths_that_lead_out(folder: Path, path: str) -> None:
    (folder / "link.mp4").symlink_to(folder.parent / "secret.mp4")
    (folder / "linked").symlink_to(folder.parent)
    assert reason(VideoFolder(folder), path) == OUTSIDE
    assert reason(VideoFolder(folder), names=("link", "link.mp4", "secret")) == "no such video"
    assert reason(VideoFolder(folder, check=False), path) == OUTSIDE


def test_the_user_may_allow_them(folder: Path) -> None:
    videos = VideoFolder(folder, allow_outside=True)
    secret = folder.parent / "secret.mp4"
    assert videos.find(["../secret.mp4"]) == secret
    assert videos.find([str(secret)]) == secret
    assert reason(videos, "/nowhere/at/all.mp4") == "no such video"


def test_a_folder_that_is_itself_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert VideoFolder(tmp_path / "link").find(["a.mp4"]) == tmp_path / "link" / "a.mp4"


@pytest.mark.parametrize("path", ["a\0.mp4", "a\udcff.mp4", " "])
def test_paths_that_no_file_has(folder: Path, path: str) -> None:
    assert reason(VideoFolder(folder), path) == "a path that no file has"


@pytest.mark.parametrize("path", ["gone.mp4", "sub", "x" * 5_000, "file:///etc/passwd", "http://[x/a"])
def test_no_such_video(folder: Path, path: str) -> None:
    assert reason(VideoFolder(folder), path) == "no such video"


def test_names_are_looked_up_with_and_without_suffix(folder: Path) -> None:
    videos = VideoFolder(folder)
    assert videos.find([], ["b"]) == folder / "sub/b.webm"
    assert videos.find([], ["none", "c.MP4"]) == folder / "sub/c.MP4"
    assert videos.find([], ["b.mp4"]) == folder / "sub/b.webm"
    assert videos.find(["gone.mp4"], ["a"]) == folder / "a.mp4"
    assert videos.find(["/home/other/machine/a.mp4"], ["a"]) == folder / "a.mp4"
    for name in ("d", "e", "B", "../secret", "", "sub/b", "a.1"):
        assert reason(videos, names=(name,)) == "no such video"


def test_a_name_of_two_videos(folder: Path) -> None:
    assert reason(VideoFolder(folder), names=("twin",)) == "several videos of that name"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/v/a%20b.mp4?x=1#y", "a b.mp4"),
        ("https://www.tiktok.com/@ann/video/712/", "712"),
        ("https://example.org", ""),
        ("http://[bad/a.mp4", ""),
    ],
)
def test_the_name_in_an_address(address: str, name: str) -> None:
    assert address_name(address) == name


def test_addresses_are_never_fetched_but_their_name_is_looked_up(folder: Path) -> None:
    assert VideoFolder(folder).find(["https://example.org/x/b.webm?token=1"]) == folder / "sub/b.webm"


def test_without_the_videos_the_path_is_good_enough(folder: Path) -> None:
    videos = VideoFolder(folder, check=False)
    assert videos.find(["later/z.mp4"]) == folder / "later/z.mp4"
    assert videos.find(["later/z.mp4"], ["a"]) == folder / "a.mp4"
    assert reason(videos, names=("z",)) == "no such video"
