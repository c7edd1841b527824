from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import DataError
from ggm.evaluation.bootstrap import bootstrap_statistic
from ggm.evaluation.calibration import ReliabilityBin, calibration, reliability
from ggm.evaluation.evaluate import evaluate
from ggm.evaluation.predictions import Prediction, read_predictions, write_predictions
from ggm.evaluation.report import markdown, write_report
from ggm.evaluation.score import calibration_of, measure, score_predictions


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
        ([], [], 10, "at least one"),
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


# With intervals over posts

Judged = list[tuple[float, bool]]
PROBABILITIES = st.floats(0, 1, allow_nan=False) | st.sampled_from((0.0, 0.1, 0.3, 0.5, 0.7, 1.0))
POSTS = st.lists(
    st.lists(st.tuples(PROBABILITIES, st.booleans()), max_size=6), min_size=1, max_size=8
).filter(any)


def halves(posts: list[Judged]) -> tuple[list[list[float]], list[list[bool]]]:
    return [[value for value, _ in post] for post in posts], [[right for _, right in post] for post in posts]


def slow_error(posts: list[Judged], num_bins: int) -> float:
    """By the definition, a bin after the other."""
    pairs = [pair for post in posts for pair in post]
    total = 0.0
    for place in range(num_bins):
        own = [pair for pair in pairs if min(int(pair[0] * num_bins), num_bins - 1) == place]
        if own:
            mean, right = sum(value for value, _ in own) / len(own), sum(hit for _, hit in own) / len(own)
            total += abs(mean - right) * len(own) / len(pairs)
    return total


