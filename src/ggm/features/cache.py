"""Features on disk, so that each video is decoded and encoded once.

A file is found by the content of the video and the extractor's fingerprint, not by its name: a
renamed video is still known, a changed one or another encoder is not mistaken for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ggm.errors import DataError, GgmError, MediaNotFoundError
from ggm.features.extract import FeatureExtractor
from ggm.records import Video, VideoFeatures

_FORMAT: Final = "1"
_HALF: Final = ("frame_tokens", "sound_tokens")  # most of the bytes; 3 decimal digits are plenty
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)
_DECODED_AHEAD: Final = 2


class FeatureCache:
    """Features of videos by content, one safetensors file each, in sub-folders of two letters.

    Embeddings and pooled activations are kept in float32, tokens in float16. Writes are atomic,
    and several processes may share a folder.

    Args:
        folder: Made when first needed.
        extractor_fingerprint: See `FeatureExtractor.fingerprint`; each has its own sub-folder.
    """

    def __init__(self, folder: Path | str, extractor_fingerprint: str) -> None:
        self.folder = Path(folder)
        self.extractor_fingerprint = extractor_fingerprint
        self._hashes: dict[tuple[str, int, int], str] = {}

    def get(self, path: Path | str) -> VideoFeatures | None:
        """Features of a video; None when they aren't there or their file is damaged.

        Args:
            path: The video file.

        Raises:
            MediaNotFoundError: If the video can't be read.
        """
        try:
            arrays = _read(self.file_of(path))
            return VideoFeatures(
                arrays["frame_embeddings"],
                arrays["frame_pooled"],
                arrays["frame_tokens"],
                arrays.get("sound_tokens"),
            )
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def put(self, path: Path | str, features: VideoFeatures) -> None:
        """Keep the features of a video, in place of any that are there.

        Args:
            path: The video file.
            features: What the extractor with this cache's fingerprint said of it.

        Raises:
            MediaNotFoundError: If the video can't be read.
            DataError: If the file can't be written, for instance because the disk is full.
        """
        target = self.file_of(path)
        try:
            _write(target, features)
        except OSError as error:
            raise DataError(
                f"{target}: cannot write the feature cache: {error.strerror or error}; "
                "free some space, or choose another folder"
            ) from error

    def __contains__(self, path: object) -> bool:
        """Whether `get` would find undamaged features."""
        return isinstance(path, Path | str) and self.get(path) is not None

    def file_of(self, path: Path | str) -> Path:
        """Where the features of a video are, or would be, kept.

        Raises:
            MediaNotFoundError: If the video can't be read.
        """
        content = self._content_hash(Path(path))
        return self.folder / self.extractor_fingerprint[:16] / content[:2] / f"{content}.safetensors"

    def _content_hash(self, path: Path) -> str:
        """Hash of the file's bytes, remembered as long as its size and time of change are the same."""
        try:
            status = path.stat()
            known = (str(path.absolute()), status.st_size, status.st_mtime_ns)
            if known not in self._hashes:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20))
                self._hashes[known] = digest.hexdigest()
        except OSError as error:
            raise MediaNotFoundError(f"{path}: cannot read the video: {error.strerror or error}") from error
        return self._hashes[known]


def extract_all(
    paths: Sequence[Path],
    extractor: FeatureExtractor,
    cache: FeatureCache,
    *,
    decode: Callable[[Path], Video],
    progress: Callable[[int, int], None] | None = None,
) -> dict[Path, Exception]:
    """Put the features of all videos into the cache; those that are there already are left alone.

    The next videos are decoded in a thread while one is encoded. A bad video doesn't stop the rest.

    Args:
        paths: Videos, in any order; a path that comes again is skipped.
        extractor: Whose fingerprint the cache has.
        cache: Where the features go.
        decode: Called from one other thread, one video at a time.
        progress: Called as progress(done, total) after each video.

    Returns:
        What was wrong with each video that has no features now, by path.

    Raises:
        DataError: If the cache can't be written: then no other video could be kept either.
    """
    unique = list(dict.fromkeys(paths))
    errors: dict[Path, Exception] = {}
    ahead: deque[tuple[Path, Future[Video | None]]] = deque()

    def decode_if_new(path: Path) -> Video | None:
        return None if path in cache else decode(path)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode") as pool:
        try:
            todo = iter(unique)
            for done in range(1, len(unique) + 1):
                while len(ahead) <= _DECODED_AHEAD and (path := next(todo, None)) is not None:
                    ahead.append((path, pool.submit(decode_if_new, path)))
                path, decoded = ahead.popleft()
                if (error := _extract_one(path, decoded, extractor, cache)) is not None:
                    errors[path] = error
                if progress is not None:
                    progress(done, len(unique))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return errors


def _extract_one(
    path: Path, decoded: Future[Video | None], extractor: FeatureExtractor, cache: FeatureCache
) -> Exception | None:
    """Encode and keep one video; what is wrong with it is returned, what is wrong with the cache raised."""
    try:
        video = decoded.result()
        features = None if video is None else extractor.extract(video)
    except (GgmError, OSError, ValueError) as error:  # what bad media raises; a bug is none of these
        return error
    if features is not None:
        cache.put(path, features)
    return None


def _write(target: Path, features: VideoFeatures) -> None:
    arrays = {
        name: _stored(name, array)
        for name in ("frame_embeddings", "frame_pooled", "frame_tokens", "sound_tokens")
        if (array := getattr(features, name)) is not None
    }
    content = save(arrays, metadata={"format": _FORMAT, "crc32": json.dumps(_checksums(arrays))})
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _read(source: Path) -> dict[str, npt.NDArray[Any]]:
    with safe_open(source, framework="numpy") as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    if metadata.get("format") != _FORMAT or json.loads(metadata["crc32"]) != _checksums(arrays):
        raise ValueError(f"{source}: damaged, or of another format")
    return arrays


def _stored(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if name not in _HALF:
        return np.ascontiguousarray(array, np.float32)
    return np.ascontiguousarray(np.clip(array, -_FLOAT16_MAX, _FLOAT16_MAX), np.float16)


def _checksums(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, int]:
    return {name: zlib.crc32(np.ascontiguousarray(array).data) for name, array in arrays.items()}
