"""How often a hashtag is used, with a memory that fades: the arithmetic of trends.

A use at time t counts 2^(-(now - t) / h) now, with the half-life h. The sum over all uses is the
decayed count C_h. Uses that come evenly at a rate r a day bring it to r h / ln 2, so that
C_h ln 2 / h estimates the rate of the last days, the fewer the shorter h. Two half-lives give the
rate now and the usual one. A decayed count is kept as it was at the last use: that and the time
suffice to know it at any later time, and two can be joined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from ggm.errors import ConfigError

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class HalfLives:
    """How fast uses are forgotten.

    Args:
        recent_days: Of the rate now, which trends go by; above 0.
        usual_days: Of the rate that it is compared with; above ``recent_days``.

    Raises:
        ConfigError: If a value is out of range.
    """

    recent_days: float = 3.0
    usual_days: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.recent_days < self.usual_days < math.inf:
            raise ConfigError(
                f"half-lives must be above 0, and the usual one longer than the recent one; "
                f"got {self.recent_days:g} and {self.usual_days:g} days"
            )


class Uses(NamedTuple):
    """The uses of one hashtag, or of all.

    Args:
        num_uses: How many there were, ever.
        first_seen: When it was first used or, if that was earlier, entered the pool; seconds since 1970.
        last_seen: When it was last used; ``first_seen`` without any use.
        recent: Decayed count at ``last_seen``, with the recent half-life.
        usual: The same with the usual half-life.
    """

    num_uses: int
    first_seen: float
    last_seen: float
    recent: float
    usual: float


def unused(since: float) -> Uses:
    """No use yet of what entered the pool at a time, in seconds since 1970."""
    return Uses(0, since, since, 0.0, 0.0)


IN_RESERVE: Final = unused(0.0)
"""Of what was put in reserve and neither used nor added since: its day of entry plays no part."""


def used_once(at: float) -> Uses:
    """One use, in seconds since 1970."""
    return Uses(1, at, at, 1.0, 1.0)


def joined(a: Uses | None, b: Uses, half_lives: HalfLives) -> Uses:
    """The uses of both, in whatever order they happened.

    Args:
        a: None for none.
        b: More of them.
        half_lives: With which both were counted.
    """
    if a is None:
        return b
    # What has no use has no last one: the day on which it entered the pool must not stand for it.
    last = max((side.last_seen for side in (a, b) if side.num_uses), default=max(a.last_seen, b.last_seen))
    first = min(a.first_seen, b.first_seen)
    recent, usual = (
        decayed(a_count, last - a.last_seen, days) + decayed(b_count, last - b.last_seen, days)
        for a_count, b_count, days in (
            (a.recent, b.recent, half_lives.recent_days),
            (a.usual, b.usual, half_lives.usual_days),
        )
    )
    return Uses(a.num_uses + b.num_uses, first, last, recent, usual)


def decayed(count: float, seconds: float, half_life_days: float) -> float:
    """What is left of a decayed count after a while; before it, it was what it is.

    Args:
        count: 0 or more.
        seconds: How much later; below 0 counts as 0.
        half_life_days: Above 0.
    """
    return count * math.exp2(-max(seconds, 0.0) / (half_life_days * DAY_SECONDS))


def rate_per_day(count: float, half_life_days: float) -> float:
    """Uses a day that keep a decayed count where it is."""
    return count * math.log(2) / half_life_days


def rise(rates: tuple[float, float], all_rates: tuple[float, float], *, smoothing: float) -> float:
    """How much more of all uses a hashtag has now than usually.

    Args:
        rates: Of the hashtag, now and usual, in uses a day.
        all_rates: Of all hashtags together.
        smoothing: Uses a day that are added to all four, above 0, so that a single use of a rare
            hashtag is no trend.

    Returns:
        Above 0; 1 for what is as common as ever. Dividing by the growth of all uses keeps a stream
        that grew, or that has just begun, from making every hashtag rise.
    """
    own = (rates[0] + smoothing) / (rates[1] + smoothing)
    return own / ((all_rates[0] + smoothing) / (all_rates[1] + smoothing))
