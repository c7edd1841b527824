"""Sound encoders from `transformers` checkpoints: CLAP, AST, Whisper, or another of its kind.

The audio feature a (paper, section 3.2) is a sequence of tokens over time. With a single token the
cross-modal attention would add a constant: the softmax over one key is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor

from ggm.errors import CheckpointError
from ggm.features.encoders import Inputs, SoundEncoder
from ggm.features.loading import checkpoint_errors, load_model, quiet_transformers
from ggm.records import Sound

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SECONDS: Final = 10.0
_MIN_SECONDS: Final = 0.1  # shorter sounds are padded: most networks need some frames at least

_SETTINGS: Final = (
    "feature_extractor_type",
    "feature_size",
    "sampling_rate",
    "hop_length",
    "chunk_length",
    "max_length",
    "max_length_s",
    "n_fft",
    "fft_window_size",
    "num_mel_bins",
    "frequency_min",
    "frequency_max",
    "truncation",
    "padding",
    "padding_value",
    "do_normalize",
    "mean",
    "std",
)


class PretrainedSoundEncoder(SoundEncoder):
    """The first seconds of the sound, through an audio transformer.

    Args:
        model: Audio encoder with a last hidden state of (N, M, A), or CLAP's (N, A, frequencies, M).
        feature_extractor: Its preprocessing.
        seconds: How much is heard: 10 by default, or less where the model hears less.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        feature_extractor: Any,
        *,
        seconds: float = _SECONDS,
    ) -> None:
        super().__init__()
        self.model = model
        self._extractor = feature_extractor
        self.sample_rate_hz = int(feature_extractor.sampling_rate)
        longest = getattr(feature_extractor, "nb_max_samples", None) or getattr(
            feature_extractor, "n_samples", None
        )
        self.seconds = min(seconds, longest / self.sample_rate_hz) if longest else seconds
        self.eval()
        silence = Sound(np.zeros(int(self.seconds * self.sample_rate_hz), np.float32), self.sample_rate_hz)
        with torch.inference_mode():
            self.sound_dim = int(self(self.prepare(silence)).shape[-1])

    def preprocessing(self) -> dict[str, Any]:
        """Settings of the feature extractor, and how much is heard."""
        settings = self._extractor.to_dict()
        known = {name: settings[name] for name in _SETTINGS if settings.get(name) is not None}
        return {**known, "seconds": self.seconds}

    def prepare(self, sound: Sound) -> dict[str, Tensor]:
        """Cut the sound and let the checkpoint's feature extractor do the rest."""
        # Cut here, always from the start: CLAP's own truncation draws a crop at random.
        samples = sound.samples[: int(self.seconds * self.sample_rate_hz)]
        shortest = int(_MIN_SECONDS * self.sample_rate_hz)
        if samples.size < shortest:
            samples = np.pad(samples, (0, shortest - samples.size))
        features = self._extractor(samples, sampling_rate=self.sample_rate_hz, return_tensors="pt")
        inputs = {
            name: features[name].float() for name in ("input_features", "input_values") if name in features
        }
        if "is_longer" in features:
            # A fusing CLAP calls one sound at random longer than it is; none is, after the cut.
            inputs["is_longer"] = torch.zeros_like(torch.as_tensor(features["is_longer"]))
        return inputs

    def forward(self, inputs: Inputs) -> Tensor:
        """Prepared sounds to tokens (N, M, A)."""
        tokens: Tensor = self.model(**inputs).last_hidden_state
        if tokens.ndim == 4:  # CLAP's (N, A, frequencies, M): time steps become tokens
            tokens = tokens.mean(2).transpose(1, 2)
        return tokens  # (N, M, A)


def load_sound_encoder(checkpoint: str, *, local_files_only: bool = False) -> PretrainedSoundEncoder:
    """Load the audio encoder of a checkpoint; its other towers and its decoder are dropped.

    Raises:
        CheckpointError: If it is missing, damaged or holds no audio encoder.
    """
    wanted = "an audio encoder"
    with quiet_transformers(), checkpoint_errors(checkpoint, wanted=wanted):
        feature_extractor = AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
            checkpoint, trust_remote_code=False, local_files_only=local_files_only
        )
    model = load_model(checkpoint, wanted=wanted, local_files_only=local_files_only)
    if not hasattr(feature_extractor, "sampling_rate"):
        raise CheckpointError(f"{checkpoint}: this is not {wanted} but {type(model).__name__}")
    with checkpoint_errors(checkpoint, wanted=wanted):
        return PretrainedSoundEncoder(audio_part(model), feature_extractor)


def audio_part(model: Any) -> PreTrainedModel:
    """The part of a model that hears: CLAP's audio tower, Whisper's encoder, or all of it."""
    part: PreTrainedModel = model
    if hasattr(model, "audio_model"):  # CLAP
        part = model.audio_model
    elif model.config.is_encoder_decoder:  # Whisper
        part = model.get_encoder()
    return part
