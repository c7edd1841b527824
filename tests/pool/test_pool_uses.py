"""Decayed counts: worked by hand, against the plain sum, and whatever the order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import ConfigError
from ggm.pool.state import level_of
from ggm.pool.uses import (
    DAY_SECONDS,
    HalfLives,
    Uses,
    decayed,
    joined,
    rate_per_day,
    rise,
    unused,
    used_once,
)

HALF_LIVES = HalfLives(recent_days=2, usual_days=8)
times = st.lists(st.floats(1.7e9, 1.7e9 + 90 * DAY_SECONDS), min_size=1, max_size=20)


def of(events: list[float]) -> Uses:
    total: Uses | None = None
    for at in events:
        total = joined(total, used_once(at), HALF_LIVES)
    assert total is not None
    return total


def test_worked_by_hand() -> None:
    uses = of([0.0, 2 * DAY_SECONDS, 4 * DAY_SECONDS])
    assert uses == Uses(3, 0.0, 4 * DAY_SECONDS, 1.75, pytest.approx(1 + 2**-0.25 + 2**-0.5))
    assert decayed(uses.recent, 2 * DAY_SECONDS, 2) == 0.875
    assert decayed(8.0, 0, 2) == decayed(8.0, -99, 2) == 8.0
    assert rate_per_day(2.0, 2) == pytest.approx(math.log(2))


@given(times)
def test_it_is_the_sum_over_the_uses_in_any_order(events: list[float]) -> None:
    forwards, backwards = of(sorted(events)), of(sorted(events, reverse=True))
    last = max(events)
    for uses in (forwards, backwards, joined(of(events[:1]), of(events), HALF_LIVES)._replace(num_uses=0)):
        assert (uses.first_seen, uses.last_seen) == (min(events), last)
    for count, days in ((forwards.recent, 2), (forwards.usual, 8)):
        assert count == pytest.approx(sum(2 ** (-(last - at) / days / DAY_SECONDS) for at in events))
    assert backwards.recent == pytest.approx(forwards.recent)
    assert backwards.usual == pytest.approx(forwards.usual)


@given(times, st.floats(0, 60))
def test_a_level_says_the_trend_at_any_time(events: list[float], days: float) -> None:
    uses = of(events)
    now = uses.last_seen + days * DAY_SECONDS
    trend = 2 ** (level_of(uses, HALF_LIVES) - now / (2 * DAY_SECONDS))
    assert trend == pytest.approx(decayed(uses.recent, now - uses.last_seen, 2))


def test_entering_the_pool_is_no_use() -> None:
    entered = unused(500.0)
    assert entered == Uses(0, 500.0, 500.0, 0.0, 0.0)
    assert joined(entered, used_once(100.0), HALF_LIVES) == Uses(1, 100.0, 100.0, 1.0, 1.0)
    assert joined(used_once(900.0), entered, HALF_LIVES) == Uses(1, 500.0, 900.0, 1.0, 1.0)
    assert joined(entered, unused(300.0), HALF_LIVES) == Uses(0, 300.0, 500.0, 0.0, 0.0)
    assert joined(None, entered, HALF_LIVES) == entered


def test_a_steady_rate_is_found_again() -> None:
    uses = of([hour * 3600.0 for hour in range(24 * 80)])
    for count, days in ((uses.recent, 2.0), (uses.usual, 8.0)):
        assert rate_per_day(count, days) == pytest.approx(24, rel=0.02)


def test_the_rise_compares_with_all_hashtags() -> None:
    assert rise((9, 1), (99, 99), smoothing=1) == pytest.approx(5)
    assert rise((9, 1), (99, 19), smoothing=1) == pytest.approx(1)
    assert rise((1, 0), (100, 100), smoothing=1) == pytest.approx(2)
    assert rise((0, 0), (100, 100), smoothing=1) == 1
    assert rise((1, 0), (100, 100), smoothing=10) == pytest.approx(1.1)


@pytest.mark.parametrize(("recent", "usual"), [(0, 1), (-1, 1), (5, 5), (9, 3), (1, math.inf), (math.nan, 3)])
def test_impossible_half_lives_are_refused(recent: float, usual: float) -> None:
    with pytest.raises(ConfigError, match="half-lives must be above 0"):
        HalfLives(recent, usual)
