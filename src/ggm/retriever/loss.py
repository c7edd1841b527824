"""The contrastive loss of the retriever (paper, section 3.2: the loss of CLIP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ggm.hashtags import key


def contrastive_loss(similarity: Tensor, false_negatives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE: each video has to find its hashtag in the batch, and the reverse.

    The paper follows CLIP, for which all other pairs of the batch are negatives. Hashtags repeat
    far more than captions do, so wrong negatives can be masked: masked cells count in neither
    direction. With None it is CLIP's loss.

    Args:
        similarity: (B, B) logits of video i and the hashtag drawn for video j, scaled.
        false_negatives: bool (B, B), True where they belong together although i is not j; its
            diagonal is ignored. See `false_negative_mask`.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: If a shape isn't (B, B).
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity must be (B, B), got {tuple(similarity.shape)}")
    batch = similarity.shape[0]
    if false_negatives is not None:
        if false_negatives.shape != similarity.shape:
            raise ValueError(
                f"false_negatives must be {tuple(similarity.shape)}, got {tuple(false_negatives.shape)}"
            )
        own = torch.eye(batch, dtype=torch.bool, device=similarity.device)
        similarity = similarity.masked_fill(false_negatives & ~own, -torch.inf)
    target = torch.arange(batch, device=similarity.device)
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def false_negative_mask(hashtags_of_posts: Sequence[Sequence[str]], drawn: Sequence[str]) -> Tensor:
    """Mark the pairs of a batch that are no negatives.

    Cell (i, j) is True where video i carries the hashtag drawn for video j: its own, the same one
    drawn for another video, or another of its hashtags. The loss reads each cell in both
    directions, as video to hashtag and as hashtag to video.

    Args:
        hashtags_of_posts: All hashtags of each post, B posts.
        drawn: The hashtag drawn for each, B.

    Returns:
        bool (B, B).

    Raises:
        ValueError: If there isn't one drawn hashtag a post.
        HashtagError: If a text holds no hashtag.
    """
    if len(hashtags_of_posts) != len(drawn):
        raise ValueError(f"{len(hashtags_of_posts)} posts need as many drawn hashtags, got {len(drawn)}")
    columns: dict[str, list[int]] = {}
    for column, text in enumerate(drawn):
        columns.setdefault(key(text), []).append(column)
    mask = torch.zeros(len(drawn), len(drawn), dtype=torch.bool)
    for row, hashtags in enumerate(hashtags_of_posts):
        for text in (*hashtags, drawn[row]):
            mask[row, columns.get(key(text), [])] = True
    return mask
