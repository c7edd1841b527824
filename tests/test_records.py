"""The values that travel between stages refuse to be wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggm import records
from ggm.errors import DataError
from ggm.records import (
    Frames,
    GeneratedHashtag,
    Guidance,
    Hit,
    Post,
    Recommendation,
    RecommendedHashtag,
    Sound,
    Video,
    VideoFeatures,
)


def frames(count: int = 3, **changed: Any) -> Frames:
    values = {
        "pixels": np.zeros((count, 4, 6, 3), np.uint8),
        "timestamps_seconds": np.arange(count, dtype=np.float64),
    }
    return Frames(**{**values, **changed})


def features(count: int = 3, **changed: Any) -> VideoFeatures:
    values = {
        "frame_embeddings": np.zeros((count, 8), np.float32),
        "frame_pooled": np.zeros((count, 12), np.float32),
        "frame_tokens": np.zeros((count, 5, 7), np.float16),
        "sound_tokens": np.zeros((4, 9), np.float32),
    }
    return VideoFeatures(**{**values, **changed})


def test_post_needs_an_id_and_a_hashtag() -> None:
    post = Post("1", Path("a.mp4"), "", ("snow",))
    assert (post.author, post.created_at, post.split) == (None, None, None)
    with pytest.raises(DataError, match="needs an id"):
        Post("", Path("a.mp4"), "", ("snow",))
    with pytest.raises(DataError, match="post '1' has no hashtag"):
        Post("1", Path("a.mp4"), "", ())


def test_frames() -> None:
    assert len(frames(3)) == 3
    assert repr(frames(3)) == "Frames(3x4x6x3)"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pixels": np.zeros((3, 4, 6), np.uint8)}, "pixels must be .*got \\(3, 4, 6\\)"),
        ({"pixels": np.zeros((3, 4, 6, 4), np.uint8)}, "pixels must be .*got \\(3, 4, 6, 4\\)"),
        ({"pixels": np.zeros((0, 4, 6, 3), np.uint8), "timestamps_seconds": np.zeros(0)}, "pixels must be"),
        ({"pixels": np.zeros((3, 4, 6, 3), np.float32)}, "uint8, got float32"),
        ({"timestamps_seconds": np.zeros(2)}, "one timestamp a frame"),
        ({"timestamps_seconds": np.zeros((3, 1))}, "one timestamp a frame"),
    ],
)
def test_frames_check_their_arrays(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        frames(**changed)


def test_sound() -> None:
    sound = Sound(np.zeros(24_000, np.float32), 16_000)
    assert sound.duration_seconds == 1.5
    assert repr(sound) == "Sound(1.50 s at 16000 Hz)"


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (np.zeros((2, 5), np.float32), 16_000, "samples must be .*got \\(2, 5\\)"),
        (np.zeros(0, np.float32), 16_000, "samples must be"),
        (np.zeros(5, np.float32), 0, "positive, got 0"),
        (np.zeros(5, np.float32), -1, "positive, got -1"),
    ],
)
def test_sound_checks_its_samples(samples: Any, rate: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Sound(samples, rate)


def test_features() -> None:
    assert repr(features()) == "VideoFeatures(embeddings=3x8, pooled=3x12, tokens=3x5x7, sound=4x9)"
    assert repr(features(sound_tokens=None)).endswith("sound=None)")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"frame_tokens": np.zeros((3, 7))}, "frame_tokens must be .*got \\(3, 7\\)"),
        ({"frame_tokens": np.zeros((0, 5, 7))}, "at least one frame"),
        ({"frame_embeddings": np.zeros((2, 8))}, "frame_embeddings must be \\(3, width\\), got \\(2, 8\\)"),
        ({"frame_embeddings": np.zeros(3)}, "frame_embeddings must be"),
        ({"frame_pooled": np.zeros((4, 12))}, "frame_pooled must be \\(3, width\\), got \\(4, 12\\)"),
        ({"frame_pooled": np.zeros((3, 12, 1))}, "frame_pooled must be"),
        ({"sound_tokens": np.zeros((0, 9))}, "sound_tokens must be .*got \\(0, 9\\)"),
        ({"sound_tokens": np.zeros(9)}, "sound_tokens must be"),
    ],
)
def test_features_check_their_arrays(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        features(**changed)


def test_guidance_is_in_descending_similarity() -> None:
    guidance = Guidance((Hit("snow", 0.9), Hit("ice", 0.9), Hit("sun", -0.2)))
    assert guidance.texts == ("snow", "ice", "sun")
    assert len(guidance) == 3
    assert len(Guidance()) == 0
    with pytest.raises(ValueError, match="descending similarity"):
        Guidance((Hit("sun", -0.2), Hit("snow", 0.9)))


def test_defaults_are_not_shared() -> None:
    def recommendation() -> Recommendation:
        return Recommendation("clip.mp4", "", (), Guidance())

    recommendation().seconds["total"] = 1.0
    assert recommendation().seconds == {}


@pytest.mark.parametrize(
    "value",
    [
        Post("1", Path("a.mp4"), "", ("snow",)),
        frames(),
        Sound(np.zeros(5, np.float32), 16_000),
        Video(frames(), None, 3.0),
        features(),
        Hit("snow", 0.5),
        Guidance(),
        GeneratedHashtag("snow", 0.5, in_best_beam=True),
        RecommendedHashtag("snow", "Snow", 0.5, "guidance"),
        Recommendation("clip.mp4", "", (), Guidance()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_records_are_frozen(value: Any) -> None:
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


def test_every_record_is_a_frozen_dataclass() -> None:
    classes = [c for c in vars(records).values() if isinstance(c, type) and c.__module__ == records.__name__]
    assert len(classes) >= 10
    assert all(dataclasses.is_dataclass(c) and c.__dataclass_params__.frozen for c in classes)  # type: ignore[attr-defined]
