"""What is done with a batch: its videos are decoded, and what was decoded becomes annotations."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ggm.bulk.plan import Batch, Problem, Span, Turn
from ggm.bulk.settings import Settings
from ggm.bundle import Bundle, load_bundle
from ggm.errors import MediaError, MediaTimeoutError
from ggm.features.cache import FeatureCache
from ggm.media.guard import DecodingWorker
from ggm.media.sample import FrameChoice
from ggm.media.workers import DecodingWorkers
from ggm.recommend import DecodedPost, Recommender, check_device
from ggm.records import Recommendation, Video, VideoFeatures

Decoded = Video | MediaError | None
"""A video, why it can't be used, or nothing where the row names none."""

_SPOILT: Final = (OSError, ValueError)  # what a video may bring the encoders to raise; a bug is none of these


@dataclass(frozen=True)
class Annotation:
    """What became of one row of the manifest.

    Args:
        row: Its number.
        id: Of its clip, where it has one.
        hashtags: Canonical, best first; None where none were wanted or there is a problem.
        scores: One a hashtag, 0 to 1.
        sources: One a hashtag, see `ggm.records.Source`.
        problem: Why there is nothing.
    """

    row: int
    id: str | None
    hashtags: tuple[str, ...] | None = None
    scores: tuple[float, ...] | None = None
    sources: tuple[str, ...] | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Answers:
    """The annotations of one batch.

    Args:
        shard: That it belongs to.
        annotations: In the manifest's order.
    """

    shard: int
    annotations: tuple[Annotation, ...]

    def to_json(self) -> str:
        """For another process."""
        rows: list[list[Any]] = []
        for one in self.annotations:
            problem = None if one.problem is None else [one.problem.kind, one.problem.reason]
            rows.append([one.row, one.id, one.hashtags, one.scores, one.sources, problem])
        return json.dumps([self.shard, rows])

    @classmethod
    def from_json(cls, text: str) -> Answers:
        """The reverse of `to_json`; numbers are the same to the last bit."""
        shard, rows = json.loads(text)
        return cls(
            shard,
            tuple(
                Annotation(
                    row,
                    id_,
                    *(None if values is None else tuple(values) for values in lists),
                    problem=None if problem is None else Problem(*problem),
                )
                for row, id_, *lists, problem in rows
            ),
        )


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Args:
        manifest: Its absolute path.
        spans: The shards that aren't there yet.
        settings: What is wanted.
        bundle_fingerprint: Of the model.
        features_folder: Of the feature cache, if features are wanted.
    """

    manifest: Path
    spans: tuple[Span, ...]
    settings: Settings
    bundle_fingerprint: str
    features_folder: Path | None = None


class Engine(Protocol):
    """Where work is done."""

    def __call__(self, work: Work, /) -> Generator[Answers, None, None]:
        """Do it, and give the answers of each batch once, in any order.

        Raises:
            GgmError: While iterating: what is wrong with the system itself or the place.
        """


@dataclass(frozen=True)
class Decoding:
    """How videos are decoded for a bundle.

    Args:
        short_side: Of the frames, in pixels.
        sound_rate_hz: None where no sound is heard.
        frames: Which frames.
    """

    short_side: int
    sound_rate_hz: int | None
    frames: FrameChoice = "exact"

    def __call__(self, turn: Turn, workers: DecodingWorkers) -> Decoded:
        """Decode one video in a limited process. What its death leaves open is tried a second time.

        Raises:
            MediaError: If no process can be started here, whatever the video.
        """
        if turn.clip is None:
            return None
        for last in (False, True):
            workers.ensure_started()
            try:
                return workers.decode(
                    turn.clip.video,
                    short_side=self.short_side,
                    sound_rate_hz=self.sound_rate_hz,
                    frames=self.frames,
                )
            except MediaTimeoutError as error:  # the file's fault, or somebody killed the process
                if last:
                    return error
            except MediaError as error:
                return error
        raise AssertionError("the last turn returns")


class Annotator:
    """A loaded system that annotates batches. Close it, or use it in a ``with`` block.

    Args:
        settings: What is wanted.
        features_folder: Of the feature cache; needed if features are wanted.

    Raises:
        BundleError: If the bundle can't be loaded, or lacks what is wanted.
        ConfigError: If there is no such device here.
        PoolError: If the pool is none, is damaged, or of another retriever.
        MissingDependencyError: If ONNX Runtime is wanted and isn't installed.
    """

    def __init__(self, settings: Settings, features_folder: Path | None = None) -> None:
        self.settings = settings
        self.recommender: Recommender | None = None
        if settings.hashtags:
            self.recommender = Recommender.from_pretrained(
                settings.model,
                device=settings.device,
                pool=settings.pool,
                frames=settings.frames,
                runtime=settings.runtime,
                worker=DecodingWorker(),  # never started: videos come decoded
            )
            self.bundle: Bundle = self.recommender.bundle
            if settings.fitting:
                self.recommender.check_fitting()
        else:
            check_device(settings.device)
            self.bundle = load_bundle(settings.model, device=settings.device)
        self.cache: FeatureCache | None = None
        if settings.features and features_folder is not None:
            self.cache = FeatureCache(features_folder, self.bundle.extractor.fingerprint)

    @property
    def decoding(self) -> Decoding:
        """How its videos must be decoded."""
        extractor = self.bundle.extractor
        return Decoding(extractor.short_side, extractor.sound_rate_hz, self.settings.frames)

    def close(self) -> None:
        """Write the features that wait, and close their files.

        Raises:
            DataError: If they can't be written.
        """
        if self.cache is not None:
            self.cache.close()

    def __enter__(self) -> Annotator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, batch: Batch, videos: Sequence[Decoded]) -> Answers:
        """Annotate a batch. Its features are on the disk when this returns.

        Args:
            batch: Any rows.
            videos: One a row.

        Raises:
            PoolError: If the pool is empty.
            DataError: If features can't be written, for instance because the disk is full.
        """
        problems: dict[int, Problem] = {}
        good: dict[int, Video] = {}
        for index, (turn, video) in enumerate(zip(batch.turns, videos, strict=True)):
            if turn.problem is not None:
                problems[index] = turn.problem
            elif isinstance(video, Exception):
                problems[index] = Problem.of(video)
            elif video is not None:
                good[index] = video
        features: dict[int, VideoFeatures] | None = None
        if self.cache is not None:
            features = self._keep_features(self.cache, batch, good, problems)
            good = {index: video for index, video in good.items() if index not in problems}
        found = self._recommend(batch, good, features, problems) if self.settings.hashtags else {}
        return Answers(
            batch.shard,
            tuple(
                _annotation(turn, found.get(index), problems.get(index))
                for index, turn in enumerate(batch.turns)
            ),
        )

    def _keep_features(
        self, cache: FeatureCache, batch: Batch, videos: dict[int, Video], problems: dict[int, Problem]
    ) -> dict[int, VideoFeatures]:
        """Encode videos singly, as training does: to the last bit the features are then the same."""
        features = {}
        for index, video in videos.items():
            path = _path(batch.turns[index])
            try:
                features[index] = self.bundle.extractor.extract(video)
                if path not in cache:
                    cache.put(path, features[index])
            except (MediaError, *_SPOILT) as error:
                problems[index] = Problem.of(error)
        cache.flush()
        return features

    def _recommend(
        self,
        batch: Batch,
        videos: dict[int, Video],
        features: dict[int, VideoFeatures] | None,
        problems: dict[int, Problem],
    ) -> dict[int, Recommendation]:
        """All together; if that fails each by itself, so that a video spoils its own row only."""
        assert self.recommender is not None  # made with the settings
        posts = {index: self._post(batch.turns[index], video) for index, video in videos.items()}
        known = None if features is None else [features[index] for index in posts]
        try:
            answers = self.recommender.recommend_decoded(list(posts.values()), features=known)
            return dict(zip(posts, answers, strict=True))
        except _SPOILT:
            found = {}
            for index, post in posts.items():
                try:
                    one = None if features is None else [features[index]]
                    (found[index],) = self.recommender.recommend_decoded([post], features=one)
                except _SPOILT as error:
                    problems[index] = Problem.of(error)
            return found

    def _post(self, turn: Turn, video: Video) -> DecodedPost:
        assert turn.clip is not None  # it was decoded
        wanted = self.settings
        return DecodedPost(
            video,
            turn.clip.description,
            str(turn.clip.video),
            wanted.top,
            wanted.fitting,
            wanted.policy,
        )


def _path(turn: Turn) -> Path:
    assert turn.clip is not None  # it was decoded
    return turn.clip.video


def _annotation(turn: Turn, answer: Recommendation | None, problem: Problem | None) -> Annotation:
    if problem is not None or answer is None:
        return Annotation(turn.row, turn.id, problem=problem)
    return Annotation(
        turn.row,
        turn.id,
        tuple(item.text for item in answer.hashtags),
        tuple(item.score for item in answer.hashtags),
        tuple(item.source for item in answer.hashtags),
    )
