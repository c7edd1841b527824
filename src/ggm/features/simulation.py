"""Features of simulated videos, made from their scenes whenever they are asked for.

Nothing is decoded and nothing is kept: the features of a post depend on the world's seed and the
post's id and scene alone, whatever was asked for before. They take the widths of the extractor they
stand in for, whose text tower is real, so that pretrained similarity means what it means elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.features.cache import PooledFrames
from ggm.features.class_scenes import ClassSimulator, scene_of, seeded_generator
from ggm.features.extract import FeatureExtractor
from ggm.records import Post, VideoFeatures
from ggm.scenes import Scene, World

Floats = npt.NDArray[np.float32]

_MISTAKEN_TOPICS: Final = 3
"""Of how many topics that it doesn't show a video's pretrained embedding speaks as well."""

_NOISES: Final = 16
"""Kinds of sound that say nothing, such as music."""


class VideoSimulator:
    """Makes features of scenes.

    Args:
        world: What scenes refer to.
        extractor: Whose widths the features take, and whose text tower embeds the names of topics.

    Raises:
        DataError: If topics look as the classes of a classifier do, and the extractor has none.
    """

    def __init__(self, world: World, extractor: FeatureExtractor) -> None:
        self.world = world
        self._extractor = extractor
        self._by_class = (
            ClassSimulator(world, extractor.frames) if world.settings.prototypes == "classes" else None
        )
        if self._by_class is not None:
            return
        self._seen = prototypes(world, "seen")
        self._heard = prototypes(world, "heard")
        width = world.settings.width
        self._to_pooled = self._random("pooled").standard_normal((width, extractor.pooled_dim), np.float32)
        self._to_token = self._random("token").standard_normal((width, extractor.token_dim), np.float32)
        self._to_sound = None
        if extractor.sound_dim is not None:
            self._to_sound = self._random("sound").standard_normal((width, extractor.sound_dim), np.float32)
        self._noises = _unit(self._random("noises").standard_normal((_NOISES, width), np.float32))

    def features(self, post: Post) -> VideoFeatures:
        """Features of a post's scene, float32.

        Raises:
            DataError: If its path names no scene of this world.
        """
        if self._by_class is not None:
            return self._by_class.features(post)
        frames = self._frames(post)
        settings, rng = self.world.settings, frames.rng
        shape = (len(frames.weights), settings.tokens_per_frame)
        # Each token shows one topic, or nothing but the background.
        limits = frames.weights.cumsum(1)[:, None, :-1]  # (F, 1, topics - 1)
        place = (rng.random((*shape, 1), np.float32) > limits).sum(-1)  # (F, P)
        is_topic = rng.random(shape, np.float32) >= settings.background
        tokens = self._seen[list(frames.scene.shown)][place] * is_topic[..., None]
        tokens += frames.common[None, None] + self._noise(rng, shape, settings.token_noise)
        return VideoFeatures(
            *self._pooled(post, frames),
            frame_tokens=tokens @ self._to_token,
            sound_tokens=self._sound(frames),
        )

    def pooled(self, post: Post) -> PooledFrames:
        """The pooled part of them, the same to the last bit.

        Raises:
            DataError: If its path names no scene of this world.
        """
        if self._by_class is not None:
            features = self._by_class.features(post)
            return PooledFrames(features.frame_embeddings, features.frame_pooled)
        return self._pooled(post, self._frames(post))

    def _pooled(self, post: Post, frames: _Frames) -> PooledFrames:
        # Another stream than the tokens', so that either can be had alone.
        return PooledFrames(self._embeddings(post, frames), frames.latent @ self._to_pooled)

    def _frames(self, post: Post) -> _Frames:
        scene = scene_of(post, self.world)
        settings, rng = self.world.settings, self._random(f"post/{post.id}")
        num_frames = int(rng.integers(settings.min_frames, settings.max_frames + 1))
        # What is prominent is seen most, but frames differ.
        prominence = 1 / np.arange(1, len(scene.shown) + 1, dtype=np.float32)
        weights = rng.standard_exponential((num_frames, len(scene.shown)), dtype=np.float32)
        weights *= prominence
        weights /= weights.sum(1, keepdims=True)  # float32 all along: noise is most of the work
        common = self._noise(rng, (), settings.video_noise)
        signal = _unit(weights @ self._seen[list(scene.shown)])
        latent = signal + common + self._noise(rng, (num_frames,), settings.frame_noise)
        return _Frames(scene, rng, weights, common, latent)

    def _embeddings(self, post: Post, frames: _Frames) -> Floats:
        """As a pretrained model would: some topics under another name, and some that aren't there."""
        rng = self._random(f"embedding/{post.id}")
        mistaken = rng.integers(0, len(self.world.topics), _MISTAKEN_TOPICS)
        share = self.world.settings.pretrained_noise
        meant = frames.weights @ self._names[list(frames.scene.shown)]
        return _unit((1 - share) * _unit(meant) + share * _unit(self._names[mistaken].mean(0)))

    def _sound(self, frames: _Frames) -> Floats | None:
        if self._to_sound is None or frames.scene.silent:
            return None
        settings, rng, heard = self.world.settings, frames.rng, frames.scene.heard
        source = self._noises[int(rng.integers(_NOISES))] if heard is None else self._heard[heard]
        sound: Floats = (
            source + self._noise(rng, (settings.sound_steps,), settings.sound_noise)
        ) @ self._to_sound
        return sound

    @cached_property
    def _names(self) -> Floats:
        """Of each topic the embedding of what a pretrained model calls it (topics, embedding)."""
        topics = self.world.topics
        known = self._random("known").random(len(topics)) < self.world.settings.pretrained_known
        embeddings = self._extractor.embed_descriptions([topic.name for topic in topics])
        called = [row if known[row] else _or_else(topic.parent, row) for row, topic in enumerate(topics)]
        # In half precision: the last bits of a network differ from one processor to another.
        return embeddings[called].astype(np.float16).astype(np.float32)

    def _noise(self, rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Floats:
        width = self.world.settings.width
        noise: Floats = rng.standard_normal((*shape, width), np.float32) * np.float32(length / width**0.5)
        return noise

    def _random(self, what: str) -> np.random.Generator:
        return seeded_generator(self.world.seed, what)


@dataclass(frozen=True)
class _Frames:
    """A scene in the space of prototypes, and the source of what is drawn next."""

    scene: Scene
    rng: np.random.Generator
    weights: Floats  # (F, topics), rows sum to 1
    common: Floats  # (W,)
    latent: Floats  # (F, W)


@dataclass(frozen=True)
class SimulatedPosts:
    """Posts of simulated videos with their features; see `ggm.features.posts.PostFeatures`.

    Args:
        posts: In a fixed order.
        simulator: Makes the features.
    """

    posts: tuple[Post, ...]
    simulator: VideoSimulator

    def __len__(self) -> int:
        return len(self.posts)

    def features(self, index: int) -> VideoFeatures:
        """Features of one post's scene.

        Raises:
            DataError: As for `VideoSimulator.features`.
        """
        return self.simulator.features(self.posts[index])

    def pooled(self, index: int) -> PooledFrames:
        """The pooled part of them.

        Raises:
            DataError: As for `VideoSimulator.pooled`.
        """
        return self.simulator.pooled(self.posts[index])

    def subset(self, indices: Sequence[int]) -> SimulatedPosts:
        """Some of the posts, in the order of the indices."""
        return SimulatedPosts(tuple(self.posts[index] for index in indices), self.simulator)


def prototypes(world: World, sense: str) -> Floats:
    """A unit vector for each topic: near its parent's, and so near those of its siblings.

    Args:
        world: Topics, and how distinct they are.
        sense: Another one gives other vectors.

    Returns:
        float32 (topics, width).
    """
    width, own = world.settings.width, np.float32(world.settings.distinctness)
    vectors = _unit(
        seeded_generator(world.seed, f"prototypes/{sense}").standard_normal(
            (len(world.topics), width), np.float32
        )
    )
    for row, topic in enumerate(world.topics):
        if topic.parent is not None:
            vectors[row] = own**0.5 * vectors[row] + (1 - own) ** 0.5 * vectors[topic.parent]
            vectors[row] /= np.linalg.norm(vectors[row])
    return vectors


def _or_else(row: int | None, default: int) -> int:
    return default if row is None else row


def _unit(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: Floats = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit
