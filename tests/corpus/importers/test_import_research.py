from __future__ import annotations

from pathlib import Path

from importing import import_from, make_videos, write_json_lines


def test_both_spellings_of_the_keys(tmp_path: Path) -> None:
    make_videos(tmp_path, ["videos/1.mp4", "videos/2.mp4", "videos/3.webm"])
    path = write_json_lines(
        tmp_path / "train.jsonl",
        {
            "id": 1,
            "url": "https://vine.co/v/1",
            "video_file_path": "videos/1.mp4",
            "wave_path": "1.wav",
            "50_constrains": ["cat", "dog"],
            "text": "so funny #lol #1 C# yes",
            "hashtag": ["LOL", "#cat"],
        },
        {
            "id": "2",
            "image_path": ["frames/2/0001.jpg", "frames/2/0002.jpg"],
            "filtered_hashtag": ["snow day", "été"],
            "50_constrains": "winter [sep] snow day[sep]日本",
            "text": "見て #été #plain",
        },
        {"id": "3", "video_file_path": "/home/authors/3.mp4", "text": "x", "hashtag": "a[sep]b"},
        {"id": "4", "image_path": ["frames/4/0001.jpg"], "filtered_hashtag": ["x1"], "text": ""},
        {"id": "5", "video_file_path": "videos/1.mp4", "text": "only #inline", "hashtag": []},
        {"id": "6", "text": "", "hashtag": ["x1"]},
        "oops",
        "[]",
    )
    done = import_from(path, "research-jsonl", tmp_path / "out")
    assert [(post.id, post.description, post.hashtags) for post in done.posts] == [
        ("1", "so funny C# yes", ("LOL", "cat")),
        ("2", "見て", ("snowday", "été")),
        ("3", "x", ("a", "b")),
    ]
    assert [post.video.name for post in done.posts] == ["1.mp4", "2.mp4", "3.webm"]
    assert done.reasons == [
        (4, "frames but no video"),
        (5, "no hashtag"),
        (6, "no such video"),
        (7, "not JSON"),
        (8, "an object is expected"),
    ]
    assert "4.mp4 into a folder and name it by --videos" in done.rejected[0]["detail"]
    assert done.sources == [
        {"id": "1", "url": "https://vine.co/v/1", "guidance": ["cat", "dog"]},
        {"id": "2", "guidance": ["winter", "snow day", "日本"]},
    ]
