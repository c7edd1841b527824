"""Running an export with ONNX Runtime: a bundle whose encoders are graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.bundle import Bundle
from ggm.errors import BundleError, MissingDependencyError
from ggm.features.encoders import FrameEncoder, FrameOutputs, HashtagEncoder, Inputs
from ggm.features.extract import FeatureExtractor
from ggm.runtime.folder import FRAMES, HASHTAGS, TEXT_ENCODER, read_export
from ggm.runtime.weights import weights_fingerprint


def with_export(bundle: Bundle, folder: Path | str, *, threads: int | None = None) -> Bundle:
    """The same bundle with its encoders run by ONNX Runtime.

    Args:
        bundle: On the CPU, with the weights that were exported; its generator is changed in place.
        folder: What `ggm.runtime.export.export_bundle` wrote.
        threads: How many a graph may use; as many as torch by default.

    Raises:
        BundleError: If there is no export, it is damaged, or it was made of other weights.
        MissingDependencyError: If the package onnxruntime is absent.
    """
    folder = Path(folder)
    manifest = read_export(folder)
    extractor = bundle.extractor
    if manifest.extractor_fingerprint != extractor.fingerprint:
        raise BundleError(
            f"{folder}: made of other encoders (of bundle {manifest.bundle!r}) than bundle {bundle.name!r} "
            f"has; write it anew: ggm export {bundle.name} --out {folder}"
        )
    frames = GraphFrameEncoder(extractor.frames, Graph(folder / f"{FRAMES}.onnx", threads=threads))
    hashtags = GraphHashtagEncoder(extractor.hashtags, Graph(folder / f"{HASHTAGS}.onnx", threads=threads))
    changed = FeatureExtractor(
        frames, hashtags, sound=extractor.sound, frames_per_chunk=manifest.frames_per_run
    )
    if bundle.generator is not None and manifest.text_fingerprint is not None:
        if weights_fingerprint(bundle.generator.text_model.get_encoder()) != manifest.text_fingerprint:
            raise BundleError(
                f"{folder}: made of another text encoder than bundle {bundle.name!r} has; "
                f"write it anew: ggm export {bundle.name} --out {folder}"
            )
        graph = Graph(folder / f"{TEXT_ENCODER}.onnx", threads=threads)
        bundle.generator.text_reader = lambda ids, mask: graph({"input_ids": ids, "attention_mask": mask})[0]
    return replace(bundle, extractor=changed)


class Graph:
    """One ONNX graph in memory.

    Args:
        path: Of the file.
        threads: As for `with_export`.

    Raises:
        BundleError: If ONNX Runtime refuses it.
        MissingDependencyError: If the package onnxruntime is absent.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingDependencyError(
                "running an export needs the package onnxruntime; run: pip install 'ggm[export]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own exceptions share no base but this
            raise BundleError(f"{path}: damaged export: {error}") from error
        self._names = [value.name for value in self._session.get_inputs()]

    def __call__(self, inputs: Inputs) -> list[Tensor]:
        """Tensors by name to the graph's outputs, in order."""
        arrays = {name: np.ascontiguousarray(inputs[name].numpy()) for name in self._names}
        return [torch.from_numpy(array) for array in self._session.run(None, arrays)]


class GraphFrameEncoder(FrameEncoder):
    """A frame encoder whose network is a graph.

    Args:
        original: Prepares, and says what it is: the fingerprint is that of its weights.
        graph: Its network.
    """

    def __init__(self, original: FrameEncoder, graph: Graph) -> None:
        super().__init__()
        self.original = original
        self._graph = graph
        self.embedding_dim, self.pooled_dim = original.embedding_dim, original.pooled_dim
        self.token_dim, self.tokens_per_frame = original.token_dim, original.tokens_per_frame
        self.short_side = original.short_side

    @property
    def class_embeddings(self) -> Tensor | None:
        """Those of the original, for whoever saves a bundle."""
        embeddings: Tensor | None = getattr(self.original, "class_embeddings", None)
        return embeddings

    def preprocessing(self) -> dict[str, Any]:
        """That of the original."""
        return self.original.preprocessing()

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """As the original does."""
        return self.original.prepare(pixels)

    def forward(self, inputs: Inputs) -> FrameOutputs:
        """Encode prepared frames."""
        embeddings, pooled, tokens = self._graph(inputs)
        return FrameOutputs(embeddings, pooled, tokens)

    def embedding_part(self) -> nn.Module:
        """That of the original: what the fingerprint counts."""
        return self.original.embedding_part()

    def tokens_part(self) -> nn.Module:
        """That of the original."""
        return self.original.tokens_part()


class GraphHashtagEncoder(HashtagEncoder):
    """A hashtag encoder whose network is a graph.

    Args:
        original: Prepares, and says what it is.
        graph: Its network.
    """

    def __init__(self, original: HashtagEncoder, graph: Graph) -> None:
        super().__init__()
        self.original = original
        self._graph = graph
        self.embedding_dim = original.embedding_dim

    def preprocessing(self) -> dict[str, Any]:
        """That of the original."""
        return self.original.preprocessing()

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """As the original does."""
        return self.original.prepare(texts)

    def forward(self, inputs: Inputs) -> Tensor:
        """Encode tokenised texts to (N, embedding_dim)."""
        return self._graph(inputs)[0]
