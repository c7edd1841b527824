"""Encoders of descriptions for a classifier that trains them: BERT and its kin (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from ggm.errors import CheckpointError
from ggm.features.backbones import load_tokenizer
from ggm.features.encoders import Encoder, Inputs
from ggm.features.loading import checkpoint_errors, load_model
from ggm.features.profiles import Profile, profile

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BERT: Final = "google-bert/bert-base-uncased"
"""The paper's checkpoint."""

_WANTED: Final = "a text encoder such as BERT"
_MAX_TOKENS: Final = 256


class DescriptionEncoder(Encoder):
    """Descriptions to a vector each: the model's pooled output, or the mean over tokens where it has none.

    Unlike those of a `HashtagEncoder` these vectors share a space with nothing.

    Args:
        model: An encoder such as BERT.
        tokenizer: Its tokenizer.

    Attributes:
        description_dim: Width of a vector.

    Raises:
        CheckpointError: If the model has a decoder, or the tokenizer makes nothing of an empty text.
    """

    description_dim: int

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        name = model.config.name_or_path or type(model).__name__
        if model.config.is_encoder_decoder:
            raise CheckpointError(f"{name}: this is not {_WANTED}: it has a decoder")
        self.model: Any = model
        self._tokenizer = tokenizer
        positions = int(getattr(model.config, "max_position_embeddings", _MAX_TOKENS))
        self._max_tokens = min(_MAX_TOKENS, positions, tokenizer.model_max_length)
        self.eval()
        nothing = self.prepare([""])
        if not nothing["attention_mask"].numel():
            raise CheckpointError(f"{name}: this is not {_WANTED}: no token stands for an empty text")
        with torch.inference_mode():
            self.description_dim = int(self(nothing).shape[1])

    def preprocessing(self) -> dict[str, Any]:
        """How texts are tokenised."""
        return {"max_tokens": self._max_tokens, "vocabulary_size": len(self._tokenizer)}

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids and mask (N, T), at most 256 tokens a text."""
        encoded = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def forward(self, inputs: Inputs) -> Tensor:
        """Tokenised texts to (N, description_dim)."""
        outputs = self.model(**inputs)
        pooled: Tensor | None = getattr(outputs, "pooler_output", None)
        if pooled is not None:
            return pooled
        hidden: Tensor = outputs.last_hidden_state  # (N, T, D)
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)  # (N, T, 1)
        return (hidden * mask).sum(1) / mask.sum(1)


def load_description_encoder(
    name_or_profile: str | Profile, *, checkpoint: str | None = None, local_files_only: bool = False
) -> DescriptionEncoder:
    """Load what a classifier reads descriptions with.

    Args:
        name_or_profile: Whose own encoder is taken by default: MiniLM for ``compact`` and ``synthetic``,
            a random one for ``tiny``, `BERT` for any other.
        checkpoint: Another one, a hub id or a folder.
        local_files_only: Take hub checkpoints from the local hub cache, never fetch.

    Raises:
        ConfigError: If there is no such profile.
        CheckpointError: If the checkpoint is missing, damaged or of another kind.
    """
    chosen = profile(name_or_profile)
    if checkpoint is None and chosen.has_compact_text:
        from ggm.features.compact import load_minilm

        return DescriptionEncoder(*load_minilm())
    if checkpoint is None and chosen.name == "tiny":
        from ggm.features.tiny import tiny_description_model

        return DescriptionEncoder(*tiny_description_model())
    checkpoint = checkpoint or BERT
    model = load_model(checkpoint, wanted=_WANTED, local_files_only=local_files_only)
    tokenizer = load_tokenizer(checkpoint, local_files_only=local_files_only)
    with checkpoint_errors(checkpoint, wanted=_WANTED):
        return DescriptionEncoder(model, tokenizer)
