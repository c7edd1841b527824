from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from importing import import_from, make_videos, write_json_lines


def post(number: int, **more: Any) -> dict[str, Any]:
    return {
        "postId": 900000000000000000 + number,
        "username": "Ann",
        "userIdStr": "77",
        "created": "2014-01-05T20:44:13.000000",
        "description": f"Vine {number} 😂 #funny #été",
        "loops": 12,
        "permalinkUrl": f"https://vine.co/v/short{number}",
        **more,
    }


def test_posts_are_found_by_id_and_by_the_file_names_of_their_addresses(tmp_path: Path) -> None:
    videos = make_videos(
        tmp_path / "videos", ["900000000000000001.mp4", "AB%20C.mp4", "low/D.mp4", "E.mp4", "short5.mp4"]
    )
    make_videos(tmp_path / "videos", ["AB C.mp4"])
    path = write_json_lines(
        tmp_path / "vines.jsonl",
        post(1),
        post(2, videoUrl="https://archive.vine.co/videos/AB%20C.mp4?versionId=x.y"),
        post(3, videoUrl="https://v.cdn.vine.co/r/none.mp4", videoLowUrl="https://v.cdn.vine.co/r/D.mp4"),
        post(4, videoDashURL="https://v.cdn.vine.co/dash/E.mp4"),
        post(5, description="nothing #1"),
        post(6, videoLowURL="http://[bad/x.mp4"),
        post(5),
    )
    done = import_from(path, "vine", tmp_path / "out", videos=videos)
    assert [p.video.relative_to(videos).as_posix() for p in done.posts] == [
        "900000000000000001.mp4", "AB C.mp4", "low/D.mp4", "E.mp4", "short5.mp4",
    ]  # fmt: skip
    one = done.posts[0]
    assert (one.id, one.description, one.hashtags) == ("900000000000000001", "Vine 1 😂", ("funny", "été"))
    assert (one.author, one.created_at) == ("Ann", "2014-01-05T20:44:13")
    assert done.sources[0] == {"id": "900000000000000001", "page": "https://vine.co/v/short1"}
    assert done.reasons == [(5, "no hashtag"), (6, "no such video")]


def test_profiles_and_single_files_in_a_folder(tmp_path: Path) -> None:
    source = make_videos(tmp_path / "vine", [f"90000000000000000{n}.mp4" for n in range(1, 5)])
    profile = {"username": "Ann", "description": "my #bio", "posts": [post(1), "hJ5abc", 7]}
    (source / "1.json").write_text(json.dumps(profile, indent=2))
    (source / "2.json").write_text(json.dumps(post(2)))
    (source / "3.json").write_text(json.dumps({"code": "", "data": {"records": [post(3)]}}))
    (source / "4.json").write_text("{broken")
    write_json_lines(source / "5.jsonl", {"username": "A", "posts": [post(4)]}, "1 https://vine.co/v/x")
    done = import_from(source, "vine", tmp_path / "out")
    assert [p.id[-1] for p in done.posts] == ["1", "2", "3", "4"]
    assert [row["reason"] for row in done.rejected] == [
        "the id of a post without the post",
        "an object is expected",
        "JSON that is damaged from here on",
        "not JSON",
    ]


def test_nostr_events(tmp_path: Path) -> None:
    make_videos(tmp_path, ["hBFP5LFKUOU.mp4", "1234.mp4"])
    event = {
        "id": "f" * 64,
        "pubkey": "a" * 64,
        "created_at": 1760000000,
        "kind": 34236,
        "content": "Do it for the Vine #vine",
        "tags": [
            ["d", "hBFP5LFKUOU"],
            ["title", "unused"],
            ["t", "Comedy"],
            ["t", "vine"],
            ["published_at", "1400000000"],
            ["imeta", "url https://cdn.example/x/1234.mp4", "m video/mp4"],
            ["r", "https://vine.co/v/hBFP5LFKUOU"],
            ["odd"],
            ["odd", 7],
            "odd",
        ],
    }
    second = {**event, "content": "", "tags": [["title", "Hi #there"], *event["tags"][5:6]], "id": "e" * 64}
    path = write_json_lines(tmp_path / "events.jsonl", event, second)
    done = import_from(path, "vine", tmp_path / "out")
    one, two = done.posts
    assert (one.id, one.description, one.hashtags) == (
        "hBFP5LFKUOU", "Do it for the Vine", ("Comedy", "vine"),
    )  # fmt: skip
    assert (one.author, one.created_at) == ("a" * 64, "2014-05-13T16:53:20Z")
    assert (two.id, two.description, two.hashtags) == ("e" * 64, "Hi", ("there",))
    assert two.video == tmp_path / "1234.mp4"
    assert done.sources == [{"id": "hBFP5LFKUOU", "page": "https://vine.co/v/hBFP5LFKUOU"}]
