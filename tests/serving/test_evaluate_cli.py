"""The commands that predict for a split and score what was predicted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from ggm.errors import BundleError, CheckpointError, ConfigError, DataError
from ggm.evaluation.predictions import Prediction, read_predictions, write_predictions
from ggm.serving import cli
from ggm.serving.evaluate_cli import evaluate_command, score_command
from systems import HASHTAGS

app = typer.Typer()
app.command("score")(score_command)
app.command("evaluate")(evaluate_command)

Call = Callable[..., Result]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def succeed(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def evaluated(
    tiny_bundle_dir: Path, tiny_dataset: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("evaluations") / "tiny"
    succeed(
        "evaluate", tiny_bundle_dir, "--data", tiny_dataset, "--out", folder, "--cache", cache,
        "--top", 2, "--top", 5,
    )  # fmt: skip
    return folder


def test_every_system_is_predicted_and_scored(evaluated: Path) -> None:
    names = ["generator", "recommender", "retriever", "pretrained-retriever", "popular"]
    files = {path.stem: path for path in (evaluated / "predictions").iterdir()}
    assert sorted(files) == sorted(names)
    assert [p.id for p in read_predictions(files["popular"])] == ["10", "11"]
    document = json.loads((evaluated / "scores.json").read_text())
    assert [part["scores"][0]["top"] for part in document["evaluations"]] == [2, 5]
    for part in document["evaluations"]:
        assert [row["system"] for row in part["scores"]] == names
        assert list(part["first_minus"]) == names[1:]
    # The two most frequent hashtags are blue and red; the posts are (red, dog) and (blue, bird).
    popular = document["evaluations"][0]["scores"][-1]
    assert popular["f1"]["mean"] == popular["f1_of_means"]["mean"] == 0.5
    # What is known is what the bundle was trained on.
    assert popular["novel"]["share"]["mean"] == 0
    assert "dog" not in HASHTAGS
    assert popular["recall_at"]["100"]["mean"] == 0.75
    assert (evaluated / "scores.md").read_text().count("| popular | 2 | 2 |") == 1


def test_scores_that_are_taken_for_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    write_predictions(path, [Prediction("1", "plain", ("cat", "dog"), (0.9, 0.2), ("cat", "sun"))])
    assert "calibration" not in succeed("score", path)
    shown = succeed("score", path, "--calibration")
    assert "15.0 [15.0, 15.0]" in shown
    assert "plain: how often hashtags are right, by their probability" in shown
    assert shown.splitlines()[-1].split() == ["90.0", "100.0", "[100.0,", "100.0]", "1"]
    document = json.loads(succeed("score", path, "--calibration", "--json"))
    (scores,) = document["scores"]
    assert [one["count"] for one in scores["calibration"]["bins"]] == [1, 1]
    write_predictions(path, [Prediction("1", "plain", ("cat",), (1.5,), ("cat",))])
    with pytest.raises(DataError, match="probability that isn't from 0 to 1"):
        raise call("score", path, "--calibration").exception or AssertionError


def test_it_goes_on_where_it_was_left_and_scoring_needs_no_model(
    evaluated: Path,
    tiny_bundle_dir: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shutil.copytree(evaluated, tmp_path / "copy")
    arguments = ("evaluate", tiny_bundle_dir, "--data", tiny_dataset, "--out", folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "predictions").iterdir()}

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    with monkeypatch.context() as patch:
        patch.setattr("ggm.bundle.load_bundle", fail)
        shown = succeed(*arguments, "--systems", "popular, generator")
    assert {path: path.stat().st_mtime_ns for path in (folder / "predictions").iterdir()} == before
    assert shown.splitlines()[1].split()[:3] == ["popular", "2", "all"]
    (folder / "predictions" / "retriever.jsonl").unlink()
    succeed(*arguments, "--cache", tmp_path / "cache")
    again = read_predictions(folder / "predictions" / "retriever.jsonl")
    assert again == read_predictions(evaluated / "predictions" / "retriever.jsonl")


def test_unseen_hashtags_without_and_with_them_in_the_pool(
    tiny_bundle_dir: Path, tiny_dataset: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "unseen.txt").write_text("#Dog2\nbird\nnever\n")
    shown = succeed(
        "evaluate", tiny_bundle_dir, "--data", tiny_dataset, "--out", tmp_path / "out", "--cache", cache,
        "--systems", "retriever,popular", "--unseen", tmp_path / "unseen.txt", "--unseen-in-pool",
    )  # fmt: skip
    document = json.loads((tmp_path / "out" / "scores.json").read_text())
    rows = {row["system"]: row for row in document["evaluations"][0]["scores"]}
    assert list(rows) == ["retriever", "popular", "retriever+unseen"]
    assert rows["retriever"]["unseen_recalled"] == 0
    assert rows["retriever+unseen"]["unseen_recalled"] == 1  # the pool is small: all of it is found
    assert rows["retriever+unseen"]["num_unseen"] == 3
    assert "0 of 3" in shown
    assert "1 of 3" in shown


def test_score_shows_novel_hashtags_and_bert_score(evaluated: Path, tiny_dataset: Path) -> None:
    files = [evaluated / "predictions" / f"{name}.jsonl" for name in ("popular", "retriever")]
    options = ("--known-from", tiny_dataset, "--bert-score", "--bert-model", "minilm", "--top", 3)
    document = json.loads(succeed("score", *files, *options, "--bert-layers", 4, "--bert-idf", "--json"))
    assert document["bert_score"] == {"model": "minilm", "layer": 4, "idf": True}
    popular, retriever = document["scores"]
    assert 0 < retriever["bert_f1"]["mean"] <= 1
    assert {"bert_f1", "f1_of_means"} <= set(document["first_minus"]["retriever"])
    # Training knows red, blue, cat, dog and bird; popular are blue, red and fyp.
    assert popular["novel"]["share"]["mean"] == pytest.approx(1 / 3)
    assert popular["novel"]["well_formed"]["mean"] == 1
    shown = succeed("score", *files, *options)
    assert "BERTScore" in shown.splitlines()[0]
    titles = shown.splitlines()[3]
    for title in ("novel", "well-formed", "credited", "gain exact", "gain soft"):
        assert title in titles
    assert "BERTScore" not in succeed("score", *files)


def test_several_files_of_other_posts_are_refused(evaluated: Path, tmp_path: Path) -> None:
    predictions = read_predictions(evaluated / "predictions" / "popular.jsonl")
    write_predictions(tmp_path / "one.jsonl", predictions[:1])
    result = call("score", evaluated / "predictions" / "popular.jsonl", tmp_path / "one.jsonl")
    assert isinstance(result.exception, DataError)
    assert "different posts" in str(result.exception)


def test_what_is_wrong_is_said_before_any_work(
    evaluated: Path, tiny_bundle_dir: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    data = ("--data", tiny_dataset)
    popular = evaluated / "predictions" / "popular.jsonl"
    for arguments, error, reason in [
        (
            ("evaluate", tiny_bundle_dir, *data, "--systems", "oracle"),
            ConfigError,
            "no system 'oracle'; there",
        ),
        (("evaluate", tmp_path / "none", *data), BundleError, "no bundle there"),
        (("evaluate", tiny_bundle_dir, "--data", tmp_path / "none"), DataError, "none"),
        (("evaluate", tiny_bundle_dir, *data, "--split", "exam"), DataError, "no split 'exam'"),
        (
            ("evaluate", tiny_bundle_dir, *data, "--unseen-in-pool"),
            ConfigError,
            "name their file with --unseen",
        ),
        (("evaluate", tiny_bundle_dir, *data, "--unseen", tmp_path / "no"), DataError, "can't read hashtags"),
    ]:
        result = call(*arguments, "--out", out)
        assert isinstance(result.exception, error), (arguments, result.output, result.exception)
        assert reason in str(result.exception)
        assert not out.exists()
    for arguments, error, reason in [
        (("--bert-score", "--bert-model", tmp_path / "none"), CheckpointError, "cannot load a text encoder"),
        (("--bert-score", "--bert-model", "minilm", "--bert-layers", 7), ConfigError, "no layer 7"),
        (("--bert-score", "--bert-model", "minilm", "--device", "warp"), ConfigError, "device 'warp'"),
        (("--known-from", tmp_path / "none"), DataError, "none"),
        (("--unseen", tmp_path / "none"), DataError, "can't read hashtags"),
    ]:
        result = call("score", popular, *arguments)
        assert isinstance(result.exception, error), (arguments, result.output, result.exception)
        assert reason in str(result.exception)
    result = call("evaluate", tiny_bundle_dir, *data, "--split", "train", "--out", evaluated)
    assert "another posts, split" in str(result.exception)


def test_both_are_commands_of_ggm() -> None:
    names = {command.name for command in cli.app.registered_commands}
    assert {"score", "evaluate"} <= names
