"""Which moments of a video are looked at, and by which frames. Pure arithmetic on seconds and timestamps."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

FrameChoice = Literal["exact", "nearest-keyframe"]
"""For each moment the frame on the screen then, or the keyframe nearest to it: quicker, and another frame."""

FRAME_CHOICES: tuple[FrameChoice, ...] = get_args(FrameChoice)

SHORT_SECONDS = 7.0
"""Shorter videos are sampled at a fixed rate, others by a fixed number (paper, section 4.2)."""

RATE_HZ = 2.0
LONG_SAMPLES = 15
MAX_SAMPLES = LONG_SAMPLES
"""No video gives more frames than this."""

_TOLERANCE_SECONDS = Fraction(1, 1_000_000)


def sample_timestamps(duration_seconds: float) -> npt.NDArray[np.float64]:
    """The moments to look at: 2 a second in a video under 7 s, else 15 evenly spread.

    Each moment stands in the middle of the stretch that it speaks for. So the very first frame,
    which is often black, and the very last one are not chosen, and a duration that is a few
    milliseconds off doesn't change how many there are.

    Args:
        duration_seconds: Length of the video, more than 0.

    Returns:
        Seconds from the start, float64 (samples,): increasing, each within [0, duration), 1 to 15.

    Raises:
        ValueError: If the duration isn't a positive finite number.
    """
    if not (math.isfinite(duration_seconds) and duration_seconds > 0):
        raise ValueError(f"duration_seconds must be positive and finite, got {duration_seconds}")
    if duration_seconds >= SHORT_SECONDS:
        return (np.arange(LONG_SAMPLES, dtype=np.float64) + 0.5) * (duration_seconds / LONG_SAMPLES)
    first = 0.5 / RATE_HZ
    if duration_seconds <= first:
        return np.array([duration_seconds / 2])
    count = math.ceil((duration_seconds - first) * RATE_HZ)
    return np.arange(count, dtype=np.float64) / RATE_HZ + first


def to_ticks(seconds: npt.NDArray[np.float64], *, time_base: Fraction) -> list[int]:
    """Last tick of a clock that has begun at each moment; a microsecond too early is forgiven.

    Args:
        seconds: Moments, (n,).
        time_base: Seconds a tick.

    Returns:
        n whole ticks.
    """
    return [math.floor((Fraction(float(moment)) + _TOLERANCE_SECONDS) / time_base) for moment in seconds]


def shown_at(starts: npt.NDArray[np.int64], ticks: list[int]) -> npt.NDArray[np.int64]:
    """Which frame is on the screen at each tick, for any frame rate, constant or not.

    Args:
        starts: When each frame appears, in ticks, ascending, (frames>0,).
        ticks: The moments, in the same ticks.

    Returns:
        For each moment the index of the last frame that has appeared, or 0 before the first.
    """
    return np.maximum(np.searchsorted(starts, ticks, side="right") - 1, 0).astype(np.int64)


def nearest_to(starts: npt.NDArray[np.int64], ticks: list[int]) -> npt.NDArray[np.int64]:
    """Which frame appears nearest to each tick; of two at the same distance the earlier one.

    Args:
        starts: When each frame appears, in ticks, ascending, (frames>0,).
        ticks: The moments, in the same ticks.

    Returns:
        For each moment the index of a frame.
    """
    moments = np.asarray(ticks, dtype=np.int64)
    after = np.minimum(np.searchsorted(starts, moments, side="left"), len(starts) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(moments - starts[before]) <= np.abs(starts[after] - moments), before, after)
