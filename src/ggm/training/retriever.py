"""Contrastive training of the retriever (paper, section 3.2, "VLM-based Hashtag Retriever").

A training pair is a video and one of its hashtags, drawn anew each time the post comes up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.errors import DataError
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import PooledRows, PostFeatures, StoredPooled, pooled_chunks
from ggm.hashtags import Vocabulary
from ggm.records import Guidance
from ggm.retriever.loss import contrastive_loss
from ggm.retriever.model import Retriever, RetrieverConfig
from ggm.retriever.pool import HashtagPool, Pool
from ggm.retriever.queries import with_descriptions
from ggm.training.guidance import PostGuidance
from ggm.training.pairs import PairDraws, drawable_posts
from ggm.training.recipes import CheckpointSettings, RetrieverRecipe
from ggm.training.trainer import Draw, FitResult, Progress, fit

_IN_MEMORY_BYTES: Final = 1024**3
"""Pooled features of up to this size are read once; of larger corpora in each step, which takes longer."""

G = TypeVar("G")


class ContrastiveStep(nn.Module):
    """One training step of the retriever as a module: pairs in, loss out."""

    def __init__(self, retriever: Retriever) -> None:
        super().__init__()
        self.retriever = retriever

    def forward(
        self,
        frame_embeddings: Tensor,  # (B, F, E)
        frame_pooled: Tensor,  # (B, F, C)
        frame_mask: Tensor,  # (B, F)
        hashtag_embeddings: Tensor,  # (B, E)
        drawn: Tensor | None = None,  # (B,)
        carried: Tensor | None = None,  # (B, most hashtags of a post), padded with -1
    ) -> dict[str, Tensor]:
        """Pairs to ``{"loss": scalar}``; see `contrastive_loss`.

        Several processes share their pairs: each video's negatives are the hashtags of all of them.
        """
        videos = self.retriever.embed_videos(frame_embeddings, frame_pooled, frame_mask)
        hashtags = self.retriever.embed_hashtags(hashtag_embeddings)
        return {"loss": contrast(videos, hashtags, self.retriever.logit_scale, drawn=drawn, carried=carried)}


def contrast(
    videos: Tensor, hashtags: Tensor, logit_scale: Tensor, *, drawn: Tensor | None, carried: Tensor | None
) -> Tensor:
    """The contrastive loss over the pairs of all processes, a scalar.

    Args:
        videos: (B, E), unit length.
        hashtags: (B, E), unit length, each drawn for the video of its row.
        logit_scale: Scalar factor on similarities.
        drawn: int64 (B,), which hashtags these are; None masks no false negatives.
        carried: int64 (B, most hashtags of a post), each video's own, padded with -1.
    """
    logits = logit_scale * _of_all_processes(videos) @ _of_all_processes(hashtags).T
    mask = None
    if drawn is not None and carried is not None:
        mask = false_negatives(_of_all_processes(carried), _of_all_processes(drawn))
    return contrastive_loss(logits, mask)


def false_negatives(carried: Tensor, drawn: Tensor) -> Tensor:
    """Where video i also carries the hashtag that was drawn for video j: bool (B, B).

    Args:
        carried: int64 (B, most hashtags of a post), each video's hashtags, padded with -1.
        drawn: int64 (B,), the hashtag drawn for each video.
    """
    mask = torch.zeros(len(carried), len(drawn), dtype=torch.bool, device=drawn.device)
    for place in carried.unbind(1):  # one at a time: all at once would be (B, B, hashtags)
        mask |= place[:, None] == drawn
    return mask


def _of_all_processes(rows: Tensor) -> Tensor:
    """The rows of every process, in the order of processes; gradients flow back to each."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    if not rows.is_floating_point():
        gathered = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(gathered, rows)
        return torch.cat(gathered)
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))  # type: ignore[no-untyped-call]


