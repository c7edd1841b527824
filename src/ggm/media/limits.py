"""What a video may cost before it's refused, and which options make sense."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ggm.media.sample import FRAME_CHOICES


@dataclass(frozen=True)
class MediaLimits:
    """Limits on one video file; the defaults admit 8K pictures and two hours.

    Args:
        max_size_bytes: Size of the file.
        max_duration_seconds: Length of the video.
        max_pixels: Width times height of one frame.
        max_streams: Video, sound, subtitle and data streams together.

    Raises:
        ValueError: If a limit isn't positive.
    """

    max_size_bytes: int = 2 * 1024**3
    max_duration_seconds: float = 2 * 60 * 60
    max_pixels: int = 8192 * 4320
    max_streams: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be positive, got {getattr(self, field.name)}")


DEFAULT_LIMITS = MediaLimits()


def check_options(
    *, short_side: int | None, sound_rate_hz: int | None, sound_seconds: float, frames: str = "exact"
) -> None:
    """Check the options of `ggm.media.decode_video`.

    Raises:
        ValueError: If one is out of range.
    """
    if frames not in FRAME_CHOICES:
        raise ValueError(f"frames must be one of {', '.join(FRAME_CHOICES)}, got {frames!r}")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side must be positive, got {short_side}")
    if sound_rate_hz is not None and sound_rate_hz < 1:
        raise ValueError(f"sound_rate_hz must be positive, got {sound_rate_hz}")
    if not 0 < sound_seconds < float("inf"):
        raise ValueError(f"sound_seconds must be positive and finite, got {sound_seconds}")
