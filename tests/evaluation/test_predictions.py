"""The file of predictions: what is written is read; what is wrong is named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import DataError
from ggm.evaluation.predictions import (
    Prediction,
    first,
    read_predictions,
    write_predictions,
)


def prediction(post: str, hashtags: str, reference: str, **options: Any) -> Prediction:
    texts = tuple(hashtags.split())
    scores = tuple(1.0 - 0.1 * rank for rank in range(len(texts)))
    return Prediction(post, options.pop("system", "ggm"), texts, scores, tuple(reference.split()), **options)


ONE = prediction("1", "cat dog", "cat snow", guidance=("cat", "sun", "snow"))
TWO = prediction("2", "kat", "cat", guidance=("dog",))
THREE = prediction("3", "", "日本")

TEXTS = st.sampled_from(["cat", "ColdWeather", "日本", "méxico", "new-york"])


@given(
    posts=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1),
            st.lists(st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False))),
            st.lists(TEXTS, min_size=1),
            st.lists(TEXTS),
        ),
        unique_by=lambda post: post[0],
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, posts: list[Any]) -> None:
    path = tmp_path_factory.mktemp("predictions") / "ggm.jsonl"
    written = [
        Prediction(
            post, "ggm", tuple(t for t, _ in found), tuple(s for _, s in found), tuple(wanted), tuple(guided)
        )
        for post, found, wanted, guided in posts
    ]
    write_predictions(path, written)
    assert read_predictions(path) == written


def test_the_format(tmp_path: Path) -> None:
    path = tmp_path / "ggm.jsonl"
    write_predictions(path, [replace(ONE, guidance=()), THREE])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {
        "id": "1",
        "system": "ggm",
        "hashtags": [{"text": "cat", "score": 1.0}, {"text": "dog", "score": 0.9}],
        "reference": ["cat", "snow"],
        "guidance": [],
    }
    assert '"日本"' in lines[1]


def test_hashtags_are_normalised_guidance_may_be_absent_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "ggm.jsonl"
    line = {"id": "1", "system": "x", "hashtags": [{"text": "#Cold Day", "score": 1}], "reference": ["#Cat"]}
    path.write_text(f"\n{json.dumps(line)}\n\n")
    assert read_predictions(path) == [Prediction("1", "x", ("ColdDay",), (1.0,), ("Cat",))]


GOOD = ONE.to_dict()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "reference"}), "field 'reference' is missing"),
        (json.dumps(GOOD | {"hashtag": 1}), "unknown field hashtag"),
        (json.dumps(GOOD | {"id": 7}), "id and system must be texts"),
        (json.dumps(GOOD | {"id": ""}), "needs the id of its post"),
        (json.dumps(GOOD | {"system": ""}), "the name of its system"),
        (json.dumps(GOOD | {"reference": []}), "no reference hashtag"),
        (json.dumps(GOOD | {"reference": "cat"}), "expected a list of hashtags"),
        (json.dumps(GOOD | {"reference": ["!"]}), "not a hashtag"),
        (json.dumps(GOOD | {"reference": [3]}), "line 2"),
        (json.dumps(GOOD | {"hashtags": ["cat"]}), "line 2"),
        (json.dumps(GOOD | {"hashtags": [{"text": "cat"}]}), "field 'score' is missing"),
        (json.dumps(GOOD | {"hashtags": [{"text": "cat", "score": float("nan")}]}), "finite score"),
        (json.dumps(GOOD | {"hashtags": [{"text": "cat", "score": "high"}]}), "could not convert"),
        (json.dumps(TWO.to_dict()), "post '2' comes twice for system 'ggm'"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "ggm.jsonl"
    path.write_text(f"{json.dumps(TWO.to_dict())}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(path)
    assert f"{path}, line 2: " in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: can't read predictions: No such file"):
        read_predictions(tmp_path / "none.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="binary: not UTF-8"):
        read_predictions(tmp_path / "binary")


def test_one_score_a_hashtag() -> None:
    with pytest.raises(DataError, match="one finite score a hashtag"):
        Prediction("1", "ggm", ("cat",), (), ("cat",))


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ggm.jsonl"
    write_predictions(path, [ONE])

    def interrupted() -> Iterator[Prediction]:
        yield TWO
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(path, interrupted())
    with pytest.raises(DataError, match="post '2' comes twice"):
        write_predictions(path, [TWO, TWO])
    assert read_predictions(path) == [ONE]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="can't write predictions"):
        write_predictions(path / "below-a-file", [ONE])


def test_cutting_keeps_the_best_hashtags_and_everything_else() -> None:
    prediction = Prediction("1", "s", ("a", "b", "c"), (3.0, 2.0, 1.0), ("b",), ("b", "d"))
    assert first([prediction], 2) == [Prediction("1", "s", ("a", "b"), (3.0, 2.0), ("b",), ("b", "d"))]
    assert first([prediction], None) == [prediction]
