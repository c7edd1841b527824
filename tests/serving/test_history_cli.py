"""`--history` of recommend, predict and evaluate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from commands import Run
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.evaluation.predictions import read_predictions


@pytest.fixture
def authored(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The dataset again, all of it by one author, a post a day; the first says something of its own."""
    posts = [
        replace(
            post,
            author="ann",
            created_at=f"2024-01-{number + 1:02}",
            hashtags=("tabbycat",) if number == 0 else post.hashtags,
        )
        for number, post in enumerate(load_dataset(tiny_dataset).posts)
    ]
    write_manifest(posts, tmp_path / "manifest.jsonl")
    return tmp_path


def test_recommend_with_a_file_or_hashtags(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("#tabbycat #winter\n\n" * 50, "utf-8")
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--json", "--top", 50, "--history")
    status, printed, complaint = run(*arguments, file)
    assert (status, complaint) == (0, "")
    sources = {item["text"]: item["source"] for item in json.loads(printed)["hashtags"]}
    assert sources["tabbycat"] == "history"
    status, printed, _ = run(*arguments, "#tabbycat #winter", "--history", "harbourlife")
    assert {"tabbycat", "harbourlife"} <= {item["text"] for item in json.loads(printed)["hashtags"]}


def test_a_history_that_can_not_be_read(
    run: Run, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("recommend", clips[0], "--model", tiny_bundle_dir, "--history")
    file = tmp_path / "latin.txt"
    file.write_bytes(b"caf\xe9")
    monkeypatch.setattr("ggm.serving.options._MOST_HISTORY", 10)
    large = tmp_path / "large.txt"
    large.write_text("#cat #dog #bird")
    for value, reason in (
        ("none.txt", "can't read the history"),
        (file, "isn't in UTF-8"),
        (large, "too large"),
        ("!?", "no hashtag"),
    ):
        status, _, complaint = run(*arguments, value)
        assert status == 1
        assert reason in " ".join(complaint.split())


def test_predict_and_evaluate(run: Run, tiny_bundle_dir: Path, authored: Path, tmp_path: Path) -> None:
    file = tmp_path / "predictions.jsonl"
    common = (tiny_bundle_dir, "--data", authored, "--cache", tmp_path / "cache")
    assert run("predict", *common, "--out", file, "--system", "retriever", "--history")[0] == 0
    assert all("tabbycat" in item.hashtags for item in read_predictions(file))

    folder = tmp_path / "evaluation"
    status, printed, complaint = run(
        *("evaluate", *common, "--out", folder, "--systems", "retriever,popular", "--history")
    )
    assert status == 0, complaint
    assert "retriever+history" in printed
    names = sorted(path.name.split("-")[0] for path in (folder / "predictions").iterdir())
    assert names == ["popular.jsonl", "retriever+history", "retriever.jsonl"]


def test_evaluate_without_authors(
    run: Run, tiny_bundle_dir: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    status, _, complaint = run(
        *("evaluate", tiny_bundle_dir, "--data", tiny_dataset, "--out", tmp_path / "out"),
        *("--systems", "retriever", "--history"),
    )
    assert status == 1
    assert "no post of split 'test' has an author" in " ".join(complaint.split())
