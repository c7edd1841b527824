from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import ggm.training.classifier as classifier_module
from ggm.errors import ConfigError
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts, pooled_chunks
from ggm.records import Post
from ggm.retriever.classifier import ClassifierConfig, HashtagClassifier
from ggm.training.classifier import classifier_features, classify, train_classifier
from ggm.training.recipes import Recipe
from ggm.training.targets import vocabulary_of
from ggm.training.trainer import FitResult


def test_the_loss_is_cross_entropy_against_the_target_distribution() -> None:
    classifier = HashtagClassifier(ClassifierConfig(3, 4)).eval()
    features, targets = torch.randn(2, 3), torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]])
    p = classifier.logits(features).softmax(-1)
    by_hand = -(0.5 * p[0, 0].log() + 0.5 * p[0, 2].log() + p[1, 1].log()) / 2
    assert torch.allclose(classifier.loss(features, targets), by_hand)


def test_a_sigmoid_for_each_hashtag() -> None:
    """By hand: the mean over posts and hashtags of binary cross-entropies."""
    classifier = HashtagClassifier(ClassifierConfig(3, 4, loss="sigmoid")).eval()
    features, targets = torch.randn(2, 3), torch.tensor([[0.5, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]])
    p = classifier.probabilities(features)
    assert torch.allclose(p, classifier.logits(features).sigmoid())
    right = torch.where(targets > 0, p, 1 - p)
    assert torch.allclose(classifier.loss(features, targets), -right.log().mean())


def test_without_hidden_layer_there_is_the_output_layer_alone() -> None:
    classifier = HashtagClassifier(ClassifierConfig(3, 4, hidden_dim=0)).eval()
    (output,) = (layer for layer in classifier.layers if isinstance(layer, torch.nn.Linear))
    features = torch.randn(2, 3)
    assert torch.equal(classifier.logits(features), output(features))
    assert [tuple(value.shape) for value in classifier.parameters()] == [(4, 3), (4,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hashtags": 0}, "num_hashtags must be at least 1"),
        ({"hidden_dim": -1}, "hidden_dim must be at least 0"),
        ({"inputs": "sound"}, "classifier.inputs"),
        ({"loss": "hinge"}, "classifier.loss"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1"),
        ({"colour": 1}, "unknown key colour"),
    ],
)
def test_what_a_classifier_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassifierConfig.from_dict({**ClassifierConfig(3, 4).to_dict(), **change})


def test_targets_put_an_equal_share_on_each_hashtag(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posts = [
        replace(train.posts[0], hashtags=("red",)),
        replace(train.posts[1], hashtags=("Red", "sea", "sky")),
        replace(train.posts[2], hashtags=("sky", "unknown")),
    ]
    batches = []

    def spy(_module: object, items: range, collate: object, **_settings: object) -> FitResult:
        batches.append(collate(list(enumerate(items))))  # type: ignore[operator]
        return FitResult({}, 0.0)

    monkeypatch.setattr(classifier_module, "fit", spy)
    vocabulary = vocabulary_of([*posts[:2], replace(posts[2], hashtags=("sky",))])
    train_classifier(
        FeaturedPosts(tuple(posts), train.cache),
        extractor,
        recipe.classifier,
        vocabulary=vocabulary,
        seed=0,
        output_dir=tmp_path,
    )
    red, sea, sky = (list(map(str.lower, vocabulary)).index(text) for text in ("red", "sea", "sky"))
    expected = torch.zeros(3, 3)
    expected[0, red] = 1
    expected[1, [red, sea, sky]] = 1 / 3
    expected[2, sky] = 1  # of the hashtags that it knows
    assert torch.equal(batches[0]["targets"], expected)


def test_features_are_the_mean_over_frames_and_the_description(
    train: FeaturedPosts, extractor: FeatureExtractor
) -> None:
    means = np.stack([train.features(index).frame_pooled.mean(0) for index in range(len(train))])
    texts = extractor.embed_descriptions([post.description for post in train.posts])
    for inputs, expected in (
        ("video", means),
        ("description", texts),
        ("both", np.concatenate([means, texts], axis=1)),
    ):
        found = classifier_features(train, extractor, inputs)  # type: ignore[arg-type]
        assert np.allclose(found, expected, atol=1e-6)


def test_features_are_read_some_posts_at_a_time(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = classifier_features(train, extractor, recipe.classifier.inputs)
    monkeypatch.setattr(classifier_module, "pooled_chunks", partial(pooled_chunks, chunk=5))
    assert np.array_equal(classifier_features(train, extractor, recipe.classifier.inputs), whole)


def test_it_learns_what_the_videos_show(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    settings = replace(
        recipe.classifier, inputs="video", optimiser=replace(recipe.classifier.optimiser, max_steps=60)
    )
    vocabulary = vocabulary_of(train.posts)
    classifier, result = train_classifier(
        train, extractor, settings, vocabulary=vocabulary, seed=0, output_dir=tmp_path
    )
    losses = list(result.losses.values())
    assert losses[-1] < 0.8 * losses[0]
    ranked = classify(
        classifier, classifier_features(train, extractor, settings.inputs), list(vocabulary), top_k=50
    )
    assert all(len(row) == len(vocabulary) for row in ranked)  # no more than there are
    right = [
        {*post.hashtags} == {text for text, _ in row[:2]}
        for post, row in zip(train.posts, ranked, strict=True)
    ]
    assert sum(right) > 0.9 * len(right)
    for row in ranked:
        scores = [score for _, score in row]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_same_seed_same_classifier_other_seed_another(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    runs = []
    for index, seed in enumerate((1, 1, 2)):
        classifier, result = train_classifier(
            train,
            extractor,
            recipe.classifier,
            vocabulary=vocabulary_of(train.posts),
            seed=seed,
            output_dir=tmp_path / str(index),
        )
        runs.append((result.losses, [value.tolist() for value in classifier.state_dict().values()]))
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("posts", [1, 4])
def test_inputs_that_are_all_alike_give_finite_answers(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path, posts: int
) -> None:
    """Posts without descriptions, for the classifier of descriptions; and a single post."""
    alike: list[Post] = [replace(post, description="") for post in train.posts[:posts]]
    data = FeaturedPosts(tuple(alike), train.cache)
    settings = replace(
        recipe.classifier, inputs="description", optimiser=replace(recipe.classifier.optimiser, max_steps=2)
    )
    classifier, _ = train_classifier(
        data, extractor, settings, vocabulary=vocabulary_of(alike), seed=0, output_dir=tmp_path
    )
    (first, *_) = classify(
        classifier, classifier_features(data, extractor, settings.inputs), list(vocabulary_of(alike)), top_k=3
    )
    assert np.isfinite([score for _, score in first]).all()
