"""The values that travel between the stages: a file becomes a `Video`, that becomes
`VideoFeatures`, these find `Guidance`, and all together become a `Recommendation`.

All are frozen and check themselves; arrays are numpy, so that this module stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ggm.errors import DataError

FloatArray = npt.NDArray[np.floating[Any]]
"""Features: float32 when fresh, float16 when read from the cache."""

Source = Literal["guidance", "vocabulary", "description", "history", "novel"]
"""Where a recommended hashtag comes from: it stood in the guidance; it is otherwise known
(part of the training vocabulary or the pool); its creator wrote it, into the description or into
earlier posts; or it was coined. The first of these that holds."""

PolicyAction = Literal["removed", "merged", "renamed", "damped"]
"""What a policy did to a hashtag."""

PolicyRule = Literal[
    "alias",
    "block",
    "characters",
    "duplicate",
    "generic",
    "harmful",
    "length",
    "min_score",
    "novel",
    "script",
    "total_length",
]
"""Which rule of a policy did it."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Post:
    """One training or test sample (paper, section 4.1).

    Args:
        id: Unique within its dataset.
        video: Path of the video file.
        description: What the creator wrote, without its hashtags; may be empty.
        hashtags: Canonical hashtags (see `ggm.hashtags.normalise`), at least one, no duplicates.
        author: Who posted it.
        created_at: ISO 8601 date and time.
        split: Name of the split it belongs to, such as ``train``.

    Raises:
        DataError: If the id is empty or there is no hashtag.
    """

    id: str
    video: Path
    description: str
    hashtags: tuple[str, ...]
    author: str | None = None
    created_at: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a post needs an id")
        if not self.hashtags:
            raise DataError(f"post {self.id!r} has no hashtag")


@dataclass(frozen=True, repr=False)
class Frames:
    """Sampled frames of one video, in order of time.

    Args:
        pixels: uint8 of shape (frames, height, width, 3), RGB, upright.
        timestamps_seconds: When each is shown, from the start of the video; float64 (frames,).
    """

    pixels: npt.NDArray[np.uint8]
    timestamps_seconds: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        _check(
            len(shape) == 4 and shape[0] > 0 and shape[3] == 3,
            f"pixels must be (frames>0, height, width, 3), got {shape}",
        )
        _check(self.pixels.dtype == np.uint8, f"pixels must be uint8, got {self.pixels.dtype}")
        _check(self.timestamps_seconds.shape == shape[:1], "one timestamp a frame is needed")

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def __repr__(self) -> str:
        return f"Frames({'x'.join(map(str, self.pixels.shape))})"


