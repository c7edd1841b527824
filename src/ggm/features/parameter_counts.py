"""How many parameters each part has, without its weights: models are built on the meta device.

The configurations of the published checkpoints are written here, so that counting needs no hub.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from ggm.features.loading import checkpoint_errors, quiet_transformers
from ggm.features.profiles import Profile, profile

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_COMPACT_VOCABULARY_SIZE: Final = 9000


@dataclass(frozen=True)
class PartCount:
    """Parameters of one part of a system.

    Args:
        part: ``retriever``, ``vision``, ``audio``, ``text`` and the like.
        checkpoint: Where the weights come from.
        parameters: Those that are used; tied ones count once.
        trainable: Those of them that training changes; frozen encoders have none.
        in_checkpoint: Those of the whole checkpoint, unused towers included.
    """

    part: str
    checkpoint: str
    parameters: int
    trainable: int
    in_checkpoint: int


def count_parameters(name_or_profile: str | Profile) -> list[PartCount]:
    """Count the pretrained parts of a profile; what `ggm` adds to them is not among these.

    For the profile ``base`` nothing is fetched; for other checkpoints only their configurations.

    Args:
        name_or_profile: ``base``, ``compact``, ``synthetic``, ``tiny`` or a profile of your own. The text
            model of ``compact`` is counted with a vocabulary of 9,000 pieces; each piece more adds 385.

    Raises:
        ConfigError: If there is no such profile.
        CheckpointError: If a configuration is missing or of the wrong kind.
    """
    chosen = profile(name_or_profile)
    if chosen.name == "compact":
        return _compact_counts(chosen)
    if chosen.name == "synthetic":  # the same text, and no network for what is simulated
        return [count for count in _compact_counts(chosen) if count.part != "frames"]
    if chosen.name == "tiny":
        return _tiny_counts()
    return _pretrained_counts(chosen)


def number_of_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Number of parameters of a module; shared ones count once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def _pretrained_counts(chosen: Profile) -> list[PartCount]:
    from transformers import AutoModel, AutoModelForSeq2SeqLM

    from ggm.features.sound import audio_part

    counts = []
    for part in ("retriever", "vision"):
        checkpoint = getattr(chosen, part)
        size = number_of_parameters(_on_meta(checkpoint, AutoModel))
        counts.append(PartCount(part, checkpoint, size, 0, size))
    if chosen.audio is not None:
        model = _on_meta(chosen.audio, AutoModel)
        used = number_of_parameters(audio_part(model))
        counts.append(PartCount("audio", chosen.audio, used, 0, number_of_parameters(model)))
    size = number_of_parameters(_on_meta(chosen.text, AutoModelForSeq2SeqLM))
    counts.append(PartCount("text", chosen.text, size, size, size))
    return counts


def _on_meta(checkpoint: str, auto_class: Any) -> Any:
    with quiet_transformers(), checkpoint_errors(checkpoint, wanted="a model configuration"):
        config = model_config(checkpoint)
        with torch.device("meta"):
            return auto_class.from_config(config)


def model_config(checkpoint: str) -> PretrainedConfig:
    """The configuration of a checkpoint; those of ``base`` are known here, others are read or fetched.

    Raises:
        OSError: If there is no such checkpoint.
    """
    from transformers import AutoConfig

    published = _PUBLISHED.get(checkpoint)
    config: PretrainedConfig = (
        AutoConfig.from_pretrained(checkpoint, trust_remote_code=False) if published is None else published()
    )
    return config


def _clip_vit_base_patch32() -> PretrainedConfig:
    from transformers import CLIPConfig

    text = {"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12}
    text |= {"num_attention_heads": 8, "max_position_embeddings": 77}
    vision = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    vision |= {"image_size": 224, "patch_size": 32}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)


def _vit_base_patch16_224() -> PretrainedConfig:
    from transformers import ViTConfig

    return ViTConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        image_size=224,
        patch_size=16,
    )


def _clap_htsat_unfused() -> PretrainedConfig:
    from transformers import ClapConfig

    text = {"vocab_size": 50265, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    text |= {"num_attention_heads": 12, "max_position_embeddings": 514, "type_vocab_size": 1}
    audio = {
        "patch_embeds_hidden_size": 96,
        "hidden_size": 768,
        "depths": [2, 2, 6, 2],
        "enable_fusion": False,
    }
    audio |= {"num_attention_heads": [4, 8, 16, 32], "spec_size": 256, "num_mel_bins": 64, "window_size": 8}
    return ClapConfig(text_config=text, audio_config=audio, projection_dim=512)


def _bart_base() -> PretrainedConfig:
    from transformers import BartConfig

    return BartConfig(
        vocab_size=50265,
        d_model=768,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
        max_position_embeddings=1024,
    )


_PUBLISHED: Final[dict[str, Callable[[], Any]]] = {
    "openai/clip-vit-base-patch32": _clip_vit_base_patch32,
    "google/vit-base-patch16-224-in21k": _vit_base_patch16_224,
    "laion/clap-htsat-unfused": _clap_htsat_unfused,
    "facebook/bart-base": _bart_base,
}


def _compact_counts(chosen: Profile) -> list[PartCount]:
    from efficientnet_lite_pytorch import EfficientNet
    from transformers import BertConfig, BertLMHeadModel, BertModel

    from ggm.features.compact_text import decoder_config

    minilm = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
    )
    with torch.device("meta"):
        frames = number_of_parameters(EfficientNet.from_name("efficientnet-lite0"))
        encoder = number_of_parameters(BertModel(minilm, add_pooling_layer=False))
        decoder = number_of_parameters(BertLMHeadModel(decoder_config(minilm, _COMPACT_VOCABULARY_SIZE, 3)))
    # The text tower and the text model's encoder start from the same weights.
    return [
        PartCount("frames", chosen.vision, frames, 0, frames),
        PartCount("hashtags", chosen.text, encoder, 0, encoder),
        PartCount("text encoder", chosen.text, encoder, encoder, encoder),
        PartCount("text decoder", chosen.text, decoder, decoder, 0),
    ]


def _tiny_counts() -> list[PartCount]:
    from ggm.features.tiny import tiny_backbones, tiny_text_model

    encoders = tiny_backbones()
    parts: list[tuple[str, nn.Module]] = [("frames", encoders.frames), ("hashtags", encoders.hashtags)]
    if encoders.sound is not None:
        parts.append(("sound", encoders.sound))
    counts = [
        PartCount(part, "random", number_of_parameters(module), 0, number_of_parameters(module))
        for part, module in parts
    ]
    text = number_of_parameters(tiny_text_model()[0])
    return [*counts, PartCount("text", "random", text, text, text)]