class PairCollator:
    """Draws one hashtag a post and stacks the pairs.

    Args:
        pooled: Features of the posts, padded alike in each batch and process.
        pairs: Draws the hashtags.
        hashtag_embeddings: float32 (hashtags, embedding), of the frozen text tower.
    """

    def __init__(self, pooled: PooledRows, pairs: PairDraws, hashtag_embeddings: Tensor) -> None:
        self.pooled = pooled
        self.pairs = pairs
        self.hashtag_embeddings = hashtag_embeddings

    def __call__(self, draws: list[Draw]) -> dict[str, Tensor]:
        """Make a batch of these draws, for `ContrastiveStep`."""
        drawn = self.pairs.draw(draws)
        pooled = self.pooled.rows([post for _, post in draws])
        return {
            "frame_embeddings": torch.from_numpy(pooled.frame_embeddings),
            "frame_pooled": torch.from_numpy(pooled.frame_pooled),
            "frame_mask": torch.from_numpy(pooled.frame_mask),
            "hashtag_embeddings": self.hashtag_embeddings[torch.tensor(drawn)],
            **self.pairs.masks(draws, drawn),
        }


def untrained_retriever(extractor: FeatureExtractor, recipe: RetrieverRecipe) -> Retriever:
    """The retriever as pretrained: its heads add nothing yet, or are absent where the towers learn."""
    return Retriever(
        RetrieverConfig(
            embedding_dim=extractor.embedding_dim,
            pooled_dim=extractor.pooled_dim,
            hidden_dim=recipe.hidden_dim if recipe.trained == "heads" else 0,
            dropout=recipe.dropout,
            head_weight=1.0,
            initial_temperature=recipe.initial_temperature,
        )
    )


def train_retriever(
    data: PostFeatures,
    extractor: FeatureExtractor,
    recipe: RetrieverRecipe,
    *,
    vocabulary: Vocabulary,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Retriever, FitResult]:
    """Train the retriever's heads on frozen towers.

    Args:
        data: Training posts.
        extractor: The frozen towers.
        recipe: See `RetrieverRecipe`.
        vocabulary: The hashtags that may be drawn.
        seed: Of weights, order and draws.
        output_dir: For the TensorBoard log and the checkpoints.
        checkpoints: How often to save; by default never.
        progress: Told of each step.

    Raises:
        DataError: If no post carries a hashtag of the vocabulary.
    """
    hashtags = list(vocabulary)
    usable, places = drawable_posts(data.posts, hashtags)
    torch.manual_seed(seed)
    retriever = untrained_retriever(extractor, recipe)
    most_frames = _standardise(retriever, data)
    pooled: PooledRows = StoredPooled(data.subset(usable), most_frames)
    width = extractor.embedding_dim + extractor.pooled_dim
    if len(usable) * most_frames * width * 4 <= _IN_MEMORY_BYTES:
        pooled = pooled.rows(range(len(usable)))
    pairs = PairDraws(places, num_hashtags=len(hashtags), recipe=recipe, seed=seed)
    collate = PairCollator(pooled, pairs, torch.from_numpy(extractor.embed_hashtags(hashtags)))
    result = fit(
        ContrastiveStep(retriever),
        range(len(usable)),
        collate,
        optimiser=recipe.optimiser,
        seed=seed,
        output_dir=output_dir,
        checkpoints=checkpoints,
        progress=progress,
    )
    return retriever.with_head_weight(recipe.head_weight), result


def _standardise(retriever: Retriever, data: PostFeatures) -> int:
    """Show the retriever all training frames, some posts at a time; returns the most frames of a post."""
    most_frames = 0

    def parts() -> Iterator[Tensor]:
        nonlocal most_frames
        for pooled in pooled_chunks(data):
            most_frames = max(most_frames, pooled.frame_mask.shape[1])
            yield torch.from_numpy(pooled.frame_pooled[pooled.frame_mask])

    retriever.standardise(parts())
    return most_frames


def build_pool(hashtags: Sequence[str], retriever: Retriever, extractor: FeatureExtractor) -> HashtagPool:
    """Embed hashtags once, as the pool that the retriever searches (paper, section 3.1)."""

    def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            return retriever.embed_hashtags(torch.from_numpy(extractor.embed_hashtags(texts))).numpy()

    return HashtagPool.build(
        hashtags, embed, retriever_fingerprint=retriever.fingerprint(extractor.fingerprint)
    )


