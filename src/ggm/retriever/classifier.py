"""Hashtags found by classification: one output for each hashtag of the training vocabulary.

The paper's baselines ViT, BERT and ViT-BERT rank by it (section 4.2, appendix A), and its GGM-ViT takes its
guidance from it instead of from the two towers (table 3). It can never find a hashtag that it was not
trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ggm.errors import ConfigError
from ggm.settings import from_dict

ClassifierInputs = Literal["video", "description", "both"]
ClassifierLoss = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes and choices of a `HashtagClassifier`.

    Args:
        input_dim: Width of the features.
        num_hashtags: Size of the training vocabulary.
        inputs: What the features are made of.
        loss: ``softmax`` has one distribution over all hashtags, ``sigmoid`` a probability for each.
        hidden_dim: Width of the hidden layer; 0 for the output layer alone.
        dropout: Before each layer, from 0 to below 1.

    Raises:
        ConfigError: If a value is out of range.
    """

    input_dim: int
    num_hashtags: int
    inputs: ClassifierInputs = "both"
    loss: ClassifierLoss = "softmax"
    hidden_dim: int = 512
    dropout: float = 0.3

    def __post_init__(self) -> None:
        for name, least in (("input_dim", 1), ("num_hashtags", 1), ("hidden_dim", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"classifier: {name} must be at least {least}, got {getattr(self, name)}")
        for name, options in (("inputs", get_args(ClassifierInputs)), ("loss", get_args(ClassifierLoss))):
            if getattr(self, name) not in options:
                raise ConfigError(f"classifier: {name} must be one of {', '.join(options)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"classifier: dropout must be from 0 to below 1, got {self.dropout}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassifierConfig:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If a key is unknown, one is missing, or a value is refused.
        """
        return from_dict(cls, values, where="classifier")


class HashtagClassifier(nn.Module):
    """A network of one or two layers over features, of frozen encoders or of encoders that learn with it.

    Args:
        config: See `ClassifierConfig`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.input_dim))
        self.register_buffer("deviation", torch.ones(config.input_dim))
        layers: list[nn.Module] = [nn.Dropout(config.dropout)]
        if config.hidden_dim:
            layers += [nn.Linear(config.input_dim, config.hidden_dim), nn.GELU(), nn.Dropout(config.dropout)]
        width = config.hidden_dim or config.input_dim
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.num_hashtags))

    def standardise(self, features: Tensor) -> None:
        """Take from training features (posts, input_dim) the mean and deviation that inputs are freed of."""
        # Quiet channels stay quiet: all get a share of the overall deviation.
        deviation = features.std(0, correction=0) + 0.05 * features.std(correction=0)
        deviation[deviation == 0] = 1.0  # one post, or all alike
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(deviation)

    def logits(self, features: Tensor) -> Tensor:
        """(B, input_dim) to (B, num_hashtags)."""
        return self.layers((features - self.mean) / self.deviation)  # type: ignore[no-any-return]

    def probabilities(self, features: Tensor) -> Tensor:
        """(B, input_dim) to (B, num_hashtags): a distribution with ``softmax``, else each for itself."""
        logits = self.logits(features)
        return logits.softmax(-1) if self.config.loss == "softmax" else logits.sigmoid()

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            features: (B, input_dim).
            targets: (B, num_hashtags), distributions: with ``softmax`` the loss is cross-entropy against
                them; with ``sigmoid`` whatever is above 0 is a hashtag of the post, and the loss is the
                mean over hashtags of their binary cross-entropies.
        """
        logits = self.logits(features)
        if self.config.loss == "sigmoid":
            return F.binary_cross_entropy_with_logits(logits, (targets > 0).to(logits.dtype))
        return -(targets * logits.log_softmax(-1)).sum(-1).mean()
