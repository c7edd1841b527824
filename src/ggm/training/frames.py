"""Prepared frames of several videos as one padded batch, for encoders that are being trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def pad_frames(videos: Sequence[Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
    """Pad each video's prepared frames (F, ...) with zeros to the most frames.

    Returns:
        Tensors (B, F, ...) by the names of the first video's, and a mask, bool (B, F), true for real frames.
    """
    counts = [len(next(iter(video.values()))) for video in videos]
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    padded = {}
    for name, first in videos[0].items():
        values = first.new_zeros(*mask.shape, *first.shape[1:])
        for row, video in enumerate(videos):
            values[row, : counts[row]] = video[name]
        padded[name] = values
    return padded, mask


def real_frames(padded: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """The reverse of padding: (B, F, ...) to the real frames of all videos (N, ...)."""
    return {name: value[mask] for name, value in padded.items()}


def scatter(rows: Tensor, mask: Tensor) -> Tensor:
    """What an encoder says of N real frames (N, ...), in their places: (B, F, ...), zero elsewhere."""
    places = rows.new_zeros(*mask.shape, *rows.shape[1:])
    places[mask] = rows
    return places
