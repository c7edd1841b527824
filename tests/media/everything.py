"""The slow obvious twin: decode every frame, then pick."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ggm.media.pictures import FrameConverter
from ggm.media.sample import sample_timestamps


def decode_everything(path: Path, *, duration_seconds: float, short_side: int | None = None) -> np.ndarray:
    """Sampled frames of a file all of whose frames have timestamps, (frames, height, width, 3)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        convert = FrameConverter(short_side=short_side, pixel_aspect=pixel_aspect)
        time_base = stream.time_base
        frames = [(frame.pts, convert(frame)) for frame in container.decode(stream)]
    first = min(pts for pts, _ in frames)
    picked = []
    for moment in sample_timestamps(duration_seconds):
        limit = Fraction(float(moment)) + Fraction(1, 1_000_000)
        shown = [(pts, pixels) for pts, pixels in frames if (pts - first) * time_base <= limit]
        picked.append(max(shown, key=lambda item: item[0])[1])
    return np.stack(picked)