def guidance_for(
    data: PostFeatures,
    retriever: Retriever,
    pool: Pool,
    *,
    top_k: int,
    extractor: FeatureExtractor | None = None,
    description_weight: float = 0.0,
    chunk: int = 1024,
) -> list[PostGuidance]:
    """The top-k pool hashtags for each post; features are read a chunk of posts at a time.

    Args:
        data: Posts with features.
        retriever: Whose space the pool is in.
        pool: To search.
        top_k: How many hashtags.
        extractor: Its frozen text tower reads the descriptions.
        description_weight: See `with_descriptions`; above 0 it needs the extractor.
        chunk: How many posts are read at a time.
    """
    found: list[PostGuidance] = []
    with torch.inference_mode():
        for pooled in pooled_chunks(data, chunk=chunk):
            videos = retriever.embed_videos(
                torch.from_numpy(pooled.frame_embeddings),
                torch.from_numpy(pooled.frame_pooled),
                torch.from_numpy(pooled.frame_mask),
            ).numpy()
            silent = [Guidance(hits) for hits in pool.search_many(videos, top_k)]
            described = silent
            if description_weight and extractor is not None:
                texts = [post.description for post in data.posts[len(found) : len(found) + len(videos)]]
                queries = with_descriptions(
                    videos, _embed_texts(texts, retriever, extractor), weight=description_weight
                )
                described = [Guidance(hits) for hits in pool.search_many(queries, top_k)]
            found += map(PostGuidance, described, silent)
    return found


def _embed_texts(
    texts: Sequence[str], retriever: Retriever, extractor: FeatureExtractor
) -> npt.NDArray[np.float32]:
    """Descriptions in the retriever's space of hashtags; zeros for empty ones."""
    vectors = np.zeros((len(texts), extractor.embedding_dim), np.float32)
    if rows := [row for row, text in enumerate(texts) if text.strip()]:
        pretrained = torch.from_numpy(extractor.embed_descriptions([texts[row] for row in rows]))
        vectors[rows] = retriever.embed_hashtags(pretrained).numpy()
    return vectors


def cross_fitted_guidance(
    data: PostFeatures,
    extractor: FeatureExtractor,
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
    """Guidance for training posts from retrievers that did not see them.

    The retriever of each fold is trained on the other folds. Otherwise guidance looks better in
    training than it will be, and the generator learns to trust it too much.

    Raises:
        DataError: If there are fewer posts than folds.
    """

    def guide(inside: list[int], outside: list[int], fold: int) -> list[PostGuidance]:
        retriever, _ = train_retriever(
            data.subset(outside),
            extractor,
            recipe,
            vocabulary=vocabulary,
            seed=seed + fold,
            output_dir=output_dir / f"fold-{fold}",
            checkpoints=checkpoints,
            progress=progress,
        )
        pool = build_pool(list(vocabulary), retriever, extractor)
        return guidance_for(
            data.subset(inside),
            retriever,
            pool,
            top_k=top_k,
            extractor=extractor,
            description_weight=description_weight,
        )

    return guide_by_folds(len(data), guide, folds=folds, seed=seed)


def guide_by_folds(
    num_posts: int,
    guide: Callable[[list[int], list[int], int], list[G]],
    *,
    folds: int,
    seed: int,
) -> list[G]:
    """Guidance of each post from what was trained without it.

    Args:
        num_posts: How many there are.
        guide: Trains on the posts outside a fold and guides those inside: called as
            guide(inside, outside, fold).
        folds: How many.
        seed: Of the folds.

    Raises:
        DataError: If there are fewer posts than folds.
    """
    if num_posts < folds:
        raise DataError(f"{num_posts} posts can't be cut into {folds} folds")
    fold_of = np.random.default_rng(seed).permutation(num_posts) % folds
    guidance: dict[int, G] = {}
    for fold in range(folds):
        inside, outside = np.flatnonzero(fold_of == fold).tolist(), np.flatnonzero(fold_of != fold).tolist()
        guidance.update(zip(inside, guide(inside, outside, fold), strict=True))
    return [guidance[index] for index in range(num_posts)]
