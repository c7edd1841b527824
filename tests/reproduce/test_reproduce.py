"""Every system, trained and scored on a tiny dataset by the real code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

import ggm.reproduce.work as module
from ggm.bundle import load_bundle
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.errors import ConfigError, DataError
from ggm.features.parameter_counts import PartCount
from ggm.reproduce import latency
from ggm.reproduce.parts import read_parts, write_parts
from ggm.reproduce.report import report_of, write_report
from ggm.reproduce.runs import reproduce
from ggm.reproduce.systems import SYSTEMS
from ggm.reproduce.work import sampled
from ggm.training.generator_runs import run_generator, write_guidance
from ggm.training.guidance import read_guidance
from ggm.training.recipes import (
    CheckpointSettings,
    ClassifierRecipe,
    GeneratorRecipe,
    OptimiserSettings,
    Recipe,
    RetrieverRecipe,
)
from ggm.training.runs import run_retriever

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
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(latency, "ROUNDS", 1)
    monkeypatch.setattr(latency, "POSTS", 1)


def test_every_system_ends_in_the_report(data: Path, tmp_path: Path) -> None:
    done = reproduce(RECIPE, data, tmp_path / "out", cache=tmp_path / "cache")
    assert not done.failures
    assert set(done.predictions) == {system.name for system in SYSTEMS} - {
        "GGM one query"
    }  # the recipe's own
    report = report_of(done)
    write_report(report, tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved == json.loads(json.dumps(report))
    for system in done.systems:
        row = saved["systems"][system.name]
        assert {"rouge1", "rouge2", "f1", "posts"} <= row.keys()
        assert row["posts"] == 2
    assert saved["unseen"]["with_pool"]["of"] == saved["unseen"]["without_pool"]["of"] == 1
    assert len(saved["claims"]) == 22
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
    told = reproduce(RECIPE, data, tmp_path / "out", seeds=(0, 1), cache=cache, train=False)
    assert told.predictions == done.predictions  # what isn't there is left out
    assert not told.failures
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


def test_shared_guidance_teaches_what_own_guidance_does(data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, generator=replace(RECIPE.generator, guidance="cross_fitted", folds=2))
    cache = tmp_path / "cache"
    done = reproduce(recipe, data, tmp_path / "out", only=["GGM", "GGM-ViT", "GGM k=10"], cache=cache)
    assert not done.failures
    retriever = tmp_path / "out" / "seed-0" / "retriever"
    for name, top_k in (("ggm", 4), ("ggm-k-10", 10)):
        own = replace(recipe, generator=replace(recipe.generator, top_k=top_k))
        run_generator(own, data, tmp_path / name, retriever=retriever, cache=cache)
        weights = [
            (folder / "generator.safetensors").read_bytes()
            for folder in (tmp_path / name, tmp_path / "out" / "seed-0" / name)
        ]
        assert weights[0] == weights[1]
    assert not list((tmp_path / "out" / "seed-0").glob("guidance.jsonl.log/**/checkpoint*"))
    # The rival's guidance is cross-fitted as well.
    record = load_bundle(tmp_path / "out" / "seed-0" / "ggm-vit").training["generator"]
    assert record["recipe"]["generator"]["guidance"] == "cross_fitted_classifier"


@pytest.mark.parametrize("guidance", ["classifier", "none"])
def test_guidance_is_written_by_any_way_to_find_it(
    data: Path, tmp_path: Path, guidance: Literal["classifier", "none"]
) -> None:
    cache = tmp_path / "cache"
    run_retriever(RECIPE, data, tmp_path / "retriever", cache=cache)
    recipe = replace(RECIPE, generator=replace(RECIPE.generator, guidance=guidance))
    path = tmp_path / "guidance.jsonl"
    if guidance == "none":
        with pytest.raises(ConfigError, match="reads no guidance"):
            write_guidance(recipe, data, path, retriever=tmp_path / "retriever", cache=cache)
        return
    write_guidance(recipe, data, path, retriever=tmp_path / "retriever", cache=cache)
    posts = load_dataset(data).split("train")
    assert all(len(found.described.texts) > 4 for found in read_guidance(path, posts, top_k=100))


def test_checkpoints_beside_the_best_predict_as_well(data: Path, tmp_path: Path) -> None:
    checkpoints = CheckpointSettings(checkpoint_every=1, validate_every=1, validation_posts=2)
    done = reproduce(
        replace(RECIPE, checkpoints=checkpoints),
        data,
        tmp_path / "out",
        only=["VG-BART"],
        cache=tmp_path / "cache",
    )
    (others,) = done.next_best["VG-BART"].values()
    assert [len(predictions) for predictions in others] == [2]  # two steps, the better one is the best


def test_several_processes_write_what_one_does(data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cache = tmp_path / "cache"

    def bar(name: str) -> Callable[..., None]:
        return (lambda done, total: told.append((done, total))) if name == "systems" else (lambda *_: None)

    only = ["VLM", "BERT", "GGM"]
    alone = reproduce(RECIPE, data, tmp_path / "one", seeds=(0, 1), only=only, cache=cache)
    done = reproduce(RECIPE, data, tmp_path / "two", seeds=(0, 1), only=only, cache=cache, jobs=2, bar=bar)
    assert not done.failures
    assert done.predictions == alone.predictions
    assert done.unseen_in_pool == alone.unseen_in_pool
    assert told == [(step, 8) for step in range(1, 9)]


def test_what_fails_in_a_process_is_told(data: Path, tmp_path: Path) -> None:
    broken = replace(RECIPE, generator=replace(RECIPE.generator, max_input_tokens=10_000))
    told: list[str] = []
    done = reproduce(
        broken,
        data,
        tmp_path / "out",
        only=["GGM", "VLM"],
        cache=tmp_path / "cache",
        jobs=2,
        warn=told.append,
    )
    assert set(done.predictions) == {"VLM"}
    assert "max_input_tokens=10000" in done.failures["GGM, seed 0"]
    assert told


def test_some_posts_are_predicted_always_the_same(data: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = reproduce(RECIPE, data, tmp_path / "out", only=["VLM", "BERT"], posts=1, cache=cache)
    (first,), (second,) = done.predictions["VLM"][0], done.predictions["BERT"][0]
    assert first.id == second.id
    posts = load_dataset(data).split("train")
    assert sampled(posts, None) == sampled(posts, len(posts)) == list(posts)
    few = sampled(posts, 3)
    assert few == sampled(posts[::-1], 3)[::-1]
    assert set(few) < set(sampled(posts, 4))
    with pytest.raises(DataError, match="another predicted posts"):
        reproduce(RECIPE, data, tmp_path / "out", only=["VLM", "BERT"], cache=cache)


def test_every_system_is_timed_and_times_are_kept(data: Path, tmp_path: Path) -> None:
    cache, only = tmp_path / "cache", ["VLM", "ViT-BERT", "GGM"]
    done = reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache)
    assert done.seconds.keys() == set(only)
    assert 0 < done.seconds["VLM"] < done.seconds["GGM"]
    again = reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache)
    assert again.seconds == done.seconds
    path = tmp_path / "out" / "latency.json"
    path.write_text("[]", "utf-8")
    told: list[str] = []
    damaged = reproduce(RECIPE, data, tmp_path / "out", only=only, cache=cache, warn=told.append)
    assert "not a readable file of latencies" in damaged.failures["latency"]
    assert not damaged.seconds


def test_parts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parts.json"
    write_parts(path, parts := [PartCount("frames", "c", 3, 2, 3)])
    assert read_parts(path) == parts
    path.write_text('{"parts": [{"part": 1}]}', "utf-8")
    with pytest.raises(DataError, match=r"x\.parts\.json: not a readable list of parts"):
        read_parts(path)


def test_classifiers_whose_encoders_learn_are_systems_too(data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, classifier=replace(RECIPE.classifier, trained="encoders"))
    only = ["BERT", "ViT", "ViT-BERT", "GGM-ViT"]
    done = reproduce(recipe, data, tmp_path / "out", only=only, cache=tmp_path / "cache")
    assert not done.failures
    assert set(done.predictions) == set(only)
    for name, parts in (
        ("BERT", ["description", "classifier"]),
        ("ViT", ["frames", "classifier"]),
        ("ViT-BERT", ["frames", "description", "classifier"]),
    ):
        assert [part.part for part in done.parts[name]] == parts
        assert all(0 < part.trainable == part.parameters for part in done.parts[name])
    assert set(done.seconds) == {"GGM-ViT"}


def test_a_dataset_without_its_splits_is_refused(data: Path, tmp_path: Path) -> None:
    posts = [post for post in load_dataset(data).posts if post.split == "train"]
    write_manifest(posts, tmp_path / "manifest.jsonl")
    with pytest.raises(DataError, match="no split 'validation'"):
        reproduce(RECIPE, tmp_path, tmp_path / "out")
