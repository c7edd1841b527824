"""Decoded posts: what end-to-end training starts from, where frames are encoded anew in each step.

Each video is decoded once, its sampled frames and sound are kept in an `ArrayStore`, keyed by the
video's content and by how it was decoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ggm.errors import DataError, MediaError
from ggm.features.cache import PooledFrames
from ggm.features.contents import ContentHashes
from ggm.features.extract import FeatureExtractor
from ggm.features.extraction import decode_ahead
from ggm.features.store import ArrayStore
from ggm.media.workers import DecodingWorkers
from ggm.records import Frames, Post, Sound, Video, VideoFeatures


class VideoCache:
    """Decoded videos on disk, at the size and sample rate that an extractor wants.

    Processes that are forked while it is in use (a data loader's) each decode in a worker of their own.

    Args:
        folder: Made when first needed; several processes may share it.
        extractor: Says how to decode.
        max_bytes: See `ArrayStore`; what doesn't fit is decoded again.
    """

    def __init__(self, folder: Path, extractor: FeatureExtractor, *, max_bytes: int | None = None) -> None:
        self._hashes = ContentHashes(folder / "hashes")
        self._store = ArrayStore(folder / "videos", max_bytes=max_bytes)
        self._short_side = extractor.short_side
        self._rate_hz = extractor.sound_rate_hz
        self._seconds = extractor.sound_seconds or 0.0
        self._workers: DecodingWorkers | None = None
        self._workers_of = 0  # the process that started them: one that was forked shall not share its pipes

    @property
    def at_once(self) -> int:
        """How many videos can be decoded at once."""
        return self._decoders().count

    def get(self, path: Path) -> Video:
        """A decoded video, from the disk if it is there.

        Raises:
            MediaError: If it can't be read or decoded.
            DataError: If the store can't be written.
        """
        key = self._key(path)
        arrays = self._store.get(key)
        if arrays is None:
            video = self._decoders().decode(
                path,
                short_side=self._short_side,
                sound_rate_hz=self._rate_hz,
                sound_seconds=self._seconds or 10.0,
            )
            self._store.put(key, _arrays(video))
            return video
        sound = None
        if "sound" in arrays and self._rate_hz is not None:
            sound = Sound(arrays["sound"], self._rate_hz)
        return Video(Frames(arrays["pixels"], arrays["timestamps"]), sound, float(arrays["duration"]))

    def keep(self, path: Path) -> None:
        """Decode a video if it isn't on the disk yet.

        Raises:
            MediaError: If it can't be read or decoded.
            DataError: If the store can't be written.
        """
        if self._key(path) not in self._store:
            self.get(path)

    def flush(self) -> None:
        """Write what waits to be written.

        Raises:
            DataError: If the store can't be written.
        """
        self._store.flush()

    def _key(self, path: Path) -> str:
        return f"{self._hashes.hash_of(path)}/{self._short_side}/{self._rate_hz}/{self._seconds:g}"

    def _decoders(self) -> DecodingWorkers:
        if self._workers is None or self._workers_of != os.getpid():
            self._workers, self._workers_of = DecodingWorkers(), os.getpid()
        return self._workers


def _arrays(video: Video) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {
        "pixels": video.frames.pixels,
        "timestamps": video.frames.timestamps_seconds,
        "duration": np.array(video.duration_seconds),
    }
    return arrays if video.sound is None else {**arrays, "sound": video.sound.samples}


@dataclass(frozen=True)
class DecodedPosts:
    """Posts whose videos can be decoded.

    Args:
        posts: In a fixed order.
        cache: Where their frames and sound wait.
    """

    posts: tuple[Post, ...]
    cache: VideoCache

    def __len__(self) -> int:
        return len(self.posts)

    def video(self, index: int) -> Video:
        """Frames and sound of one post's video.

        Raises:
            DataError: If the video, which could be decoded before, can't be any more.
        """
        post = self.posts[index]
        try:
            return self.cache.get(post.video)
        except MediaError as error:
            raise DataError(f"post {post.id!r}: its video changed since the run began: {error}") from error

    def subset(self, indices: Sequence[int]) -> DecodedPosts:
        """Some of the posts, in the order of the indices."""
        return DecodedPosts(tuple(self.posts[index] for index in indices), self.cache)


def decoded_posts(
    posts: Sequence[Post],
    cache: VideoCache,
    *,
    failures: dict[Path, Exception] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[DecodedPosts, dict[str, str]]:
    """Decode what the cache doesn't hold yet, several videos at once.

    Args:
        posts: Any number.
        cache: Where frames and sound go.
        failures: What was wrong with videos that were tried before; grows. They are not tried again.
        progress: Called as progress(done, total).

    Returns:
        The posts whose videos can be decoded, and for each of the others the reason by post id.

    Raises:
        DataError: If the cache can't be written.
    """
    failures = {} if failures is None else failures
    unique = list(dict.fromkeys(post.video for post in posts))
    todo = [path for path in unique if path not in failures]
    for done, (path, kept) in enumerate(decode_ahead(todo, cache.keep, at_once=cache.at_once), start=1):
        try:
            kept.result()
        except MediaError as error:
            failures[path] = error
        if progress is not None:
            progress(done, len(todo))
    cache.flush()
    good = tuple(post for post in posts if post.video not in failures)
    bad = {post.id: str(failures[post.video]) for post in posts if post.video in failures}
    return DecodedPosts(good, cache), bad


@dataclass(frozen=True)
class LivePosts:
    """Decoded posts whose features are computed when asked for, by encoders that may be learning.

    Args:
        data: Decoded posts.
        extractor: The encoders.
    """

    data: DecodedPosts
    extractor: FeatureExtractor

    @property
    def posts(self) -> tuple[Post, ...]:
        """In their fixed order."""
        return self.data.posts

    def __len__(self) -> int:
        return len(self.data)

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's video, as its encoders see it now.

        Raises:
            DataError: If the video can't be decoded any more.
        """
        return self.extractor.extract(self.data.video(index))

    def pooled(self, index: int) -> PooledFrames:
        """The pooled part of them.

        Raises:
            DataError: If the video can't be decoded any more.
        """
        features = self.features(index)
        return PooledFrames(features.frame_embeddings, features.frame_pooled)
