"""The softmax classifier, the paper's strongest kind of rival (section 4.2, appendix A).

It ranks the training vocabulary: one softmax, whose target puts 1/k on each of a post's k
hashtags, trained with cross-entropy. It can never coin a hashtag, nor learn of one by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts, pooled_chunks
from ggm.hashtags import Vocabulary
from ggm.training.recipes import CheckpointSettings, ClassifierRecipe
from ggm.training.targets import hashtag_indices
from ggm.training.trainer import Draw, FitResult, Progress, fit


class HashtagClassifier(nn.Module):
    """A two-layer network over frozen features.

    Args:
        input_dim: Width of the features.
        num_hashtags: Size of the training vocabulary.
        recipe: Hidden width and dropout.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, input_dim: int, *, num_hashtags: int, recipe: ClassifierRecipe) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("deviation", torch.ones(input_dim))
        self.layers = nn.Sequential(
            nn.Dropout(recipe.dropout),
            nn.Linear(input_dim, recipe.hidden_dim),
            nn.GELU(),
            nn.Dropout(recipe.dropout),
            nn.Linear(recipe.hidden_dim, num_hashtags),
        )

    def standardise(self, features: Tensor) -> None:
        """Take from training features (posts, input_dim) the mean and deviation that inputs are freed of."""
        # Quiet channels stay quiet: all get a share of the overall deviation.
        deviation = features.std(0, correction=0) + 0.05 * features.std(correction=0)
        deviation[deviation == 0] = 1.0  # one post, or all alike
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(deviation)

    def logits(self, features: Tensor) -> Tensor:
        """(B, input_dim) to (B, num_hashtags)."""
        return self.layers((features - self.mean) / self.deviation)  # type: ignore[no-any-return]

    def forward(self, features: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy against target distributions (B, num_hashtags), as ``{"loss": scalar}``."""
        log_probabilities = self.logits(features).log_softmax(-1)
        return {"loss": -(targets * log_probabilities).sum(-1).mean()}


def classifier_features(
    data: FeaturedPosts, extractor: FeatureExtractor, recipe: ClassifierRecipe
) -> npt.NDArray[np.float32]:
    """(posts, input_dim): the mean over frames of the pooled features, the embedded description, or both."""
    parts = []
    if recipe.inputs in ("video", "both"):
        means = []
        for pooled in pooled_chunks(data):  # the frames of all posts at once may not fit into memory
            weights = pooled.frame_mask[..., None].astype(np.float32)
            means.append((pooled.frame_pooled * weights).sum(1) / weights.sum(1))
        parts.append(np.concatenate(means))
    if recipe.inputs in ("description", "both"):
        parts.append(extractor.embed_descriptions([post.description for post in data.posts]))
    return np.concatenate(parts, axis=1)


def train_classifier(
    data: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: ClassifierRecipe,
    *,
    vocabulary: Vocabulary,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
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
        checkpoints: How often to save; by default never.
        progress: Told of each step.
    """
    features = torch.from_numpy(classifier_features(data, extractor, recipe))
    hashtags = list(vocabulary)
    places = hashtag_indices(data.posts, hashtags)
    torch.manual_seed(seed)
    classifier = HashtagClassifier(features.shape[1], num_hashtags=len(hashtags), recipe=recipe)
    classifier.standardise(features)

    def collate(draws: list[Draw]) -> dict[str, Tensor]:
        targets = torch.zeros(len(draws), len(hashtags))
        for row, (_, post) in enumerate(draws):
            targets[row, places[post]] = 1 / max(1, len(places[post]))
        return {"features": features[[post for _, post in draws]], "targets": targets}

    result = fit(
        classifier,
        range(len(data)),
        collate,
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        progress=progress,
    )
    return classifier, result


def classify(
    classifier: HashtagClassifier, features: npt.NDArray[np.float32], hashtags: Sequence[str], *, top_k: int
) -> list[list[tuple[str, float]]]:
    """The most probable hashtags of each post, best first, with their probabilities."""
    classifier.eval()
    with torch.inference_mode():
        probabilities = classifier.logits(torch.from_numpy(features)).softmax(-1)
        values, indices = probabilities.topk(min(top_k, len(hashtags)), dim=-1)
    return [
        [(hashtags[index], value) for index, value in zip(row, scores, strict=True)]
        for row, scores in zip(indices.tolist(), values.tolist(), strict=True)
    ]