@dataclass(frozen=True, repr=False)
class Sound:
    """The sound of one video.

    Args:
        samples: float32 of shape (samples,), mono, within about -1 to 1.
        sample_rate_hz: Samples a second.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        _check(
            self.samples.ndim == 1 and self.samples.size > 0,
            f"samples must be (samples>0,), got {self.samples.shape}",
        )
        _check(self.sample_rate_hz > 0, f"sample_rate_hz must be positive, got {self.sample_rate_hz}")

    @property
    def duration_seconds(self) -> float:
        """Length of the sound."""
        return self.samples.size / self.sample_rate_hz

    def __repr__(self) -> str:
        return f"Sound({self.duration_seconds:.2f} s at {self.sample_rate_hz} Hz)"


@dataclass(frozen=True)
class Video:
    """What was read from one video file.

    Args:
        frames: The sampled frames.
        sound: Its first seconds of sound, or None when it has none or none was asked for.
        duration_seconds: Length of the whole video.
        notices: What went wrong but did no harm, such as damaged packets that were skipped.
    """

    frames: Frames
    sound: Sound | None
    duration_seconds: float
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class VideoFeatures:
    """What the pretrained encoders say of one video.

    Args:
        frame_embeddings: (frames, embedding) in the retriever's joint space of frames and text.
        frame_pooled: (frames, channels), each frame's pooled activations before that space.
        frame_tokens: (frames, tokens, width), the generator's patch tokens w (paper, section 3.2).
        sound_tokens: (steps, width), the audio feature a; None for a video without sound.
    """

    frame_embeddings: FloatArray
    frame_pooled: FloatArray
    frame_tokens: FloatArray
    sound_tokens: FloatArray | None = None

    def __post_init__(self) -> None:
        _check(
            self.frame_tokens.ndim == 3,
            f"frame_tokens must be (frames, tokens, width), got {self.frame_tokens.shape}",
        )
        frames = self.frame_tokens.shape[0]
        _check(frames > 0, "at least one frame is needed")
        for name in ("frame_embeddings", "frame_pooled"):
            shape = getattr(self, name).shape
            _check(len(shape) == 2 and shape[0] == frames, f"{name} must be ({frames}, width), got {shape}")
        if self.sound_tokens is not None:
            shape = self.sound_tokens.shape
            _check(len(shape) == 2 and shape[0] > 0, f"sound_tokens must be (steps>0, width), got {shape}")

    def __repr__(self) -> str:
        sound = None if self.sound_tokens is None else "x".join(map(str, self.sound_tokens.shape))
        return (
            f"VideoFeatures(embeddings={'x'.join(map(str, self.frame_embeddings.shape))}, "
            f"pooled={'x'.join(map(str, self.frame_pooled.shape))}, "
            f"tokens={'x'.join(map(str, self.frame_tokens.shape))}, sound={sound})"
        )


@dataclass(frozen=True)
class Hit:
    """One hashtag found in the pool, with its cosine similarity (paper, equation 2)."""

    text: str
    similarity: float


@dataclass(frozen=True)
class Guidance:
    """The top-k pool hashtags for a video, in descending similarity."""

    hits: tuple[Hit, ...] = ()

    def __post_init__(self) -> None:
        similarities = [hit.similarity for hit in self.hits]
        _check(similarities == sorted(similarities, reverse=True), "hits must be in descending similarity")

    @property
    def texts(self) -> tuple[str, ...]:
        """The hashtags alone."""
        return tuple(hit.text for hit in self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class GeneratedHashtag:
    """One hashtag that the generator wrote.

    Args:
        text: Canonical hashtag.
        score: Share of the beams' probability that contains it, 0 to 1.
        in_best_beam: Whether the most likely sequence contains it.
    """

    text: str
    score: float
    in_best_beam: bool


@dataclass(frozen=True)
class RecommendedHashtag:
    """One recommended hashtag.

    Args:
        text: Canonical hashtag, without ``#``.
        display: How to show it, such as ``ColdWeather``, without ``#``.
        score: 0 to 1, higher is better; the list is in descending score.
        source: Where it comes from.
        flagged: Whether it is novel and the policy marks such hashtags, for somebody to look at.
    """

    text: str
    display: str
    score: float
    source: Source
    flagged: bool = False


@dataclass(frozen=True)
class PolicyChange:
    """What a policy did to one hashtag, and why.

    Args:
        text: The hashtag before.
        action: What was done.
        rule: By which rule.
        matched: What made the rule apply: the pattern, the word, the character, the figures.
        score: Its score before.
        result: The hashtag that it was renamed to or merged with; None where there is none.
    """

    text: str
    action: PolicyAction
    rule: PolicyRule
    matched: str
    score: float
    result: str | None = None


@dataclass(frozen=True)
class Recommendation:
    """The answer for one video.

    Args:
        video: The path as it was given.
        description: The description that was used, without inline hashtags.
        hashtags: Ranked, best first.
        guidance: What the retriever found, in descending similarity, without what the policy won't
            have shown.
        notices: What the user should know, such as skipped packets or a shortened description.
        seconds: Time spent in ``decode``, ``features``, ``retrieve``, ``generate`` and ``total``.
        changes: What the policy removed, merged, renamed or damped on the way to these hashtags.
    """

    video: str
    description: str
    hashtags: tuple[RecommendedHashtag, ...]
    guidance: Guidance
    notices: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    changes: tuple[PolicyChange, ...] = ()
