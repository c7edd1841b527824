"""A controlled corpus goes through every run, though it has no videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ggm.bundle import load_bundle
from ggm.corpus.derive import filter_dataset
from ggm.corpus.manifest import load_dataset
from ggm.corpus.synthetic import SyntheticConfig, build_synthetic
from ggm.errors import ConfigError, DataError
from ggm.evaluation.predict import SYSTEMS, predict
from ggm.evaluation.predictions import read_predictions
from ggm.features.simulation import SimulatedPosts
from ggm.recommend import Recommender
from ggm.scenes import SceneSettings
from ggm.training.dataset import open_features
from ggm.training.generator_runs import run_generator
from ggm.training.recipes import Recipe
from ggm.training.runs import run_classifier, run_retriever
from nouns import write_wordnet
from videos import write_video

CONFIG = SyntheticConfig(
    posts=200, hashtags=90, generic_hashtags=10, min_depth=3, unseen_hashtags=5, authors=20
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    build_synthetic(folder, CONFIG, source=write_wordnet(tmp_path_factory.mktemp("words")))
    return folder


def steps(recipe: Recipe, count: int) -> Recipe:
    return replace(
        recipe,
        retriever=replace(recipe.retriever, optimiser=replace(recipe.retriever.optimiser, max_steps=count)),
        generator=replace(recipe.generator, optimiser=replace(recipe.generator.optimiser, max_steps=count)),
        classifier=replace(
            recipe.classifier, optimiser=replace(recipe.classifier.optimiser, max_steps=count)
        ),
        decoding=replace(recipe.decoding, max_new_tokens=12),
    )


@pytest.mark.parametrize("guidance", ["retriever", "cross_fitted"])
def test_all_stages_train_on_simulated_posts(
    recipe: Recipe, corpus: Path, tmp_path: Path, guidance: str
) -> None:
    quick = steps(recipe, 3)
    quick = replace(quick, generator=replace(quick.generator, guidance=guidance, folds=2))  # type: ignore[arg-type]
    run_retriever(quick, corpus, tmp_path / "retriever")
    made = run_generator(quick, corpus, tmp_path / "bundle", retriever=tmp_path / "retriever")
    run_classifier(quick, corpus, tmp_path / "classifier")
    posts = load_dataset(corpus).split("test")
    assert len(read_predictions(tmp_path / "classifier" / "test.jsonl")) == len(posts)
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.training["generator"]["data"] == "synthetic (a simulation)"
    assert "a simulation" in bundle.card
    test = open_features(corpus, bundle.extractor).split("test")
    assert isinstance(test, SimulatedPosts)
    for system in SYSTEMS:
        predictions = list(predict(bundle, test, system=system))
        assert [one.id for one in predictions] == [post.id for post in posts]
        assert predictions == list(predict(made, test, system=system))
    assert not (corpus / "features").exists()


def test_training_learns_what_scenes_show(recipe: Recipe, tmp_path: Path) -> None:
    """Where pretrained similarity says nothing, all must come from the frames."""
    corpus = tmp_path / "corpus"
    clear = SceneSettings(pretrained_noise=1.0, video_noise=0.1, frame_noise=0.1)
    build_synthetic(corpus, replace(CONFIG, scenes=clear), source=write_wordnet(tmp_path / "words"))
    quick = replace(recipe.retriever.optimiser, max_steps=150, batch_size=32)
    trained = run_retriever(
        replace(recipe, retriever=replace(recipe.retriever, optimiser=quick)), corpus, tmp_path / "retriever"
    )
    test = open_features(corpus, trained.extractor).split("test")

    def recall(system: str) -> float:
        found = predict(trained, test, system=system)  # type: ignore[arg-type]
        shares = [
            len({text.lower() for text in one.hashtags[:10]} & {text.lower() for text in one.reference})
            / len(one.reference)
            for one in found
        ]
        return sum(shares) / len(shares)

    assert recall("retriever") > recall("pretrained-retriever") + 0.05


def test_a_filtered_corpus_still_knows_its_scenes(recipe: Recipe, corpus: Path, tmp_path: Path) -> None:
    filter_dataset(corpus, tmp_path / "filtered", minimum=2)
    bundle = run_retriever(steps(recipe, 1), tmp_path / "filtered", tmp_path / "retriever")
    before = open_features(corpus, bundle.extractor).split("train")
    after = open_features(tmp_path / "filtered", bundle.extractor).split("train")
    ids = [post.id for post in before.posts]
    row = ids.index(after.posts[0].id)
    assert (after.pooled(0).frame_pooled == before.pooled(row).frame_pooled).all()


def test_what_needs_frames_is_refused(recipe: Recipe, corpus: Path, tmp_path: Path) -> None:
    towers = replace(recipe, retriever=replace(recipe.retriever, trained="towers"))
    with pytest.raises(DataError, match="its videos are simulated, there is nothing to decode: train heads"):
        run_retriever(towers, corpus, tmp_path / "towers")
    encoders = replace(recipe, classifier=replace(recipe.classifier, trained="encoders"))
    with pytest.raises(DataError, match="its videos are simulated, there is nothing to decode: train heads"):
        run_classifier(encoders, corpus, tmp_path / "classifier")


@pytest.mark.slow
def test_the_profile_with_small_features_and_sound(recipe: Recipe, corpus: Path, tmp_path: Path) -> None:
    quick = steps(replace(recipe, profile="synthetic"), 2)
    run_retriever(quick, corpus, tmp_path / "retriever")
    run_generator(quick, corpus, tmp_path / "bundle", retriever=tmp_path / "retriever")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.generator is not None
    assert bundle.generator.config.sound_dim == 128
    video = write_video(tmp_path / "real.mp4", seconds=0.5, size=(32, 32))
    with (
        Recommender(bundle) as recommender,
        pytest.raises(ConfigError, match="can't look at real ones"),
    ):
        recommender.recommend(video)
