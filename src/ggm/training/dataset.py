"""A dataset folder opened for a run: its posts by split, with features or with frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ggm.corpus.manifest import BadRow, Dataset, load_dataset
from ggm.errors import DataError
from ggm.features.cache import FeatureCache
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts, PostFeatures, featured_posts
from ggm.features.simulation import SimulatedPosts, VideoSimulator
from ggm.features.videos import DecodedPosts, VideoCache, decoded_posts
from ggm.media.workers import available_processors
from ggm.records import Post
from ggm.scenes import read_world
from ggm.training.trainer import (
    gathered,
    is_main_process,
    main_process_first,
    num_local_processes,
    num_processes,
    share_of,
)

T = TypeVar("T")

Bar = Callable[[str], Callable[..., None]]
"""bar(name) starts a progress bar and returns its callback (done, total[, loss])."""

Warn = Callable[[str], None]
"""Told, in a sentence, of what was left out."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def no_bar(_name: str) -> Callable[..., None]:
    """A `Bar` that shows nothing."""
    return lambda *_progress: None


def no_warning(_message: str) -> None:
    """A `Warn` that tells nobody."""


@dataclass(frozen=True)
class Features:
    """Posts of one dataset with their features. What can't be used is left out and remembered.

    Args:
        extractor: That made them.
        cache: Folder of the feature cache.
        dataset: Where the posts come from.
        bar: For progress.
        warn: Told of each split how much of it was left out.
        rejected: Why rows of the manifest (``row 7``) and posts (``post 12``) can't be used; grows
            as splits are asked for.
        cache_bytes: Size that the cached features, and the decoded frames, may each have on disk;
            those that were not used for longest are removed, and computed again when they are
            needed. None for no limit.
        failures: Why videos can't be used; none is tried twice.
        simulator: Makes the features of a dataset whose videos are simulated; None for real ones.
    """

    extractor: FeatureExtractor
    cache: Path
    dataset: Dataset
    bar: Bar = no_bar
    warn: Warn = no_warning
    rejected: dict[str, str] = field(default_factory=dict)
    cache_bytes: int | None = None
    failures: dict[Path, Exception] = field(default_factory=dict)
    simulator: VideoSimulator | None = None

    def split(self, name: str) -> PostFeatures:
        """The posts of one split that have features.

        Raises:
            DataError: If there is no such split, or none of its videos can be used.
        """
        posts = self.dataset.split(name)
        if self.simulator is not None:
            return SimulatedPosts(posts, self.simulator)
        bar = self.bar(f"features of {name}") if is_main_process() else None

        def extract(some: Sequence[Post]) -> tuple[FeaturedPosts, dict[str, str]]:
            # Opened anew: it then knows the contents of files that other processes have read.
            kept = FeatureCache(self.cache, self.extractor.fingerprint, max_bytes=self.cache_bytes)
            workers = max(1, available_processors() // num_local_processes())
            return featured_posts(
                some, self.extractor, kept, num_workers=workers, failures=self.failures, progress=bar
            )

        data, errors = self._shared(posts, extract)
        self._leave_out(name, errors, of=len(posts))
        return data

    def decoded(self, name: str) -> DecodedPosts:
        """The posts of one split whose videos can be decoded, for encoders that learn.

        Raises:
            DataError: If there is no such split, or none of its videos can be used.
        """
        posts = self.dataset.split(name)
        if self.simulator is not None:
            raise DataError(
                f"{self.dataset.folder}: its videos are simulated, there is nothing to decode: train heads "
                'and generator on frozen encoders (trained = "heads", no train_vision, no train_sound)'
            )
        bar = self.bar(f"frames of {name}") if is_main_process() else None

        def decode(some: Sequence[Post]) -> tuple[DecodedPosts, dict[str, str]]:
            videos = VideoCache(self.cache, self.extractor, max_bytes=self.cache_bytes)
            return decoded_posts(some, videos, failures=self.failures, progress=bar)

        data, errors = self._shared(posts, decode)
        self._leave_out(name, errors, of=len(posts))
        return data

    def _shared(
        self, posts: Sequence[Post], work: Callable[[Sequence[Post]], tuple[T, dict[str, str]]]
    ) -> tuple[T, dict[str, str]]:
        """Work on this process's share of the posts, then find what the others did in the cache.

        All agree on what can't be used: a video that one of them couldn't read is left out by each.
        """
        if num_processes() > 1:
            work(share_of(posts))
            for failures in gathered(dict(self.failures)):
                self.failures.update(failures)
        with main_process_first():
            return work(posts)

    def _leave_out(self, name: str, errors: dict[str, str], *, of: int) -> None:
        """Remember and tell why posts of a split can't be used.

        Raises:
            DataError: If none can.
        """
        self.rejected.update({f"post {post}": reason for post, reason in errors.items()})
        if len(errors) == of:
            raise DataError(
                f"{self.dataset.folder}: no video of split {name!r} can be used: {_first(errors)}"
            )
        if errors:
            self.warn(
                f"{self.dataset.folder}: left out {len(errors):,} of {of:,} posts "
                f"of split {name!r}; the first: {_first(errors)}"
            )


def open_features(
    data: Path,
    extractor: FeatureExtractor,
    *,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> Features:
    """Open a dataset for an extractor; features are extracted when a split is asked for.

    Args:
        data: Dataset folder.
        extractor: The frozen encoders.
        cache: Folder of the feature cache; by default ``features`` in the dataset folder.
        cache_bytes: See `Features`.
        bar: For progress.
        warn: See `Features`; also told of bad rows of the manifest.

    Raises:
        DataError: If there is no manifest, or no row of it can be used.
    """
    rejected: dict[str, str] = {}

    def reject(row: BadRow) -> None:
        rejected[f"row {row.number}"] = row.reason

    try:
        dataset = load_dataset(data, on_bad_row=reject)
    except DataError as error:
        raise DataError(f"{error}: {_first(rejected)}" if rejected else str(error)) from error
    if rejected:
        warn(
            f"{data}: rows of the manifest that were left out: {len(rejected):,}; "
            f"the first: {_first(rejected)}"
        )
    world = read_world(data, dataset.metadata)
    simulator = None if world is None else VideoSimulator(world, extractor)
    return Features(
        extractor, cache or data / "features", dataset, bar, warn, rejected, cache_bytes, simulator=simulator
    )


def _first(reasons: dict[str, str]) -> str:
    return next(iter(reasons.values()))
