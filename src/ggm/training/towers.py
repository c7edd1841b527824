"""End-to-end training of the retriever's two towers, as in the paper (section 3.1).

The contrastive loss is that of `ggm.training.retriever`; frames and hashtags are encoded anew in each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ggm.features.encoders import FrameEncoder, HashtagEncoder
from ggm.features.extract import FeatureExtractor, device_of
from ggm.features.trained import enable_activation_checkpointing, keep_statistics
from ggm.features.videos import DecodedPosts, LivePosts
from ggm.hashtags import Vocabulary, split_words
from ggm.retriever.model import Retriever
from ggm.training.frames import pad_frames, real_frames, scatter
from ggm.training.guidance import PostGuidance
from ggm.training.pairs import PairDraws, drawable_posts
from ggm.training.recipes import CheckpointSettings, RetrieverRecipe
from ggm.training.retriever import (
    build_pool,
    contrast,
    guidance_for,
    guide_by_folds,
    untrained_retriever,
)
from ggm.training.trainer import Draw, FitResult, Progress, fit

_FRAME: Final = "frame_"  # before the names of the tensors that each tower is given
_TEXT: Final = "text_"


class TowerStep(nn.Module):
    """One training step of both towers as a module: prepared frames and hashtags in, loss out."""

    def __init__(self, retriever: Retriever, frames: FrameEncoder, hashtags: HashtagEncoder) -> None:
        super().__init__()
        self.retriever = retriever
        self.tower = frames.embedding_part()
        self.hashtags = hashtags
        self._frames = (frames,)  # in a tuple it is no sub-module: its other network doesn't learn here
        for part in (self.tower, self.hashtags):
            part.requires_grad_(True)

    def forward(
        self,
        frame_mask: Tensor,  # (B, F)
        drawn: Tensor | None = None,  # (B,)
        carried: Tensor | None = None,  # (B, most hashtags of a post), padded with -1
        **prepared: Tensor,  # frame_*: (B, F, ...), text_*: (B, ...)
    ) -> dict[str, Tensor]:
        """Pairs to ``{"loss": scalar}``; see `contrast`."""
        (frames,) = self._frames
        embeddings, pooled = frames.embed(real_frames(_named(prepared, _FRAME), frame_mask))  # (N, E), (N, C)
        videos = self.retriever.embed_videos(
            scatter(embeddings, frame_mask), scatter(pooled, frame_mask), frame_mask
        )
        hashtags = self.retriever.embed_hashtags(self.hashtags(_named(prepared, _TEXT)))
        return {"loss": contrast(videos, hashtags, self.retriever.logit_scale, drawn=drawn, carried=carried)}

    accepts_loss_kwargs = False
    """The loss is a mean over pairs: Trainer must not take ``**prepared`` for a wish to rescale it."""

    def activation_checkpointing_enable(self, *arguments: Any, **settings: Any) -> None:
        """Recompute the towers' activations in the backward pass, to save memory."""
        for part in (self.tower, self.hashtags):
            enable_activation_checkpointing(part, *arguments, **settings)

    def train(self, mode: bool = True) -> TowerStep:
        """Training mode, but for the statistics of batch normalisation."""
        super().train(mode)
        keep_statistics(self)
        return self


