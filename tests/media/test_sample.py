from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.media.sample import nearest_to, sample_timestamps, shown_at, to_ticks

DURATIONS = st.floats(min_value=0.001, max_value=100_000, allow_nan=False)


def test_two_a_second_under_seven_seconds() -> None:
    np.testing.assert_array_equal(sample_timestamps(3.0), [0.25, 0.75, 1.25, 1.75, 2.25, 2.75])


def test_a_few_milliseconds_more_change_nothing() -> None:
    np.testing.assert_array_equal(sample_timestamps(3.0), sample_timestamps(3.021))


def test_fifteen_from_seven_seconds_on() -> None:
    assert len(sample_timestamps(6.999)) == 14
    np.testing.assert_allclose(sample_timestamps(15.0), np.arange(15) + 0.5)
    np.testing.assert_allclose(sample_timestamps(1200.0), np.arange(40, 1200, 80))
    assert len(sample_timestamps(7.0)) == 15


@pytest.mark.parametrize(("duration", "expected"), [(0.3, [0.25]), (0.25, [0.125]), (0.04, [0.02])])
def test_at_least_one(duration: float, expected: list[float]) -> None:
    np.testing.assert_allclose(sample_timestamps(duration), expected)


@given(DURATIONS)
def test_inside_the_video_in_order_and_of_the_right_number(duration: float) -> None:
    moments = sample_timestamps(duration)
    assert moments.dtype == np.float64
    assert (np.diff(moments) > 0).all()
    assert moments[0] >= 0
    assert moments[-1] < duration
    assert len(moments) == 15 if duration >= 7 else abs(len(moments) - 2 * duration) <= 1


@given(DURATIONS.filter(lambda duration: duration >= 0.5))
def test_no_stretch_is_left_out(duration: float) -> None:
    moments = sample_timestamps(duration)
    gaps = np.diff([-moments[0], *moments, 2 * duration - moments[-1]])
    assert gaps.max() <= max(1.0, duration / 15 * 1.0001)


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_duration_that_is_none(duration: float) -> None:
    with pytest.raises(ValueError, match="duration_seconds"):
        sample_timestamps(duration)


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=30, unique=True).map(sorted),
    st.lists(st.integers(-5, 250), min_size=1, max_size=20),
)
def test_shown_at_agrees_with_looking_at_every_frame(starts: list[int], ticks: list[int]) -> None:
    expected = []
    for tick in ticks:
        appeared = [index for index, start in enumerate(starts) if start <= tick]
        expected.append(appeared[-1] if appeared else 0)
    assert shown_at(np.array(starts, dtype=np.int64), ticks).tolist() == expected


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=30, unique=True).map(sorted),
    st.lists(st.integers(-5, 250), min_size=1, max_size=20),
)
def test_nearest_to_agrees_with_measuring_every_distance(starts: list[int], ticks: list[int]) -> None:
    expected = [min(range(len(starts)), key=lambda index: abs(starts[index] - tick)) for tick in ticks]
    assert nearest_to(np.array(starts, dtype=np.int64), ticks).tolist() == expected


def test_ticks_forgive_rounding() -> None:
    moments = np.array([0.1 + 0.2, 0.29999999999, 0.2999])
    assert to_ticks(moments, time_base=Fraction(1, 10)) == [3, 3, 2]
