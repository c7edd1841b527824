"""The two towers of the retriever, from the pretrained embeddings on (paper, section 3.2).

The pretrained towers themselves live in `ggm.features`; here is what is trained on top of them:
one residual head a tower. Both heads add nothing at first, so that the retriever starts at the
pretrained similarity and training can only depart from it where the posts ask for it. Where the
towers themselves are trained, as in the paper, there are no heads.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ggm.errors import ConfigError
from ggm.settings import from_dict

MAX_LOGIT_SCALE = 100.0
"""Upper limit of the learned factor on similarities, as in CLIP: more makes training unstable."""

_SPREAD_FLOOR = 0.05  # share of the mean deviation that is added to each channel's: quiet channels stay quiet


@dataclass(frozen=True)
class RetrieverConfig:
    """Sizes and starting point of a `Retriever`.

    Args:
        embedding_dim: E, width of the joint space of frames and hashtags (CLIP ViT-B/32: 512).
        pooled_dim: C, width of a frame's pooled activations before that space (CLIP ViT-B/32: 768).
        hidden_dim: Hidden width of the video head; 0 for no heads at all: the towers alone, as in the
            paper, which trains them in full.
        dropout: On the video head's input and hidden layer, 0 up to but not including 1.
        head_weight: Factor on what both heads add: 0 is the pretrained similarity, 1 the trained one.
        initial_temperature: The factor on similarities that training starts with, that is the
            reciprocal of the softmax temperature; 1 to 100.

    Raises:
        ConfigError: If a value is out of range.
    """

    embedding_dim: int
    pooled_dim: int
    hidden_dim: int = 512
    dropout: float = 0.4
    head_weight: float = 1.0
    initial_temperature: float = 20.0

    def __post_init__(self) -> None:
        for name, least in {"embedding_dim": 1, "pooled_dim": 1, "hidden_dim": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if not 0 <= self.head_weight <= 1:
            raise ConfigError(f"head_weight must be within 0 and 1, got {self.head_weight}")
        if not 1 <= self.initial_temperature <= MAX_LOGIT_SCALE:
            limits = f"1 and {MAX_LOGIT_SCALE:g}"
            raise ConfigError(f"initial_temperature must be within {limits}, got {self.initial_temperature}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RetrieverConfig:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If a key is unknown, one is missing, or a value is refused.
        """
        return from_dict(cls, values)


