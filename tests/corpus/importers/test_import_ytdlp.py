from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.importers import ytdlp
from ggm.errors import DataError
from importing import import_from, make_videos


def info(id_: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "title": f"Title {id_}",
        "description": "Words in the box.\n\n#shorts #été",
        "tags": ["birthday cake", "Shorts", "日本"],
        "uploader": "Ann's channel",
        "uploader_id": "@ann",
        "timestamp": 1331840483,
        "upload_date": "20120315",
        "ext": "mp4",
        "webpage_url": f"https://www.youtube.com/watch?v={id_}",
        "license": "Creative Commons Attribution license (reuse allowed)",
        "extractor": "youtube",
        "_type": "video",
        "formats": [{"format_id": "22"}] * 3,
        **more,
    }


def sidecar(folder: Path, name: str, content: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    (folder / name).write_text(text, encoding="utf-8")


def test_downloads_with_their_sidecars(tmp_path: Path) -> None:
    folder = make_videos(
        tmp_path / "yt",
        [
            "First one [aaaaaaaaaaa].webm",
            "Chan/Second [bbbbbbbbbbb].mkv",
            "Chan/Renamed [ccccccccccc].mp4",
            "Old title-ddd-ddddd_d.mp4",
            "stated.mp4",
            "First one [aaaaaaaaaaa].f137.mp4.part",
        ],
    )
    sidecar(folder, "First one [aaaaaaaaaaa].info.json", info("aaaaaaaaaaa"))
    sidecar(folder, "Chan/Second [bbbbbbbbbbb].info.json", info("bbbbbbbbbbb", tags=None, timestamp=None))
    sidecar(folder, "Chan/Third [ccccccccccc].info.json", info("ccccccccccc", uploader_id=None))
    sidecar(folder, "Old.info.json", info("ddd-ddddd_d"))
    downloads = [{"filepath": "C:\\Users\\Ann\\Videos\\stated.mp4"}]
    sidecar(folder, "Other.info.json", info("eeeeeeeeeee", requested_downloads=downloads))
    done = import_from(folder, "ytdlp", tmp_path / "out")
    by_id = done.by_id
    one = by_id["aaaaaaaaaaa"]
    assert one.description == "Title aaaaaaaaaaa. Words in the box."
    assert one.hashtags == ("birthdaycake", "Shorts", "日本", "été")
    assert (one.author, one.created_at) == ("@ann", "2012-03-15T19:41:23Z")
    assert (by_id["bbbbbbbbbbb"].created_at, by_id["bbbbbbbbbbb"].hashtags) == (
        "2012-03-15",
        ("shorts", "été"),
    )
    assert by_id["ccccccccccc"].author == "Ann's channel"
    assert {id_: post.video.relative_to(folder).as_posix() for id_, post in by_id.items()} == {
        "aaaaaaaaaaa": "First one [aaaaaaaaaaa].webm",
        "bbbbbbbbbbb": "Chan/Second [bbbbbbbbbbb].mkv",
        "ccccccccccc": "Chan/Renamed [ccccccccccc].mp4",
        "ddd-ddddd_d": "Old title-ddd-ddddd_d.mp4",
        "eeeeeeeeeee": "stated.mp4",
    }
    assert {row["id"]: row for row in done.sources}["bbbbbbbbbbb"] == {
        "id": "bbbbbbbbbbb",
        "page": "https://www.youtube.com/watch?v=bbbbbbbbbbb",
        "licence": "Creative Commons Attribution license (reuse allowed)",
        "extractor": "youtube",
    }
    assert sum(done.summary.licences.values()) == 5


def test_videos_of_another_folder(tmp_path: Path) -> None:
    videos = make_videos(tmp_path / "videos", ["deep/7123456789.mp4"])
    sidecar(tmp_path / "info", "x.info.json", info("7123456789"))
    done = import_from(tmp_path / "info", "ytdlp", tmp_path / "out", videos=videos)
    assert done.posts[0].video == videos / "deep/7123456789.mp4"


def test_a_title_that_is_the_beginning_of_the_description(tmp_path: Path) -> None:
    """As the sidecars of TikTok and Instagram have it."""
    folder = make_videos(tmp_path / "yt", ["a.mp4"])
    sidecar(
        folder, "a.info.json", info("a", title="So cold today #win...", description="So cold today #winter")
    )
    done = import_from(folder, "ytdlp", tmp_path / "out")
    assert done.posts[0].description == "So cold today"


def test_what_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ytdlp, "MAX_INFO_BYTES", 10_000)
    folder = make_videos(tmp_path / "yt", ["a.mp4", "../secret.mp4"])
    sidecar(folder, "a.info.json", info("a"))
    sidecar(folder, "list.info.json", {"_type": "playlist", "id": "PL1", "entries": []})
    sidecar(folder, "sound.info.json", info("s", ext="m4a", _filename="sound.m4a"))
    sidecar(folder, "escape.info.json", info("x", _filename="../secret.mp4", filename="/etc/passwd"))
    sidecar(folder, "broken.info.json", '{"id": ')
    sidecar(folder, "list2.info.json", "[]")
    sidecar(folder, "deep.info.json", "[" * 9_000)
    sidecar(folder, "large.info.json", info("l", description="x" * 10_000))
    sidecar(folder, "tags.info.json", info("t", tags={"x": ["y"]}))
    done = import_from(folder, "ytdlp", tmp_path / "out")
    assert [post.id for post in done.posts] == ["a"]
    assert done.summary.skipped == {"a playlist, no video": 1}
    assert {row["file"]: row["reason"] for row in done.rejected} == {
        "broken.info.json": "not JSON",
        "deep.info.json": "not JSON",
        "escape.info.json": "no such video",
        "large.info.json": "a sidecar that is too large",
        "list2.info.json": "an object is expected",
        "sound.info.json": "no such video",
        "tags.info.json": "no such video",
    }
    sound = next(row for row in done.rejected if row["file"] == "sound.info.json")
    assert sound["content"]["id"] == "s"
    assert "formats" not in sound["content"]


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder of downloads"):
        import_from(tmp_path / "none", "ytdlp", tmp_path / "out")
    with pytest.raises(DataError, match=r"no \.info\.json in it; download with yt-dlp --write-info-json"):
        import_from(make_videos(tmp_path / "yt", ["a.mp4"]), "ytdlp", tmp_path / "out")
