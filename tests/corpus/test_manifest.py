from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus import jsonlines
from ggm.corpus.manifest import (
    MANIFEST_NAMES,
    BadRow,
    count_rows,
    find_manifest,
    load_dataset,
    read_manifest,
    write_json_lines,
    write_manifest,
)
from ggm.corpus.rows import Problem
from ggm.errors import DataError
from ggm.records import Post


def post(folder: Path, id_: str = "a", *, hashtags: tuple[str, ...] = ("winter",), **more: str) -> Post:
    video = folder / "videos" / f"{id_}.mp4"
    video.parent.mkdir(exist_ok=True)
    video.touch()
    return Post(id=id_, video=video, description=more.pop("description", ""), hashtags=hashtags, **more)


def write_rows(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_a_manifest_that_was_written_is_read_back(tmp_path: Path) -> None:
    posts = [
        post(
            tmp_path,
            "a",
            hashtags=("FirstSnow", "日本"),
            description='Line\nbreak, "quotes", é',
            author="ann",
            split="train",
        ),
        post(tmp_path, "b", created_at="2015-01-31T10:00:00Z"),
    ]
    path = tmp_path / "manifest.jsonl"
    assert write_manifest(posts, path) == 2
    assert list(read_manifest(path)) == posts


def test_videos_inside_the_folder_are_written_relative_so_that_the_dataset_can_be_moved(
    tmp_path: Path,
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    elsewhere = tmp_path / "elsewhere.mp4"
    elsewhere.touch()
    outside = Post(id="b", video=elsewhere, description="", hashtags=("x1",))
    write_manifest([post(old), outside], old / "manifest.jsonl")
    rows = [json.loads(line) for line in (old / "manifest.jsonl").read_text().splitlines()]
    assert rows[0] == {"id": "a", "video": "videos/a.mp4", "description": "", "hashtags": ["winter"]}
    assert rows[1]["video"] == str(elsewhere)
    new = old.rename(tmp_path / "new")
    assert [p.video for p in read_manifest(new / "manifest.jsonl")] == [new / "videos" / "a.mp4", elsewhere]


def test_hashtags_come_out_canonical_and_once(tmp_path: Path) -> None:
    post(tmp_path)
    path = write_rows(
        tmp_path, {"id": "a", "video": "videos/a.mp4", "hashtags": ["#Winter", "winter", "ＳＮＯＷ"]}
    )
    assert next(read_manifest(path)).hashtags == ("Winter", "SNOW")


GOOD = {"id": "a", "video": "videos/a.mp4", "description": "x", "hashtags": ["winter"]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "object is expected, got list"),
        ({**GOOD, "tags": ["x"]}, "unknown field 'tags'"),
        ({**GOOD, "id": ""}, "id is missing"),
        ({**GOOD, "id": 7}, "id must be a string, got int"),
        ({**GOOD, "video": None}, "video is missing"),
        ({**GOOD, "video": "videos/none.mp4"}, "no video .*none.mp4"),
        ({**GOOD, "video": "videos"}, "no video"),
        ({**GOOD, "video": "v" * 5000}, "no video"),
        ({**GOOD, "video": "videos/\0.mp4"}, "character that no text has"),
        ({**GOOD, "hashtags": []}, "no hashtag"),
        ({**GOOD, "hashtags": "winter"}, "list of strings"),
        ({**GOOD, "hashtags": ["#"]}, "row 2"),
        ({**GOOD, "description": ["x"]}, "description must be a string"),
        ({**GOOD, "description": "\ud800"}, "character that no text has"),
        ({**GOOD, "id": "first"}, "'first' occurs twice"),
    ],
)
def test_a_bad_row_is_named_or_set_aside(tmp_path: Path, row: object, reason: str) -> None:
    post(tmp_path)
    path = write_rows(tmp_path, {**GOOD, "id": "first"}, row, {**GOOD, "id": "last"})
    with pytest.raises(DataError, match=f"row 2.*{reason}|{reason}.*row 2|^.*row 2.*$") as caught:
        list(read_manifest(path))
    assert str(path) in str(caught.value)
    bad: list[BadRow] = []
    assert [p.id for p in read_manifest(path, on_bad_row=bad.append)] == ["first", "last"]
    assert [one.number for one in bad] == [2]
    if reason != "row 2":
        import re

        assert re.search(reason, bad[0].reason)


