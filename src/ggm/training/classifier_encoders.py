"""End-to-end training of the classifier with its encoders, the paper's BERT, ViT and ViT-BERT (section 4.2).

`ggm.training.classifier` trains a network on features of frozen encoders; here the vision transformer that
the generator reads through and an encoder of descriptions learn through the classifier's loss, with one
output layer over their pooled outputs. Frames and descriptions are encoded anew in each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from ggm.errors import ConfigError
from ggm.features.descriptions import DescriptionEncoder
from ggm.features.encoders import FrameEncoder
from ggm.features.extract import FeatureExtractor, device_of
from ggm.features.trained import enable_activation_checkpointing, keep_statistics
from ggm.features.videos import DecodedPosts
from ggm.hashtags import Vocabulary
from ggm.retriever.classifier import ClassifierConfig, HashtagClassifier
from ggm.training.classifier import most_probable
from ggm.training.frames import pad_frames, real_frames, scatter
from ggm.training.recipes import CheckpointSettings, ClassifierRecipe
from ggm.training.targets import hashtag_indices, target_distributions
from ggm.training.trainer import Draw, FitResult, Progress, fit

_POSTS_AT_ONCE: Final = 8  # when nothing is learned


class EncoderClassificationStep(nn.Module):
    """A classifier and its encoders as one module: prepared frames and descriptions in, loss out.

    Args:
        classifier: Of the encoders' pooled outputs, those of frames first.
        frames: Whose vision transformer learns; None for a classifier of descriptions.
        descriptions: Learns too; None for a classifier of videos.
    """

    def __init__(
        self,
        classifier: HashtagClassifier,
        *,
        frames: FrameEncoder | None,
        descriptions: DescriptionEncoder | None,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.vision = None if frames is None else frames.tokens_part()
        self.descriptions = descriptions
        self._frames = (frames,)  # in a tuple it is no sub-module: the retriever's tower stays out
        for part in self._encoders():
            part.requires_grad_(True)

    def forward(
        self,
        targets: Tensor,
        frame_mask: Tensor | None = None,
        frames: dict[str, Tensor] | None = None,
        texts: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """A batch of the collator to ``{"loss": scalar}``; see `HashtagClassifier.loss`."""
        return {"loss": self.classifier.loss(self.features(frame_mask, frames, texts), targets)}

    def features(
        self,
        frame_mask: Tensor | None = None,
        frames: dict[str, Tensor] | None = None,
        texts: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """What the output layer reads: the mean over frames, and the description, each as pooled.

        Args:
            frame_mask: bool (B, F), true for real frames.
            frames: Prepared, (B, F, ...).
            texts: Tokenised, (B, T).

        Returns:
            (B, input_dim).
        """
        parts = []
        (encoder,) = self._frames
        if encoder is not None and frames is not None and frame_mask is not None:
            pooled = encoder.pool_tokens(real_frames(frames, frame_mask))  # (N, D)
            counts = frame_mask.sum(1, keepdim=True)
            parts.append(scatter(pooled, frame_mask).sum(1) / counts)  # (B, D)
        if self.descriptions is not None and texts is not None:
            parts.append(self.descriptions(texts))
        return torch.cat(parts, dim=1)

    def activation_checkpointing_enable(self, *arguments: Any, **settings: Any) -> None:
        """Recompute the encoders' activations in the backward pass, to save memory."""
        for part in self._encoders():
            enable_activation_checkpointing(part, *arguments, **settings)

    def train(self, mode: bool = True) -> EncoderClassificationStep:
        """Training mode, but for the statistics of batch normalisation."""
        super().train(mode)
        keep_statistics(self)
        return self

    def inputs(self, data: DecodedPosts, rows: Sequence[int]) -> dict[str, Any]:
        """Frames and descriptions of some posts, prepared for `features`.

        Raises:
            DataError: If a video can't be decoded any more.
        """
        batch: dict[str, Any] = {}
        (encoder,) = self._frames
        if encoder is not None:
            videos = [encoder.prepare_for_tokens(data.video(row).frames.pixels) for row in rows]
            batch["frames"], batch["frame_mask"] = pad_frames(videos)
        if self.descriptions is not None:
            batch["texts"] = self.descriptions.prepare([data.posts[row].description for row in rows])
        return batch

    def _encoders(self) -> list[nn.Module]:
        return [part for part in (self.vision, self.descriptions) if part is not None]


class EncoderClassificationCollator:
    """Posts to a batch: frames and descriptions prepared, and the distribution over hashtags aimed at.

    Args:
        data: Decoded posts; draws are indices of them.
        hashtags: The vocabulary.
        step: For its preprocessing.
    """

    def __init__(self, data: DecodedPosts, hashtags: Sequence[str], step: EncoderClassificationStep) -> None:
        self.data = data
        self.num_hashtags = len(hashtags)
        self.places = hashtag_indices(data.posts, hashtags)
        self.inputs = step.inputs

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """Make a batch of these draws, for `EncoderClassificationStep`."""
        rows = [row for _, row in draws]
        targets = target_distributions([self.places[row] for row in rows], num_hashtags=self.num_hashtags)
        return {"targets": targets, **self.inputs(self.data, rows)}


