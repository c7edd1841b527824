"""The bootstrap where its distribution is known, and against a loop that spells it out."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.evaluation import bootstrap
from ggm.evaluation.bootstrap import (
    bootstrap_f1_of_means,
    bootstrap_mean,
    bootstrap_means,
    bootstrap_ratio,
    paired_bootstrap,
    paired_bootstrap_f1_of_means,
    unpaired_bootstrap,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=30)
PAIRS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)


def slow_means(values: np.ndarray, num_resamples: int, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    draws = random.integers(len(values), size=(num_resamples, len(values)))
    return [float(np.mean([values[post] for post in draw])) for draw in draws]


def test_two_posts_worked_by_hand() -> None:
    # Two draws of {0, 1} have the mean 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    wide = bootstrap_mean([0.0, 1.0], num_resamples=4000, confidence=0.95)
    assert (wide.mean, wide.low, wide.high, wide.num_posts) == (0.5, 0.0, 1.0, 2)
    narrow = bootstrap_mean([0.0, 1.0], num_resamples=4000, confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_width_is_that_of_the_normal_approximation_for_many_posts() -> None:
    scores = np.random.default_rng(1).random(2000)
    interval = bootstrap_mean(scores, num_resamples=2000)
    half_width = 1.96 * scores.std() / np.sqrt(len(scores))
    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.06)
    assert interval.mean == pytest.approx(scores.mean())


@given(scores=SCORES, seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_interval_equals_the_slow_twin(scores: list[float], seed: int) -> None:
    values = np.array(scores)
    interval = bootstrap_mean(values, num_resamples=50, confidence=0.9, seed=seed)
    low, high = np.quantile(slow_means(values, 50, seed), [0.05, 0.95])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)
    assert interval.mean == pytest.approx(values.mean())


def test_drawing_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(2).random(30)
    whole = bootstrap_mean(scores, num_resamples=101)
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 200)
    blocked = bootstrap_mean(scores, num_resamples=101)
    assert (blocked.low, blocked.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = np.random.default_rng(3).random(40)
    assert bootstrap_mean(scores, seed=5) == bootstrap_mean(scores, seed=5)
    assert bootstrap_mean(scores, seed=5) != bootstrap_mean(scores, seed=6)


def test_equal_scores_leave_no_doubt() -> None:
    interval = bootstrap_mean([0.25] * 7)
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_ratio_weighs_posts_by_their_wholes() -> None:
    interval = bootstrap_ratio([1, 0, 3], [4, 0, 4], num_resamples=500)
    assert interval.mean == 0.5  # not the mean of 1/4, 0 and 3/4
    assert interval.low == 0.0  # only the empty post may be drawn
    assert interval.high == 0.75
    nothing = bootstrap_ratio([0, 0], [0, 0])
    assert (nothing.mean, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


@given(scores=SCORES)
@settings(max_examples=20, deadline=None)
def test_ratio_of_wholes_of_one_is_the_mean(scores: list[float]) -> None:
    assert bootstrap_ratio(scores, np.ones(len(scores)), num_resamples=50) == bootstrap_mean(
        scores, num_resamples=50
    )


@given(posts=PAIRS, seed=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_several_means_are_each_as_if_alone(posts: list[tuple[float, float]], seed: int) -> None:
    columns = dict(zip(("one", "other"), zip(*posts, strict=True), strict=True))
    together = bootstrap_means(columns, num_resamples=40, confidence=0.8, seed=seed)
    assert list(together) == ["one", "other"]
    for name, values in columns.items():
        alone = bootstrap_mean(values, num_resamples=40, confidence=0.8, seed=seed)
        assert astuple(together[name]) == pytest.approx(astuple(alone), abs=1e-12)


def harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_f1_of_means_worked_by_hand() -> None:
    # Precision 1 and 0, recall 1/2 and 0: means 1/2 and 1/4, so 1/3; the posts' F1 are 2/3 and 0.
    interval = bootstrap_f1_of_means([1.0, 0.0], [0.5, 0.0], num_resamples=4000)
    assert interval.mean == pytest.approx(1 / 3)
    # Draws have the first post twice, once or never: 2/3, 1/3 or 0.
    assert (interval.low, interval.high) == pytest.approx((0, 2 / 3))
    # Here the two definitions part: each post's F1 is 0, yet both means are 1/2.
    assert bootstrap_f1_of_means([1.0, 0.0], [0.0, 1.0]).mean == 0.5
    nothing = bootstrap_f1_of_means([0, 0], [0, 0])
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)


@given(posts=PAIRS, seed=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_f1_of_means_equals_the_slow_twin(posts: list[tuple[float, float]], seed: int) -> None:
    precision, recall = (np.array(values) for values in zip(*posts, strict=True))
    interval = bootstrap_f1_of_means(precision, recall, num_resamples=50, confidence=0.9, seed=seed)
    drawn = [
        harmonic(*means)
        for means in zip(slow_means(precision, 50, seed), slow_means(recall, 50, seed), strict=True)
    ]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=1e-12)
    assert interval.mean == pytest.approx(harmonic(precision.mean(), recall.mean()))
    assert interval.num_posts == len(posts)


@given(posts=PAIRS)
@settings(max_examples=60, deadline=None)
def test_f1_of_means_is_bounded_symmetric_and_never_below_the_mean_f1(
    posts: list[tuple[float, float]],
) -> None:
    precision, recall = (list(values) for values in zip(*posts, strict=True))
    there = bootstrap_f1_of_means(precision, recall, num_resamples=20)
    back = bootstrap_f1_of_means(recall, precision, num_resamples=20)
    assert there.mean == back.mean
    assert (there.low, there.high) == (back.low, back.high)
    assert 0 <= there.low <= there.high <= 1
    assert there.mean >= np.mean([harmonic(*post) for post in posts]) - 1e-12
    assert there.mean <= max(np.mean(precision), np.mean(recall)) + 1e-12


def test_paired_f1_of_means_worked_by_hand() -> None:
    # 1/3 against 0 (see above); drawn differences are 2/3, 1/3 and 0.
    result = paired_bootstrap_f1_of_means(
        ([1.0, 0.0], [0.5, 0.0]), ([0.0, 0.0], [0.0, 0.0]), num_resamples=4000
    )
    assert result.difference == pytest.approx(1 / 3)
    assert (result.low, result.high, result.num_posts) == pytest.approx((0, 2 / 3, 2))
    assert result.p_value == pytest.approx(2 * 0.25, abs=0.04)


@given(first=PAIRS, seed=st.integers(0, 50), data=st.data())
@settings(max_examples=40, deadline=None)
def test_paired_f1_of_means_equals_the_slow_twin_and_changes_sign_when_swapped(
    first: list[tuple[float, float]], seed: int, data: st.DataObject
) -> None:
    pair = st.tuples(st.floats(0, 1), st.floats(0, 1))
    second = data.draw(st.lists(pair, min_size=len(first), max_size=len(first)))
    systems = [tuple(np.array(values) for values in zip(*posts, strict=True)) for posts in (first, second)]
    there, back = (
        paired_bootstrap_f1_of_means(*order, num_resamples=60, seed=seed)  # type: ignore[arg-type]
        for order in (systems, systems[::-1])
    )
    one, other = (
        [harmonic(*means) for means in zip(slow_means(p, 60, seed), slow_means(r, 60, seed), strict=True)]
        for p, r in systems
    )
    ends = np.quantile(np.subtract(one, other), [0.025, 0.975])
    assert (there.low, there.high) == pytest.approx(ends, abs=1e-12)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value
    same = paired_bootstrap_f1_of_means(systems[0], systems[0], num_resamples=20)  # type: ignore[arg-type]
    assert (same.difference, same.p_value) == (0, 1)


def test_precision_and_recall_that_cannot_be_drawn_from_are_refused() -> None:
    good = [1.0, 0.5]
    for precision, recall, message in [
        ([], [], "scores must be finite"),
        (good, [np.nan, 0.1], "scores must be finite"),
        (good, [1.0], "one value a post, got 2 and 1"),
        (good, [-0.1, 1.0], "must not be negative"),
    ]:
        with pytest.raises(ValueError, match=message):
            bootstrap_f1_of_means(precision, recall)
        with pytest.raises(ValueError, match=message):
            paired_bootstrap_f1_of_means((precision, recall), (precision, recall))
    with pytest.raises(ValueError, match="one value a post, got 2 and 1"):
        paired_bootstrap_f1_of_means((good, good), ([1.0], [1.0]))


def test_paired_worked_by_hand() -> None:
    # Differences are 1 and 0: the drawn mean is 0 with probability 1/4, and never below.
    result = paired_bootstrap([1.0, 0.5], [0.0, 0.5], num_resamples=4000)
    assert (result.difference, result.low, result.high, result.num_posts) == (0.5, 0.0, 1.0, 2)
    assert result.p_value == pytest.approx(2 * 0.25, abs=0.04)


def test_pairing_finds_what_hides_in_the_spread_of_posts() -> None:
    random = np.random.default_rng(4)
    difficulty = random.random(200)
    better = difficulty + 0.02 + random.normal(0, 0.01, 200)
    result = paired_bootstrap(better, difficulty)
    assert result.low > 0.015
    assert result.p_value == pytest.approx(2 / 2001)
    first, second = bootstrap_mean(better), bootstrap_mean(difficulty)
    assert first.low < second.high  # their own intervals overlap


def test_equal_systems_do_not_differ() -> None:
    scores = np.random.default_rng(5).random(50)
    result = paired_bootstrap(scores, scores)
    assert (result.difference, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


@given(first=SCORES, seed=st.integers(0, 50), data=st.data())
@settings(max_examples=40, deadline=None)
def test_swapping_the_systems_changes_the_sign_alone(
    first: list[float], seed: int, data: st.DataObject
) -> None:
    second = data.draw(st.lists(st.floats(0, 1), min_size=len(first), max_size=len(first)))
    there = paired_bootstrap(first, second, num_resamples=60, seed=seed)
    back = paired_bootstrap(second, first, num_resamples=60, seed=seed)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == back.p_value
    assert 0 < there.p_value <= 1


def test_p_value_is_honest_where_nothing_differs() -> None:
    random = np.random.default_rng(6)
    p_values = [
        paired_bootstrap(random.random(60), random.random(60), num_resamples=200, seed=run).p_value
        for run in range(200)
    ]
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.11


def test_what_cannot_be_drawn_from_is_refused() -> None:
    for bad in ([], [np.nan], [np.inf], [[0.1, 0.2]]):
        with pytest.raises(ValueError, match="scores must be finite"):
            bootstrap_mean(bad)
        with pytest.raises(ValueError, match="scores must be finite"):
            bootstrap_means({"bad": bad})
        with pytest.raises(ValueError, match="scores must be finite"):
            bootstrap_ratio(bad, [1.0])
        with pytest.raises(ValueError, match="scores must be finite"):
            paired_bootstrap(bad, bad)
    with pytest.raises(ValueError, match="one value a post, got 2 and 1"):
        paired_bootstrap([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one value a post, got 2 and 1"):
        bootstrap_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one value a post, got 2 and 1"):
        bootstrap_means({"one": [1.0, 2.0], "other": [1.0]})
    with pytest.raises(ValueError, match="wholes must not be negative"):
        bootstrap_ratio([1.0], [-1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_resamples": 0}, "num_resamples must be at least 1"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1"),
        ({"confidence": 0.0}, "confidence must be between 0 and 1"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    for call in (
        lambda: bootstrap_mean([1.0], **options),
        lambda: bootstrap_ratio([1.0], [1.0], **options),
        lambda: paired_bootstrap([1.0], [1.0], **options),
        lambda: bootstrap_means({"one": [1.0]}, **options),
        lambda: bootstrap_f1_of_means([1.0], [1.0], **options),
        lambda: paired_bootstrap_f1_of_means(([1.0], [1.0]), ([1.0], [1.0]), **options),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_sets_of_other_posts_are_compared_without_pairs() -> None:
    first, second = [0.0, 1.0], [0.0, 1.0, 0.0, 1.0]
    alike = unpaired_bootstrap(first, second, num_resamples=4000)
    # Means are 0, 1/2, 1 for the first, and of the second 0 to 1 in quarters; both may differ by 1.
    assert (alike.difference, alike.num_posts, alike.p_value) == (0.0, 6, 1.0)
    assert (alike.low, alike.high) == (-0.75, 0.75)
    random = np.random.default_rng(3)
    one, other = random.random(400) + 0.1, random.random(900)
    found = unpaired_bootstrap(one, other)
    error = np.sqrt(one.var() / len(one) + other.var() / len(other))
    assert found.difference == pytest.approx(one.mean() - other.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)
    assert found.p_value < 0.01


@pytest.mark.parametrize("pair", [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_unpaired_sets_must_be_scores(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="scores must be finite"):
        unpaired_bootstrap(*pair)
