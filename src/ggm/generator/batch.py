"""Posts of different lengths, padded to one batch with masks that say what is real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ggm.records import FloatArray, VideoFeatures

IGNORED_LABEL: Final = -100
"""Label of padding in the targets: no loss."""


@dataclass(frozen=True, eq=False, repr=False)
class GeneratorBatch:
    """B padded posts.

    Args:
        input_ids: int64 (B, T), description and guidance.
        attention_mask: int64 (B, T), 1 for real tokens.
        frame_tokens: float (B, F, P, token_dim).
        frame_mask: bool (B, F), true for real frames.
        sound_tokens: float (B, M, sound_dim), or None when no post has sound.
        sound_mask: bool (B, M), true for real steps; all false for a post without sound.
        guidance_at: int64 (B, T), which guidance hashtag each input id belongs to, -1 for none; for a
            generator with a pointer.
        guidance_ids: int64 (B, K, C), how the decoder writes the guidance hashtags, padded with -100;
            for a generator with a pointer.
        frame_counts: int64 (B, F), for how many equal frames each stands; None for one each.

    Raises:
        ValueError: If the shapes don't fit together.
    """

    input_ids: Tensor
    attention_mask: Tensor
    frame_tokens: Tensor
    frame_mask: Tensor
    sound_tokens: Tensor | None = None
    sound_mask: Tensor | None = None
    guidance_at: Tensor | None = None
    guidance_ids: Tensor | None = None
    frame_counts: Tensor | None = None

    def __post_init__(self) -> None:
        fits = (
            self.input_ids.dim() == 2
            and self.attention_mask.shape == self.input_ids.shape
            and self.frame_tokens.dim() == 4
            and self.frame_mask.shape == self.frame_tokens.shape[:2]
            and len(self.frame_mask) == len(self)
            and (self.sound_tokens is None) == (self.sound_mask is None)
            and (self.guidance_at is None) == (self.guidance_ids is None)
            and (self.guidance_at is None or self.guidance_at.shape == self.input_ids.shape)
            and (self.guidance_ids is None or self.guidance_ids.shape[:-2] == (len(self),))
            and (self.frame_counts is None or self.frame_counts.shape == self.frame_mask.shape)
        )
        if fits and self.sound_tokens is not None and self.sound_mask is not None:
            fits = (
                self.sound_tokens.dim() == 3
                and self.sound_mask.shape == self.sound_tokens.shape[:2]
                and len(self.sound_mask) == len(self)
            )
        if not fits:
            raise ValueError(f"the shapes of a batch don't fit together: {self!r}")

    def __len__(self) -> int:
        return int(self.input_ids.shape[0])

    def __repr__(self) -> str:
        shapes = (f"{name}={'x'.join(map(str, value.shape))}" for name, value in self._tensors().items())
        return f"GeneratorBatch({', '.join(shapes)})"

    def to(self, device: torch.device | str) -> GeneratorBatch:
        """The same batch on another device."""
        return replace(self, **{name: value.to(device) for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def collate(
    features: Sequence[VideoFeatures],
    *,
    input_ids: Sequence[Sequence[int]],
    pad_token_id: int,
    guidance_at: Sequence[Sequence[int]] = (),
    guidance_ids: Sequence[Sequence[Sequence[int]]] = (),
    distinct: bool = False,
) -> GeneratorBatch:
    """Pad posts to one batch.

    Args:
        features: Of each post's video; float16 from the cache becomes float32.
        input_ids: Each post's text, see `ggm.generator.layout.TextLayout.encode`.
        pad_token_id: Of the input tokenizer.
        guidance_at: Of each post, for a generator with a pointer; see `GeneratorBatch`.
        guidance_ids: The same.
        distinct: Whether frames with equal tokens are attended to once, with their number: the same
            answer for less. Not for a decoder that reads frames itself.

    Raises:
        ValueError: If there is no post, the numbers differ, or the widths of features do.
    """
    if not features or len(features) != len(input_ids):
        raise ValueError(f"{len(features)} videos and {len(input_ids)} texts don't make a batch")
    text, text_mask = pad_ids(input_ids, padding=pad_token_id)
    at, ids = pad_guidance(guidance_at, guidance_ids) if any(guidance_at) else (None, None)
    counts = None
    if distinct:
        found = [_distinct(item) for item in features]
        features = [item for item, _ in found]
        if any((number > 1).any() for _, number in found):
            counts, _ = pad_ids([number.tolist() for _, number in found], padding=0)
    return GeneratorBatch(
        text,
        text_mask.long(),
        *pad_features(features),
        guidance_at=at,
        guidance_ids=ids,
        frame_counts=counts,
    )


def pad_guidance(
    at: Sequence[Sequence[int]], ids: Sequence[Sequence[Sequence[int]]]
) -> tuple[Tensor, Tensor]:
    """Pad what a pointer needs: `guidance_at` (B, T) and `guidance_ids` (B, K, C) of a `GeneratorBatch`."""
    longest = max((len(spelled) for post in ids for spelled in post), default=0)
    padded = torch.full((len(ids), max(map(len, ids)), longest), IGNORED_LABEL, dtype=torch.long)
    for row, post in enumerate(ids):
        for place, spelled in enumerate(post):
            padded[row, place, : len(spelled)] = torch.as_tensor(spelled, dtype=torch.long)
    return pad_ids(at, padding=-1)[0], padded


def pad_features(
    features: Sequence[VideoFeatures],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Pad features of videos: frame tokens, frame mask, sound tokens, sound mask of a `GeneratorBatch`.

    Raises:
        ValueError: If the widths of features differ.
    """
    frames, frame_mask = _pad([item.frame_tokens for item in features], "frame_tokens")
    if all(item.sound_tokens is None for item in features):
        return frames, frame_mask, None, None
    return frames, frame_mask, *_pad([item.sound_tokens for item in features], "sound_tokens")


