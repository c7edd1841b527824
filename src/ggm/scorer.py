"""How probable it is that a candidate hashtag is right: two logistic regressions over its measures.

One is for posts with a description, one for those without. They are fitted on posts that neither
retriever nor generator was trained on (`ggm.training.scorer`), so that a score is a probability:
of the hashtags with 0.3, about three in ten are right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.errors import ConfigError
from ggm.ranking import Candidate, Ranked
from ggm.settings import from_dict

MEASURES: Final = (
    "log_likelihood",
    "similarity",
    "log_uses",
    "written",
    "in_best_beam",
    "guided",
    "reciprocal_place",
    "named",
    "description_similarity",
    "description_lead",
)
"""What is known of a candidate; ``description_lead`` is what its similarity to the description lacks to
the highest one of the post."""

Measures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """One logistic regression, over standardised measures.

    Args:
        mean: Of each measure, in the order of `MEASURES`.
        deviation: Of each, above 0.
        weight: Of each.
        bias: Log-odds of a candidate whose measures are all average.

    Raises:
        ConfigError: If there are too few or too many, or one is out of range.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        for name in ("mean", "deviation", "weight"):
            values = getattr(self, name)
            if len(values) != len(MEASURES) or not all(map(math.isfinite, values)):
                raise ConfigError(f"scorer: {name} must be {len(MEASURES)} finite numbers")
        if min(self.deviation) <= 0 or not math.isfinite(self.bias):
            raise ConfigError("scorer: deviations must be above 0, and the bias finite")

    def probabilities(self, measures: Measures) -> npt.NDArray[np.float64]:
        """(candidates, measures) to (candidates,), 0 to 1."""
        odds = (measures - self.mean) / self.deviation @ np.array(self.weight) + self.bias
        values: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        return values


@dataclass(frozen=True)
class Scorer:
    """Probabilities of candidates.

    Args:
        described: For posts with a description.
        silent: For posts without.
    """

    described: Weights
    silent: Weights

    def rank(
        self, candidates: Sequence[Candidate], *, described: bool, top: int | None = None
    ) -> list[Ranked]:
        """Candidates of one post by their probability of being right.

        Args:
            candidates: Each hashtag once.
            described: Whether the post has a description.
            top: How many at most; None for all.

        Returns:
            Best first, scores from 0 to 1; ties in the candidates' order.
        """
        if not candidates:
            return []
        weights = self.described if described else self.silent
        values = weights.probabilities(measures_of(candidates))
        order = np.argsort(-values, kind="stable")[:top]
        return [Ranked(candidates[place].text, float(values[place])) for place in order.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """All numbers by name, ready for JSON."""
        return {"measures": list(MEASURES), **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scorer:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If it is of other measures, or a value is refused.
        """
        values = dict(values)
        if tuple(values.pop("measures", ())) != MEASURES:
            raise ConfigError("scorer: fitted for other measures than this version takes")
        return from_dict(cls, values, where="scorer")


def measures_of(candidates: Sequence[Candidate]) -> Measures:
    """The measures of one post's candidates, (candidates, measures).

    What isn't known of a hashtag (its likelihood if the generator can't say, its uses if no training
    post carries it) counts as the mean of the others: a hashtag that entered the pool a minute ago
    stands neither above nor below them for it.

    Args:
        candidates: All of the post's, at least one.
    """
    lead = max(item.description_similarity for item in candidates)
    likelihoods = _known_or_mean([item.log_likelihood for item in candidates])
    uses = _known_or_mean([math.log1p(item.uses) if item.uses else -math.inf for item in candidates])
    return np.array(
        [
            (
                likelihood,
                item.similarity,
                used,
                item.written,
                item.in_best_beam,
                item.place is not None,
                0.0 if item.place is None else 1 / (1 + item.place),
                item.named,
                item.description_similarity,
                item.description_similarity - lead,
            )
            for item, likelihood, used in zip(candidates, likelihoods, uses, strict=True)
        ],
        dtype=np.float64,
    )


def _known_or_mean(values: Sequence[float]) -> list[float]:
    known = [value for value in values if math.isfinite(value)]
    mean = sum(known) / len(known) if known else 0.0
    return [value if math.isfinite(value) else mean for value in values]


def fitting_count(probabilities: Sequence[float], *, most: int = 10) -> int:
    """How many hashtags of a ranked list promise the best F1.

    Args:
        probabilities: Best first, 0 to 1, of all candidates of a post.
        most: At most so many, 1 or more.

    Returns:
        1 or more; 0 for an empty list. With n taken the expected F1 is about twice the expected number
        of right ones, divided by n plus the expected number of right ones among all candidates.
    """
    best, found, right = 0, 0.0, 0.0
    total = sum(probabilities)
    for count, value in enumerate(probabilities[:most], start=1):
        right += value
        expected = 2 * right / (count + total)
        if expected > found or not best:
            best, found = count, expected
    return best
