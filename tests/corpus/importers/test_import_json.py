from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.importers import json_values
from ggm.errors import ConfigError, DataError
from importing import import_from, make_videos, write_json_lines

POSTS = [
    {"id": 7123456789012345678, "desc": "So cold! #winter", "createTime": 1331840483},
    {"id": "2", "desc": "富士山 #日本", "challenges": [{"id": "9", "title": "fuji"}, {"title": "日本"}]},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_videos(tmp_path / "posts", ["7123456789012345678.mp4", "2.webm", "deep/3.mp4"])


def found(folder: Path, path: Path, **options: Any) -> list[tuple[str, tuple[str, ...]]]:
    done = import_from(path, "json", folder / "out", **options)
    return [(post.id, post.hashtags) for post in done.posts]


EXPECTED = [("7123456789012345678", ("winter",)), ("2", ("fuji", "日本"))]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(post) for post in POSTS),
        "\ufeff\n\n" + "\r\n".join(json.dumps(post, ensure_ascii=False) for post in POSTS) + "\r\n",
        json.dumps(POSTS),
        json.dumps(POSTS, indent=2),
        "[" + ",\n".join(json.dumps(post) for post in POSTS) + "]",
        json.dumps({"posts": POSTS}),
        json.dumps({"version": 2, "description": "export", "posts": POSTS}, indent=1),
        json.dumps({"a": {"b": {"c": POSTS}}, "d": [1, 2, 3], "e": [{"x": 1}]}),
    ],
)
@pytest.mark.parametrize("chunk", [7, 1 << 18])
def test_lines_arrays_and_lists_inside(
    folder: Path, text: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    path = folder / "posts.json"
    path.write_text(text, encoding="utf-8")
    assert found(folder, path) == EXPECTED


def test_a_single_post_is_one_even_if_it_holds_lists(folder: Path) -> None:
    path = folder / "post.json"
    path.write_text(json.dumps(POSTS[1], indent=2), encoding="utf-8")
    assert found(folder, path) == EXPECTED[1:]


def test_a_folder_of_files(folder: Path) -> None:
    posts = folder / "json"
    posts.mkdir()
    write_json_lines(posts / "a.jsonl", POSTS[0])
    (posts / "b.json").write_text(json.dumps(POSTS[1:]), encoding="utf-8")
    (posts / "c.json").symlink_to(folder / "nowhere")
    done = import_from(posts, "json", folder / "out", videos=folder)
    assert [(post.id, post.hashtags) for post in done.posts] == EXPECTED
    assert done.reasons == [(0, "a file that can't be read")]
    with pytest.raises(DataError, match=r"no \.json or \.jsonl file in this folder"):
        import_from(folder / "deep", "json", folder / "out2")


def test_deeper_keys_by_name_and_by_path(folder: Path) -> None:
    row = {
        "item": {"media": [{"uri": "deep/3.mp4"}], "words": "x #a1", "tags": "a2 a3"},
        "author": {"uniqueId": "ann", "id": "1"},
        "media": [{"uri": "2.webm", "creation_timestamp": 1331840483}],
    }
    path = write_json_lines(folder / "p.jsonl", row)
    done = import_from(
        path, "json", folder / "out",
        video_column="item.media.0.uri", description_column="item.words", hashtags_column="item.tags",
    )  # fmt: skip
    (post,) = done.posts
    assert (post.video, post.hashtags, post.author) == (folder / "deep/3.mp4", ("a2", "a3", "a1"), "ann")
    assert post.created_at == "2012-03-15T19:41:23Z"
    done = import_from(path, "json", folder / "out2", description_column="item.words")
    assert (done.posts[0].video, done.posts[0].id) == (folder / "2.webm", "2.webm")


def test_bad_lines_are_set_aside(folder: Path) -> None:
    path = folder / "p.jsonl"
    path.write_bytes(
        b'{"id": "2", "desc": "cut o\n'
        b'{"id": "2", "desc": "half an emoji \\ud83d #x1"}\n'
        b"[1, 2]\n"
        b'{"id": "2", "desc": "\xff"}\n'
        b"\n"
        + b"["
        * 100_000
        + b'\n{"id": ["2"], "desc": "#x1"}\n{"id": "deep", "tags": ["a1"], "desc": "", "video": NaN}\n'
        b'{"id": "3", "tags": ' + json.dumps([f"t{n}" for n in range(1_001)]).encode() + b"}\n"
    )
    done = import_from(path, "json", folder / "out")
    assert [(post.id, post.description) for post in done.posts] == [("2", "half an emoji \ufffd")]
    assert done.reasons == [
        (1, "not JSON"),
        (3, "an object is expected"),
        (4, "bytes that can't be decoded"),
        (6, "not JSON"),
        (7, "text is expected"),
        (8, "no such video"),
        (9, "too many hashtags"),
    ]
    assert done.rejected[0]["content"] == '{"id": "2", "desc": "cut o'


def test_an_array_that_is_damaged_gives_what_comes_before(folder: Path) -> None:
    path = folder / "p.json"
    for number, rest in enumerate((", {oops}]", "", ", ", ' {"id": 1}]', ", " + "[" * 100_000)):
        path.write_text("[" + json.dumps(POSTS[1]) + rest, encoding="utf-8")
        done = import_from(path, "json", folder / f"out{number}")
        assert [post.id for post in done.posts] == ["2"]
        assert done.reasons == [(0, "JSON that is damaged from here on")]


def test_an_object_that_is_too_large_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MAX_OBJECT", 1_000)
    monkeypatch.setattr(json_values, "_CHUNK", 64)
    path = folder / "p.json"
    path.write_text(json.dumps({"posts": POSTS * 100}, indent=1))
    with pytest.raises(DataError, match="an object that is too large"):
        import_from(path, "json", folder / "out")
    assert "jq -c" in (folder / "out" / "rejected.jsonl").read_text()


def test_an_empty_file_and_an_unknown_encoding(folder: Path) -> None:
    path = folder / "p.json"
    for text in ("", "\n \n", "[]", "[ ]"):
        path.write_text(text)
        with pytest.raises(DataError, match="nothing to import; it is empty"):
            import_from(path, "json", folder / "out")
    with pytest.raises(ConfigError, match="no encoding 'rot13'"):
        import_from(path, "json", folder / "out", encoding="rot13")
