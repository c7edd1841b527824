"""Every list of predictions of a reproduction, measured once; scores of each post, averaged over seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

import numpy as np

from ggm.corpus.assignment import UNSEEN
from ggm.errors import DataError
from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import Comparison, paired_bootstrap
from ggm.evaluation.metrics import PostScores
from ggm.evaluation.predictions import Prediction
from ggm.evaluation.score import MeasuredPosts, TextScorer, measure
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.systems import SYSTEMS, equivalents
from ggm.reproduce.work import IN_POOL
from ggm.training.dataset import TEST, VALIDATION

PAPERS_COUNT: Final = 5
"""How many hashtags of a ranked list the paper counts as the prediction."""
MOST_COUNTED: Final = 10
"""Up to how many are tried."""
RECALL_AT: Final = (1, 5, 10, 25, 50, 100)

_RANKED: Final = frozenset(system.name for system in SYSTEMS if system.kind != "generator")

Score = Literal["rouge_1", "rouge_2", "precision", "recall", "f1", "bert_f1", "num_hashtags"]


@dataclass(frozen=True)
class Entry:
    """What is scored.

    Args:
        system: Its name.
        what: Of which posts, by which checkpoint: ``test``, ``validation``, ``unseen``,
            ``unseen-in-pool``, or ``best-2`` and so on for the test posts by the next best checkpoints.
        top: How many hashtags of each list count; None for all.
    """

    system: str
    what: str = TEST
    top: int | None = None


@dataclass(frozen=True)
class Paired:
    """Two entries on the same posts, the first minus the second.

    Args:
        comparison: Of the means over their common seeds.
        seeds: How many these are.
        seeds_ahead: In how many of them the first has the higher mean.
    """

    comparison: Comparison
    seeds: int
    seeds_ahead: int


class Scoreboard:
    """The scores of a reproduction.

    Args:
        done: What was predicted.
        bert: For BERTScore; None leaves it out. Each pair of texts is scored once, whichever systems and
            seeds have it, so that its scores must not depend on what else is scored (no idf).
    """

    def __init__(self, done: Reproduction, *, bert: TextScorer | None = None) -> None:
        self.done, self._bert = done, bert
        self._measured: dict[Entry, dict[int, MeasuredPosts]] = {}
        self._bert_scores: dict[tuple[str, str], float] = {}

    @property
    def has_bert(self) -> bool:
        """Whether BERTScore is asked for."""
        return self._bert is not None

    @property
    def aliases(self) -> dict[str, str]:
        """Names that stand for another system of this recipe, which was run."""
        names = equivalents(has_sound=self.done.has_sound)
        names[f"GGM k={self.done.recipe.generator.top_k}"] = "GGM"
        return {name: target for name, target in names.items() if target in self.done.predictions}

    def name(self, system: str) -> str:
        """The system that a name stands for; itself, mostly."""
        return self.aliases.get(system, system)

    def ranks(self, system: str) -> bool:
        """Whether a system ranks a vocabulary, so that its lists are cut."""
        return system in _RANKED

    def entry(self, system: str, *, what: str = TEST) -> Entry:
        """A system as the paper scores it: ranked lists are cut to five."""
        system = self.name(system)
        return Entry(system, what, PAPERS_COUNT if self.ranks(system) else None)

    def has(self, entry: Entry) -> bool:
        """Whether there are predictions."""
        return bool(self.predictions(entry))

    def predictions(self, entry: Entry) -> Mapping[int, Sequence[Prediction]]:
        """By seed; empty if there are none."""
        done, what = self.done, entry.what
        runs = {
            TEST: done.predictions,
            VALIDATION: done.validation,
            UNSEEN: done.unseen,
            IN_POOL: done.unseen_in_pool,
        }
        if what in runs:
            return runs[what].get(entry.system, {})
        place = int(what.removeprefix("best-")) - 2
        others = done.next_best.get(entry.system, {})
        return {seed: lists[place] for seed, lists in others.items() if len(lists) > place}

    def measured(self, entry: Entry) -> dict[int, MeasuredPosts]:
        """By seed, posts in order of their ids.

        Raises:
            DataError: If the seeds predicted for different posts.
        """
        if entry not in self._measured:
            runs = {
                seed: measure(sorted(predictions, key=lambda one: one.id), top=entry.top)
                for seed, predictions in self.predictions(entry).items()
            }
            if len({_ids(posts) for posts in runs.values()}) > 1:
                raise DataError(f"{entry.system}: the seeds predicted for different posts")
            self._measured[entry] = runs
        return self._measured[entry]

    def by_seed(self, entry: Entry, score: Score = "rouge_1") -> dict[int, PostScores]:
        """The score of each post by seed, posts in order of their ids."""
        runs = self.measured(entry)
        if score == "bert_f1":
            return self._bert_f1(entry)
        if score in ("rouge_1", "rouge_2"):
            return {seed: getattr(posts.rouge, score) for seed, posts in runs.items()}
        if score == "num_hashtags":
            return {seed: metrics.num_predicted(posts.found) for seed, posts in runs.items()}
        return {seed: getattr(posts.match, score) for seed, posts in runs.items()}

    def mean(
        self, entry: Entry, score: Score = "rouge_1", *, seeds: Collection[int] | None = None
    ) -> PostScores:
        """The score of each post, the mean over seeds.

        Args:
            entry: What has predictions.
            score: Which one.
            seeds: Those that count; all by default.
        """
        runs = self.by_seed(entry, score)
        mean: PostScores = np.mean([runs[seed] for seed in runs if seeds is None or seed in seeds], axis=0)
        return mean

    def recalls(self, entry: Entry, *, of: Collection[str] | None = None) -> dict[int, dict[int, PostScores]]:
        """Recall@k of each post by seed and k, posts in order of their ids, always of the whole list.

        Args:
            entry: What has predictions.
            of: Keys of the reference hashtags that count; all by default.
        """
        found = {}
        for seed, posts in self.measured(entry).items():
            pairs = metrics.distinct_pairs([one.hashtags for one in posts.predictions], posts.wanted)
            values = np.array([_recalls(*pair, of) for pair in pairs])  # (posts, ks)
            found[seed] = {k: values[:, column] for column, k in enumerate(RECALL_AT)}
        return found

    def compare(self, first: Entry, second: Entry, score: Score = "rouge_1") -> Paired | None:
        """Compare two entries on the same posts; None if no seed ran both.

        Raises:
            DataError: If they are of different posts.
        """
        common = sorted(self.measured(first).keys() & self.measured(second).keys())
        if not common:
            return None
        if self.ids(first) != self.ids(second):
            raise DataError(f"{first.system} and {second.system} predicted for different posts")
        one, other = (self.by_seed(entry, score) for entry in (first, second))
        return Paired(
            paired_bootstrap(self.mean(first, score, seeds=common), self.mean(second, score, seeds=common)),
            seeds=len(common),
            seeds_ahead=sum(bool(one[seed].mean() > other[seed].mean()) for seed in common),
        )

    def ids(self, entry: Entry) -> tuple[str, ...]:
        """Of the posts, in order."""
        return _ids(next(iter(self.measured(entry).values())))

    def best_count(self, system: str) -> int | None:
        """How many hashtags of a ranked list have the best ROUGE-1 on the validation split.

        None without predictions for that split.
        """
        if not self.has(Entry(system, VALIDATION)):
            return None
        scores = [self.mean(Entry(system, VALIDATION, count)).mean() for count in range(1, MOST_COUNTED + 1)]
        return 1 + int(np.argmax(scores))

    def recalled_unseen(self, entry: Entry) -> dict[int, frozenset[str]]:
        """By seed, the keys of the unseen hashtags that were recalled at least once."""
        return {
            seed: metrics.unseen_recalled(
                [item.hashtags for item in predictions],
                reference=[item.reference for item in predictions],
                unseen=self.done.unseen_hashtags,
            )
            for seed, predictions in self.predictions(entry).items()
        }

    def _bert_f1(self, entry: Entry) -> dict[int, PostScores]:
        if self._bert is None:
            raise ValueError("BERTScore needs a scorer")
        texts = {
            seed: metrics.word_texts(posts.found, reference=posts.wanted)
            for seed, posts in self.measured(entry).items()
        }
        pairs = {seed: list(zip(both.predicted, both.reference, strict=True)) for seed, both in texts.items()}
        if new := [pair for pair in dict.fromkeys(chain(*pairs.values())) if pair not in self._bert_scores]:
            scores = self._bert([found for found, _ in new], [wanted for _, wanted in new])
            self._bert_scores |= zip(new, map(float, scores.f1), strict=True)
        return {seed: np.array([self._bert_scores[pair] for pair in row]) for seed, row in pairs.items()}


def _ids(posts: MeasuredPosts) -> tuple[str, ...]:
    return tuple(prediction.id for prediction in posts.predictions)


def _recalls(found: Mapping[str, str], wanted: Mapping[str, str], of: Collection[str] | None) -> list[float]:
    place = {name: rank for rank, name in enumerate(found, start=1)}
    counted = [name for name in wanted if of is None or name in of]
    ranks = [place.get(name, RECALL_AT[-1] + 1) for name in counted]
    return [sum(rank <= k for rank in ranks) / max(1, len(counted)) for k in RECALL_AT]
