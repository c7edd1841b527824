from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ggm.errors import ConfigError, DataError, MissingDependencyError
from importing import import_from, make_videos, write_json_lines

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No network, and no trace in the cache of whoever runs the tests."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def with_bytes() -> Any:
    """A dataset with the videos inside, in the library's own type for them."""
    columns = {
        "video": [
            {"bytes": b"first", "path": "a.webm"},
            {"bytes": b"second", "path": None},
            {"bytes": b"first", "path": "b.exe"},
        ],
        "desc": ["So cold! #winter 🥶", "plain", "again #x1"],
        "challenges": [[{"title": "été"}], [{"title": "日本"}, {"title": "日本"}], []],
        "create_time": [1331840483, None, 0],
    }
    return datasets.Dataset.from_dict(columns).cast_column("video", datasets.Video())


def test_videos_inside_are_written_by_their_content(tmp_path: Path) -> None:
    with_bytes().save_to_disk(str(tmp_path / "saved"))
    done = import_from(tmp_path / "saved", "huggingface", tmp_path / "out")
    one, two, three = done.posts
    name = sha256(b"first").hexdigest()[:32]
    assert (one.id, one.video) == (f"{name}.webm", tmp_path / "out" / "videos" / f"{name}.webm")
    assert (one.description, one.hashtags) == ("So cold! 🥶", ("été", "winter"))
    assert (one.created_at, one.split) == ("2012-03-15T19:41:23Z", None)
    assert (one.video.read_bytes(), two.video.read_bytes()) == (b"first", b"second")
    assert (two.hashtags, two.video.suffix, three.video.suffix) == (("日本",), ".mp4", ".mp4")
    assert '"video": "videos/' in (tmp_path / "out" / "manifest.jsonl").read_text()


def test_paths_within_rows_are_not_trusted(tmp_path: Path) -> None:
    make_videos(tmp_path, ["rows/1.mp4", "secret.mp4"])
    places = ["1.mp4", "../secret.mp4", str(tmp_path / "secret.mp4"), "hf://datasets/a/b/secret.mp4"]
    rows = ({"video": {"bytes": None, "path": place}, "text": f"{place} #x1"} for place in places)
    path = write_json_lines(tmp_path / "rows" / "rows.jsonl", *rows)
    done = import_from(path, "huggingface", tmp_path / "out")
    assert [post.id for post in done.posts] == ["1.mp4"]
    outside = "a path that leads out of the videos folder"
    assert done.reasons == [(2, outside), (3, outside), (4, "no such video")]


def test_a_row_without_hashtag_leaves_no_video(tmp_path: Path) -> None:
    rows = {"video": [{"bytes": b"a", "path": None}, {"bytes": b"b", "path": None}], "text": ["", "#x1"]}
    datasets.Dataset.from_dict(rows).to_parquet(str(tmp_path / "rows.parquet"))
    done = import_from(tmp_path / "rows.parquet", "huggingface", tmp_path / "out")
    assert len(list((tmp_path / "out" / "videos").iterdir())) == len(done.posts) == 1
    assert done.rejected[0]["content"] == {"video": {"bytes": "<1 bytes>", "path": None}, "text": ""}


def test_splits(tmp_path: Path) -> None:
    folder = make_videos(tmp_path / "rows", ["1.mp4", "2.mp4"])
    for name, id_ in (("train", "1"), ("test", "2")):
        rows = {"id": [id_], "caption": ["#x1"], "author": [{"id": "7", "uniqueId": "ann"}]}
        datasets.Dataset.from_dict(rows).to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
    done = import_from(folder, "huggingface", tmp_path / "out")
    assert [(p.id, p.split, p.author) for p in done.posts] == [("1", "train", "ann"), ("2", "test", "ann")]
    done = import_from(folder, "huggingface", tmp_path / "out2", split=("test",))
    assert [(post.id, post.split) for post in done.posts] == [("2", None)]
    with pytest.raises(ConfigError, match="no split 'dev'; there is train, test"):
        import_from(folder, "huggingface", tmp_path / "out3", split=("dev",))


def test_a_saved_dictionary_of_splits(tmp_path: Path) -> None:
    both = datasets.DatasetDict({"train": with_bytes().select([0]), "test": with_bytes().select([1])})
    both.save_to_disk(str(tmp_path / "saved"))
    done = import_from(tmp_path / "saved", "huggingface", tmp_path / "out")
    assert [post.split for post in done.posts] == ["train", "test"]


