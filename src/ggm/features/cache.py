"""Features on disk, so that each video is decoded and encoded once.

They are found by the content of the video and the extractor's fingerprint, not by its name: a
renamed video is still known, a changed one or another encoder is not mistaken for it.

    folder/hashes/                  hashes of the videos' contents, see `ggm.features.contents`
    folder/<fingerprint>/pooled/    frame embeddings and pooled activations, see `ggm.features.store`
    folder/<fingerprint>/tokens/    the tokens: many times as large, and only read for the generator
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ggm.features.contents import ContentHashes
from ggm.features.shards import Arrays
from ggm.features.store import ArrayStore
from ggm.records import FloatArray, VideoFeatures

_POOLED: Final = ("frame_embeddings", "frame_pooled")
_TOKENS: Final = ("frame_tokens", "sound_tokens")  # most of the bytes; 3 decimal digits are plenty
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)


class PooledFrames(NamedTuple):
    """The small part of `VideoFeatures`, which is all that the retriever needs.

    Args:
        frame_embeddings: float32 (frames, embedding).
        frame_pooled: float32 (frames, channels).
    """

    frame_embeddings: FloatArray
    frame_pooled: FloatArray


class FeatureCache:
    """Features of videos by content. Several processes may share a folder.

    Embeddings and pooled activations are kept in float32, tokens in float16. Use it as a context
    manager, or `flush` it: what was put last is then on the disk.

    Args:
        folder: Made when first needed.
        extractor_fingerprint: See `FeatureExtractor.fingerprint`; each has its own sub-folder.
        max_bytes: Size that the features of this extractor may have on disk; None for no limit. The
            least recently used go, tokens before the pooled part, which gets up to half.

    Raises:
        ValueError: If the limit isn't positive.
    """

    def __init__(
        self, folder: Path | str, extractor_fingerprint: str, *, max_bytes: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.extractor_fingerprint = extractor_fingerprint
        self.max_bytes = max_bytes
        own = self.folder / extractor_fingerprint[:16]
        self._pooled = ArrayStore(own / "pooled", max_bytes=None if max_bytes is None else -(-max_bytes // 2))
        self._tokens = ArrayStore(own / "tokens", max_bytes=max_bytes)
        self._hashes = ContentHashes(self.folder / "hashes")

    def get(self, path: Path | str) -> VideoFeatures | None:
        """Features of a video; None when they aren't there or are damaged.

        Args:
            path: The video file.

        Raises:
            MediaNotFoundError: If the video can't be read.
            DataError: As for `flush`.
        """
        key = self._hashes.hash_of(Path(path))
        pooled, tokens = self._pooled.get(key), self._tokens.get(key)
        if pooled is None or tokens is None:
            return None
        return _features(pooled, tokens)

    def pooled(self, path: Path | str) -> PooledFrames | None:
        """The pooled part of a video's features; the tokens are not read.

        Args:
            path: The video file.

        Raises:
            MediaNotFoundError: If the video can't be read.
            DataError: As for `flush`.
        """
        pooled = self._pooled.get(self._hashes.hash_of(Path(path)))
        return None if pooled is None else PooledFrames(*(pooled[name] for name in _POOLED))

    def put(self, path: Path | str, features: VideoFeatures) -> VideoFeatures:
        """Keep the features of a video, in place of any that are there.

        Args:
            path: The video file.
            features: What the extractor with this cache's fingerprint said of it.

        Returns:
            The features as `get` will give them.

        Raises:
            MediaNotFoundError: If the video can't be read.
            DataError: If the cache can't be written, for instance because the disk is full.
        """
        key = self._hashes.hash_of(Path(path))
        pooled: Arrays = {name: np.asarray(getattr(features, name), np.float32) for name in _POOLED}
        tokens: Arrays = {
            name: _half(array) for name in _TOKENS if (array := getattr(features, name)) is not None
        }
        self._divide_space()
        self._tokens.put(key, tokens)
        self._pooled.put(key, pooled)
        return _features(pooled, tokens)

    def _divide_space(self) -> None:
        """Give the tokens what the pooled part doesn't take, now or when it next writes."""
        if self.max_bytes is not None and self._pooled.max_bytes is not None:
            soon = self._pooled.num_bytes + 2 * self._pooled.most_waiting_bytes
            self._tokens.max_bytes = max(1, self.max_bytes - min(self._pooled.max_bytes, soon))

    def __contains__(self, path: object) -> bool:
        """Whether a video need not be decoded now.

        Its features are there, or, in a cache of bounded size, were and their pooled part still is:
        no run should begin by computing all that the bound made the last one throw away.
        """
        if not isinstance(path, Path | str):
            return False
        key = self._hashes.hash_of(Path(path))
        return key in self._pooled and (self.max_bytes is not None or key in self._tokens)

    def flush(self) -> None:
        """Write what waits in memory, and see that the cache is within its size.

        Raises:
            DataError: If it can't be written, for instance because the disk is full.
        """
        try:
            self._pooled.flush()
        finally:
            self._divide_space()
            self._tokens.flush()

    def close(self) -> None:
        """Write what waits in memory and close all files; the cache may be used again.

        Raises:
            DataError: As for `flush`.
        """
        try:
            self.flush()
        finally:
            self._pooled.close()
            self._tokens.close()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _features(pooled: Arrays, tokens: Arrays) -> VideoFeatures:
    return VideoFeatures(
        pooled["frame_embeddings"],
        pooled["frame_pooled"],
        tokens["frame_tokens"],
        tokens.get("sound_tokens"),
    )


def _half(array: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    half: npt.NDArray[np.float16] = np.clip(array, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)
    return half
