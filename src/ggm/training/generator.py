"""Training of the generator (paper, sections 3.2 and appendix A).

Targets are shuffled anew for every batch, so that no order of hashtags is learned, and gold
hashtags are dropped from the guidance with some probability, so that copying isn't all it learns.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ggm.errors import DataError
from ggm.features.posts import PostFeatures
from ggm.generator.batch import (
    IGNORED_LABEL,
    GeneratorBatch,
    collate_labels,
    pad_features,
    pad_guidance,
    pad_ids,
)
from ggm.generator.layout import drop_gold
from ggm.generator.model import Generator
from ggm.records import Guidance, Post
from ggm.training.recipes import CheckpointSettings, GeneratorRecipe
from ggm.training.trainer import Collate, Draw, FitResult, Progress, fit


class GenerationStep(nn.Module):
    """One training step of the generator as a module: a batch in, loss out."""

    def __init__(self, generator: Generator, *, label_smoothing: float) -> None:
        super().__init__()
        self.generator = generator
        self.label_smoothing = label_smoothing

    accepts_loss_kwargs = True
    """Trainer then counts the target tokens of a whole step, over accumulated batches and processes."""

    def forward(
        self,
        labels: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        frame_tokens: Tensor,
        frame_mask: Tensor,
        sound_tokens: Tensor | None = None,
        sound_mask: Tensor | None = None,
        guidance_at: Tensor | None = None,
        guidance_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Tensors of a `GeneratorBatch` and labels (B, L) to ``{"loss": scalar}``.

        The loss is the mean over target tokens, those of the whole step where their number is given.
        """
        batch = GeneratorBatch(
            input_ids,
            attention_mask,
            frame_tokens,
            frame_mask,
            sound_tokens,
            sound_mask,
            guidance_at,
            guidance_ids,
        )
        return self.loss(batch, labels, num_items_in_batch)

    def loss(
        self, batch: GeneratorBatch, labels: Tensor, num_items_in_batch: Tensor | int | None
    ) -> dict[str, Tensor]:
        """See `forward`."""
        loss = self.generator.loss(batch, labels, label_smoothing=self.label_smoothing)
        if num_items_in_batch is not None:
            loss = loss * (labels != IGNORED_LABEL).sum() / num_items_in_batch
        return {"loss": loss}

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        """Recompute the text model's activations in the backward pass, to save memory."""
        self.generator.activation_checkpointing_enable(activation_checkpointing_kwargs, **settings)

    def train(self, mode: bool = True) -> GenerationStep:
        """Training mode, but for the frozen part of the text encoder: no dropout where nothing learns."""
        super().train(mode)
        for module in self.generator.text_model.get_encoder().modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self


class GenerationTexts:
    """The text side of a batch: descriptions and thinned guidance, and shuffled targets.

    Args:
        posts: To draw from.
        guidance: Of each post, in their order.
        generator: For its layout.
        silent: Guidance of each post where its description is left out; the same by default.
        recipe: Probabilities of dropping.
        seed: Of all draws; they depend on it and on a draw's position alone.
    """

    def __init__(
        self,
        posts: Sequence[Post],
        guidance: Sequence[Guidance],
        generator: Generator,
        *,
        silent: Sequence[Guidance] | None = None,
        recipe: GeneratorRecipe,
        seed: int,
    ) -> None:
        self.posts = posts
        self.guidance = [found.texts for found in guidance]
        self.silent = None if silent is None else [found.texts for found in silent]
        self.layout = generator.layout
        self.points = generator.config.pointer
        self.pad_token_id = int(generator.input_tokenizer.pad_token_id)
        self.recipe = recipe
        self.seed = seed

    def __call__(self, draws: Sequence[Draw]) -> dict[str, Tensor]:
        """The text's part of a `GeneratorBatch` by name, and labels, int64 (B, L)."""
        texts, labels = [], []
        for position, index in draws:
            rng = random.Random(f"{self.seed}/{position}")  # a text is hashed well, neighbours are not alike
            post = self.posts[index]
            found = drop_gold(self.guidance[index], post.hashtags, probability=self.recipe.gold_drop, rng=rng)
            described = rng.random() >= self.recipe.description_drop
            if not described and self.silent is not None:
                found = drop_gold(
                    self.silent[index], post.hashtags, probability=self.recipe.gold_drop, rng=rng
                )
            texts.append(self.layout.encode(post.description if described else "", found))
            labels.append(self.layout.labels(post.hashtags, rng=rng))
        input_ids, mask = pad_ids([text.input_ids for text in texts], padding=self.pad_token_id)
        batch = {"input_ids": input_ids, "attention_mask": mask.long(), "labels": collate_labels(labels)}
        if self.points:
            batch["guidance_at"], batch["guidance_ids"] = pad_guidance(
                [text.guidance_at for text in texts], [text.guidance_ids for text in texts]
            )
        return batch


