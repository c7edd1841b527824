"""A bundle that computes in fewer bits: quicker where the processor can."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.bundle import Bundle
from ggm.errors import ConfigError
from ggm.features.encoders import FrameEncoder, FrameOutputs, Inputs
from ggm.features.extract import FeatureExtractor, device_of
from ggm.generator.decoder import fast_decoder
from ggm.generator.model import Generator
from ggm.generator.packing import Precision, check_precision, has_bf16, pack
from ggm.runtime.session import GraphFrameEncoder

_HALVED: Final = (nn.Linear, nn.Conv1d, nn.Conv2d)


def with_precision(bundle: Bundle, precision: str) -> Bundle:
    """The same bundle, computing in another precision; see docs/speed.md for what that changes.

    ``fp32`` changes no number but by rounding. ``bf16`` computes matrix products of frames, of the
    text that the generator reads and of its decoder in bfloat16. ``int8`` keeps the decoder's weights
    in int8, and computes the rest in bfloat16 where the processor can, else in float32. Hashtags and
    sound are encoded as ever, and so are frames and texts that an export encodes.

    Args:
        bundle: On the CPU, and trained no more; its generator is changed in place.
        precision: ``fp32``, ``bf16`` or ``int8``.

    Raises:
        ConfigError: If there is no such precision, or this processor or device can't compute in it.
    """
    wanted = check_precision(precision)
    if device_of(bundle.extractor.frames).type != "cpu":
        if wanted == "fp32":
            return bundle
        raise ConfigError(f"the precision {precision} is for the CPU: take fp32 with other devices")
    if bundle.generator is not None:
        _change_generator(bundle.generator, wanted)
    if wanted == "fp32" or not has_bf16() or isinstance(bundle.extractor.frames, GraphFrameEncoder):
        return bundle
    extractor = bundle.extractor
    return replace(
        bundle,
        extractor=FeatureExtractor(
            HalfFrameEncoder(extractor.frames),
            extractor.hashtags,  # their vectors stand in pools, whose numbers stay those of float32
            sound=extractor.sound,
            frames_per_chunk=extractor.frames_per_chunk,
        ),
    )


def _change_generator(generator: Generator, precision: Precision) -> None:
    decoder = fast_decoder(generator.text_model)
    generator.writer = None if decoder is None else pack(decoder, precision)
    if precision == "fp32" or not has_bf16():
        return
    generator.reading_dtype = torch.bfloat16
    if generator.config.inputs != "video" and generator.text_reader is None:
        encoder = _with_halved_weights(generator.text_model.get_encoder())

        def read(ids: Tensor, mask: Tensor) -> Tensor:
            states: Tensor = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            return states

        generator.text_reader = read


class HalfFrameEncoder(FrameEncoder):
    """A frame encoder whose matrix products are computed in bfloat16.

    Its features are others, so that its fingerprint is another one too.

    Args:
        original: Prepares, and gives the weights.
    """

    def __init__(self, original: FrameEncoder) -> None:
        super().__init__()
        self.original = original
        self._network: Any = [_with_halved_weights(original)]  # in a list: no part of the weights
        self.embedding_dim, self.pooled_dim = original.embedding_dim, original.pooled_dim
        self.token_dim, self.tokens_per_frame = original.token_dim, original.tokens_per_frame
        self.short_side = original.short_side

    @property
    def class_embeddings(self) -> Tensor | None:
        """Those of the original, for whoever saves a bundle."""
        embeddings: Tensor | None = getattr(self.original, "class_embeddings", None)
        return embeddings

    def preprocessing(self) -> dict[str, Any]:
        """That of the original, and in what it computes."""
        return {**self.original.preprocessing(), "computed_in": "bfloat16"}

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """As the original does."""
        return self.original.prepare(pixels)

    def forward(self, inputs: Inputs) -> FrameOutputs:
        """Encode prepared frames; float32 comes out."""
        with torch.autocast("cpu", torch.bfloat16):
            outputs: FrameOutputs = self._network[0](inputs)
        return FrameOutputs(outputs.embeddings.float(), outputs.pooled.float(), outputs.tokens.float())

    def embedding_part(self) -> nn.Module:
        """That of the original: what the fingerprint counts."""
        return self.original.embedding_part()

    def tokens_part(self) -> nn.Module:
        """That of the original."""
        return self.original.tokens_part()


def _with_halved_weights(module: nn.Module) -> nn.Module:
    """A copy whose products' weights are in bfloat16, so that they aren't rounded anew each time."""
    copied = copy.deepcopy(module).eval()
    for part in copied.modules():
        if isinstance(part, _HALVED):
            part.to(torch.bfloat16)
    return copied
