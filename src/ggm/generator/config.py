"""What the generator adds to its text model, the sizes of its texts, and how it writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ggm.errors import ConfigError
from ggm.generator.video_encoder import AudioFusion
from ggm.settings import from_dict

GeneratorInputs = Literal["both", "description", "video"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Settings of a generator, saved with its weights.

    Args:
        token_dim: Width of a frame token.
        sound_dim: Width of a step of the sound; None for a model without sound.
        num_heads: Heads of each cross-modal attention; must divide the text model's width.
        audio_fusion: ``frame_query`` (equation 3) or ``audio_query`` (the paper's prose).
        normalise_tokens: Whether frame tokens pass a layer norm first.
        tokens_per_frame: When given, each place in the frame gets a learned embedding.
        dropout: Probability of dropout after each cross-modal attention, from 0 to below 1.
        max_input_tokens: Longest input text, special tokens included.
        max_description_tokens: Longest description within it, so that guidance has room.
        max_target_tokens: Longest target, its end token included.
        top_k: Most guidance hashtags that are read (the paper's best is 50); 0 for none.
        split_words: Whether hashtags are written as words: ``cold weather`` for ``coldweather``.
        pointer: Whether guidance hashtags can be copied as a whole (see `GuidancePointer`); not in the paper.
        description_weight: What the description's vector counts beside the video's where guidance is
            looked for, 0 or more; 0 is the paper's, which asks with the video alone.
        inputs: What is read. ``both`` is the paper's model; ``description`` leaves the video out (its
            baseline BART); with ``video`` the decoder attends to the frames' tokens themselves, and no
            text is read (its baseline TrOCR-FiD).

    Raises:
        ConfigError: If a value is out of range.
    """

    token_dim: int
    sound_dim: int | None = None
    num_heads: int = 12
    audio_fusion: AudioFusion = "frame_query"
    normalise_tokens: bool = False
    tokens_per_frame: int | None = None
    dropout: float = 0.1
    max_input_tokens: int = 320
    max_description_tokens: int = 96
    max_target_tokens: int = 64
    top_k: int = 50
    split_words: bool = True
    inputs: GeneratorInputs = "both"
    pointer: bool = False
    description_weight: float = 0.0

    def __post_init__(self) -> None:
        least_values = {
            "token_dim": 1,
            "sound_dim": 1,
            "num_heads": 1,
            "tokens_per_frame": 1,
            "max_input_tokens": 8,
            "max_description_tokens": 0,
            "max_target_tokens": 2,
            "top_k": 0,
        }
        for name, least in least_values.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"generator: {name} must be at least {least}, got {value}")
        if self.audio_fusion not in get_args(AudioFusion):
            options = ", ".join(get_args(AudioFusion))
            raise ConfigError(f"generator: audio_fusion must be one of {options}, got {self.audio_fusion!r}")
        if self.inputs not in get_args(GeneratorInputs):
            options = ", ".join(get_args(GeneratorInputs))
            raise ConfigError(f"generator: inputs must be one of {options}, got {self.inputs!r}")
        if self.pointer and (self.inputs == "video" or not self.top_k):
            raise ConfigError("generator: a pointer needs guidance to point at")
        if not (math.isfinite(self.description_weight) and self.description_weight >= 0):
            raise ConfigError(
                f"generator: description_weight must be 0 or more, got {self.description_weight}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"generator: dropout must be from 0 to below 1, got {self.dropout}")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON or TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If a key is unknown or missing, or a value is of another type or out of range.
        """
        return from_dict(cls, values, where="generator")


@dataclass(frozen=True)
class DecodingConfig:
    """How hashtags are written (paper, appendix A).

    Args:
        num_beams: Beams, 1 for greedy search.
        no_repeat_ngram_size: No sequence of this many tokens is written twice; 0 allows it.
        max_new_tokens: Longest output (the paper's 32 for short hashtags, 64 otherwise).
        length_penalty: Power of the length that a beam's log-probability is divided by; above 0
            favours longer outputs.

    Raises:
        ConfigError: If a value is out of range.
    """

    num_beams: int = 5
    no_repeat_ngram_size: int = 3
    max_new_tokens: int = 32
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, least in {"num_beams": 1, "no_repeat_ngram_size": 0, "max_new_tokens": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"decoding: {name} must be at least {least}, got {getattr(self, name)}")
        if not math.isfinite(self.length_penalty):
            raise ConfigError(f"decoding: length_penalty must be finite, got {self.length_penalty}")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON or TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DecodingConfig:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If a key is unknown, or a value is of another type or out of range.
        """
        return from_dict(cls, values, where="decoding")
