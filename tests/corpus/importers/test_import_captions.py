from __future__ import annotations

from pathlib import Path

import pytest

from ggm.errors import DataError
from importing import import_from, make_videos


def test_a_folder_of_videos_and_captions(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["snow.mp4", "旅/富士山.MOV", "trip/a.b.webm", "late.mp4"])
    (clips / "snow.txt").write_text("So cold! ❄️ #winter #ColdWeather #Winter", encoding="utf-8")
    (clips / "旅" / "富士山.TXT").write_text("富士山きれい #日本　#富士山", encoding="utf-8")
    (clips / "trip" / "a.b.caption").write_text("Été à la plage\n\n#été #plage\n", encoding="utf-8-sig")
    (clips / "late.mp4.txt").write_text("named after the whole file #x1", encoding="utf-16")
    done = import_from(clips, "captions", tmp_path / "out")
    assert [(post.id, post.description, post.hashtags) for post in done.posts] == [
        ("late.mp4", "named after the whole file", ("x1",)),
        ("snow.mp4", "So cold! ❄️", ("winter", "ColdWeather")),
        ("trip/a.b.webm", "Été à la plage", ("été", "plage")),
        ("旅/富士山.MOV", "富士山きれい", ("日本", "富士山")),
    ]
    assert done.posts[1].video == clips / "snow.mp4"
    assert done.metadata["importer"] == "captions"
    assert done.metadata["licence"] == "unknown"
    assert not done.rejected
    assert not (tmp_path / "out" / "rejected.jsonl").exists()


def test_what_has_no_partner_is_reported(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["good.mp4", "alone.mp4", "plain.mp4", "bytes.mp4", "long.mp4"])
    make_videos(clips, [".hidden.mp4", "._good.mp4", "picture.jpg"])
    (clips / "good.txt").write_text("#x1")
    (clips / "gone.txt").write_text("#x1")
    (clips / "plain.txt").write_text("no hashtag, only #1 and C#")
    (clips / "bytes.txt").write_bytes(b"\xff\xfa #x1")
    (clips / "long.txt").write_text("#x1 " * 300_000)
    done = import_from(clips, "captions", tmp_path / "out")
    assert [post.id for post in done.posts] == ["good.mp4"]
    assert {row["file"]: row["reason"] for row in done.rejected} == {
        "alone.mp4": "no caption beside the video",
        "bytes.txt": "bytes that can't be decoded",
        "gone.txt": "no video beside the caption",
        "long.txt": "a caption that is too long",
        "plain.txt": "no hashtag",
    }


def test_one_caption_is_chosen_where_there_are_several(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["a.mp4"])
    (clips / "a.txt").write_text("#second")
    (clips / "a.caption").write_text("#first")
    (clips / "a.description").write_text("#third")
    done = import_from(clips, "captions", tmp_path / "out")
    assert [post.hashtags for post in done.posts] == [("first",)]
    assert not done.rejected


def test_another_encoding(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["a.mp4"])
    (clips / "a.txt").write_bytes("Übung #Größe".encode("cp1252"))
    done = import_from(clips, "captions", tmp_path / "out", encoding="cp1252")
    assert done.posts[0].hashtags == ("Größe",)


def test_a_caption_that_is_a_folder_or_unreadable_is_no_end(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["a.mp4", "b.mp4"])
    (clips / "a.txt").write_text("#x1")
    (clips / "b.txt").symlink_to(tmp_path / "nowhere")
    done = import_from(clips, "captions", tmp_path / "out")
    assert [row["reason"] for row in done.rejected] == ["a caption that can't be read"]


def test_the_dataset_may_be_made_where_the_videos_are(tmp_path: Path) -> None:
    clips = make_videos(tmp_path / "clips", ["a.mp4"])
    (clips / "a.txt").write_text("#x1")
    import_from(clips, "captions", clips)
    assert '"video": "a.mp4"' in (clips / "manifest.jsonl").read_text()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: not a folder of videos"):
        import_from(tmp_path / "none", "captions", tmp_path / "out")
    assert not (tmp_path / "out").exists()