class Retriever(nn.Module):
    """Embeds videos and hashtags in one space, where the cosine is their similarity.

    Args:
        config: See `RetrieverConfig`.
    """

    pooled_mean: Tensor
    pooled_std: Tensor

    def __init__(self, config: RetrieverConfig) -> None:
        super().__init__()
        self.config = config
        self.video_head: nn.Sequential | None = None
        self.hashtag_head: nn.Linear | None = None
        if config.hidden_dim:
            departure = nn.Linear(config.hidden_dim, config.embedding_dim)
            self.video_head = nn.Sequential(
                nn.Dropout(config.dropout),
                nn.Linear(config.pooled_dim, config.hidden_dim),
                nn.GELU(),
                nn.Dropout(config.dropout),
                departure,
            )
            self.hashtag_head = nn.Linear(config.embedding_dim, config.embedding_dim, bias=False)
            for parameter in (departure.weight, departure.bias, self.hashtag_head.weight):
                nn.init.zeros_(parameter)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))
        self.register_buffer("pooled_mean", torch.zeros(config.pooled_dim))
        self.register_buffer("pooled_std", torch.ones(config.pooled_dim))

    @property
    def logit_scale(self) -> Tensor:
        """The learned factor on similarities in the contrastive loss, a scalar of at most 100."""
        # The clamped value with the gradient of the free one: a plain clamp has none beyond its
        # limit, so that a scale which once got there could never come back.
        free = self.log_logit_scale
        return (free + (free.clamp(max=math.log(MAX_LOGIT_SCALE)) - free).detach()).exp()

    def standardise(self, frame_pooled: Tensor | Iterable[Tensor]) -> None:
        """Take from training frames the mean and deviation that the video head's input is freed of.

        Args:
            frame_pooled: (N, C) pooled activations of training frames, without padding; or parts of
                them one after another, of which only one is held at a time.

        Raises:
            ValueError: If a part isn't (N > 0, C), or holds infinite values or NaN, or there is none.
        """
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for part in [frame_pooled] if isinstance(frame_pooled, Tensor) else frame_pooled:
            _check_shape("frame_pooled", part, (None, self.config.pooled_dim))
            values = part.detach().double()
            if len(values) == 0 or not bool(values.isfinite().all()):
                raise ValueError("frame_pooled must have at least one row, all finite")
            # Chan, Golub and LeVeque: the sums of squares of two parts, and of the way between their means.
            part_mean = values.mean(dim=0)
            way, total = part_mean - mean, count + len(values)
            squares = (
                squares
                + (values - part_mean).square().sum(dim=0)
                + way.square() * count * len(values) / total
            )
            mean, count = part_mean if count == 0 else mean + way * len(values) / total, total
        if count == 0:
            raise ValueError("frame_pooled must have at least one part")
        deviation = (squares / count).sqrt()
        deviation = deviation + _SPREAD_FLOOR * deviation.mean()
        deviation[deviation == 0] = 1.0  # one row, or all alike
        self.pooled_mean.copy_(mean)
        self.pooled_std.copy_(deviation)

    def embed_videos(self, frame_embeddings: Tensor, frame_pooled: Tensor, frame_mask: Tensor) -> Tensor:
        """Embed videos: each frame, then the mean over the frames (paper, equation 2).

        Args:
            frame_embeddings: (B, F, E) of the pretrained tower, in the joint space.
            frame_pooled: (B, F, C), the same frames before that space.
            frame_mask: bool (B, F), True for frames and False for padding, which may hold anything.

        Returns:
            (B, E), of unit length.

        Raises:
            ValueError: If shapes disagree, or a video has no frame.
        """
        batch, frames = frame_mask.shape
        _check_shape("frame_embeddings", frame_embeddings, (batch, frames, self.config.embedding_dim))
        _check_shape("frame_pooled", frame_pooled, (batch, frames, self.config.pooled_dim))
        if not bool(frame_mask.any(dim=1).all()):
            raise ValueError("each video needs at least one frame")
        dtype = self.log_logit_scale.dtype
        padding = ~frame_mask[..., None]  # (B, F, 1)
        # Padding is emptied before the head too: 0 times NaN would still be NaN in the gradient.
        embedded = frame_embeddings.to(dtype).masked_fill(padding, 0)  # (B, F, E)
        if self.video_head is not None:
            pooled = frame_pooled.to(dtype).masked_fill(padding, 0)  # (B, F, C)
            departure = self.video_head((pooled - self.pooled_mean) / self.pooled_std)  # (B, F, E)
            embedded = (embedded + self.config.head_weight * departure).masked_fill(padding, 0)
        mean = embedded.sum(dim=1) / frame_mask.sum(dim=1, keepdim=True)  # (B, E)
        return F.normalize(mean, dim=-1)

    def embed_hashtags(self, embeddings: Tensor) -> Tensor:
        """Embed hashtags.

        Args:
            embeddings: (N, E) of the pretrained text tower.

        Returns:
            (N, E), of unit length.

        Raises:
            ValueError: If the width isn't E.
        """
        _check_shape("embeddings", embeddings, (None, self.config.embedding_dim))
        embedded = embeddings.to(self.log_logit_scale.dtype)
        if self.hashtag_head is not None:
            embedded = embedded + self.config.head_weight * self.hashtag_head(embedded)
        return F.normalize(embedded, dim=-1)

    def with_head_weight(self, head_weight: float) -> Retriever:
        """A copy that blends its trained heads differently with the pretrained similarity.

        Its fingerprint differs: a pool has to be built anew.

        Args:
            head_weight: 0 (pretrained alone) to 1.

        Raises:
            ConfigError: If it is out of range.
        """
        config = replace(self.config, head_weight=head_weight)
        other = copy.deepcopy(self)
        other.config = config
        return other

    def fingerprint(self, extractor_fingerprint: str) -> str:
        """Identify the space in which this retriever embeds: settings, weights and pretrained towers.

        Taken of the weights as they are: round them first if they will be saved rounded.

        Args:
            extractor_fingerprint: Of the pretrained towers and their preprocessing.

        Returns:
            64 hexadecimal digits of SHA-256.
        """
        digest = hashlib.sha256()
        digest.update(json.dumps([extractor_fingerprint, self.config.to_dict()], sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(raw.numpy().tobytes())
        return digest.hexdigest()


def _check_shape(name: str, tensor: Tensor, expected: tuple[int | None, ...]) -> None:
    """Raise ValueError unless the shape is as expected; None stands for any size."""
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or any(
        want is not None and size != want for size, want in zip(shape, expected, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name} must be ({wanted}), got {shape}")
