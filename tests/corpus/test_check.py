"""`check`: good rows, bad rows with their reasons, and the same end whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ggm
from ggm.corpus import check, examine
from ggm.corpus.check import CheckSummary, check_dataset
from ggm.corpus.examine import Journal, VideoFile, VideoRecords
from ggm.corpus.manifest import load_dataset, read_manifest, write_manifest
from ggm.corpus.rows import Problem
from ggm.errors import DataError, MediaError, MediaTimeoutError
from ggm.media.guard import DecodingWorker
from ggm.records import Post
from videos import write_video

ROOT = Path(ggm.__file__).parents[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with sound, without, and one that is damaged."""
    folder = tmp_path_factory.mktemp("library")
    write_video(folder / "sound.mp4", seconds=0.5, size=(32, 32))
    write_video(folder / "silent.mp4", seconds=1.0, size=(32, 32), sound=False)
    (folder / "cut.mp4").write_bytes((folder / "sound.mp4").read_bytes()[:400])
    return folder


def row(id_: str, video: str = "videos/sound.mp4", **more: Any) -> dict[str, Any]:
    return {"id": id_, "video": video, "hashtags": ["winter"], **more}


@pytest.fixture
def dataset(tmp_path: Path, library: Path) -> Callable[..., Path]:
    def make(*rows: object) -> Path:
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        if not (folder / "videos").exists():
            shutil.copytree(library, folder / "videos")
        lines = (one if isinstance(one, str) else json.dumps(one) for one in rows)
        (folder / "manifest.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return folder

    return make


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


MIXED = (
    row("a", split="train", created_at="2026-01-01"),
    "{not json",
    row("b", "videos/silent.mp4", description="snow"),
    row("b", "videos/sound.mp4"),
    row("c", "videos/none.mp4"),
    row("d", "videos/cut.mp4"),
    row("d", "videos/silent.mp4"),
    row("e", hashtags=[]),
    row("f", hashtags=["!!"]),
    row("g", tags=["x"]),
    row("h", "videos"),
    row("i", "videos/cut.mp4"),
)
PROBLEMS = {
    2: ("not JSON", None),
    4: ("duplicated id", "b"),
    5: ("no video", "c"),
    6: ("unreadable video", "d"),
    8: ("no hashtag", "e"),
    9: ("not a hashtag", "f"),
    10: ("wrong or missing field", "g"),
    11: ("no video", "h"),
    12: ("unreadable video", "i"),
}


def test_good_rows_and_the_reasons_of_the_others(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(*MIXED)
    original = content(folder / "videos") | {"manifest": (folder / "manifest.jsonl").read_bytes()}
    summary = check_dataset(folder, tmp_path / "out")
    assert summary == CheckSummary(
        folder=tmp_path / "out",
        good=3,
        bad={
            Problem.NO_VIDEO: 2,
            Problem.UNREADABLE_VIDEO: 2,
            Problem.NOT_JSON: 1,
            Problem.DUPLICATED_ID: 1,
            Problem.NO_HASHTAG: 1,
            Problem.BAD_HASHTAG: 1,
            Problem.BAD_FIELD: 1,
        },
        videos=3,
        examined=3,
    )
    good = load_dataset(tmp_path / "out").posts
    assert [(p.id, p.description, p.split) for p in good] == [
        ("a", "", "train"),
        ("b", "snow", None),
        ("d", "", None),
    ]
    assert good[2].video.resolve() == folder / "videos" / "silent.mp4", "the usable one of that id"
    rejected = rows_of(tmp_path / "out" / "rejected.jsonl")
    assert {r["row"]: (r["problem"], r["id"]) for r in rejected} == PROBLEMS
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    assert all(r["text"] == lines[r["row"] - 1] for r in rejected), "the row itself, to be mended"
    assert "cut.mp4: " in rejected[3]["reason"]
    assert content(folder / "videos") | {"manifest": (folder / "manifest.jsonl").read_bytes()} == original
    assert sorted(content(tmp_path / "out")) == [
        "dataset.json",
        "manifest.jsonl",
        "rejected.jsonl",
        "videos.jsonl",
    ]


def test_what_is_known_of_the_videos_is_kept(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(*MIXED)
    check_dataset(folder, tmp_path / "out")
    videos = {Path(r["video"]).name: r for r in rows_of(tmp_path / "out" / "videos.jsonl")}
    assert list(videos) == ["sound.mp4", "silent.mp4", "cut.mp4"], "in order of appearance"
    assert videos["sound.mp4"]["duration_seconds"] == pytest.approx(0.5, abs=0.05)
    assert [videos[f"{name}.mp4"]["has_sound"] for name in ("sound", "silent", "cut")] == [True, False, None]
    assert videos["cut.mp4"]["problem"]
    assert videos["sound.mp4"]["video"] == str(folder / "videos" / "sound.mp4")


def test_parquet_is_checked_alike(dataset: Any, tmp_path: Path, library: Path) -> None:
    folder = tmp_path / "columns"
    folder.mkdir()
    posts = [
        Post(id_, library / video, "", ("winter",)) for id_, video in (("a", "sound.mp4"), ("b", "cut.mp4"))
    ]
    write_manifest(posts, folder / "manifest.parquet")
    summary = check_dataset(folder, folder / "checked")
    assert (summary.good, summary.bad) == (1, {Problem.UNREADABLE_VIDEO: 1})
    assert list(read_manifest(folder / "checked" / "manifest.parquet")) == posts[:1]
    (bad,) = rows_of(folder / "checked" / "rejected.jsonl")
    assert json.loads(bad["text"])["id"] == "b"


class CountedWorker(DecodingWorker):
    """Notes what is decoded."""

    decoded: list[str]

    def decode(self, path: Any, **options: Any) -> Any:
        self.decoded.append(str(path))
        return super().decode(path, **options)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    CountedWorker.decoded = []
    monkeypatch.setattr(examine, "DecodingWorker", CountedWorker)
    return CountedWorker.decoded


def test_a_file_is_decoded_once_however_many_posts_show_it(
    dataset: Any, tmp_path: Path, decoded: list[str]
) -> None:
    ways = ("videos/sound.mp4", "./videos/sound.mp4", "videos/../videos/sound.mp4")
    folder = dataset(*(row(str(n), ways[n % 3]) for n in range(50)))
    assert check_dataset(folder, tmp_path / "out", workers=3).videos == 1
    assert decoded == [str(folder / "videos" / "sound.mp4")]


def test_a_second_check_looks_only_at_what_is_new_or_changed(
    dataset: Any, tmp_path: Path, decoded: list[str], library: Path
) -> None:
    check_dataset(dataset(*MIXED), tmp_path / "out")
    decoded.clear()
    folder = dataset(*MIXED)
    before = content(tmp_path / "out")
    assert check_dataset(folder, tmp_path / "out").examined == 0
    assert content(tmp_path / "out") == before
    shutil.copy(library / "silent.mp4", folder / "videos" / "cut.mp4")  # mended
    summary = check_dataset(folder, tmp_path / "out")
    assert decoded == [str(folder / "videos" / "cut.mp4")]
    assert summary.examined == 1
    assert Problem.UNREADABLE_VIDEO not in summary.bad


def test_the_number_of_workers_changes_nothing(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(*MIXED)
    check_dataset(folder, tmp_path / "one", workers=1)
    check_dataset(folder, tmp_path / "three", workers=3)
    assert content(tmp_path / "one") == content(tmp_path / "three")


KILLED = """
import sys, time
from pathlib import Path
from ggm.corpus import check, examine
from ggm.media.guard import DecodingWorker

class SlowWorker(DecodingWorker):
    def decode(self, path, **options):
        time.sleep(0.03)
        return super().decode(path, **options)

examine.DecodingWorker = SlowWorker
check.check_dataset(sys.argv[1], sys.argv[2])
"""


def start_check(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def test_a_check_that_was_killed_goes_on_and_ends_alike(
    dataset: Any, tmp_path: Path, library: Path, decoded: list[str]
) -> None:
    count = 24
    folder = dataset(*MIXED, *(row(f"n{n}", f"videos/{n}.mp4") for n in range(count)))
    for n in range(count):
        shutil.copy(library / ("cut.mp4" if n % 5 == 0 else "silent.mp4"), folder / "videos" / f"{n}.mp4")
    check_dataset(folder, tmp_path / "whole")
    decoded.clear()
    out = tmp_path / "out"
    journal = out / "videos.journal"
    for least in (4, 12):
        process = start_check(folder, out)
        try:
            deadline = time.monotonic() + 60
            while (journal.read_bytes().count(b"}\n") if journal.exists() else 0) < least:
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not (out / "manifest.jsonl").exists(), "nothing half-written"
    known = {json.loads(line)["video"] for line in journal.read_text().splitlines() if line.endswith("}")}
    with journal.open("ab") as file:
        file.write(b'{"video": "/cut/off')  # as a kill in the middle of a line leaves it
    (out / ".manifest.jsonl.leftover").touch()
    summary = check_dataset(folder, out)
    assert content(out) == content(tmp_path / "whole")
    assert len(known) >= 12
    assert known.isdisjoint(decoded), "what was examined isn't examined again"
    assert summary.examined == len(decoded) == summary.videos - len(known)


@pytest.mark.parametrize("moment", ["manifest.jsonl", "rejected.jsonl", "videos.jsonl", "dataset.json"])
def test_a_check_that_dies_while_it_writes_ends_alike(
    dataset: Any, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(*MIXED)
    check_dataset(folder, tmp_path / "whole")
    replace = Path.replace

    def die(self: Path, target: Path) -> Path:
        if Path(target).name == moment:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            check_dataset(folder, tmp_path / "out")
    assert check_dataset(folder, tmp_path / "out").examined == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_hostile_file_costs_its_own_row_alone(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hung(DecodingWorker):
        def decode(self, path: Any, **options: Any) -> Any:
            if "silent" in str(path):
                raise MediaTimeoutError(f"{path}: decoding took more than 1 s and was ended")
            return super().decode(path, **options)

    monkeypatch.setattr(examine, "DecodingWorker", Hung)
    folder = dataset(row("a", "videos/silent.mp4"), row("b"))
    assert check_dataset(folder, tmp_path / "out").bad == {Problem.UNREADABLE_VIDEO: 1}
    (bad,) = rows_of(tmp_path / "out" / "rejected.jsonl")
    assert bad["reason"] == f"{folder / 'videos' / 'silent.mp4'}: decoding took more than 1 s and was ended"


def test_a_machine_that_can_start_no_process_rejects_nothing(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(
        MediaError, match="decoding process can't be started: Resource temporarily unavailable"
    ):
        check_dataset(dataset(row("a")), tmp_path / "out")
    assert not (tmp_path / "out" / "rejected.jsonl").exists()


def test_without_a_good_row_the_reasons_are_kept(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable post; the reasons are in .*rejected\.jsonl"):
        check_dataset(dataset("{", row("a", "videos/none.mp4")), tmp_path / "out")
    assert len(rows_of(tmp_path / "out" / "rejected.jsonl")) == 2
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    assert check_dataset(dataset(row("a")), tmp_path / "out").good == 1, "it can be mended and checked again"


def test_two_checks_into_one_folder_are_refused(dataset: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with Journal(out / "videos.journal"), pytest.raises(DataError, match="another run is writing it"):
        check_dataset(dataset(row("a")), out)
    assert check_dataset(dataset(row("a")), out).good == 1


def test_another_dataset_is_not_overwritten(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(row("a"))
    with pytest.raises(DataError, match="can't be checked into its own folder"):
        check_dataset(folder, folder)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(folder / "manifest.jsonl", other)
    with pytest.raises(DataError, match=r"other/manifest\.jsonl: exists already"):
        check_dataset(folder, other)


def test_the_check_of_another_dataset_is_not_overwritten(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(row("a"))
    shutil.copytree(folder, tmp_path / "twin")
    check_dataset(folder, tmp_path / "out")
    with pytest.raises(DataError, match=r"out/manifest\.jsonl: exists already"):
        check_dataset(tmp_path / "twin", tmp_path / "out")
    check_dataset(folder, tmp_path / "out")


def test_a_check_of_the_other_format_takes_the_place_of_the_first(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(row("a"))
    check_dataset(folder, tmp_path / "out")
    posts = list(read_manifest(folder / "manifest.jsonl"))
    (folder / "manifest.jsonl").unlink()
    write_manifest(posts, folder / "manifest.parquet")
    check_dataset(folder, tmp_path / "out")
    assert [p.id for p in load_dataset(tmp_path / "out").posts] == ["a"]


@pytest.mark.parametrize("change", ["touch", "remove"])
def test_a_video_that_changes_between_the_passes(
    dataset: Any, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(row("a"), row("b", "videos/silent.mp4"))
    video = folder / "videos" / "sound.mp4"
    write = check._write

    def changed(*arguments: Any) -> Any:
        os.utime(video, (1, 1)) if change == "touch" else video.unlink()
        return write(*arguments)

    monkeypatch.setattr(check, "_write", changed)
    if change == "remove":
        assert check_dataset(folder, tmp_path / "out").bad == {Problem.NO_VIDEO: 1}
        return
    with pytest.raises(DataError, match=r"sound\.mp4: changed while it was checked; run the command again"):
        check_dataset(folder, tmp_path / "out")


def test_hostile_rows_are_set_aside_as_valid_json(dataset: Any, tmp_path: Path) -> None:
    folder = dataset(row("good"))
    with (folder / "manifest.jsonl").open("ab") as manifest:
        manifest.write(b'{"id": "\xff\xfe"}\n')
        manifest.write(b'{"id": "\\ud800", "video": "videos/sound.mp4", "hashtags": ["a"]}\n')
        manifest.write(b'{"id": "n\\u0000l", "video": "videos/sound.mp4", "hashtags": ["a"]}\n')
        manifest.write(b'{"id": NaN, "video": 1e999}\n')
        manifest.write(b"1" * 5000 + b"\n" + b"[" * 100_000 + b"\n")
        manifest.write(b'{"\\ud800": 1}\n' + b'"' + b"x" * 1_000_000 + b'"\n')
        manifest.write(b'{"id": "v", "video": "' + b"v" * 5000 + b'", "hashtags": ["a"]}\r\n')
    summary = check_dataset(folder, tmp_path / "out")
    rejected = rows_of(tmp_path / "out" / "rejected.jsonl")
    assert summary.good == 1
    assert [r["row"] for r in rejected] == list(range(2, 11))
    assert [r["problem"] for r in rejected] == [
        "not JSON", "wrong or missing field", "wrong or missing field", "wrong or missing field", "not JSON",
        "not JSON", "wrong or missing field", "not JSON", "no video",
    ]  # fmt: skip


def test_an_unknown_manifest_and_no_workers(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.jsonl: can't be read"):
        check_dataset(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="workers must be at least 1, got 0"):
        check_dataset(dataset(row("a")), tmp_path / "out", workers=0)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: can't be made"):
        check_dataset(dataset(row("a")), tmp_path / "file")


def test_progress_is_told(dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_REPORTED_ROWS", 2)
    told: list[tuple[str, int, int]] = []
    check_dataset(
        dataset(*(row(str(n)) for n in range(3))), tmp_path / "out", progress=lambda *step: told.append(step)
    )
    assert told == [(stage, done, 3) for stage in ("check", "write") for done in (2, 3)]


def test_links_to_folders_lead_to_the_same_files(dataset: Any, tmp_path: Path) -> None:
    """`..` leads out of what a link points to: text alone would find another file there, or none."""
    folder = dataset(row("a"), row("b", "far/../silent.mp4"))
    elsewhere = tmp_path / "x" / "elsewhere"
    elsewhere.mkdir(parents=True)
    shutil.copy(folder / "videos" / "silent.mp4", tmp_path / "x")
    (folder / "far").symlink_to(elsewhere)
    (tmp_path / "link").symlink_to(folder)
    assert check_dataset(tmp_path / "link", tmp_path / "out").good == 2
    videos = [r["video"] for r in rows_of(tmp_path / "out" / "videos.jsonl")]
    assert videos == [str(folder / "videos" / "sound.mp4"), str(tmp_path / "x" / "silent.mp4")]
    assert check_dataset(folder, tmp_path / "other").videos == 2
    known = VideoRecords(tmp_path / "out" / "videos.jsonl")
    for post in read_manifest(tmp_path / "out" / "manifest.jsonl"):
        file = VideoFile.at(post.video)
        assert file is not None
        assert known.get(file) is not None


def test_a_relative_path_follows_the_current_folder(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset(row("a"))
    (tmp_path / "empty" / "videos").mkdir(parents=True)
    (tmp_path / "empty" / "videos" / "sound.mp4").touch()
    for cwd in (folder, tmp_path / "empty"):
        monkeypatch.chdir(cwd)
        file = VideoFile.at(Path("videos/sound.mp4"))
        assert file is not None
        assert file.path == str(cwd / "videos" / "sound.mp4")