def test_a_folder_of_videos_with_metadata(tmp_path: Path) -> None:
    folder = make_videos(tmp_path / "clips", ["sub/a.mp4", "b.mp4"])
    write_json_lines(
        folder / "metadata.jsonl",
        {"file_name": "sub/a.mp4", "text": "hello #x1"},
        {"file_name": "b.mp4", "text": "nothing"},
    )
    done = import_from(folder, "huggingface", tmp_path / "out")
    assert [(post.id, post.video) for post in done.posts] == [("sub/a.mp4", folder / "sub/a.mp4")]


@pytest.fixture
def broken_torchcodec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed, but can't be loaded, such as for want of a system's library."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchcodec"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "installed" / "torchcodec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('raise OSError("Could not load this library")')
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(datasets.config, "TORCHCODEC_AVAILABLE", True)


@pytest.mark.usefixtures("broken_torchcodec")
def test_a_decoder_of_the_library_plays_no_part(tmp_path: Path) -> None:
    """`datasets` used to load it for each row of a folder of videos, though none was to be decoded."""
    folder = make_videos(tmp_path / "clips", ["a.mp4"])
    write_json_lines(folder / "metadata.jsonl", {"file_name": "a.mp4", "text": "hello #x1"})
    assert [post.id for post in import_from(folder, "huggingface", tmp_path / "out1").posts] == ["a.mp4"]
    archives = tmp_path / "archives"
    archives.mkdir()
    with tarfile.open(archives / "rows.tar", "w") as archive:
        for name, content in (("a.mp4", b"first"), ("a.json", b'{"text": "hello #x1"}')):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (post,) = import_from(
        archives, "huggingface", tmp_path / "out2", video_column="mp4", description_column="json.text"
    ).posts
    assert post.video.read_bytes() == b"first"
    with_bytes().save_to_disk(str(tmp_path / "saved"))
    assert len(import_from(tmp_path / "saved", "huggingface", tmp_path / "out3").posts) == 3


@pytest.mark.usefixtures("broken_torchcodec")
def test_media_deep_in_a_row_are_left_as_they_are(tmp_path: Path) -> None:
    kinds = {"file": datasets.Video(), "sounds": datasets.List(datasets.Audio()), "cover": datasets.Image()}
    one = {"bytes": b"first", "path": None}
    rows = {"clip": [{"file": one, "sounds": [one, one], "cover": one}], "text": ["hello #x1"]}
    features = datasets.Features({"clip": kinds, "text": datasets.Value("string")})
    table = datasets.Dataset.from_dict(rows).data.table
    saved = datasets.Dataset(table.cast(features.arrow_schema))
    assert saved.features == features
    saved.to_parquet(str(tmp_path / "rows.parquet"))
    done = import_from(tmp_path / "rows.parquet", "huggingface", tmp_path / "out", video_column="clip.file")
    assert [post.video.read_bytes() for post in done.posts] == [b"first"]


def test_columns_by_name_and_files_of_text(tmp_path: Path) -> None:
    make_videos(tmp_path, ["1.mp4"])
    path = write_json_lines(tmp_path / "rows.jsonl", {"clip": {"file": "1.mp4"}, "words": "x #a1", "id": 7})
    done = import_from(
        path, "huggingface", tmp_path / "out", video_column="clip.file", description_column="words"
    )
    assert [(post.id, post.video, post.description) for post in done.posts] == [
        ("7", tmp_path / "1.mp4", "x")
    ]
    with pytest.raises(DataError, match=r"no column 'clip2\.file' for the video; there are clip, words, id"):
        import_from(path, "huggingface", tmp_path / "out2", video_column="clip2.file")


def test_damage_ends_the_reading_not_the_import(tmp_path: Path) -> None:
    make_videos(tmp_path, ["1.mp4"])
    folder = tmp_path / "rows"
    folder.mkdir()
    write_json_lines(folder / "a.jsonl", *[{"id": str(n), "text": f"x{n} #x1"} for n in (1, 2)])
    (folder / "b.jsonl").write_text('{"id": "3", \n')
    done = import_from(folder, "huggingface", tmp_path / "out", videos=tmp_path)
    assert [post.id for post in done.posts] == ["1"]
    assert done.reasons == [(2, "no such video"), (0, "the dataset breaks off or is damaged")]


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nobody/nothing: can't be loaded by datasets"):
        import_from("nobody/nothing", "huggingface", tmp_path / "out")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"a\.txt: not one of \.parquet"):
        import_from(tmp_path / "a.txt", "huggingface", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_code_in_a_dataset_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "rows.jsonl").write_text(json.dumps({"id": "1", "text": "#x1"}))
    make_videos(folder, ["1.mp4"])
    with suppress(DataError):
        import_from(folder, "huggingface", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "ggm\[huggingface\]"'):
        import_from("nobody/nothing", "huggingface", tmp_path / "out")
