"""Scenes: what a simulated video shows and sounds like, where there is no file with frames.

The controlled corpus writes them, the features are made from them. A scene is named by the path of
its post, so that a dataset that is filtered or split anew keeps it; the topics that it names are
the rows of a file beside the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ggm.errors import ConfigError, DataError
from ggm.settings import from_dict

TOPICS_NAME: Final = "topics.jsonl"
"""The topics of a simulated dataset, in its folder."""

SCENES_KEY: Final = "scenes"
"""In ``dataset.json``: seed and settings; a dataset without this key has real videos."""

_NAME: Final = re.compile(r"(\d+(?:-\d+)*)_(silent|noise|heard(\d+))\.scene")


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a video can be about.

    Args:
        name: In words, such as ``ice cream``.
        parent: Row of what it is a kind of, before its own; None at the top.
        synset: Its meaning in WordNet 3.0, such as ``02084071-n``; empty if that isn't known.
    """

    name: str
    parent: int | None = None
    synset: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a simulated video shows and sounds like.

    Args:
        shown: Rows of the topics that are seen, the most prominent first; at least one.
        heard: Row of the topic that is heard; None for noise that says nothing.
        silent: Whether there is no sound at all.
    """

    shown: tuple[int, ...]
    heard: int | None = None
    silent: bool = False

    @property
    def name(self) -> str:
        """As the name of a file, such as ``12-345_heard7.scene``."""
        sound = "silent" if self.silent else "noise" if self.heard is None else f"heard{self.heard}"
        return f"{'-'.join(map(str, self.shown))}_{sound}.scene"


def parse_scene(name: str) -> Scene:
    """The scene of a name.

    Raises:
        DataError: If it is no scene's.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DataError(f"{name!r} names no scene, such as '12-345_heard7.scene'; build the corpus again")
    shown = tuple(map(int, match[1].split("-")))
    return Scene(shown, None if match[3] is None else int(match[3]), silent=match[2] == "silent")


@dataclass(frozen=True)
class SceneSettings:
    """How scenes become features. Lengths are relative to that of a topic's prototype, which is 1.

    Args:
        prototypes: ``random`` makes up a space in which topics have their prototypes. ``classes``
            takes that of a classifier of pictures, where a topic that is one of its classes, or has
            such among its kinds, looks as that class does, and nothing is seen of any other; of
            the other settings, the numbers of frames are then all that counts.
        width: Dimensions of the space in which topics have their prototypes.
        min_frames: Fewest frames of a video.
        max_frames: Most frames of a video.
        tokens_per_frame: Places of a frame, each of which shows one of the topics. (Learned place
            embeddings need the number that the extractor has.)
        sound_steps: Sound tokens of a video with sound.
        distinctness: Share of a prototype's variance that is its own, 0 to 1; the rest is its
            parent's, so that two kinds of one thing have a cosine of 1 minus this.
        video_noise: Length of what all frames of a video have in common beside their topics.
        frame_noise: Length of what each frame has beside that.
        token_noise: Length of what each token has beside that.
        sound_noise: Length of what each sound token has beside its topic.
        background: Share of a frame's tokens that show no topic, 0 to 1.
        pretrained_known: Share of topics that the pretrained retriever has a name for, 0 to 1; it
            takes others for what they are a kind of.
        pretrained_noise: Share of a video's pretrained embedding that is about topics that it
            doesn't show, 0 to 1.

    Raises:
        ConfigError: If a number is out of range.
    """

    prototypes: Literal["random", "classes"] = "random"
    width: int = 128
    min_frames: int = 2
    max_frames: int = 4
    tokens_per_frame: int = 8
    sound_steps: int = 4
    distinctness: float = 0.5
    video_noise: float = 1.0
    frame_noise: float = 1.0
    token_noise: float = 2.0
    sound_noise: float = 2.0
    background: float = 0.25
    pretrained_known: float = 0.5
    pretrained_noise: float = 0.5

    def __post_init__(self) -> None:
        for name in ("width", "min_frames", "tokens_per_frame", "sound_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_frames < self.min_frames:
            raise ConfigError(f"max_frames must be at least min_frames, got {self.max_frames}")
        for name in ("distinctness", "background", "pretrained_known", "pretrained_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be within 0 and 1, got {getattr(self, name)}")
        for name in ("video_noise", "frame_noise", "token_noise", "sound_noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, repr=False)
class World:
    """All that the features of scenes depend on.

    Args:
        topics: By row; a parent stands before its kinds.
        settings: How scenes become features.
        seed: Of prototypes and noise.
    """

    topics: tuple[Topic, ...]
    settings: SceneSettings
    seed: int

    def __repr__(self) -> str:
        return f"World(topics={len(self.topics)}, seed={self.seed})"


def read_world(folder: Path, metadata: Mapping[str, Any]) -> World | None:
    """The world of a dataset.

    Args:
        folder: Of the dataset.
        metadata: What its ``dataset.json`` says.

    Returns:
        None for a dataset of real videos.

    Raises:
        DataError: If the topics can't be read, or the settings are none.
    """
    if SCENES_KEY not in metadata:
        return None
    try:
        values = dict(metadata[SCENES_KEY])
        seed = int(values.pop("seed"))
        settings = from_dict(SceneSettings, values, where=SCENES_KEY)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: dataset.json has no usable settings of scenes: {error}") from error
    return World(_read_topics(folder / TOPICS_NAME), settings, seed)


def _read_topics(path: Path) -> tuple[Topic, ...]:
    topics: list[Topic] = []
    number = 1
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007
                row = json.loads(line)
                topics.append(Topic(str(row["name"]), row["parent"], str(row.get("synset", ""))))
                parent = topics[-1].parent
                if parent is not None and not 0 <= parent < len(topics) - 1:
                    raise ValueError("its parent doesn't stand before it")
    except OSError as error:
        raise DataError(
            f"{path}: can't be read: {error.strerror or error}; a simulated dataset needs it beside its "
            "manifest"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}, row {number}: not a topic: {error}; build the corpus again") from error
    if not topics:
        raise DataError(f"{path}: holds no topic; build the corpus again")
    return tuple(topics)