class TowerCollator:
    """Draws one hashtag a post, and prepares its frames and the hashtag's words.

    Args:
        data: Decoded posts; draws are indices of them.
        pairs: Draws the hashtags.
        hashtags: The vocabulary that is drawn from.
        extractor: For its preprocessing.
    """

    def __init__(
        self, data: DecodedPosts, pairs: PairDraws, hashtags: Sequence[str], extractor: FeatureExtractor
    ) -> None:
        self.data = data
        self.pairs = pairs
        self.texts = [" ".join(split_words(hashtag)) for hashtag in hashtags]
        self.prepare_frames = extractor.frames.prepare_to_embed
        self.prepare_texts = extractor.hashtags.prepare

    def __call__(self, draws: list[Draw]) -> dict[str, Tensor]:
        """Make a batch of these draws, for `TowerStep`."""
        drawn = self.pairs.draw(draws)
        videos = [self.prepare_frames(self.data.video(post).frames.pixels) for _, post in draws]
        frames, mask = pad_frames(videos)
        texts = self.prepare_texts([self.texts[place] for place in drawn])
        return {
            "frame_mask": mask,
            **{f"{_FRAME}{name}": value for name, value in frames.items()},
            **{f"{_TEXT}{name}": value for name, value in texts.items()},
            **self.pairs.masks(draws, drawn),
        }


def train_towers(
    data: DecodedPosts,
    extractor: FeatureExtractor,
    recipe: RetrieverRecipe,
    *,
    vocabulary: Vocabulary,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Retriever, FitResult]:
    """Train both towers of the retriever, in place.

    Args:
        data: Training posts.
        extractor: Whose retriever towers learn; its fingerprint is another one afterwards.
        recipe: See `RetrieverRecipe`; the settings of heads play no part.
        vocabulary: The hashtags that may be drawn.
        seed: Of order and draws.
        output_dir: For the TensorBoard log and the checkpoints.
        checkpoints: How often to save; by default never.
        progress: Told of each step.

    Returns:
        A retriever without heads, and how the run went.

    Raises:
        DataError: If no post carries a hashtag of the vocabulary.
    """
    hashtags = list(vocabulary)
    usable, places = drawable_posts(data.posts, hashtags)
    torch.manual_seed(seed)
    device = device_of(extractor.frames)
    retriever = untrained_retriever(extractor, replace(recipe, trained="towers"))
    pairs = PairDraws(
        places,
        num_hashtags=len(hashtags),
        recipe=recipe,
        seed=seed,
    )
    result = fit(
        TowerStep(retriever, extractor.frames, extractor.hashtags),
        range(len(usable)),
        TowerCollator(data.subset(usable), pairs, hashtags, extractor),
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        progress=progress,
    )
    extractor.to(str(device)).weights_changed()
    return retriever.cpu(), result


def cross_fitted_tower_guidance(
    data: DecodedPosts,
    load_towers: Callable[[], FeatureExtractor],
    recipe: RetrieverRecipe,
    *,
    vocabulary: Vocabulary,
    folds: int,
    top_k: int,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    progress: Progress | None = None,
    description_weight: float = 0.0,
) -> list[PostGuidance]:
    """Guidance for training posts from towers that did not see them; see `cross_fitted_guidance`.

    Args:
        data: Training posts.
        load_towers: Gives pretrained towers; called once a fold.
        recipe: See `RetrieverRecipe`.
        vocabulary: The hashtags that may be drawn, and the pool.
        folds: How many.
        top_k: Guidance hashtags a post.
        seed: Of folds, order and draws.
        output_dir: For the TensorBoard logs and the checkpoints, a folder each fold.
        checkpoints: How often to save; by default never.
        progress: Told of each step.
        description_weight: See `guidance_for`.

    Raises:
        DataError: If there are fewer posts than folds.
    """

    def guide(inside: list[int], outside: list[int], fold: int) -> list[PostGuidance]:
        towers = load_towers()
        retriever, _ = train_towers(
            data.subset(outside),
            towers,
            recipe,
            vocabulary=vocabulary,
            seed=seed + fold,
            output_dir=output_dir / f"fold-{fold}",
            checkpoints=checkpoints,
            progress=progress,
        )
        pool = build_pool(list(vocabulary), retriever, towers)
        return guidance_for(
            LivePosts(data.subset(inside), towers.for_retrieval()),
            retriever,
            pool,
            top_k=top_k,
            extractor=towers,
            description_weight=description_weight,
        )

    return guide_by_folds(len(data), guide, folds=folds, seed=seed)


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
