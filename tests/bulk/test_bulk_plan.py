"""A manifest is cut into the same shards and batches, in whatever format and wherever reading begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ggm.bulk.plan import Batch, Problem, Span, Turn, batches, digest_of, num_rows, plan
from ggm.bulk.work import Annotation, Answers
from ggm.corpus.manifest import Clip, Place, read_placed_rows
from ggm.errors import DataError


def write_lines(path: Path, count: int) -> Path:
    lines = [json.dumps({"id": f"é{row}", "video": f"{row}.mp4", "description": "ß"}) for row in range(count)]
    lines.insert(3, "   ")  # passed over, and not counted as a row
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return path


def write_parquet(path: Path, count: int, *, group_rows: int) -> Path:
    import pyarrow
    from pyarrow import parquet

    ids = [f"é{row}" for row in range(count)]
    table = pyarrow.table(
        {"id": ids, "video": [f"{row}.mp4" for row in range(count)], "description": ["ß"] * count}
    )
    parquet.write_table(table, path, row_group_size=group_rows)
    return path


@pytest.mark.parametrize("name", ["m.jsonl", "m.parquet"])
@pytest.mark.parametrize("shard_rows", [1, 3, 7, 20, 100])
def test_every_row_is_in_one_batch_of_its_shard(tmp_path: Path, name: str, shard_rows: int) -> None:
    path = tmp_path / name
    _ = write_lines(path, 20) if name.endswith("jsonl") else write_parquet(path, 20, group_rows=6)
    spans = plan(path, shard_rows=shard_rows)
    assert num_rows(spans) == 20
    assert [span.shard for span in spans] == list(range(-(-20 // shard_rows)))
    assert {span.rows for span in spans[:-1]} <= {shard_rows}
    found = []
    for span in reversed(spans):  # each can be read by itself, in any order
        again = Span.from_dict(json.loads(json.dumps(span.to_dict())))
        assert again == span
        shard = list(batches(path, span, batch_size=4))
        assert all(batch.shard == span.shard for batch in shard)
        assert [len(batch.turns) for batch in shard[:-1]] == [4] * (len(shard) - 1)
        found.append([turn for batch in shard for turn in batch.turns])
    turns = [turn for shard in reversed(found) for turn in shard]
    assert [turn.clip for turn in turns] == [
        Clip(f"é{row}", tmp_path / f"{row}.mp4", "ß") for row in range(20)
    ]
    assert [turn.row for turn in turns] == sorted({turn.row for turn in turns})


def test_reading_goes_on_at_each_place(tmp_path: Path) -> None:
    for path in (
        write_lines(tmp_path / "m.jsonl", 10),
        write_parquet(tmp_path / "m.parquet", 10, group_rows=4),
    ):
        rows = list(read_placed_rows(path))
        for index, (_, place) in enumerate(rows):
            assert list(read_placed_rows(path, place)) == rows[index + 1 :]
        assert list(read_placed_rows(path, Place())) == rows


def test_bad_and_repeated_rows_have_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [
        '{"id": "a", "video": "a.mp4", "hashtags": 7}',
        "[]",
        '{"id": "b"}',
        '{"id": "a", "video": "b.mp4"}',
    ]
    path.write_text("\n".join(rows))
    (span,) = plan(path, shard_rows=10)
    assert span.repeated == (4,)
    (batch,) = batches(path, span, batch_size=10)
    assert Batch.from_json(batch.to_json()) == batch
    good, no_object, no_video, again = batch.turns
    assert good == Turn(1, Clip("a", tmp_path / "a.mp4"), "a")  # its own hashtags don't matter
    assert (no_object.id, no_video.id, again.id) == (None, "b", "a")
    assert {turn.problem.kind for turn in batch.turns if turn.problem} == {"DataError"}
    reasons = [turn.problem.reason for turn in batch.turns if turn.problem]
    assert ["an object" in reasons[0], "video is missing" in reasons[1], "twice" in reasons[2]] == [True] * 3


def test_answers_travel_to_the_last_bit() -> None:
    answers = Answers(
        3,
        (
            Annotation(1, "a", ("cat", "日本"), (0.1 + 0.2, 1e-17), ("novel", "guidance")),
            Annotation(2, None, problem=Problem("MediaFormatError", "no")),
            Annotation(3, "c"),
            Annotation(4, "d", (), (), ()),
        ),
    )
    assert Answers.from_json(answers.to_json()) == answers


def test_a_manifest_that_cannot_be_cut(tmp_path: Path) -> None:
    empty = tmp_path / "m.jsonl"
    empty.write_text("\n\n")
    with pytest.raises(DataError, match="has no row"):
        plan(empty, shard_rows=2)
    with pytest.raises(DataError, match="can't be read"):
        plan(tmp_path / "none.jsonl", shard_rows=2)
    with pytest.raises(DataError, match="can't be read"):
        digest_of(tmp_path / "none.jsonl")


def test_a_manifest_that_shrinks(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", 8)
    spans = plan(path, shard_rows=5)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="changed while it was read"):
        list(batches(path, spans[1], batch_size=4))


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    one, other = write_lines(tmp_path / "a.jsonl", 4), write_lines(tmp_path / "b.jsonl", 4)
    assert digest_of(one) == digest_of(other)
    other.write_bytes(other.read_bytes() + b"\n")
    assert digest_of(one) != digest_of(other)