def untrained_classifier(
    extractor: FeatureExtractor,
    descriptions: DescriptionEncoder | None,
    recipe: ClassifierRecipe,
    *,
    num_hashtags: int,
    seed: int,
) -> EncoderClassificationStep:
    """Pretrained encoders, and an output layer that starts at random.

    Args:
        extractor: Whose vision transformer is taken, not copied.
        descriptions: See `load_description_encoder`; moved to where the extractor is.
        recipe: What the classifier sees, and its loss.
        num_hashtags: Size of the vocabulary.
        seed: Of the output layer.

    Raises:
        ConfigError: If descriptions shall be seen and there is no encoder of them, or the profile can't
            look at videos.
    """
    frames = None if recipe.inputs == "description" else extractor.frames
    if recipe.inputs == "video":
        descriptions = None
    elif descriptions is None:
        raise ConfigError(f"inputs = {recipe.inputs!r} needs an encoder of descriptions")
    width = 0 if frames is None else _pooled_width(frames)
    torch.manual_seed(seed)
    config = ClassifierConfig(
        input_dim=width + (0 if descriptions is None else descriptions.description_dim),
        num_hashtags=num_hashtags,
        inputs=recipe.inputs,
        loss=recipe.loss,
        hidden_dim=0,
        dropout=recipe.dropout,
    )
    step = EncoderClassificationStep(HashtagClassifier(config), frames=frames, descriptions=descriptions)
    return step.to(device_of(extractor.frames)).eval()


def train_classifier_encoders(
    data: DecodedPosts,
    extractor: FeatureExtractor,
    recipe: ClassifierRecipe,
    *,
    descriptions: DescriptionEncoder | None,
    vocabulary: Vocabulary,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    validate: Callable[[EncoderClassificationStep], float] | None = None,
    progress: Progress | None = None,
) -> tuple[EncoderClassificationStep, FitResult]:
    """Train the classifier and its encoders, in place.

    Args:
        data: Training posts.
        extractor: Whose vision transformer learns; its fingerprint is another one afterwards.
        recipe: See `ClassifierRecipe`.
        descriptions: Learns too; None for a classifier of videos.
        vocabulary: The hashtags that it ranks.
        seed: Of the output layer, order and dropout.
        output_dir: For the TensorBoard log and the checkpoints.
        checkpoints: How often to save and to validate; by default never.
        validate: The score of the classifier as it is, higher is better.
        progress: Told of each step.

    Returns:
        The classifier of the last step with its encoders, and how the run went.

    Raises:
        ConfigError: As for `untrained_classifier`.
        DataError: If a video can't be decoded any more.
    """
    hashtags = list(vocabulary)
    step = untrained_classifier(extractor, descriptions, recipe, num_hashtags=len(hashtags), seed=seed)
    result = fit(
        step,
        range(len(data)),
        EncoderClassificationCollator(data, hashtags, step),
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        validate=None if validate is None else partial(validate, step),
        progress=progress,
    )
    extractor.weights_changed()
    return step, result


@torch.no_grad()
def classify_decoded(
    step: EncoderClassificationStep, data: DecodedPosts, hashtags: Sequence[str], *, top_k: int
) -> list[list[tuple[str, float]]]:
    """The most probable hashtags of each post, best first, with their probabilities.

    Args:
        step: As trained.
        data: Decoded posts.
        hashtags: The vocabulary that it was trained on.
        top_k: At most so many a post.

    Raises:
        DataError: If a video can't be decoded any more.
    """
    step.eval()
    device = device_of(step.classifier)
    ranked = []
    for start in range(0, len(data), _POSTS_AT_ONCE):
        inputs = step.inputs(data, range(start, min(start + _POSTS_AT_ONCE, len(data))))
        probabilities = step.classifier.probabilities(step.features(**_onto(device, inputs)))
        ranked += most_probable(probabilities, hashtags, top_k=top_k)
    return ranked


def _onto(device: torch.device, batch: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.to(device) if isinstance(value, Tensor) else _onto(device, value)
        for name, value in batch.items()
    }


@torch.no_grad()
def _pooled_width(frames: FrameEncoder) -> int:
    """Seen on a black frame: configurations name it in too many ways."""
    side = frames.short_side
    black = frames.prepare_for_tokens(np.zeros((1, side, side, 3), np.uint8))
    return frames.pool_tokens(_onto(device_of(frames.tokens_part()), black)).shape[1]
