"""What a run has to do, what comes of it, and where it may be done."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ggm.bulk.plan import Problem, Span
from ggm.bulk.settings import Settings


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
                    None if hashtags is None else tuple(hashtags),
                    None if scores is None else tuple(scores),
                    None if sources is None else tuple(sources),
                    None if problem is None else Problem(*problem),
                )
                for row, id_, hashtags, scores, sources, problem in rows
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
