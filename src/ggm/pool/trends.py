"""What trends in a pool: what is used more than usual, and what searches add for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.pool.state import RESERVE_LEVEL, Entry, PoolSettings
from ggm.pool.uses import DAY_SECONDS, HalfLives, Uses, decayed, rate_per_day, rise
from ggm.pool.vectors import Levels

_HIGHEST_EXPONENT: Final = 60.0


@dataclass(frozen=True)
class Rising:
    """A hashtag that is used more than usual.

    Args:
        text: The hashtag.
        uses: All of them.
        per_day: Uses a day now.
        per_day_before: Uses a day usually.
        rise: How much its share of all uses grew, see `ggm.pool.uses.rise`.
    """

    text: str
    uses: Uses
    per_day: float
    per_day_before: float
    rise: float


def rising_entries(
    entries: Iterable[Entry], total: Uses, *, at: float, smoothing: float, half_lives: HalfLives
) -> list[Rising]:
    """Those that are used more than usual, in descending rise.

    Args:
        entries: To look at.
        total: Uses of all hashtags together.
        at: Seconds since 1970.
        smoothing: Uses a day that are added to each rate, above 0.
        half_lives: How fast uses are forgotten.
    """
    of_all = _rates(total, at, half_lives)
    found = []
    for entry in entries:
        if not entry.uses.num_uses:
            continue
        rates = _rates(entry.uses, at, half_lives)
        grown = rise(rates, of_all, smoothing=smoothing)
        if grown > 1:
            found.append(Rising(entry.text, entry.uses, *rates, grown))
    return sorted(found, key=lambda item: (-item.rise, item.text))


def prior(
    levels: Levels, *, now: float, trend_weight: float, settings: PoolSettings
) -> npt.NDArray[np.float64]:
    """What is added to similarities: for trends, and off those of hashtags in reserve.

    Args:
        levels: Of each hashtag, see `ggm.pool.vectors.Chunk`.
        now: Seconds since 1970.
        trend_weight: Times ln(1 + trend).
        settings: Half-lives and the discount of the reserve.
    """
    half_lives_since_1970 = now / (settings.half_lives.recent_days * DAY_SECONDS)
    trends = np.exp2(np.minimum(levels - half_lives_since_1970, _HIGHEST_EXPONENT))
    discounts = settings.reserve_discount * (levels == RESERVE_LEVEL)
    added: npt.NDArray[np.float64] = trend_weight * np.log1p(trends) - discounts
    return added


def _rates(uses: Uses, at: float, half_lives: HalfLives) -> tuple[float, float]:
    """Uses a day, now and usually."""
    seconds, recent, usual = at - uses.last_seen, half_lives.recent_days, half_lives.usual_days
    return (
        rate_per_day(decayed(uses.recent, seconds, recent), recent),
        rate_per_day(decayed(uses.usual, seconds, usual), usual),
    )