def test_bytes_that_are_not_utf8_spoil_their_row_only(tmp_path: Path) -> None:
    post(tmp_path)
    line = json.dumps(GOOD).encode()
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(line.replace(b'"x"', b'"\xff"') + b"\n\n" + line + b"\r\n")
    bad: list[BadRow] = []
    assert [p.id for p in read_manifest(path, on_bad_row=bad.append)] == ["a"]
    assert [(one.number, "UTF-8" in one.reason) for one in bad] == [(1, True)]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    post(tmp_path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert [p.id for p in read_manifest(tmp_path / "manifest.jsonl")] == ["a"]


def test_videos_need_not_be_there_when_only_the_text_is_wanted(tmp_path: Path) -> None:
    path = write_rows(tmp_path, GOOD)
    assert [p.id for p in read_manifest(path, check_videos=False)] == ["a"]


def test_reading_is_lazy(tmp_path: Path) -> None:
    post(tmp_path)
    posts = read_manifest(write_rows(tmp_path, GOOD, "broken"))
    assert next(posts).id == "a"
    with pytest.raises(DataError, match="row 2"):
        next(posts)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: can't be read"):
        list(read_manifest(tmp_path / "none.jsonl"))


def test_a_failure_while_writing_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_json_lines([{"n": 1}], path)

    def rows():  # type: ignore[no-untyped-def]
        yield {"n": 2}
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_json_lines(rows(), path)
    assert path.read_text() == '{"n": 1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_dataset_folder(tmp_path: Path) -> None:
    posts = [
        post(tmp_path, "a", split="train"),
        post(tmp_path, "b", split="test"),
        post(tmp_path, "c", split="train"),
        post(tmp_path, "d"),
    ]
    write_manifest(posts, tmp_path / "manifest.jsonl")
    (tmp_path / "dataset.json").write_text('{"name": "n"}')
    dataset = load_dataset(tmp_path)
    assert [p.id for p in dataset.posts] == ["a", "b", "c", "d"]
    assert {name: [p.id for p in part] for name, part in dataset.splits.items()} == {
        "train": ["a", "c"],
        "test": ["b"],
    }
    assert dataset.split("test") == (posts[1],)
    assert dataset.metadata == {"name": "n"}
    assert "train=2" in repr(dataset)
    with pytest.raises(DataError, match="no split 'validation'; there is train, test"):
        dataset.split("validation")


def test_each_post_knows_its_row(tmp_path: Path) -> None:
    """Empty lines and bad rows count, as they do in an editor."""
    write_manifest([post(tmp_path, "a"), post(tmp_path, "b")], tmp_path / "good.jsonl")
    first, second = (tmp_path / "good.jsonl").read_text("utf-8").splitlines()
    write_rows(tmp_path, "", first, "no JSON", "  ", second)
    bad: list[BadRow] = []
    dataset = load_dataset(tmp_path, on_bad_row=bad.append)
    assert [one.id for one in dataset.posts] == ["a", "b"]
    assert dataset.rows == (2, 5)
    assert [one.number for one in bad] == [3]


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "can't be read as JSON"), ("[]", "object is expected, got list")]
)
def test_damaged_metadata_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    write_manifest([post(tmp_path)], tmp_path / "manifest.jsonl")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=reason):
        load_dataset(tmp_path)


def test_a_dataset_without_a_usable_post_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable post"):
        load_dataset(write_rows(tmp_path, "broken").parent, on_bad_row=lambda _: None)


