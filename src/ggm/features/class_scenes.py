"""Features of scenes whose topics are known to a classifier of pictures, without any picture.

The classifier's last layer says in which direction the features of each class lie, and its batch
normalisation how the channels vary over pictures: a token is drawn as those channels vary, moved
towards the class that is seen, and cut off as the network does. Where nothing is seen it isn't
moved: the mean picture with noise, of which the classifier says nothing. On the drawings of the clip-art
corpus, mean, length, sparsity and variance of real features are met to within a fifth.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from ggm.errors import DataError
from ggm.features.compact import EfficientNetEncoder, class_synsets
from ggm.features.encoders import FrameEncoder
from ggm.records import Post, VideoFeatures
from ggm.scenes import Scene, Topic, World, parse_scene

MAX_CLASSES: Final = 150
"""A topic with more kinds among the classes ("animal" has 398) has no look of its own."""

_STRENGTHS: Final = (0.18, 0.34)  # lowest and highest: the classifier is sure to .05 and to .8
_BACKGROUND: Final = 0.25  # share of a frame's tokens that show nothing
_VARIANCES: Final = (0.35, 0.10, 0.55)  # of what a video, a frame and a token have of their own
_MOST: Final = 6.0  # of an activation (ReLU6)


class ClassSimulator:
    """Makes features of scenes in the space of `EfficientNetEncoder`.

    Args:
        world: What scenes refer to; topics carry their synsets.
        encoder: Whose classes they are.

    Raises:
        DataError: If it is another encoder.
    """

    def __init__(self, world: World, encoder: FrameEncoder) -> None:
        if not isinstance(encoder, EfficientNetEncoder):
            raise DataError(
                "the features of this dataset are made of a classifier's weights, which only the profile "
                "'compact' has; train with that profile"
            )
        self._world = world
        self._encoder = encoder
        self._classes = topic_classes(world.topics, class_synsets())
        self._directions = encoder.class_directions().numpy()  # (classes, D)
        self._means, self._deviations = (values.numpy() for values in encoder.channel_statistics())  # (D,)

    def features(self, post: Post) -> VideoFeatures:
        """Features of a post's scene, float32, without sound.

        Raises:
            DataError: If its path names no scene of this world.
        """
        scene = scene_of(post, self._world)
        rng = seeded_generator(self._world.seed, f"post/{post.id}")
        settings = self._world.settings
        num_frames = int(rng.integers(settings.min_frames, settings.max_frames + 1))
        shape = (num_frames, self._encoder.tokens_per_frame, self._encoder.token_dim)
        video, frame, token = (np.float32(variance**0.5) for variance in _VARIANCES)
        values = token * rng.standard_normal(shape, np.float32)
        values += frame * rng.standard_normal((num_frames, 1, shape[2]), np.float32)
        values += video * rng.standard_normal(shape[2], np.float32)
        values += self._shown(scene, shape[:2], rng)
        tokens = np.clip(self._means + self._deviations * values, 0, _MOST)  # (F, P, D)
        pooled = tokens.mean(1)  # (F, D)
        with torch.inference_mode():
            embeddings = self._encoder.embed_pooled(torch.from_numpy(pooled)).numpy()
        return VideoFeatures(embeddings, pooled, frame_tokens=tokens, sound_tokens=None)

    def _shown(self, scene: Scene, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """How far each token is moved, (F, P, D); by nothing at all if no topic of the scene has a look."""
        seen = [self._classes[row] for row in scene.shown if self._classes[row]]
        if not seen:
            return np.zeros((*shape, 1), np.float32)
        chosen = [int(rng.choice(classes)) for classes in seen]
        strength = np.float32(rng.uniform(*_STRENGTHS))
        place = rng.integers(len(chosen), size=shape)
        is_shown = rng.random((*shape, 1), np.float32) >= _BACKGROUND
        moved: np.ndarray = strength * self._directions[chosen][place] * is_shown
        return moved


def topic_classes(topics: Sequence[Topic], synsets: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The classes that each topic may look like.

    Args:
        topics: By row; a parent stands before its kinds.
        synsets: Of the classes.

    Returns:
        For each topic its own class and those of its kinds; without such, those of the nearest above it
        that is a class itself. None for one with more than `MAX_CLASSES`.
    """
    index = {synset: number for number, synset in enumerate(synsets)}
    below: dict[int, list[int]] = defaultdict(list)
    for row, topic in reversed(list(enumerate(topics))):
        if topic.synset in index:
            below[row].append(index[topic.synset])
        if topic.parent is not None:
            below[topic.parent] += below[row]
    above: list[tuple[int, ...]] = []
    for topic in topics:
        own = index.get(topic.synset)
        above.append((own,) if own is not None else () if topic.parent is None else above[topic.parent])
    return tuple(_narrow(below[row]) if below[row] else above[row] for row in range(len(topics)))


def _narrow(classes: Sequence[int]) -> tuple[int, ...]:
    different = tuple(sorted(set(classes)))
    return different if len(different) <= MAX_CLASSES else ()


def scene_of(post: Post, world: World) -> Scene:
    """The scene that a post's path names.

    Raises:
        DataError: If it names none of this world.
    """
    scene = parse_scene(post.video.name)
    if max(*scene.shown, scene.heard or 0, 0) >= len(world.topics):
        raise DataError(
            f"post {post.id!r}: {post.video.name} shows a topic beyond the {len(world.topics):,} "
            "of this dataset; its manifest and its topics are of two corpora, build it again"
        )
    return scene


def seeded_generator(seed: int, what: str) -> np.random.Generator:
    """A source of random numbers that depends on the seed and on what they are for."""
    digest = hashlib.blake2b(f"{seed}/{what}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
