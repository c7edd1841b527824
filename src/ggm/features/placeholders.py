"""The encoders of the profile ``synthetic``: a real text tower, and placeholders for eyes and ears.

They have small widths, and sound, for features that `ggm.features.simulation` makes; a real video
they refuse.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.errors import ConfigError
from ggm.features.encoders import Encoders, FrameEncoder, FrameOutputs, HashtagEncoder, Inputs, SoundEncoder
from ggm.records import Sound

_WIDTH: Final = 128


class SimulatedFrameEncoder(FrameEncoder):
    """The widths of simulated frames, and no network.

    Args:
        embedding_dim: Width of the joint space.
    """

    pooled_dim = _WIDTH
    token_dim = _WIDTH
    tokens_per_frame = 8
    short_side = 32

    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.nothing = nn.Parameter(torch.zeros(0))  # tells where it is

    def preprocessing(self) -> dict[str, Any]:
        """That it is none."""
        return {"encoder": "simulated"}

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:  # noqa: ARG002
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        _refuse()

    def forward(self, inputs: Inputs) -> FrameOutputs:  # noqa: ARG002
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        _refuse()


class SimulatedSoundEncoder(SoundEncoder):
    """The width of simulated sound, and no network."""

    sound_dim = _WIDTH
    sample_rate_hz = 8000
    seconds = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(0))

    def preprocessing(self) -> dict[str, Any]:
        """That it is none."""
        return {"encoder": "simulated"}

    def prepare(self, sound: Sound) -> dict[str, Tensor]:  # noqa: ARG002
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        _refuse()

    def forward(self, inputs: Inputs) -> Tensor:  # noqa: ARG002
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        _refuse()


def placeholder_backbones(hashtags: HashtagEncoder) -> Encoders:
    """The encoders of the profile ``synthetic``.

    Args:
        hashtags: The text tower, whose space the simulated frames share.
    """
    return Encoders(SimulatedFrameEncoder(hashtags.embedding_dim), hashtags, SimulatedSoundEncoder())


def _refuse() -> NoReturn:
    raise ConfigError(
        "the profile 'synthetic' is for simulated videos and can't look at real ones; "
        "train with another profile, such as compact, on real videos"
    )
