"""Do probabilities mean something? Reliability in bins, and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def reliability(
    probabilities: Sequence[float], outcomes: Sequence[bool], *, num_bins: int = 10
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
    values, right = np.asarray(probabilities, np.float64), np.asarray(outcomes, np.bool_)
    if not values.size or values.shape != right.shape:
        raise ValueError(f"as many outcomes as probabilities are needed, got {right.size} and {values.size}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must be from 0 to 1")
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    places = np.minimum((values * num_bins).astype(int), num_bins - 1)
    bins = [
        ReliabilityBin(float(values[own].mean()), float(right[own].mean()), int(own.sum()))
        for own in (places == place for place in range(num_bins))
        if own.any()
    ]
    error = sum(abs(one.probability - one.right) * one.count for one in bins) / values.size
    return Reliability(tuple(bins), error)
