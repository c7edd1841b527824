"""Encoders as ONNX graphs: written once, after training."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from ggm.bundle import Bundle
from ggm.errors import BundleError, MissingDependencyError
from ggm.features.encoders import FrameEncoder, HashtagEncoder
from ggm.features.extract import device_of
from ggm.runtime.folder import FRAMES, HASHTAGS, MANIFEST, TEXT_ENCODER, ExportManifest, sha256
from ggm.runtime.weights import weights_fingerprint

_OPSET: Final = 17
# Of two lengths: the mask must stay in the graph.
_EXAMPLE_TEXTS: Final = ("first snow on the mountain", "cat")


def export_bundle(bundle: Bundle, folder: Path | str) -> Path:
    """Write a bundle's encoders as graphs: the whole folder or nothing.

    The sound encoder and the decoder stay with torch.

    Args:
        bundle: On the CPU.
        folder: Replaced if it is an export already.

    Returns:
        The folder.

    Raises:
        BundleError: If the folder holds something else, or can't be written, or the bundle isn't on
            the CPU.
        MissingDependencyError: If the package onnx is absent.
    """
    _check_onnx()
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise BundleError(f"{folder}: holds something that isn't an export; name another folder")
    if device_of(bundle.extractor.frames).type != "cpu":
        raise BundleError("only a bundle on the CPU can be exported: load it with device='cpu'")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            building = Path(scratch) / "new"
            building.mkdir()
            _write(bundle, building)
            if folder.exists():
                folder.replace(Path(scratch) / "old")
            building.replace(folder)
    except OSError as error:
        raise BundleError(f"{folder}: can't be written: {error.strerror or error}") from error
    return folder


def _write(bundle: Bundle, folder: Path) -> None:
    frames, hashtags = bundle.extractor.frames, bundle.extractor.hashtags
    side = frames.short_side
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    _to_graph(
        _Frames(frames, tuple(frames.prepare(pixels))),
        frames.prepare(pixels),
        ("embeddings", "pooled", "tokens"),
        folder / f"{FRAMES}.onnx",
    )
    texts = hashtags.prepare(_EXAMPLE_TEXTS)
    _to_graph(
        _Hashtags(hashtags, tuple(texts)), texts, ("embeddings",), folder / f"{HASHTAGS}.onnx", lengths=True
    )
    text_fingerprint = None
    if bundle.generator is not None and bundle.generator.config.inputs != "video":
        encoder = bundle.generator.text_model.get_encoder()
        encoded = bundle.generator.input_tokenizer(list(_EXAMPLE_TEXTS), padding=True, return_tensors="pt")
        inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        _to_graph(_States(encoder), inputs, ("states",), folder / f"{TEXT_ENCODER}.onnx", lengths=True)
        text_fingerprint = weights_fingerprint(encoder)
    ExportManifest(
        bundle=bundle.name,
        extractor_fingerprint=bundle.extractor.fingerprint,
        text_fingerprint=text_fingerprint,
        files={path.name: sha256(path) for path in sorted(folder.iterdir())},
        # A convolutional network's maps fit the caches one frame at a time; matrix products want more rows.
        frames_per_run=1 if bundle.profile.name == "compact" else 4,
    ).write(folder)


class _Frames(nn.Module):
    """A frame encoder whose inputs have places instead of names."""

    def __init__(self, encoder: FrameEncoder, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.encoder(dict(zip(self.names, inputs, strict=True)))
        return outputs.embeddings, outputs.pooled, outputs.tokens


class _Hashtags(nn.Module):
    def __init__(self, encoder: HashtagEncoder, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *inputs: Tensor) -> Tensor:
        embeddings: Tensor = self.encoder(dict(zip(self.names, inputs, strict=True)))
        return embeddings


class _States(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states


def _to_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    *,
    lengths: bool = False,
) -> None:
    """Trace a module; the first dimension of all is free, with ``lengths`` the inputs' second too."""
    axes: dict[str, Any] = {name: {0: "items", 1: "length"} if lengths else {0: "items"} for name in inputs}
    axes |= {name: {0: "items"} for name in outputs}
    if "states" in outputs:
        axes["states"] = {0: "items", 1: "length"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about what the test of equality looks after
        torch.onnx.export(
            module.eval(),
            tuple(tensor.contiguous() for tensor in inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "exporting needs the package onnx; run: pip install 'ggm[export]'"
        ) from None