def test_posts_by_hand() -> None:
    # Bins of a half: 0.2 wrong, 0.4 right and 0.8 right, 1.0 right; |0.3 - 0.5| / 2 + |0.9 - 1| / 2
    found = calibration([[0.2, 0.8], [], [0.4, 1.0]], [[False, True], [], [True, True]], num_bins=2)
    low, high = found.bins
    assert (low.probability, low.right, low.count) == (pytest.approx(0.3), 0.5, 2)
    assert (high.probability, high.right, high.count) == (pytest.approx(0.9), 1.0, 2)
    assert found.error.mean == pytest.approx(0.15)
    assert (found.error.num_posts, found.num_predictions) == (3, 4)
    # Draws of the first and third post: of one alone 0.2 and 0.3, two to one 0.1 and 0.2, as often 0.15.
    assert (found.error.low, found.error.high) == (pytest.approx(0.1), pytest.approx(0.3))
    assert (low.low, low.high) == (0.0, 1.0)
    assert (high.low, high.high) == (1.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(posts=POSTS, num_bins=st.integers(1, 12), order=st.randoms(use_true_random=False))
def test_what_holds_of_every_calibration(posts: list[Judged], num_bins: int, order: random.Random) -> None:
    found = calibration(*halves(posts), num_bins=num_bins, num_resamples=20)
    pairs = [pair for post in posts for pair in post]
    assert found.error.mean == pytest.approx(slow_error(posts, num_bins), abs=1e-9)
    alone = reliability(*(list(side) for side in zip(*pairs, strict=True)), num_bins=num_bins)
    assert found.error.mean == pytest.approx(alone.error, abs=1e-9)
    assert [(one.probability, one.right, one.count) for one in found.bins] == [
        (pytest.approx(one.probability), pytest.approx(one.right), one.count) for one in alone.bins
    ]
    assert sum(one.count for one in found.bins) == found.num_predictions == len(pairs)
    assert 0 <= found.error.low <= found.error.high <= 1
    assert all(0 <= one.low <= one.high <= 1 for one in found.bins)
    # One bin has no more error than several, and no order of posts plays a part.
    assert calibration(*halves(posts), num_bins=1, num_resamples=1).error.mean <= found.error.mean + 1e-9
    order.shuffle(posts)
    again = calibration(*halves(posts), num_bins=num_bins, num_resamples=1)
    assert again.error.mean == pytest.approx(found.error.mean, abs=1e-9)


def test_certain_and_right_has_no_error_and_certain_and_wrong_all_of_it() -> None:
    assert calibration([[1.0, 0.0]] * 5, [[True, False]] * 5).error.high == 0
    assert calibration([[1.0, 0.0]] * 5, [[False, True]] * 5).error.low == 1


def test_the_interval_is_over_posts_whose_hashtags_go_together() -> None:
    rng = np.random.default_rng(0)
    fair = rng.random(200) < 0.5
    together = calibration([[0.5] * 10] * 200, [[bool(one)] * 10 for one in fair])
    apart = calibration([[0.5] * 10] * 200, (rng.random((200, 10)) < 0.5).tolist())
    (one,), (other,) = together.bins, apart.bins
    assert one.high - one.low > 2 * (other.high - other.low)
    assert one.low <= 0.5 <= one.high


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "message"),
    [
        ([[]], [[]], "at least one probability"),
        ([], [], "at least one probability"),
        ([[0.5]], [[True], [False]], "posts need as many outcomes"),
        ([[0.5]], [[]], "as many outcomes"),
        ([[-0.5]], [[True]], "from 0 to 1"),
    ],
)
def test_posts_that_cant_be_measured_are_refused(
    probabilities: list[list[float]], outcomes: list[list[bool]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(probabilities, outcomes)


def test_a_statistic_of_means_has_the_interval_of_the_draws_that_know_it() -> None:
    mean, never = bootstrap_statistic(
        [[0.0], [1.0], [2.0]], lambda means: np.concatenate([means, np.full_like(means, np.nan)], axis=1)
    )
    assert mean.mean == 1.0
    assert 0 <= mean.low < 1 < mean.high <= 2
    assert np.isnan([never.mean, never.low, never.high]).all()
    for wrong in ([], [1.0], [[np.inf]]):
        with pytest.raises(ValueError, match="values must be finite"):
            bootstrap_statistic(wrong, lambda means: means)


# Of predictions

CERTAIN = Prediction("1", "s", ("cat", "Cat", "dog"), (0.9, 0.1, 0.2), ("cat", "sun"), probabilities=True)
EMPTY = Prediction("2", "s", (), (), ("sun",), probabilities=True)


def test_of_equal_hashtags_the_first_counts_and_top_cuts() -> None:
    found = calibration_of([measure([CERTAIN, EMPTY])])
    assert found is not None
    assert [(one.probability, one.right, one.count) for one in found.bins] == [(0.2, 0, 1), (0.9, 1, 1)]
    assert found.error.mean == pytest.approx(0.15)
    cut = score_predictions(measure([CERTAIN, EMPTY], top=1)).calibration
    assert cut is not None
    assert (cut.num_predictions, cut.error.mean) == (1, pytest.approx(0.1))
    twice = calibration_of([measure([CERTAIN, EMPTY])] * 2)
    assert twice is not None
    assert (twice.num_predictions, twice.error.num_posts) == (4, 2)


def test_without_probabilities_there_is_none() -> None:
    other = Prediction("2", "s", ("cat",), (3.5,), ("cat",))
    assert score_predictions([other]).calibration is None
    assert score_predictions([CERTAIN, other]).calibration is None
    assert score_predictions([EMPTY]).calibration is None
    with pytest.raises(DataError, match="probability that isn't from 0 to 1"):
        Prediction("2", "s", ("cat",), (3.5,), ("cat",), probabilities=True)
    with pytest.raises(DataError, match="probabilities must be true or false"):
        Prediction.from_dict({**CERTAIN.to_dict(), "probabilities": 1})


def test_files_keep_it_and_reports_show_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_predictions(path, [CERTAIN])
    assert read_predictions(path) == [CERTAIN]
    evaluation = evaluate([[CERTAIN]])
    text = markdown([evaluation])
    assert "| 15.0 [15.0, 15.0] |" in text
    assert "| 90.0 | 100.0 [100.0, 100.0] | 1 |" in text
    write_report(tmp_path, [evaluation], {})
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
    assert '"num_predictions": 2' in (tmp_path / "scores.json").read_text()
