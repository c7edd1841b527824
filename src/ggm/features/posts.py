"""Posts with their features: what training and evaluation start from.

Encoders are frozen, so that each video is decoded and encoded once; the features wait in the
cache, keyed by file content and encoder. What the cache lost is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ggm.errors import DataError, MediaError
from ggm.features.cache import FeatureCache, PooledFrames
from ggm.features.extract import FeatureExtractor
from ggm.features.extraction import extract_all
from ggm.media.workers import DecodingWorkers
from ggm.records import Post, Video, VideoFeatures


class PostFeatures(Protocol):
    """Posts whose features can be had one by one."""

    @property
    def posts(self) -> tuple[Post, ...]:
        """In a fixed order."""

    def __len__(self) -> int: ...

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's video."""

    def pooled(self, index: int) -> PooledFrames:
        """The pooled part of them."""


@dataclass(frozen=True)
class FeaturedPosts:
    """Posts whose features are in the cache, or can be computed.

    Args:
        posts: In a fixed order.
        cache: Where their features wait.
        compute: Makes the features of a video that the cache doesn't hold any more, and keeps them
            there. Without it they are missed.
    """

    posts: tuple[Post, ...]
    cache: FeatureCache
    compute: Callable[[Path], VideoFeatures] | None = None

    def __len__(self) -> int:
        return len(self.posts)

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's video, read from the cache or else computed.

        Raises:
            DataError: If they aren't there, and the video can't be read any more; or if the cache
                can't be written.
        """
        post = self.posts[index]
        try:
            return self.cache.get(post.video) or self._computed(post)
        except MediaError as error:
            raise self._lost(post, error) from error

    def pooled(self, index: int) -> PooledFrames:
        """The pooled part of one post's features; the tokens, most of the bytes, are not read.

        Raises:
            DataError: As for `features`.
        """
        post = self.posts[index]
        try:
            found = self.cache.pooled(post.video)
            if found is None:
                features = self._computed(post)
                found = PooledFrames(features.frame_embeddings, features.frame_pooled)
        except MediaError as error:
            raise self._lost(post, error) from error
        return found

    def subset(self, indices: Sequence[int]) -> FeaturedPosts:
        """Some of the posts, in the order of the indices."""
        return FeaturedPosts(tuple(self.posts[index] for index in indices), self.cache, self.compute)

    def _computed(self, post: Post) -> VideoFeatures:
        if self.compute is None:
            raise DataError(
                f"post {post.id!r}: the features of {post.video} are not in the cache "
                f"{self.cache.folder}; extract them first"
            )
        return self.compute(post.video)

    def _lost(self, post: Post, error: MediaError) -> DataError:
        return DataError(
            f"post {post.id!r}: its features are not in the cache {self.cache.folder} any more, and its "
            f"video can't be used now: {error}; restore it, or start again without this post"
        )


def featured_posts(
    posts: Sequence[Post],
    extractor: FeatureExtractor,
    cache: FeatureCache | Path,
    *,
    num_workers: int | None = None,
    failures: dict[Path, Exception] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FeaturedPosts, dict[str, str]]:
    """Extract what the cache doesn't hold yet. Videos are decoded in processes of their own.

    Args:
        posts: Any number.
        extractor: The frozen encoders.
        cache: The feature cache of this extractor, or its folder.
        num_workers: Processes that decode, 1 or more; by default one for each processor.
        failures: What was wrong with videos that were tried before; grows. They are not tried again.
        progress: Called as progress(done, total).

    Returns:
        The posts that have features, and for each of the others the reason by post id.

    Raises:
        DataError: If the cache can't be written.
        ValueError: If there is no process to decode.
    """
    if not isinstance(cache, FeatureCache):
        cache = FeatureCache(cache, extractor.fingerprint)
    maker = _Maker(extractor, cache, DecodingWorkers(num_workers))
    with maker.workers:
        errors = extract_all(
            [post.video for post in posts],
            extractor,
            cache,
            decode=maker.decode,
            at_once=maker.workers.count,
            failures=failures,
            progress=progress,
        )
    good = tuple(post for post in posts if post.video not in errors)
    return FeaturedPosts(good, cache, maker), {
        post.id: str(errors[post.video]) for post in posts if post.video in errors
    }


@dataclass(frozen=True)
class _Maker:
    """Makes features and keeps them. Its processes start when there is something to decode."""

    extractor: FeatureExtractor
    cache: FeatureCache
    workers: DecodingWorkers

    def decode(self, path: Path) -> Video:
        return self.workers.decode(
            path, short_side=self.extractor.short_side, sound_rate_hz=self.extractor.sound_rate_hz
        )

    def __call__(self, path: Path) -> VideoFeatures:
        if self.extractor.fingerprint != self.cache.extractor_fingerprint:
            raise DataError(
                f"{path}: its features are not in the cache {self.cache.folder} any more, and the encoders "
                "that made them have learned since; start again with a larger cache"
            )
        return self.cache.put(path, self.extractor.extract(self.decode(path)))


@dataclass(frozen=True)
class PooledFeatures:
    """What the retriever needs of many videos, padded to the most frames.

    Args:
        frame_embeddings: float32 (posts, frames, embedding).
        frame_pooled: float32 (posts, frames, channels).
        frame_mask: bool (posts, frames), true where there is a frame.
    """

    frame_embeddings: npt.NDArray[np.float32]
    frame_pooled: npt.NDArray[np.float32]
    frame_mask: npt.NDArray[np.bool_]

    def rows(self, indices: Sequence[int]) -> PooledFeatures:
        """Those of some of the videos, in the order of the indices."""
        chosen = list(indices)
        return PooledFeatures(
            self.frame_embeddings[chosen], self.frame_pooled[chosen], self.frame_mask[chosen]
        )


class PooledRows(Protocol):
    """Pooled features of many videos, of which some are wanted at a time."""

    def rows(self, indices: Sequence[int]) -> PooledFeatures:
        """Those of some of the videos, in the order of the indices."""


@dataclass(frozen=True)
class StoredPooled:
    """Pooled features that are read from the cache when they are wanted.

    Args:
        data: Whose features.
        num_frames: What all are padded to, at least the most frames of any.
    """

    data: PostFeatures
    num_frames: int

    def rows(self, indices: Sequence[int]) -> PooledFeatures:
        """Those of some of the posts, in the order of the indices.

        Raises:
            DataError: If there is no index, or as for `FeaturedPosts.features`.
        """
        return stack_pooled([self.data.pooled(index) for index in indices], num_frames=self.num_frames)


def pooled_chunks(data: PostFeatures, *, chunk: int = 256) -> Iterator[PooledFeatures]:
    """Pooled features of all posts in their order, so many posts at a time.

    Raises:
        DataError: If there is no post, or as for `FeaturedPosts.features`.
    """
    for start in range(0, max(1, len(data)), chunk):
        yield stack_pooled([data.pooled(index) for index in range(start, min(start + chunk, len(data)))])


def stack_pooled(
    features: Sequence[VideoFeatures | PooledFrames], *, num_frames: int | None = None
) -> PooledFeatures:
    """Stack the pooled features of several videos.

    Args:
        features: Of one or more.
        num_frames: What they are padded to, by default the most frames of any.

    Raises:
        DataError: If there is none.
    """
    if not features:
        raise DataError("no post to take features of")
    frames = num_frames or max(len(item.frame_embeddings) for item in features)
    first = features[0]
    shape = (len(features), frames)
    embeddings = np.zeros((*shape, first.frame_embeddings.shape[1]), np.float32)
    pooled = np.zeros((*shape, first.frame_pooled.shape[1]), np.float32)
    mask = np.zeros(shape, np.bool_)
    for row, item in enumerate(features):
        count = len(item.frame_embeddings)
        embeddings[row, :count] = item.frame_embeddings
        pooled[row, :count] = item.frame_pooled
        mask[row, :count] = True
    return PooledFeatures(embeddings, pooled, mask)
