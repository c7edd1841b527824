"""Training of the classifier, the paper's strongest kind of rival (section 4.2, appendix A).

The target puts 1/k on each of a post's k hashtags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.errors import ConfigError
from ggm.features.extract import FeatureExtractor, device_of
from ggm.features.posts import PostFeatures, pooled_chunks
from ggm.hashtags import Vocabulary
from ggm.records import Guidance, Hit
from ggm.retriever.classifier import ClassifierConfig, ClassifierInputs, HashtagClassifier
from ggm.training.recipes import CheckpointSettings, ClassifierRecipe
from ggm.training.retriever import guide_by_folds
from ggm.training.targets import hashtag_indices, target_distributions
from ggm.training.trainer import Draw, FitResult, Progress, fit


class ClassificationStep(nn.Module):
    """One training step of a classifier as a module: features and targets in, loss out."""

    def __init__(self, classifier: HashtagClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, features: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `HashtagClassifier.loss`; gives ``{"loss": scalar}``."""
        return {"loss": self.classifier.loss(features, targets)}


def classifier_features(
    data: PostFeatures, extractor: FeatureExtractor, inputs: ClassifierInputs
) -> npt.NDArray[np.float32]:
    """(posts, input_dim): the mean over frames of the pooled features, the embedded description, or both."""
    parts = []
    if inputs in ("video", "both"):
        means = []
        for pooled in pooled_chunks(data):  # the frames of all posts at once may not fit into memory
            weights = pooled.frame_mask[..., None].astype(np.float32)
            means.append((pooled.frame_pooled * weights).sum(1) / weights.sum(1))
        parts.append(np.concatenate(means))
    if inputs in ("description", "both"):
        parts.append(extractor.embed_descriptions([post.description for post in data.posts]))
    return np.concatenate(parts, axis=1)


def train_classifier(
    data: PostFeatures,
    extractor: FeatureExtractor,
    recipe: ClassifierRecipe,
    *,
    vocabulary: Vocabulary,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    validate: Callable[[HashtagClassifier], float] | None = None,
    progress: Progress | None = None,
) -> tuple[HashtagClassifier, FitResult]:
    """Train the classifier over the whole training vocabulary.

    Args:
        data: Training posts.
        extractor: The frozen encoders.
        recipe: See `ClassifierRecipe`.
        vocabulary: The hashtags that it ranks.
        seed: Of weights, order and dropout.
        output_dir: For the TensorBoard log and the checkpoints.
        checkpoints: How often to save and to validate; by default never.
        validate: The score of the classifier as it is, higher is better.
        progress: Told of each step.

    Returns:
        The classifier of the last step, and how the run went; the best weights are a `ClassificationStep`'s.

    Raises:
        ConfigError: If encoders shall learn; see `ggm.training.classifier_encoders`.
    """
    if recipe.trained != "heads":
        raise ConfigError(f'features are of frozen encoders: set trained = "heads", got {recipe.trained!r}')
    features = torch.from_numpy(classifier_features(data, extractor, recipe.inputs))
    hashtags = list(vocabulary)
    places = hashtag_indices(data.posts, hashtags)
    torch.manual_seed(seed)
    config = ClassifierConfig(
        input_dim=features.shape[1],
        num_hashtags=len(hashtags),
        inputs=recipe.inputs,
        loss=recipe.loss,
        hidden_dim=recipe.hidden_dim,
        dropout=recipe.dropout,
    )
    classifier = HashtagClassifier(config)
    classifier.standardise(features)

    def collate(draws: list[Draw]) -> dict[str, Tensor]:
        posts = [post for _, post in draws]
        targets = target_distributions([places[post] for post in posts], num_hashtags=len(hashtags))
        return {"features": features[posts], "targets": targets}

    result = fit(
        ClassificationStep(classifier),
        range(len(data)),
        collate,
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        validate=None if validate is None else partial(validate, classifier),
        progress=progress,
    )
    return classifier, result


def classify(
    classifier: HashtagClassifier, features: npt.NDArray[np.float32], hashtags: Sequence[str], *, top_k: int
) -> list[list[tuple[str, float]]]:
    """The most probable hashtags of each post, best first, with their probabilities."""
    classifier.eval()
    with torch.inference_mode():
        inputs = torch.from_numpy(features).to(device_of(classifier))
        return most_probable(classifier.probabilities(inputs), hashtags, top_k=top_k)


def most_probable(
    probabilities: Tensor, hashtags: Sequence[str], *, top_k: int
) -> list[list[tuple[str, float]]]:
    """Rank hashtags by their probabilities (posts, hashtags), best first, at most ``top_k`` a post."""
    values, indices = probabilities.topk(min(top_k, len(hashtags)), dim=-1)
    return [
        [(hashtags[index], value) for index, value in zip(row, scores, strict=True)]
        for row, scores in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def guidance_by_class(
    data: PostFeatures,
    extractor: FeatureExtractor,
    classifier: HashtagClassifier,
    hashtags: Sequence[str],
    *,
    top_k: int,
) -> list[Guidance]:
    """The most probable hashtags of each post as guidance (the paper's GGM-ViT)."""
    features = classifier_features(data, extractor, classifier.config.inputs)
    ranked = classify(classifier, features, hashtags, top_k=top_k)
    return [Guidance(tuple(Hit(text, probability) for text, probability in row)) for row in ranked]


def cross_fitted_guidance_by_class(
    data: PostFeatures,
    extractor: FeatureExtractor,
    recipe: ClassifierRecipe,
    *,
    vocabulary: Vocabulary,
    folds: int,
    top_k: int,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    progress: Progress | None = None,
) -> list[Guidance]:
    """Guidance for training posts from classifiers that did not see them; see `cross_fitted_guidance`.

    Raises:
        DataError: If there are fewer posts than folds.
    """

    def guide(inside: list[int], outside: list[int], fold: int) -> list[Guidance]:
        classifier, _ = train_classifier(
            data.subset(outside),
            extractor,
            recipe,
            vocabulary=vocabulary,
            seed=seed + fold,
            output_dir=output_dir / f"classifier-fold-{fold}",
            checkpoints=checkpoints,
            progress=progress,
        )
        return guidance_by_class(data.subset(inside), extractor, classifier, list(vocabulary), top_k=top_k)

    return guide_by_folds(len(data), guide, folds=folds, seed=seed)