@settings(max_examples=60, deadline=None)
@given(description=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_any_description_survives(description: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        original = Post(id="a", video=Path(folder) / "v.mp4", description=description, hashtags=("x1",))
        write_manifest([original], path)
        assert list(read_manifest(path, check_videos=False)) == [original]


def test_a_folder_with_two_manifests_is_refused(tmp_path: Path) -> None:
    for name in MANIFEST_NAMES:
        write_manifest([post(tmp_path)], tmp_path / name)
    with pytest.raises(DataError, match=r"holds manifest\.jsonl and manifest\.parquet; remove one"):
        load_dataset(tmp_path)
    (tmp_path / "manifest.jsonl").unlink()
    assert [p.id for p in load_dataset(tmp_path).posts] == ["a"]
    assert find_manifest(tmp_path) == find_manifest(tmp_path / "manifest.parquet")
    assert find_manifest(tmp_path / "none") == tmp_path / "none" / "manifest.jsonl"


def test_another_suffix_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"m\.csv: a manifest's name ends with \.jsonl or \.parquet, not '\.csv'"
    ):
        write_manifest([], tmp_path / "m.csv")


@pytest.mark.parametrize("name", MANIFEST_NAMES)
@pytest.mark.parametrize(
    "odd",
    [{"description": "\ud800"}, {"author": "a\0b"}, {"hashtags": ("\udcff",)}, {"video": Path("\udcff")}],
)
def test_what_no_text_can_hold_is_not_written(tmp_path: Path, name: str, odd: dict[str, object]) -> None:
    (field,) = odd
    with pytest.raises(DataError, match=f"post 'a': {field} holds a character that no text has"):
        write_manifest([replace(post(tmp_path), **odd)], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/m\.jsonl: can't be written: No such file or directory"):
        write_manifest([], tmp_path / "none" / "m.jsonl")


def test_videos_of_another_dataset_are_written_relative_when_both_move_together(tmp_path: Path) -> None:
    raw, derived = tmp_path / "old" / "raw", tmp_path / "old" / "derived"
    raw.mkdir(parents=True)
    derived.mkdir()
    stranger = Post("b", Path("/elsewhere/b.mp4"), "", ("x1",))
    write_manifest([post(raw), stranger], derived / "manifest.jsonl", root=raw)
    (tmp_path / "old").rename(tmp_path / "new")
    (first, second) = read_manifest(tmp_path / "new" / "derived" / "manifest.jsonl", check_videos=False)
    assert first.video.resolve() == tmp_path / "new" / "raw" / "videos" / "a.mp4"
    assert first.video.is_file()
    assert second.video == Path("/elsewhere/b.mp4")


def test_a_linked_folder_still_finds_its_videos(tmp_path: Path) -> None:
    """`..` leads out of what the link points to, not out of the link."""
    raw, far = tmp_path / "raw", tmp_path / "far" / "away"
    raw.mkdir()
    far.mkdir(parents=True)
    (tmp_path / "link").symlink_to(far)
    write_manifest([post(raw)], tmp_path / "link" / "manifest.jsonl", root=raw)
    assert [p.id for p in read_manifest(tmp_path / "link" / "manifest.jsonl")] == ["a"]


def test_linked_videos_are_found_from_a_dataset_of_a_dataset(tmp_path: Path) -> None:
    """The link is kept, so that the datasets can be moved and the videos be put elsewhere."""
    far = tmp_path / "far" / "away"
    far.mkdir(parents=True)
    (far / "a.mp4").touch()
    folders = [tmp_path / "old" / name for name in ("raw", "one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
    (folders[0] / "videos").symlink_to(far)
    write_manifest([Post("a", folders[0] / "videos" / "a.mp4", "", ("x1",))], folders[0] / "manifest.jsonl")
    for source, derived in pairwise(folders):
        write_manifest(read_manifest(source / "manifest.jsonl"), derived / "manifest.jsonl", root=source)
        assert json.loads((derived / "manifest.jsonl").read_text())["video"] == "../raw/videos/a.mp4"


def test_a_very_long_line_spoils_its_row_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post(tmp_path)
    long = {**GOOD, "id": "long", "description": "é" * 1_000_000}
    path = write_rows(tmp_path, long, GOOD)
    assert [p.id for p in read_manifest(path, check_videos=False)] == ["long", "a"]
    monkeypatch.setattr(jsonlines, "MAX_LINE_BYTES", 100_000)
    bad: list[BadRow] = []
    assert [p.id for p in read_manifest(path, check_videos=False, on_bad_row=bad.append)] == ["a"]
    assert [(row.number, row.problem, len(row.text)) for row in bad] == [(1, Problem.NOT_JSON, 100_001)]
    assert "longer than 100,000 bytes" in bad[0].reason


def test_white_space_and_the_last_line_end(tmp_path: Path) -> None:
    first, last = json.dumps(GOOD), json.dumps({**GOOD, "id": "b"})
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(f"\ufeff{first}\r\n\r\n \t\n{last}".encode())
    assert [p.id for p in read_manifest(path, check_videos=False)] == ["a", "b"]
    assert count_rows(path) == 4
    path.write_bytes(b"")
    assert count_rows(path) == 0
    with pytest.raises(DataError, match="can't be read"):
        count_rows(tmp_path / "none.jsonl")


def test_rows_say_which_kind_of_bad_they_are_and_keep_their_id(tmp_path: Path) -> None:
    post(tmp_path)
    rows = [
        "{",
        {**GOOD, "id": "b", "hashtags": None},
        {**GOOD, "id": 7},
        GOOD,
        GOOD,
        {**GOOD, "id": "c", "video": "x"},
    ]
    bad: list[BadRow] = []
    list(read_manifest(write_rows(tmp_path, *rows), on_bad_row=bad.append))
    assert [(row.problem.value, row.id) for row in bad] == [
        ("not JSON", None), ("no hashtag", "b"), ("wrong or missing field", None), ("duplicated id", "a"),
        ("no video", "c"),
    ]  # fmt: skip
    assert json.loads(bad[1].text) == rows[1]
