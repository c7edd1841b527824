"""Several systems at once, the folder of an evaluation, lists of hashtags, and the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ggm.errors import DataError, MissingDependencyError
from ggm.evaluation import metrics
from ggm.evaluation.evaluate import (
    Evaluation,
    claim_folder,
    evaluate,
    fingerprint_of,
    predicted,
    read_hashtags,
)
from ggm.evaluation.predictions import Prediction
from ggm.evaluation.report import markdown, tables_of, write_report
from ggm.evaluation.score import compare_predictions, measure, score_predictions
from ggm.records import Post

GGM = [
    Prediction("1", "ggm", ("cat", "ColdDay"), (2.0, 1.0), ("cat", "cold"), ("cat",)),
    Prediction("2", "ggm", ("dog",), (1.0,), ("Fresh",)),
]
BART = [
    Prediction("2", "bart|base", ("fresh",), (1.0,), ("fresh",)),
    Prediction("1", "bart|base", (), (), ("cold", "cat")),
]
SETTINGS = {"bundle": "abc", "posts": "def", "split": "test", "nested": (1, 2)}


def scored(**options: Any) -> Evaluation:
    return evaluate([GGM, BART], **options)


def test_each_system_is_scored_and_the_first_is_compared_to_the_others() -> None:
    found = scored(top=1, known=["cat"], unseen=["fresh"])
    options: dict[str, Any] = {"known": ["cat"], "unseen": ["fresh"]}
    assert found.scores == tuple(score_predictions(measure(p, top=1), **options) for p in (GGM, BART))
    assert found.comparisons == (compare_predictions(measure(GGM, top=1), measure(BART, top=1)),)
    document = json.loads(json.dumps(found.to_dict()))
    assert [row["system"] for row in document["scores"]] == ["ggm", "bart|base"]
    assert document["scores"][0]["novel"]["share"]["mean"] == 0.5
    assert list(document["first_minus"]) == ["bart|base"]
    assert set(document["first_minus"]["bart|base"]) == {"rouge_1", "rouge_2", "f1", "f1_of_means"}
    assert evaluate([GGM]).comparisons == ()


def test_systems_of_different_posts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="predicted for different posts"):
        evaluate([GGM, BART[:1]])
    with pytest.raises(DataError, match="no prediction to score"):
        evaluate([GGM, []])
    with pytest.raises(ValueError, match="top must be at least 1"):
        evaluate([GGM], top=0)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    metrics._rouge_scorer.cache_clear()
    with pytest.raises(MissingDependencyError, match="rouge-score"):
        evaluate([GGM])


def test_what_posts_are_evaluated_is_known_by_its_hash() -> None:
    posts = [Post("1", Path("a.mp4"), "so cold", ("cold",)), Post("2", Path("b.mp4"), "", ("cat", "日本"))]
    fingerprint = fingerprint_of(posts)
    assert fingerprint == fingerprint_of(replace(post, video=Path("elsewhere.mp4")) for post in posts)
    for other in (
        posts[::-1],
        posts[:1],
        [replace(posts[0], description="warm"), posts[1]],
        [posts[0], replace(posts[1], hashtags=("cat",))],
    ):
        assert fingerprint != fingerprint_of(other)


def test_a_folder_goes_on_with_the_same_evaluation_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "evaluation"
    claim_folder(folder, SETTINGS)
    claim_folder(folder, SETTINGS)
    assert (folder / "predictions").is_dir()
    with pytest.raises(
        DataError, match="evaluation with another posts, split; name another folder, or delete"
    ):
        claim_folder(folder, SETTINGS | {"posts": "xyz", "split": "train"})
    (folder / "evaluation.json").write_text("[]")
    with pytest.raises(DataError, match="another bundle, nested, posts, split"):
        claim_folder(folder, SETTINGS)
    (folder / "evaluation.json").write_text("{")
    with pytest.raises(DataError, match="can't be used for an evaluation"):
        claim_folder(folder, SETTINGS)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something that isn't an evaluation"):
        claim_folder(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match="can't be used for an evaluation"):
        claim_folder(tmp_path / "thesis.txt", SETTINGS)


def test_a_folder_that_was_killed_while_it_was_made_can_be_used(tmp_path: Path) -> None:
    (tmp_path / ".evaluation.json.x7").write_text("{")
    claim_folder(tmp_path, SETTINGS)
    claim_folder(tmp_path, SETTINGS)


def test_what_is_predicted_is_not_predicted_again(tmp_path: Path) -> None:
    claim_folder(tmp_path, SETTINGS)
    calls = []

    def make() -> Iterator[Prediction]:
        calls.append(1)
        yield from GGM

    assert predicted(tmp_path, "ggm", make) == predicted(tmp_path, "ggm", make) == GGM
    assert calls == [1]

    def interrupted() -> Iterator[Prediction]:
        yield GGM[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicted(tmp_path, "other", interrupted)
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["ggm.jsonl"]
    assert predicted(tmp_path, "other", make) == GGM
    (tmp_path / "predictions" / "ggm.jsonl").write_text("{")
    with pytest.raises(DataError, match=r"ggm\.jsonl, line 1: not JSON"):
        predicted(tmp_path, "ggm", make)


@pytest.mark.parametrize(
    "text",
    [
        "#Fresh\n\n  new-york \nfresh\n日本",
        '["Fresh", "#new-york", "日本"]',
        '{"steps": [{"x": 1}, {"unseen_hashtags": ["Fresh", "new-york"]}], "unseen_hashtags": ["日本"]}',
    ],
)
def test_lists_of_hashtags(tmp_path: Path, text: str) -> None:
    (tmp_path / "unseen").write_text(text, encoding="utf-8")
    assert sorted(read_hashtags(tmp_path / "unseen")) == ["Fresh", "new-york", "日本"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no hashtag; write one a line"),
        ("{}", "holds no hashtag"),
        ("[1]", "holds no hashtag"),
        ('{"unseen_hashtags": [1]}', "not a list of hashtags"),
        ('{"unseen_hashtags": 1}', "not a list of hashtags"),
        ("[", "not a list of hashtags"),
        ("cat\n!!!\n", "not a list of hashtags: '!!!'"),
    ],
)
def test_what_is_no_list_of_hashtags(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "unseen").write_text(text)
    with pytest.raises(DataError, match=message):
        read_hashtags(tmp_path / "unseen")


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: can't read hashtags: No such file"):
        read_hashtags(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="binary: not UTF-8"):
        read_hashtags(tmp_path / "binary")


def test_tables_show_what_was_asked_for() -> None:
    quality, coverage = tables_of(evaluate([GGM]))
    assert quality.titles == ("system", "posts", "top", "ROUGE-1", "ROUGE-2", "F1", "F1 of means")
    assert coverage.titles == ("system", "hashtags", "recall@10", "recall@50")
    assert quality.rows[0][:3] == ("ggm", "2", "all")
    # The first post's only match is one of two and two; the second has none.
    assert quality.rows[0][5].startswith("25.0 [0.0, 50.0]")
    assert quality.rows[0][6] == "25.0"

    quality, coverage = tables_of(scored(top=1, known=["cat"], unseen=["fresh", "hot"]))
    assert quality.titles[-1] == "first minus it, ROUGE-1"
    assert quality.rows[0][-1] == ""
    assert "p=" in quality.rows[1][-1]
    assert coverage.titles[4:] == ("novel", "well-formed", "credited", "gain exact", "gain soft", "unseen")
    assert coverage.rows[1][4:] == ("100.0", "100.0", "100.0", "50.0", "0.0", "1 of 2")
    assert {len(row) for row in quality.rows} == {len(quality.titles)}


def test_markdown_has_a_cell_for_every_title() -> None:
    text = markdown([scored(), scored(top=1)])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 * (4 + 4 + 3)
    assert any(line.startswith("| bart\\|base | 2 | all |") for line in lines)
    for title, rule, *_ in (lines[:3], lines[4:7], lines[8:11]):
        assert title.count("|") == rule.count("|")
    assert "| system | rouge_1 | rouge_2 | f1 | f1_of_means |" in lines


def test_the_report_is_two_files(tmp_path: Path) -> None:
    write_report(tmp_path, [scored()], {"settings": SETTINGS})
    write_report(tmp_path, [scored(), scored(top=1)], {"settings": SETTINGS})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json", "scores.md"]
    document = json.loads((tmp_path / "scores.json").read_text())
    assert document["settings"]["bundle"] == "abc"
    assert [part["scores"][0]["top"] for part in document["evaluations"]] == [None, 1]
    assert (tmp_path / "scores.md").read_text() == markdown([scored(), scored(top=1)])
    with pytest.raises(DataError, match=r"none/scores\.json: can't be written: No such file"):
        write_report(tmp_path / "none", [scored()], {})
    assert not (tmp_path / "none").exists()
