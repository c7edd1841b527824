"""Parquet manifests: the same posts as in JSON Lines, and nothing that a damaged file can break."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus import parquet
from ggm.corpus.manifest import BadRow, count_rows, load_dataset, read_manifest, write_manifest
from ggm.corpus.rows import Problem
from ggm.errors import DataError, MissingDependencyError
from ggm.records import Post


def posts(folder: Path, count: int = 3) -> list[Post]:
    return [
        Post(
            f"id{n}",
            folder / "videos" / f"{n}.mp4",
            f'Line\nbreak, "quotes", é {n}',
            ("FirstSnow", "日本"),
            author="ann" if n % 2 else None,
            created_at="2015-01-31T10:00:00Z",
            split="train" if n else None,
        )
        for n in range(count)
    ]


def write_table(path: Path, **columns: Any) -> Path:
    count = len(next(iter(columns.values())))
    table = {"id": [f"{n}" for n in range(count)], "video": ["v.mp4"] * count, "hashtags": [["a"]] * count}
    pq.write_table(pa.table({**table, **columns}), path)
    return path


def read(path: Path) -> tuple[list[str], list[BadRow]]:
    bad: list[BadRow] = []
    return [post.id for post in read_manifest(path, check_videos=False, on_bad_row=bad.append)], bad


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    assert write_manifest(iter(posts(tmp_path)), path) == 3
    assert list(read_manifest(path, check_videos=False)) == posts(tmp_path)
    assert count_rows(path) == 3
    assert pq.read_table(path)["video"].to_pylist()[0] == "videos/0.mp4", "relative, so that it can be moved"


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        write_manifest(posts(tmp_path), tmp_path / f"m.{suffix}")
    both = [
        list(read_manifest(tmp_path / f"m.{suffix}", check_videos=False)) for suffix in ("jsonl", "parquet")
    ]
    assert both[0] == both[1]


def test_more_posts_than_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_WRITTEN_ROWS", 7)
    monkeypatch.setattr(parquet, "_READ_ROWS", 3)
    path = tmp_path / "manifest.parquet"
    assert write_manifest(posts(tmp_path, 20), path) == 20
    assert list(read_manifest(path, check_videos=False)) == posts(tmp_path, 20)
    assert pq.ParquetFile(path).num_row_groups == 3


def test_an_empty_file_of_posts(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    assert write_manifest([], path) == 0
    assert list(read_manifest(path)) == []
    with pytest.raises(DataError, match="no usable post"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("columns", "reason", "problem"),
    [
        ({"id": ["0", None, "2"]}, "id is missing", Problem.BAD_FIELD),
        ({"id": ["0", "0", "2"]}, "'0' occurs twice", Problem.DUPLICATED_ID),
        ({"video": ["v", "", "v"]}, "video is missing", Problem.BAD_FIELD),
        ({"video": ["v", "a\0b", "v"]}, "character that no text has", Problem.BAD_FIELD),
        ({"hashtags": [["a"], None, ["a"]]}, "no hashtag", Problem.NO_HASHTAG),
        ({"hashtags": [["a"], [], ["a"]]}, "no hashtag", Problem.NO_HASHTAG),
        ({"hashtags": [["a"], ["a", None], ["a"]]}, "list of strings", Problem.BAD_FIELD),
        ({"hashtags": [["a"], ["!!"], ["a"]]}, "not a hashtag", Problem.BAD_HASHTAG),
    ],
)
def test_a_bad_row_is_named_or_set_aside(
    tmp_path: Path, columns: dict[str, Any], reason: str, problem: Problem
) -> None:
    path = write_table(tmp_path / "m.parquet", **columns)
    with pytest.raises(DataError, match=rf"m\.parquet, row 2: .*{reason}"):
        list(read_manifest(path, check_videos=False))
    good, bad = read(path)
    assert good == ["0", "2"]
    assert [(row.number, row.problem) for row in bad] == [(2, problem)]
    assert bad[0].text.startswith("{"), "the row as JSON"


def test_a_text_that_is_not_utf8_spoils_its_row_only(tmp_path: Path) -> None:
    descriptions = pa.array([b"fine", b"\xff", b"fine"], pa.binary()).cast(pa.string(), safe=False)
    columns = {
        "id": pa.array(["a", "b", "c"]),
        "video": pa.array(["v"] * 3),
        "hashtags": pa.array([["a"]] * 3),
    }
    pq.write_table(
        pa.Table.from_arrays([*columns.values(), descriptions], [*columns, "description"]),
        tmp_path / "m.parquet",
    )
    good, bad = read(tmp_path / "m.parquet")
    assert good == ["a", "c"]
    assert [(row.number, row.id, row.problem) for row in bad] == [(2, "b", Problem.BAD_FIELD)]
    assert "description is not UTF-8" in bad[0].reason


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": [7]}, "the column id must hold strings, not int64"),
        ({"created_at": pa.array([0], pa.timestamp("us"))}, "created_at must hold strings, not timestamp"),
        ({"hashtags": ["a b"]}, "hashtags must hold lists of strings, not string"),
        ({"hashtags": [[1]]}, "hashtags must hold lists of strings, not list<.*int64>"),
        ({"tags": [["x"]]}, "unknown column 'tags'; columns are author, created_at"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    path = write_table(tmp_path / "m.parquet", **columns)
    with pytest.raises(DataError, match=rf"m\.parquet: .*{reason}"):
        list(read_manifest(path, on_bad_row=lambda _: None))


def test_a_missing_or_doubled_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "video": ["v"]}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="no column 'hashtags'"):
        read(tmp_path / "m.parquet")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["id", "id"])
    pq.write_table(twice, tmp_path / "m.parquet")
    with pytest.raises(DataError, match="two columns are named 'id'"):
        read(tmp_path / "m.parquet")


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    """Categories, large strings, a column without a value, and the index."""
    path = write_table(
        tmp_path / "m.parquet",
        id=pa.array(["a", "b"], pa.large_string()),
        author=pa.array(["ann", None]).dictionary_encode(),
        hashtags=pa.array([["x", "y"], ["x", "z"]], pa.list_(pa.string(), 2)),
        split=pa.nulls(2),
        __index_level_0__=[3, 9],
    )
    read_posts = list(read_manifest(path, check_videos=False))
    assert [(post.id, post.author, post.split) for post in read_posts] == [
        ("a", "ann", None),
        ("b", None, None),
    ]
    assert read_posts[1].hashtags == ("x", "z")


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    for content in (b"", b"PAR1", b'{"id": "a"}\n', b"PAR1" + b"\0" * 100 + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"manifest\.parquet: can't be read as Parquet: \w"):
            list(read_manifest(path))
    with pytest.raises(DataError, match=r"none\.parquet: can't be read as Parquet: .*No such file"):
        list(read_manifest(tmp_path / "none.parquet"))
    with pytest.raises(DataError, match="can't be read as Parquet"):
        count_rows(path)
    (tmp_path / "parts.parquet").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        list(read_manifest(tmp_path / "parts.parquet"))


def test_a_parquet_file_under_another_name_is_recognised(tmp_path: Path) -> None:
    write_manifest(posts(tmp_path), tmp_path / "m.parquet")
    (tmp_path / "m.parquet").rename(tmp_path / "manifest.jsonl")
    with pytest.raises(DataError, match=r"manifest\.jsonl: is a Parquet file; .* suffix \.parquet"):
        load_dataset(tmp_path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_manifest(posts(tmp_path, 50), path)
    whole = path.read_bytes()
    for length in {*range(0, len(whole), len(whole) // 40), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="can't be read as Parquet"):
            read(path)


def test_damaged_bytes_give_an_error_or_rows_but_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_manifest(posts(tmp_path, 200), path)
    whole = path.read_bytes()
    chance, refused = random.Random(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except DataError:
            refused += 1
    assert refused > 200, "checksums find damage within pages"


def test_without_pyarrow_the_pip_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for use in (
        lambda: list(read_manifest(tmp_path / "m.parquet")),
        lambda: count_rows(tmp_path / "m.parquet"),
        lambda: write_manifest([], tmp_path / "m.parquet"),
    ):
        with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[data\]'"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_manifest(posts(tmp_path), path)

    def broken() -> Any:
        yield posts(tmp_path)[0]
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_manifest(broken(), path)
    assert count_rows(path) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["m.parquet"]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(max_examples=40)
@given(description=text, author=text, hashtag=st.from_regex(r"\w{1,9}x", fullmatch=True))
def test_any_text_survives(
    description: str, author: str, hashtag: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    original = Post("a", folder / "v.mp4", description, ("x1",), author=author or None)
    write_manifest([original], folder / "m.parquet")
    assert list(read_manifest(folder / "m.parquet", check_videos=False)) == [original]
