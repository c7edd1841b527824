"""Posts with their features: what training and evaluation start from.

Encoders are frozen, so that each video is decoded and encoded once; the features wait in the
cache, keyed by file content and encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ggm.errors import DataError
from ggm.features.cache import FeatureCache, extract_all
from ggm.features.extract import FeatureExtractor
from ggm.media.decode import decode_video
from ggm.records import Post, Video, VideoFeatures


class PostFeatures(Protocol):
    """Posts whose features can be had one by one."""

    @property
    def posts(self) -> tuple[Post, ...]:
        """In a fixed order."""

    def __len__(self) -> int: ...

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's video."""


@dataclass(frozen=True)
class FeaturedPosts:
    """Posts whose features are in the cache.

    Args:
        posts: In a fixed order.
        cache: Where their features wait.
    """

    posts: tuple[Post, ...]
    cache: FeatureCache

    def __len__(self) -> int:
        return len(self.posts)

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's video, read from the cache.

        Raises:
            DataError: If they aren't there.
        """
        path = self.posts[index].video
        features = self.cache.get(path)
        if features is None:
            raise DataError(
                f"{path}: its features are not in the cache {self.cache.folder}; extract them first"
            )
        return features

    def subset(self, indices: Sequence[int]) -> FeaturedPosts:
        """Some of the posts, in the order of the indices."""
        return FeaturedPosts(tuple(self.posts[index] for index in indices), self.cache)


def featured_posts(
    posts: Sequence[Post],
    extractor: FeatureExtractor,
    cache_dir: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FeaturedPosts, dict[str, str]]:
    """Extract what the cache doesn't hold yet.

    Args:
        posts: Any number.
        extractor: The frozen encoders.
        cache_dir: Folder of the feature cache.
        progress: Called as progress(done, total).

    Returns:
        The posts that have features, and for each of the others the reason by post id.
    """
    cache = FeatureCache(cache_dir, extractor.fingerprint)

    def decode(path: Path) -> Video:
        return decode_video(path, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz)

    errors = extract_all([post.video for post in posts], extractor, cache, decode=decode, progress=progress)
    good = tuple(post for post in posts if post.video not in errors)
    return FeaturedPosts(good, cache), {
        post.id: str(errors[post.video]) for post in posts if post.video in errors
    }


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


def pooled_features(data: PostFeatures) -> PooledFeatures:
    """Stack the pooled features of all posts; small enough to stay in memory."""
    return stack_pooled([data.features(index) for index in range(len(data))])


def stack_pooled(features: Sequence[VideoFeatures]) -> PooledFeatures:
    """Stack the pooled features of several videos.

    Raises:
        DataError: If there is none.
    """
    if not features:
        raise DataError("no post to take features of")
    frames = max(len(item.frame_embeddings) for item in features)
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
