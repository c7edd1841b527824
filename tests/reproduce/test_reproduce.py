"""Every system, trained and scored on a tiny dataset by the real code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ggm.reproduce.work as module
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.errors import DataError
from ggm.reproduce.report import report_of, write_report
from ggm.reproduce.runs import reproduce
from ggm.reproduce.systems import SYSTEMS
from ggm.training.recipes import ClassifierRecipe, GeneratorRecipe, OptimiserSettings, Recipe, RetrieverRecipe

QUICK = OptimiserSettings(learning_rate=1e-2, batch_size=4, max_steps=2, warmup_steps=1)
RECIPE = Recipe(
    name="tiny",
    profile="tiny",
    retriever=RetrieverRecipe(QUICK, hidden_dim=8),
    generator=GeneratorRecipe(QUICK, top_k=4, head_width=8, max_input_tokens=48, max_target_tokens=24),
    classifier=ClassifierRecipe(QUICK, hidden_dim=8),
)


@pytest.fixture(scope="module")
def data(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset, two of whose posts carry a hashtag that no training post has."""
    folder = tmp_path_factory.mktemp("unseen")
    posts = list(load_dataset(tiny_dataset).posts)
    posts += [
        replace(post, id=f"u{post.id}", hashtags=("snowman", post.hashtags[0]), split="unseen")
        for post in posts[:2]
    ]
    write_manifest(posts, folder / "manifest.jsonl")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_every_system_ends_in_the_report(data: Path, tmp_path: Path) -> None:
    done = reproduce(RECIPE, data, tmp_path / "out", cache=tmp_path / "cache")
    assert not done.failures
    assert set(done.predictions) == {system.name for system in SYSTEMS}
    report = report_of(done, RECIPE, has_sound=True)
    write_report(report, tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved == json.loads(json.dumps(report))
    for system in SYSTEMS:
        row = saved["systems"][system.name]
        assert {"rouge1", "rouge2", "f1", "posts"} <= row.keys()
        assert row["posts"] == 2
    assert saved["unseen"]["with_pool"]["of"] == saved["unseen"]["without_pool"]["of"] == 1
    assert len(saved["claims"]) == 11
    assert all({"claim", "held", "difference", "p"} <= claim.keys() for claim in saved["claims"])
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| GGM-ViT |" in text
    assert "ViT-BERT, best count" in text


def test_what_is_done_is_not_done_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = ["VLM", "BERT", "GGM"]

    class KilledError(Exception):
        pass

    def killing(name: str) -> Callable[..., None]:
        def progress(*_progress: object) -> None:
            if name == "GGM: test":
                raise KilledError

        return progress

    cache = tmp_path / "cache"
    with pytest.raises(KilledError):
        reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache, bar=killing)
    for name in ("run_retriever", "run_classifier", "run_generator"):
        monkeypatch.setattr(module, name, lambda *_a, **_n: pytest.fail("it was trained again"))
    done = reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache)
    monkeypatch.setattr(module, "predict", lambda *_a, **_n: pytest.fail("it was predicted again"))
    again = reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache)
    assert again.predictions == done.predictions
    assert again.unseen == done.unseen
    assert again.unseen_in_pool == done.unseen_in_pool


def test_a_system_that_fails_does_not_stop_the_others(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    broken = replace(RECIPE, generator=replace(RECIPE.generator, max_input_tokens=10_000))
    done = reproduce(
        broken, data, tmp_path / "out", only=["GGM", "ViT"], cache=tmp_path / "cache", warn=told.append
    )
    assert set(done.predictions) == {"ViT"}
    assert list(done.failures) == ["GGM, seed 0"]
    assert "max_input_tokens=10000" in done.failures["GGM, seed 0"]
    assert any("GGM, seed 0" in line for line in told)


def test_the_folder_of_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    reproduce(RECIPE, data, tmp_path / "out", only=["BERT"], cache=tmp_path / "cache")
    with pytest.raises(DataError, match="another recipe"):
        reproduce(replace(RECIPE, seed=4), data, tmp_path / "out", only=["BERT"], cache=tmp_path / "cache")


def test_a_dataset_without_its_splits_is_refused(data: Path, tmp_path: Path) -> None:
    posts = [post for post in load_dataset(data).posts if post.split == "train"]
    write_manifest(posts, tmp_path / "manifest.jsonl")
    with pytest.raises(DataError, match="no split 'validation'"):
        reproduce(RECIPE, tmp_path, tmp_path / "out")
