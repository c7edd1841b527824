"""What an encoder is: preprocessing, then a network. Three kinds, one for each modality.

All are plain modules, so that training may fine-tune them; `ggm.features.extract` runs them frozen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ggm.records import Sound

Inputs = Mapping[str, Tensor]
"""A preprocessed batch: tensors by name, the first dimension of each is the batch."""


@dataclass(frozen=True)
class FrameOutputs:
    """What a frame encoder says of N frames.

    Args:
        embeddings: (N, embedding_dim), unit length, in the joint space of frames and text.
        pooled: (N, pooled_dim), pooled activations before that space.
        tokens: (N, tokens_per_frame, token_dim).
    """

    embeddings: Tensor
    pooled: Tensor
    tokens: Tensor


class Encoder(nn.Module, ABC):
    """A network with its preprocessing."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """All that `prepare` depends on, as plain JSON values: part of the features' fingerprint."""


class FrameEncoder(Encoder):
    """Frames to embeddings, pooled activations and tokens.

    Attributes:
        embedding_dim: Width of the joint space.
        pooled_dim: Width of the pooled activations.
        token_dim: Width of a token.
        tokens_per_frame: Number of tokens of one frame.
        short_side: Short side in pixels that frames should have for no loss and no waste.
    """

    embedding_dim: int
    pooled_dim: int
    token_dim: int
    tokens_per_frame: int
    short_side: int

    @abstractmethod
    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Resize, crop and normalise RGB frames of shape (N, height, width, 3)."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> FrameOutputs:
        """Encode prepared frames."""

    def prepare_to_embed(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """What `embed` needs of RGB frames (N, height, width, 3); less than `prepare` where it can be."""
        return self.prepare(pixels)

    def embed(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Embeddings (N, embedding_dim) and pooled activations (N, pooled_dim), without the tokens."""
        outputs = self(inputs)
        return outputs.embeddings, outputs.pooled

    def prepare_for_tokens(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """What `tokens` needs of RGB frames (N, height, width, 3); less than `prepare` where it can be."""
        return self.prepare(pixels)

    def tokens(self, inputs: Inputs) -> Tensor:
        """Tokens (N, tokens_per_frame, token_dim) alone."""
        outputs: FrameOutputs = self(inputs)
        return outputs.tokens

    def pool_tokens(self, inputs: Inputs) -> Tensor:
        """One vector a frame, (N, D), from the network that makes the tokens: by default their mean."""
        return self.tokens(inputs).mean(1)

    def embedding_part(self) -> nn.Module:
        """The network that `embed` runs."""
        return self

    def tokens_part(self) -> nn.Module:
        """The network that makes the tokens. Where it is `embedding_part` too, one can't be trained alone."""
        return self


class HashtagEncoder(Encoder):
    """Hashtags, as words, and descriptions to the joint space.

    Attributes:
        embedding_dim: Width of the joint space.
    """

    embedding_dim: int

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Tokenise N texts; what is too long is cut."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """Encode tokenised texts to (N, embedding_dim), unit length."""


class SoundEncoder(Encoder):
    """Sound to a sequence of tokens.

    Attributes:
        sound_dim: Width of a token.
        sample_rate_hz: The rate that the sound must have.
        seconds: How much of the sound is heard, from its start.
    """

    sound_dim: int
    sample_rate_hz: int
    seconds: float

    @abstractmethod
    def prepare(self, sound: Sound) -> dict[str, Tensor]:
        """Preprocess one sound: a batch of one. Deterministic, unlike most feature extractors."""

    @abstractmethod
    def forward(self, inputs: Inputs) -> Tensor:
        """Encode prepared sounds to (N, steps, sound_dim)."""


@dataclass(frozen=True)
class Encoders:
    """The encoders of one profile.

    Args:
        frames: Of frames.
        hashtags: Of hashtags and descriptions, into the same joint space.
        sound: Of sound; None for a profile without it.
    """

    frames: FrameEncoder
    hashtags: HashtagEncoder
    sound: SoundEncoder | None = None