def _distinct(features: VideoFeatures) -> tuple[VideoFeatures, npt.NDArray[np.int64]]:
    """A video's frames without repetitions of the tokens before, and how often each came in a row."""
    tokens = features.frame_tokens
    same = [False, *(np.array_equal(before, after) for before, after in pairwise(tokens))]
    kept = np.flatnonzero(~np.array(same))
    counts = np.diff(np.append(kept, len(tokens)))
    return replace(
        features,
        frame_embeddings=features.frame_embeddings[kept],
        frame_pooled=features.frame_pooled[kept],
        frame_tokens=tokens[kept],
    ), counts


def collate_labels(labels: Sequence[Sequence[int]]) -> Tensor:
    """Pad targets with -100: int64 (B, L)."""
    return pad_ids(labels, padding=IGNORED_LABEL)[0]


def pad_ids(rows: Sequence[Sequence[int]], *, padding: int) -> tuple[Tensor, Tensor]:
    """Pad on the right: int64 (B, L), and bool (B, L), true for real ids."""
    ids = torch.full((len(rows), max(map(len, rows))), padding, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[index, : len(row)] = True
    return ids, mask


def _pad(arrays: Sequence[FloatArray | None], name: str) -> tuple[Tensor, Tensor]:
    """Pad the first dimension with zeros; None is a row of padding alone."""
    shapes = {array.shape[1:] for array in arrays if array is not None}
    if len(shapes) != 1:
        raise ValueError(f"{name} of one batch must agree in all but their number, got {sorted(shapes)}")
    longest = max(len(array) for array in arrays if array is not None)
    padded = np.zeros((len(arrays), longest, *shapes.pop()), dtype=np.float32)
    mask = np.zeros((len(arrays), longest), dtype=np.bool_)
    for index, array in enumerate(arrays):
        if array is not None:
            padded[index, : len(array)] = array
            mask[index, : len(array)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)
