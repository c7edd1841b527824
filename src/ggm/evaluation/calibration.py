"""Do probabilities mean something? Reliability in bins, and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.evaluation.bootstrap import Interval, bootstrap_statistic

NUM_BINS: Final = 10

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose probabilities lie close together.

    Args:
        probability: Their mean probability, 0 to 1.
        right: Share of them that are right, 0 to 1.
        count: How many there are, 1 or more.
    """

    probability: float
    right: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """How well probabilities are calibrated.

    Args:
        bins: With rising probability; empty ones left out.
        error: Expected calibration error: the mean distance of probability and share over the bins,
            each as heavy as it has predictions; 0 to 1.
    """

    bins: tuple[ReliabilityBin, ...]
    error: float


@dataclass(frozen=True)
class CalibrationBin(ReliabilityBin):
    """The same with an interval.

    Args:
        low: Lower end of the interval of ``right``.
        high: Upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Reliability of the hashtags of posts, with intervals over posts.

    Args:
        bins: With rising probability; empty ones left out.
        error: Expected calibration error. Draws of posts have more noise in their bins than the posts
            themselves, and noise counts as error: the interval tends to lie above the true error, the
            more so the fewer posts there are.
        num_predictions: Hashtags of all posts.
    """

    bins: tuple[CalibrationBin, ...]
    error: Interval
    num_predictions: int


def reliability(
    probabilities: Sequence[float], outcomes: Sequence[bool], *, num_bins: int = NUM_BINS
) -> Reliability:
    """Compare probabilities with outcomes.

    Args:
        probabilities: 0 to 1.
        outcomes: Whether each prediction was right.
        num_bins: Of equal width, 1 or more.

    Raises:
        ValueError: If there is no prediction, the two differ in number, a probability is out of
            range, or there is no bin.
    """
    values, right = _checked(probabilities, outcomes, num_bins)
    if not values.size:
        raise ValueError("at least one probability is needed")
    sums = _bin_sums(values, right, num_bins)
    bins = tuple(
        ReliabilityBin(float(probability / count), float(hits / count), int(count))
        for count, probability, hits in sums
        if count
    )
    return Reliability(bins, float(_error(sums)))


def calibration(
    probabilities: Sequence[Sequence[float]],
    outcomes: Sequence[Sequence[bool]],
    *,
    num_bins: int = NUM_BINS,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibration:
    """Compare probabilities with outcomes, with intervals over posts.

    What belongs to one post is drawn together: its hashtags are right or wrong together more often than
    those of different posts.

    Args:
        probabilities: Of each post's hashtags, 0 to 1; a post may have none.
        outcomes: Whether each of them was right.
        num_bins: Of equal width, 1 or more.
        num_resamples: See `ggm.evaluation.bootstrap.bootstrap_mean`.
        confidence: See there.
        seed: See there.

    Raises:
        ValueError: If no post has a prediction, the two differ in number, or an argument is out of range.
    """
    if len(probabilities) != len(outcomes):
        raise ValueError(f"{len(probabilities)} posts need as many outcomes, got {len(outcomes)}")
    posts = [_checked(*pair, num_bins) for pair in zip(probabilities, outcomes, strict=True)]
    if not any(values.size for values, _ in posts):
        raise ValueError("at least one probability is needed")
    sums = np.stack([_bin_sums(*post, num_bins) for post in posts])  # (posts, bins, 3)
    drawn = bootstrap_statistic(
        sums.reshape(len(posts), -1),
        lambda means: _shares_and_error(means.reshape(-1, num_bins, 3)),
        num_resamples=num_resamples,
        confidence=confidence,
        seed=seed,
    )
    *shares, error = drawn
    bins = tuple(
        CalibrationBin(float(probability / count), share.mean, int(count), low=share.low, high=share.high)
        for (count, probability, _), share in zip(sums.sum(axis=0), shares, strict=True)
        if count
    )
    return Calibration(bins, error, int(sums[..., 0].sum()))


def _checked(
    probabilities: Sequence[float], outcomes: Sequence[bool], num_bins: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    values, right = np.asarray(probabilities, np.float64), np.asarray(outcomes, np.bool_)
    if values.shape != right.shape:
        raise ValueError(f"as many outcomes as probabilities are needed, got {right.size} and {values.size}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must be from 0 to 1")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    return values, right


def _bin_sums(values: Floats, right: npt.NDArray[np.bool_], num_bins: int) -> Floats:
    """(bins, 3): how many predictions each has, the sum of their probabilities, how many are right."""
    places = np.minimum((values * num_bins).astype(int), num_bins - 1)
    weights = (np.ones_like(values), values, right.astype(np.float64))
    return np.stack([np.bincount(places, weight, minlength=num_bins) for weight in weights], axis=1)


def _error(sums: Floats) -> npt.NDArray[np.float64]:
    """(..., bins, 3) to (...); nan where there is no prediction."""
    count, distance = sums[..., 0].sum(axis=-1), np.abs(sums[..., 1] - sums[..., 2]).sum(axis=-1)
    error: Floats = np.divide(distance, count, out=np.full_like(distance, np.nan), where=count > 0)
    return error


def _shares_and_error(means: Floats) -> Floats:
    """(draws, bins, 3) to (draws, bins + 1); a draw without predictions in a bin has no share there."""
    count, right = means[..., 0], means[..., 2]
    shares = np.divide(right, count, out=np.full_like(right, np.nan), where=count > 0)
    return np.concatenate([shares, _error(means)[:, None]], axis=1)
