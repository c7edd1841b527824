"""A loaded system that annotates batches of decoded videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ggm.bulk.decoding import Decoded, Decoding
from ggm.bulk.plan import Batch, Problem, Turn
from ggm.bulk.settings import Settings
from ggm.bulk.work import Annotation, Answers
from ggm.bundle import Bundle, load_bundle
from ggm.errors import MediaError
from ggm.features.cache import FeatureCache
from ggm.media.guard import DecodingWorker
from ggm.recommend import DecodedPost, Recommender, check_device
from ggm.records import Recommendation, Video, VideoFeatures

_SPOILT: Final = (OSError, ValueError)  # what a video may bring the encoders to raise; a bug is none of these


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
        """Let go of the pool, write the features that wait, and close their files.

        Raises:
            DataError: If they can't be written.
        """
        if self.recommender is not None:
            self.recommender.close()
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
            description=turn.clip.description,
            name=str(turn.clip.video),
            top=wanted.top,
            fitting=wanted.fitting,
            policy=wanted.policy,
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
