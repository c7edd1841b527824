"""What a model is made of: its parts and their exact numbers of parameters."""

from __future__ import annotations

import torch
from torch import nn

from ggm.bundle import SHIPPED, Bundle, load_bundle
from ggm.features.parameter_counts import PartCount, count_parameters, number_of_parameters
from ggm.features.profiles import PROFILES
from ggm.features.trained import encoder_modules
from ggm.generator.attention import CrossModalAttention
from ggm.generator.video_encoder import AudioGroundedVideoEncoder

_BASE_WIDTH = 768  # of ViT-B, of the last stage of CLAP's audio tower, and of BART-base alike
_BASE_HEADS = 12


def part_counts(model: str) -> list[PartCount]:
    """Count the parameters of a profile or of a bundle.

    Nothing is downloaded: the parts of ``base`` are built without weights.

    Args:
        model: A profile that is not trained yet (``base``, ``tiny``), a shipped bundle or a folder.

    Raises:
        BundleError: If it is neither.
    """
    if model in PROFILES and not (SHIPPED / model).is_dir():
        counts = count_parameters(model)
        return [*counts, *_base_attentions()] if model == "base" else counts
    return bundle_counts(load_bundle(model))


def _base_attentions() -> list[PartCount]:
    """What the paper adds to its pretrained parts: the two cross-modal attentions."""
    with torch.device("meta"):
        audio = AudioGroundedVideoEncoder(_BASE_WIDTH, sound_dim=_BASE_WIDTH, num_heads=_BASE_HEADS)
        video = CrossModalAttention(_BASE_WIDTH, memory_dim=_BASE_WIDTH, num_heads=_BASE_HEADS)
    sizes = {"sound to video (equation 3)": audio, "video to text (equation 4)": video}
    return [
        PartCount(f"attention, {name}", "new", size, size, 0)
        for name, size in ((name, number_of_parameters(module)) for name, module in sizes.items())
    ]


def bundle_counts(bundle: Bundle) -> list[PartCount]:
    """Count the parameters of a trained system, part by part."""
    profile = bundle.profile
    counts = [*_encoder_counts(bundle)]
    heads = number_of_parameters(bundle.retriever)
    counts.append(PartCount("retriever's heads", bundle.name, heads, heads, heads))
    if bundle.generator is not None:
        text = bundle.generator.text_model
        for name, (size, trained) in _text_sizes(text).items():
            checkpoint = profile.text if trained == 0 else f"{bundle.name}, from {profile.text}"
            counts.append(PartCount(name, checkpoint, size, trained, size))
        own = bundle.generator.num_parameters() - number_of_parameters(text)
        counts.append(PartCount("attentions to video and sound", bundle.name, own, own, own))
    return counts


def _text_sizes(text_model: nn.Module) -> dict[str, tuple[int, int]]:
    """All and trained parameters by side; embeddings that both share count for the encoder alone."""
    encoder = text_model.get_encoder()  # type: ignore[operator]
    whole, first = (
        (number_of_parameters(module), number_of_parameters(module, trainable_only=True))
        for module in (text_model, encoder)
    )
    return {"text encoder": first, "text decoder": (whole[0] - first[0], whole[1] - first[1])}


def _encoder_counts(bundle: Bundle) -> list[PartCount]:
    extractor, profile = bundle.extractor, bundle.profile
    modules: list[tuple[str, str, nn.Module]] = [
        ("frames", profile.retriever, extractor.frames),
        ("hashtags", profile.retriever, extractor.hashtags),
    ]
    if extractor.sound is not None:
        modules.append(("sound", profile.audio or "", extractor.sound))
    learned = {
        id(parameter)
        for part in bundle.trained_encoders
        for module in encoder_modules(extractor, part).values()
        for parameter in module.parameters()
    }
    counts = []
    for name, checkpoint, module in modules:
        size = number_of_parameters(module)
        trained = sum(p.numel() for p in module.parameters() if id(p) in learned)
        counts.append(PartCount(name, checkpoint, size, trained, size))
    return counts
