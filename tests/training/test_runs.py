from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ggm.training.generator_runs as generator_runs
from ggm.bundle import Bundle, load_bundle, save_bundle
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.errors import BundleError, ConfigError, DataError
from ggm.evaluation.predict import SYSTEMS, predict
from ggm.evaluation.predictions import Prediction, read_predictions
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts
from ggm.hashtags import Vocabulary
from ggm.recommend import Recommender
from ggm.records import Guidance, Post
from ggm.training.dataset import Features, open_features
from ggm.training.generator_runs import run_generator
from ggm.training.guidance import PostGuidance
from ggm.training.recipes import CheckpointSettings, Recipe
from ggm.training.runs import run_classifier, run_retriever

Damage = Callable[[Path], None]


@pytest.fixture
def quick(recipe: Recipe) -> Recipe:
    """Runs are tried here, not learning."""

    def steps(stage: Any) -> Any:
        return replace(stage, optimiser=replace(stage.optimiser, max_steps=3, batch_size=6))

    return replace(
        recipe,
        retriever=steps(recipe.retriever),
        generator=steps(recipe.generator),
        classifier=steps(recipe.classifier),
        decoding=replace(recipe.decoding, max_new_tokens=12),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features are the same in all runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def retriever(quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path) -> Path:
    run_retriever(quick, tiny_dataset, tmp_path / "retriever", cache=cache)
    return tmp_path / "retriever"


@pytest.fixture
def own_dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    shutil.copytree(tiny_dataset, tmp_path / "dataset", ignore=shutil.ignore_patterns("features"))
    return tmp_path / "dataset"


def predictions(bundle: Bundle, data: Path, cache: Path) -> dict[str, list[Prediction]]:
    posts = open_features(data, bundle.extractor, cache=cache).split("test")
    return {system: list(predict(bundle, posts, system=system)) for system in SYSTEMS}


def test_from_a_folder_of_posts_to_recommendations(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path, retriever: Path
) -> None:
    bars: list[str] = []

    def bar(name: str) -> Callable[..., None]:
        bars.append(name)
        return lambda *_progress: None

    made = run_generator(quick, tiny_dataset, tmp_path / "bundle", retriever=retriever, cache=cache, bar=bar)
    loaded = load_bundle(tmp_path / "bundle")
    assert bars == ["features of train", "generator"]

    # What was measured in memory is what lies on disk: float16 included, score for score.
    assert predictions(loaded, tiny_dataset, cache) == predictions(made, tiny_dataset, cache)
    with Recommender(loaded) as recommender:
        answer = recommender.recommend(tiny_dataset / "11.mp4", "a blue bird", top=3)
    assert len(answer.hashtags) == 3
    assert {hit.text for hit in answer.guidance.hits} <= {"red", "blue", "cat", "dog", "bird"}

    assert loaded.training == made.training
    assert loaded.training.keys() == {"retriever", "generator"}
    assert loaded.training["generator"]["posts"] == 8
    assert loaded.training["generator"]["rejected"] == 0
    assert loaded.training["generator"]["data"] == tiny_dataset.name
    assert loaded.training["generator"]["recipe"]["generator"]["top_k"] == 4
    assert set(loaded.vocabulary) == set(loaded.pool) == {"red", "blue", "cat", "dog", "bird"}
    assert "## Training: generator" in loaded.card
    assert "## Evaluation" not in loaded.card
    assert (tmp_path / "bundle.log" / "rejected.jsonl").read_text("utf-8") == ""


def test_same_seed_same_bundle_other_seed_another(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path, retriever: Path
) -> None:
    """Whatever was drawn before: the generator's own parts too start by the seed."""
    states = []
    for index, seed in enumerate((1, 1, 2)):
        torch.manual_seed(100 + index)
        bundle = run_generator(
            replace(quick, seed=seed), tiny_dataset, tmp_path / str(index), retriever=retriever, cache=cache
        )
        assert bundle.generator is not None
        states.append({name: value.tolist() for name, value in bundle.generator.state_dict().items()})
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_weights_in_memory_are_those_that_float16_keeps(
    retriever: Path, quick: Recipe, tiny_dataset: Path, cache: Path
) -> None:
    made = run_retriever(quick, tiny_dataset, retriever, cache=cache)
    loaded = load_bundle(retriever)
    assert made.retriever.fingerprint("") == loaded.retriever.fingerprint("")
    for value in made.retriever.state_dict().values():
        assert torch.equal(value, value.half().float())
    assert np.array_equal(made.embed_hashtags(["cat", "dog"]), loaded.embed_hashtags(["cat", "dog"]))


class GuidanceSpy:
    """Takes the place of `GenerationCollator` and remembers its guidance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.guidance: list[Guidance] = []
        self.silent: list[Guidance] | None = None
        self.real = generator_runs.GenerationCollator
        monkeypatch.setattr(generator_runs, "GenerationCollator", self)

    def __call__(self, data: FeaturedPosts, guidance: list[Guidance], *args: Any, **named: Any) -> Any:
        self.guidance, self.silent = guidance, named["silent"]
        return self.real(data, guidance, *args, **named)


@pytest.mark.parametrize("source", ["none", "retriever", "cross_fitted"])
def test_guidance_in_training_comes_from_where_the_recipe_says(
    quick: Recipe,
    tiny_dataset: Path,
    tmp_path: Path,
    cache: Path,
    retriever: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    fitted: list[dict[str, Any]] = []
    real = generator_runs.cross_fitted_guidance

    def spy(*args: Any, **named: Any) -> list[PostGuidance]:
        fitted.append(named)
        return real(*args, **named)

    monkeypatch.setattr(generator_runs, "cross_fitted_guidance", spy)
    heard = GuidanceSpy(monkeypatch)
    settings = replace(quick.generator, guidance=source, folds=2, top_k=3)  # type: ignore[arg-type]
    bundle = run_generator(
        replace(quick, generator=settings), tiny_dataset, tmp_path / "b", retriever=retriever, cache=cache
    )
    posts = open_features(tiny_dataset, bundle.extractor, cache=cache).split("train")
    features = [posts.features(index) for index in range(len(posts))]
    trained = bundle.guide(features, top_k=3)
    assert bundle.generator is not None
    assert len(heard.guidance) == len(posts) == 8
    if source == "none":
        assert all(len(found) == 0 for found in heard.guidance)
        assert bundle.generator.config.top_k == 0
        assert bundle.guide(features) == [Guidance()] * 8  # nor when it recommends
    else:
        assert all(len(found) == 3 for found in heard.guidance)
        assert bundle.generator.config.top_k == 3
    similarities = [[hit.similarity for hit in found.hits] for found in heard.guidance]
    expected = [[hit.similarity for hit in found.hits] for found in trained]
    if source == "retriever":
        assert np.allclose(similarities, expected, atol=1e-5)
    if source == "cross_fitted":
        assert not np.allclose(similarities, expected, atol=1e-3)
    assert [(call["folds"], call["top_k"]) for call in fitted] == (
        [(2, 3)] if source == "cross_fitted" else []
    )


def test_a_system_of_two_queries_asks_with_both_in_training_and_after(
    quick: Recipe,
    tiny_dataset: Path,
    tmp_path: Path,
    cache: Path,
    retriever: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = GuidanceSpy(monkeypatch)
    settings = replace(quick.generator, guidance="retriever", top_k=3, description_weight=2.0)
    out = tmp_path / "out"
    run_generator(replace(quick, generator=settings), tiny_dataset, out, retriever=retriever, cache=cache)
    bundle = load_bundle(out)
    posts = open_features(tiny_dataset, bundle.extractor, cache=cache).split("train")
    features = [posts.features(index) for index in range(len(posts))]
    descriptions = [post.description for post in posts.posts]
    assert bundle.generator is not None
    assert bundle.generator.config.description_weight == 2.0
    with_texts, alone = bundle.guide(features, descriptions), bundle.guide(features)
    assert [found.texts for found in with_texts] == [found.texts for found in heard.guidance]
    assert heard.silent is not None
    assert [found.texts for found in alone] == [found.texts for found in heard.silent]
    assert with_texts != alone
    assert bundle.guide(features, [""] * len(features)) == alone
    test = open_features(tiny_dataset, bundle.extractor, cache=cache).split("test")
    asked = bundle.guide(
        [test.features(index) for index in range(len(test))], [post.description for post in test.posts]
    )
    for system in ("generator", "recommender"):
        guided = [one.guidance for one in predict(bundle, test, system=system)]
        assert guided == [found.texts for found in asked]


@pytest.mark.parametrize(
    ("change", "own_parts"),
    [
        ({"inputs": "description"}, set()),
        ({"inputs": "video", "hears": False}, {"video_projection"}),
        ({"guidance": "none", "hears": False}, {"text_attention"}),
        ({"guidance": "none"}, {"text_attention", "video_encoder"}),
    ],
    ids=["BART", "TrOCR-FiD", "VG-BART", "unguided"],
)
def test_the_papers_generative_baselines_are_settings(
    quick: Recipe,
    tiny_dataset: Path,
    retriever: Path,
    cache: Path,
    tmp_path: Path,
    change: dict[str, Any],
    own_parts: set[str],
) -> None:
    recipe = replace(quick, generator=replace(quick.generator, **change))
    bundle = run_generator(recipe, tiny_dataset, tmp_path / "out", retriever=retriever, cache=cache)
    assert bundle.generator is not None
    names = {name.split(".")[0] for name, _ in bundle.generator.named_parameters()}
    assert names - {"text_model"} == own_parts
    assert bundle.generator.config.top_k == (
        recipe.generator.top_k if change == {"inputs": "description"} else 0
    )
    before = predictions(bundle, tiny_dataset, cache)
    assert predictions(load_bundle(tmp_path / "out"), tiny_dataset, cache) == before


def test_a_classifier_may_guide(
    quick: Recipe, tiny_dataset: Path, retriever: Path, cache: Path, tmp_path: Path
) -> None:
    """The paper's GGM-ViT: guidance is what a classifier of videos finds most probable."""
    recipe = replace(quick, generator=replace(quick.generator, guidance="classifier", top_k=3))
    bundle = run_generator(recipe, tiny_dataset, tmp_path / "out", retriever=retriever, cache=cache)
    classifier = bundle.classifier
    assert classifier is not None
    assert classifier.config.inputs == "video"
    posts = open_features(tiny_dataset, bundle.extractor, cache=cache).split("test")
    features = [posts.features(index) for index in range(len(posts))]
    hashtags = list(bundle.vocabulary)
    for item, found in zip(features, bundle.guide(features), strict=True):
        mean = torch.from_numpy(item.frame_pooled.mean(0))[None]
        probabilities = dict(zip(hashtags, classifier.probabilities(mean)[0].tolist(), strict=True))
        expected = sorted(hashtags, key=lambda text: -probabilities[text])[:3]
        assert list(found.texts) == expected
        assert found.hits[0].similarity == pytest.approx(probabilities[expected[0]])
    before = predictions(bundle, tiny_dataset, cache)
    assert predictions(load_bundle(tmp_path / "out"), tiny_dataset, cache) == before


def test_a_recipe_of_another_profile_than_the_retrievers_is_refused(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, retriever: Path
) -> None:
    with pytest.raises(ConfigError, match="trained for profile 'tiny', the recipe says 'base'"):
        run_generator(replace(quick, profile="base"), tiny_dataset, tmp_path / "b", retriever=retriever)
    assert not (tmp_path / "b").exists()


def test_a_finished_folder_of_something_else_is_not_replaced(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.txt").write_text("precious", "utf-8")
    with pytest.raises(BundleError, match="isn't a bundle"):
        run_retriever(quick, tiny_dataset, tmp_path / "thesis", cache=cache)
    assert (tmp_path / "thesis" / "text.txt").read_text("utf-8") == "precious"


def test_damaged_videos_and_rows_are_left_out_counted_and_told(
    quick: Recipe, own_dataset: Path, tmp_path: Path
) -> None:
    (own_dataset / "3.mp4").write_bytes((own_dataset / "3.mp4").read_bytes()[:200])
    (own_dataset / "5.mp4").unlink()
    warnings: list[str] = []
    bundle = run_retriever(quick, own_dataset, tmp_path / "out", warn=warnings.append)
    record = bundle.training["retriever"]
    assert (record["posts"], record["rejected"]) == (6, 2)
    assert "6 training posts; 2 could not be used" in bundle.card
    rows, posts = warnings
    assert "rows of the manifest that were left out: 1; the first: no video" in rows
    assert "5.mp4" in rows
    assert "left out 1 of 7 posts of split 'train'; the first: " in posts
    assert "3.mp4" in posts
    lines = (tmp_path / "out.log" / "rejected.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["what"] for line in lines] == ["row 6", "post 3"]
    assert "3.mp4" in json.loads(lines[1])["reason"]


def test_features_remember_why_a_post_was_left_out(own_dataset: Path, extractor: FeatureExtractor) -> None:
    (own_dataset / "9.mp4").write_text("no video", "utf-8")
    features: Features = open_features(own_dataset, extractor)
    assert features.rejected == {}
    assert [post.id for post in features.split("validation").posts] == ["8"]
    assert list(features.rejected) == ["post 9"]
    features.split("validation")
    assert list(features.rejected) == ["post 9"]  # told again, counted once
    assert (own_dataset / "features").is_dir()


def _no_train(folder: Path) -> None:
    posts = [replace(post, split=None) for post in load_dataset(folder).posts]
    write_manifest(
        [post if int(post.id) > 7 else replace(post, split=None) for post in posts], folder / "manifest.jsonl"
    )


def _all_damaged(folder: Path) -> None:
    for path in folder.glob("*.mp4"):
        path.write_text("no video", "utf-8")


def _all_missing(folder: Path) -> None:
    for path in folder.glob("*.mp4"):
        path.unlink()


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.jsonl").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_train, "no split 'train'; there is none"),
        (_all_damaged, r"no video of split 'train' can be used: .*0\.mp4: \w"),
        (_all_missing, r"no usable post: no video .*0\.mp4"),
        (_no_manifest, r"manifest\.jsonl: can't be read"),
    ],
)
def test_a_dataset_without_anything_to_train_on_says_why(
    quick: Recipe, own_dataset: Path, tmp_path: Path, damage: Damage, message: str
) -> None:
    damage(own_dataset)
    with pytest.raises(DataError, match=message):
        run_retriever(quick, own_dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_classifier_writes_predictions_that_can_be_scored(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path
) -> None:
    run_classifier(quick, tiny_dataset, tmp_path / "out", cache=cache)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.jsonl", "validation.jsonl"]
    found = read_predictions(tmp_path / "out" / "test.jsonl")
    posts: tuple[Post, ...] = load_dataset(tiny_dataset).split("test")
    assert [(p.id, p.reference, p.system) for p in found] == [
        (post.id, post.hashtags, "classifier-both") for post in posts
    ]
    for prediction in found:
        assert sorted(prediction.hashtags) == ["bird", "blue", "cat", "dog", "red"]
        assert sum(prediction.scores) == pytest.approx(1, abs=1e-4)


def test_a_missing_split_is_found_before_the_classifier_trains(
    quick: Recipe, own_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ggm.training.runs.train_classifier", lambda *args, **named: pytest.fail("it was trained")
    )
    write_manifest(
        [p for p in load_dataset(own_dataset).posts if p.split != "test"], own_dataset / "manifest.jsonl"
    )
    with pytest.raises(DataError, match="no split 'test'; there is train, validation"):
        run_classifier(quick, own_dataset, tmp_path / "out")


def test_the_command_line_warns_of_what_was_left_out(
    own_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    retriever: Path,
) -> None:
    from ggm.serving import cli

    (own_dataset / "10.mp4").write_text("no video", "utf-8")
    arguments = ["predict", str(retriever), "--data", str(own_dataset), "--out", str(tmp_path / "p.jsonl")]
    monkeypatch.setattr("sys.argv", ["ggm", *arguments, "--system", "popular"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "left out 1 of 2 posts of split 'test'; the first: " in warning
    assert [prediction.id for prediction in read_predictions(tmp_path / "p.jsonl")] == ["11"]


def test_a_bundle_of_the_whole_text_encoder_is_the_one_that_was_measured(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path, retriever: Path
) -> None:
    settings = replace(
        quick.generator, trained_encoder_layers=-1, place_embeddings=True, normalise_tokens=True
    )
    made = run_generator(
        replace(quick, generator=settings), tiny_dataset, tmp_path / "b", retriever=retriever, cache=cache
    )
    assert predictions(load_bundle(tmp_path / "b"), tiny_dataset, cache) == predictions(
        made, tiny_dataset, cache
    )
    assert made.vocabulary == Vocabulary({"red": 4, "blue": 4, "cat": 3, "dog": 3, "bird": 2})
    save_bundle(made, tmp_path / "again")
    assert load_bundle(tmp_path / "again").card == made.card


def test_the_best_by_validation_are_whole_bundles(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path, retriever: Path
) -> None:
    recipe = replace(quick, checkpoints=CheckpointSettings(validate_every=1, keep_best=2))
    made = run_generator(recipe, tiny_dataset, tmp_path / "bundle", retriever=retriever, cache=cache)
    record = made.training["generator"]
    scores = {int(step): score for step, score in record["validation_rouge_1"].items()}
    assert list(scores) == [1, 2, 3]
    ranked = sorted(scores, key=lambda step: (-scores[step], step))
    second = load_bundle(tmp_path / "bundle.log" / "best-2")
    assert [record["chosen_step"], second.training["generator"]["chosen_step"]] == ranked[:2]
    assert f"weights of step {ranked[0]}, validation ROUGE-1" in made.card
    assert not (tmp_path / "bundle.log" / "best-3").exists()
    assert predictions(load_bundle(tmp_path / "bundle"), tiny_dataset, cache) == predictions(
        made, tiny_dataset, cache
    )


def test_a_run_after_a_finished_one_starts_anew(
    quick: Recipe, tiny_dataset: Path, tmp_path: Path, cache: Path
) -> None:
    saved = replace(quick, checkpoints=CheckpointSettings(checkpoint_every=1))
    run_retriever(saved, tiny_dataset, tmp_path / "out", cache=cache)
    assert not list((tmp_path / "out.log").rglob("checkpoint-*"))
    other = run_retriever(replace(saved, seed=7), tiny_dataset, tmp_path / "out", cache=cache)
    assert other.training["retriever"]["recipe"]["seed"] == 7
    assert other.training["retriever"]["steps"] == 3
