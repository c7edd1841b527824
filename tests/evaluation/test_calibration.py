from __future__ import annotations

import numpy as np
import pytest

from ggm.evaluation.calibration import ReliabilityBin, reliability


def test_by_hand() -> None:
    found = reliability([0.1, 0.15, 0.85, 1.0], [False, True, True, True], num_bins=2)
    low, high = found.bins
    assert (low.probability, low.right, low.count) == (pytest.approx(0.125), 0.5, 2)
    assert (high.probability, high.right, high.count) == (pytest.approx(0.925), 1.0, 2)
    assert found.error == pytest.approx((0.375 * 2 + 0.075 * 2) / 4)


def test_empty_bins_are_left_out() -> None:
    assert reliability([1.0], [False]).bins == (ReliabilityBin(1.0, 0.0, 1),)
    assert reliability([1.0], [False]).error == 1.0


def test_a_slow_twin_and_what_is_calibrated_has_a_small_error() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(20_000)
    outcomes = rng.random(20_000) < values
    found = reliability(values.tolist(), outcomes.tolist(), num_bins=7)
    slow = 0.0
    for place in range(7):
        own = [i for i, value in enumerate(values) if place / 7 <= value < (place + 1) / 7]
        slow += abs(sum(values[i] for i in own) - sum(outcomes[i] for i in own)) / len(values)
    assert found.error == pytest.approx(slow, abs=1e-9)
    assert found.error < 0.02
    assert reliability((values**3).tolist(), outcomes.tolist()).error > 0.2


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "num_bins", "message"),
    [
        ([], [], 10, "as many outcomes"),
        ([0.5], [True, False], 10, "as many outcomes"),
        ([1.5], [True], 10, "from 0 to 1"),
        ([float("nan")], [True], 10, "from 0 to 1"),
        ([0.5], [True], 0, "num_bins must be at least 1"),
    ],
)
def test_bad_input_is_refused(
    probabilities: list[float], outcomes: list[bool], num_bins: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        reliability(probabilities, outcomes, num_bins=num_bins)
