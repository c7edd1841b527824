"""A decoder's weights laid out for reading: the time of a step is that of reading them all once.

With few rows, as in beam search, a matrix product does next to no arithmetic for each weight that it
reads. So weights that lie in the order in which a product reads them, and weights of fewer bytes, are
most of what there is to gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ggm.errors import ConfigError
from ggm.generator.decoder import Attention, FastDecoder, Layer, Project

Precision = Literal["fp32", "bf16", "int8"]
"""What the numbers are kept in: as trained, in 16 bits, or weights in 8 bits."""

PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

_ROWS: Final = 5  # of a product that the layout is chosen for
_LEAST: Final = 1e-12


def check_precision(precision: str) -> Precision:
    """A precision that this processor computes in.

    Raises:
        ConfigError: If there is no such precision, or this processor would be slower in it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and not has_bf16():
        raise ConfigError("this processor doesn't compute in bf16: take the precision int8, or fp32")
    if precision == "int8" and not _has_int8():
        raise ConfigError("torch has no products of int8 for this processor: take the precision fp32")
    return precision


def has_bf16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 by itself (AVX-512 BF16, AMX)."""
    supported = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return _has_onednn() and any(bool(ask()) for ask in supported if ask is not None)


def pack(decoder: FastDecoder, precision: Precision) -> FastDecoder:
    """The same decoder with copies of its weights, laid out for few rows.

    In ``fp32`` its numbers are those of the original to rounding.

    Args:
        decoder: Of a model on the CPU that is not trained any more: the copies don't follow it.
        precision: Of the weights; sums, norms and attention stay in float32.
    """
    project = _PROJECTIONS[precision]
    return replace(
        decoder,
        layers=[_pack_layer(layer, project) for layer in decoder.layers],
        head=project(*_weights(decoder.head)),
    )


Make = Callable[[Tensor, Tensor], Project]
"""Weight (n, m) and bias (n,) to a linear map."""


def _pack_layer(layer: Layer, project: Make) -> Layer:
    return replace(
        layer,
        own=_pack_attention(layer.own, project, joined=True),
        cross=_pack_attention(layer.cross, project, joined=False),
        widen=_pack_linear(layer.widen, project),
        narrow=_pack_linear(layer.narrow, project),
    )


def _pack_attention(attention: Attention, project: Make, *, joined: bool) -> Attention:
    parts = (attention.query, attention.key, attention.value)
    packed = replace(attention, output=_pack_linear(attention.output, project))
    if not joined:
        query, key, value = (_pack_linear(part, project) for part in parts)
        return replace(packed, query=query, key=key, value=value)
    weights, biases = zip(*map(_weights, parts), strict=True)
    return replace(packed, joined=project(torch.cat(weights), torch.cat(biases)))


def _pack_linear(linear: Project, project: Make) -> Project:
    return project(*_weights(linear)) if isinstance(linear, nn.Linear) else linear


def _weights(linear: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias; zeros where there is none."""
    weight = linear.weight.detach()
    bias = linear.bias
    return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach()


class Float32Linear:
    """A linear map whose weights lie as oneDNN reads them, where it is there."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._bias = bias.float()
        self._weight = _laid_out(weight.float())

    def __call__(self, states: Tensor) -> Tensor:
        """(..., m) to (..., n)."""
        return _product(states, self._weight, self._bias)


class BFloat16Linear:
    """A linear map with weights in bfloat16: half of the bytes; float32 goes in and comes out."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._bias = bias.float()
        self._weight = _laid_out(weight.bfloat16())

    def __call__(self, states: Tensor) -> Tensor:
        """(..., m) to (..., n)."""
        return _product(states.bfloat16(), self._weight, None).float().add_(self._bias)


class Int8Linear:
    """A linear map with weights in int8, a step for each output; rows that come in are rounded too.

    Each row has a step of its own, so that an answer doesn't depend on what else is in the batch.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        # Without instructions for it products of int8 may overflow, but not of seven bits.
        most = 127 if torch.cpu._is_vnni_supported() else 63
        self._bias = bias.float()
        self._steps = (weight.float().abs().amax(dim=1) / most).clamp(min=_LEAST)
        rounded = (weight.float() / self._steps[:, None]).round().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, [_ROWS, weight.shape[1]])
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)

    def __call__(self, states: Tensor) -> Tensor:
        """(..., m) to (..., n)."""
        flat = states.reshape(-1, states.shape[-1])
        steps = flat.abs().amax(dim=1, keepdim=True).div_(127).clamp_(min=_LEAST)
        rounded = (flat / steps).round_().to(torch.int8)
        sums = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 0, self._weight, self._steps, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return torch.addcmul(self._bias, sums, steps).view(*states.shape[:-1], -1)


_PROJECTIONS: Final[dict[Precision, Make]] = {
    "fp32": Float32Linear,
    "bf16": BFloat16Linear,
    "int8": Int8Linear,
}


def _laid_out(weight: Tensor) -> Tensor:
    """In blocks, as oneDNN reads it."""
    if not _has_onednn():
        return weight.clone()
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
    return packed


def _product(states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not weight.is_mkldnn:
        return F.linear(states, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return product


def _has_onednn() -> bool:
    return _built_in() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _has_int8() -> bool:
    return _built_in() and hasattr(torch.ops.onednn, "qlinear_pointwise")


def _built_in() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