class GenerationCollator:
    """Posts to a batch: cached features, thinned guidance, shuffled targets, everything padded.

    Args:
        data: Posts with features.
        guidance: Of each post, in their order.
        generator: For its layout.
        silent: See `GenerationTexts`.
        recipe: Probabilities of dropping.
        seed: Of all draws.
    """

    def __init__(
        self,
        data: PostFeatures,
        guidance: Sequence[Guidance],
        generator: Generator,
        *,
        silent: Sequence[Guidance] | None = None,
        recipe: GeneratorRecipe,
        seed: int,
    ) -> None:
        self.data = data
        self.texts = GenerationTexts(data.posts, guidance, generator, silent=silent, recipe=recipe, seed=seed)

    def __call__(self, draws: list[Draw]) -> dict[str, Tensor]:
        """Make a batch of these draws, for `GenerationStep`."""
        frames, frame_mask, sound, sound_mask = pad_features(
            [self.data.features(index) for _, index in draws]
        )
        batch = self.texts(draws) | {"frame_tokens": frames, "frame_mask": frame_mask}
        if sound is not None and sound_mask is not None:
            batch |= {"sound_tokens": sound, "sound_mask": sound_mask}
        return batch


def train_generator(
    generator: Generator,
    data: PostFeatures,
    guidance: Sequence[Guidance],
    recipe: GeneratorRecipe,
    *,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    validate: Callable[[], float] | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Train a generator in place, on features that were computed once.

    Args:
        generator: Frozen as it should be.
        data: Training posts with features.
        guidance: Of each post, in their order; empty ones train it without.
        recipe: See `GeneratorRecipe`.
        seed: Of order, draws and dropout.
        output_dir: For the TensorBoard log and the checkpoints.
        checkpoints: How often to save and to validate; by default never.
        validate: The generator's score as it is, higher is better.
        progress: Told of each step.

    Raises:
        DataError: If the decoder can spell no hashtag of any post.
    """
    return fit_generator(
        GenerationStep(generator, label_smoothing=recipe.label_smoothing),
        GenerationCollator(data, guidance, generator, recipe=recipe, seed=seed),
        data.posts,
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        validate=validate,
        progress=progress,
    )


def fit_generator(step: GenerationStep, collate: Collate, posts: Sequence[Post], **how: Any) -> FitResult:
    """Train on the posts of which the decoder can spell a hashtag.

    Args:
        step: Takes the batches.
        collate: Makes them, of draws that are indices of the posts.
        posts: All of them.
        how: See `fit`.

    Raises:
        DataError: If the decoder can spell no hashtag of any post.
    """
    layout = step.generator.layout
    # A post whose every hashtag is beyond the decoder's alphabet would teach it to write nothing.
    written = [index for index, post in enumerate(posts) if any(map(layout.hashtag_ids, post.hashtags))]
    if not written:
        raise DataError("the text model's tokenizer can spell no hashtag of any training post")
    torch.manual_seed(how["seed"])
    return fit(step, written, collate, **how)
