"""The four stages, each of which may run by itself: what goes in, what comes out, and what went wrong.

A stage takes several videos and gives one value for each of them, in order. What went wrong with one
is handed on in place of its value, so that it spoils no other one and needs no second way back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Generic, TypeVar

from ggm.errors import GgmError, MediaError
from ggm.media.sample import FrameChoice
from ggm.recommend import AskedPost, Recommender
from ggm.records import Guidance, Recommendation, Video, VideoFeatures
from ggm.serving.service.decoding import Decoding
from ggm.serving.service.jobs import log_bug
from ggm.serving.service.settings import ServiceSettings
from ggm.serving.service.why import Why, WhyFinder

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where a replica finds the model; each loads it for itself.

    Args:
        model: A shipped bundle's name, or a folder that all machines see.
        device: A torch device.
        pool: A living pool that is followed, by folder or address; None for the bundle's own.
        settings: Limits of a video.
        frames: See `Recommender`.
        runtime: See `Recommender.from_pretrained`, as is the precision.
        precision: Of the weights.
    """

    model: str
    device: str = "cpu"
    pool: str | Path | None = None
    settings: ServiceSettings = field(default_factory=ServiceSettings)
    frames: FrameChoice = "exact"
    runtime: Path | None = None
    precision: str = "fp32"

    def load(self) -> Recommender:
        """Load it; its decoding process isn't kept.

        Raises:
            GgmError: See `Recommender.from_pretrained`.
        """
        recommender = Recommender.from_pretrained(
            self.model,
            device=self.device,
            pool=self.pool,
            frames=self.frames,
            runtime=self.runtime,
            precision=self.precision,
        )
        recommender.worker.close()
        return recommender


@dataclass(frozen=True)
class Handed(Generic[T]):
    """What one stage hands to the next.

    Args:
        value: What it made; None if it made nothing.
        error: Why not.
        seconds: How long this and the stages before took, by name; of the batches that it was in.
        batch: In how large a batch it was.
        notices: What went wrong in decoding but did no harm.
    """

    value: T | None = None
    error: Exception | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    batch: int = 1
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What comes out in the end.

    Args:
        recommendation: The hashtags.
        why: For each of them the guidance closest to it.
    """

    recommendation: Recommendation
    why: Sequence[Why]


class DecodeStage:
    """Stage I: the bytes of a file become frames and sound. `close` it."""

    def __init__(self, recommender: Recommender, settings: ServiceSettings) -> None:
        self._decoding = Decoding(recommender, settings, count=1)
        self._decoding.start()

    def close(self) -> None:
        """End its process."""
        self._decoding.close()

    def run(self, content: bytes, name: str) -> Handed[Video]:
        """Decode one video.

        Args:
            content: Of the file.
            name: What errors call it.
        """
        started = time.perf_counter()
        video, problem = None, None
        try:
            with NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                try:
                    video = self._decoding.decode(Path(file.name))
                except MediaError as error:
                    problem = type(error)(str(error).replace(file.name, name))
        except OSError as error:
            problem = MediaError(f"the video can't be kept: {error.strerror}")
        seconds = {"decode": time.perf_counter() - started}
        return Handed(video, problem, seconds, notices=video.notices if video else ())


class FeaturesStage:
    """Stage II: what the pretrained encoders say."""

    def __init__(self, recommender: Recommender) -> None:
        self._features_of = recommender.features_of

    def run(self, handed: Sequence[Handed[Video]]) -> list[Handed[VideoFeatures]]:
        """Features of several videos in one pass."""
        return _passed("features", handed, self._features_of)


class RetrieveStage:
    """Stage III: the pool's hashtags closest to a video, or to video and description."""

    def __init__(self, recommender: Recommender) -> None:
        self._guide = recommender.guide_posts

    def run(
        self, handed: Sequence[Handed[VideoFeatures]], asked: Sequence[AskedPost]
    ) -> list[Handed[Guidance]]:
        """Guidance for several videos in one search.

        Args:
            handed: One a video.
            asked: One a video.
        """
        rows: list[Handed[Any]] = [
            Handed(
                None if made.value is None else (post, made.value),
                made.error,
                made.seconds,
                notices=made.notices,
            )
            for made, post in zip(handed, asked, strict=True)
        ]
        return _passed("retrieve", rows, self._found)

    def _found(self, rows: Sequence[tuple[AskedPost, VideoFeatures]]) -> list[Guidance]:
        asked, features = zip(*rows, strict=True)
        return self._guide(asked, features)


class GenerateStage:
    """Stages IV to VI: what is written, ranked and left by the policy, and why."""

    def __init__(self, recommender: Recommender) -> None:
        self._write = recommender.write
        self._why = WhyFinder(recommender.bundle.embed_hashtags)

    def run(
        self,
        features: Sequence[Handed[VideoFeatures]],
        guidance: Sequence[Handed[Guidance]],
        asked: Sequence[AskedPost],
    ) -> list[Handed[Found]]:
        """Hashtags for several videos in one pass.

        Args:
            features: One a video.
            guidance: One a video; it has the error of whatever failed before.
            asked: One a video.
        """
        rows: list[Handed[Any]] = [
            Handed(
                None if found.error else (made.value, found.value, post),
                found.error,
                found.seconds,
                notices=found.notices,
            )
            for made, found, post in zip(features, guidance, asked, strict=True)
        ]
        return _passed("generate", rows, self._found)

    def _found(self, rows: Sequence[tuple[VideoFeatures, Guidance, AskedPost]]) -> list[Found]:
        features, guidance, asked = zip(*rows, strict=True)
        return [Found(answer, self._why.of(answer)) for answer in self._write(asked, features, guidance)]


def _passed(
    stage: str, handed: Sequence[Handed[In]], work: Callable[[Sequence[Any]], Sequence[Out]]
) -> list[Handed[Out]]:
    """Work on those that have a value, together; if that fails, one by one."""
    rows = [row for row, one in enumerate(handed) if one.value is not None]
    answers: list[Handed[Out]] = [Handed(None, one.error, one.seconds, notices=one.notices) for one in handed]
    groups = [rows]
    while groups:
        group = groups.pop()
        if not group:
            continue
        started = time.perf_counter()
        made: Sequence[Out | None]
        problem: Exception | None = None
        try:
            made = work([handed[row].value for row in group])
        except Exception as error:
            if len(group) > 1:  # one of them must not spoil the others
                groups += [[row] for row in group]
                continue
            if not isinstance(error, GgmError):
                log_bug(stage, error)
            made, problem = [None], error
        seconds = {stage: time.perf_counter() - started}
        for row, value in zip(group, made, strict=True):
            before = handed[row]
            answers[row] = Handed(value, problem, before.seconds | seconds, len(group), before.notices)
    return answers
