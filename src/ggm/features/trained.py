"""Which of the pretrained encoders training may change, and their weights for a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast, get_args

import torch
from torch import Tensor, nn

from ggm.errors import CheckpointError, ConfigError
from ggm.features.extract import FeatureExtractor

EncoderPart = Literal["retriever", "vision", "sound"]
"""Both towers of the retriever; the vision transformer and the audio encoder of the generator."""

ENCODER_PARTS: Final[tuple[EncoderPart, ...]] = get_args(EncoderPart)


def encoder_modules(extractor: FeatureExtractor, part: EncoderPart) -> dict[str, nn.Module]:
    """The networks of one part by name; none for the sound of a profile without it."""
    if part == "retriever":
        return {
            "retriever.frames": extractor.frames.embedding_part(),
            "retriever.hashtags": extractor.hashtags,
        }
    if part == "vision":
        return {"vision": extractor.frames.tokens_part()}
    return {} if extractor.sound is None else {"sound": extractor.sound}


def check_vision_trains_alone(extractor: FeatureExtractor) -> None:
    """See to it that training the generator's vision doesn't change what the retriever sees.

    Raises:
        ConfigError: If retriever and generator look through one network.
    """
    if extractor.frames.tokens_part() is extractor.frames.embedding_part():
        raise ConfigError(
            "the retriever and the generator of this profile look through one network, so that its guidance "
            "would drift while the generator trains: leave train_vision off, or name a profile with a vision "
            "checkpoint of its own, such as base"
        )


def encoder_state(extractor: FeatureExtractor, parts: Sequence[EncoderPart]) -> dict[str, Tensor]:
    """The weights of some parts, sharing memory with the encoders."""
    return {
        f"{name}.{key}": value.detach()
        for part in parts
        for name, module in encoder_modules(extractor, part).items()
        for key, value in module.state_dict().items()
    }


@torch.no_grad()
def load_encoder_state(
    extractor: FeatureExtractor, parts: Sequence[EncoderPart], state: Mapping[str, Tensor]
) -> None:
    """Put trained weights in place of the checkpoints' own.

    Raises:
        CheckpointError: If weights are missing, unknown or of another shape.
    """
    wanted = encoder_state(extractor, parts)
    wrong = sorted(wanted.keys() ^ state.keys()) or sorted(
        name for name, value in wanted.items() if value.shape != state[name].shape
    )
    if wrong:
        raise CheckpointError(f"trained encoder weights that are missing, unknown or misshapen: {wrong[0]}")
    for name, value in wanted.items():
        value.copy_(state[name])
    extractor.weights_changed()


@torch.no_grad()
def round_to_half(state: Mapping[str, Tensor]) -> None:
    """Round weights in memory to what float16 keeps, so that saving and loading changes nothing."""
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().to(tensor.dtype))


def keep_statistics(module: nn.Module) -> None:
    """Leave batch normalisation at its pretrained statistics, in training mode too.

    Those of a small batch of frames, most of them of one video, would be worse.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def enable_activation_checkpointing(module: nn.Module, *arguments: Any, **settings: Any) -> None:
    """Recompute activations in the backward pass, in each transformer of a network that knows how to."""
    from transformers import PreTrainedModel

    for part in module.modules():
        if isinstance(part, PreTrainedModel) and part.supports_gradient_checkpointing:
            cast(Any, part).activation_checkpointing_enable(*arguments, **settings)
            return  # it reaches its own parts
