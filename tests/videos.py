"""Small videos for tests, whose colours say which frame is which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_TICKS = 12_800


def frame_colour(index: int) -> tuple[int, int, int]:
    """The colour of a frame's left half: far from its neighbours', and none of 125 alike."""
    code = index * 47 % 125
    return (code % 5 * 50 + 25, code // 5 % 5 * 50 + 25, code // 25 * 50 + 25)


def frame_pixels(index: int, *, size: tuple[int, int]) -> np.ndarray:
    """One frame: the left half says which it is, the right has texture that moves.

    A white mark in the upper left corner tells which way is up.
    """
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    texture = 128 + 80 * np.sin((columns + 2 * index) / 5) * np.cos((rows - index) / 7)
    pixels = np.repeat(texture[..., None], 3, axis=2).astype(np.uint8)
    pixels[:, : width // 2] = frame_colour(index)
    pixels[: height // 4, : width // 4] = 255
    return pixels


def which_frame(pixels: np.ndarray, *, count: int = 125) -> int:
    """The index of the frame that an array shows; pass upright pixels."""
    height, width = pixels.shape[:2]
    patch = (
        pixels[height // 2 : -height // 8 or None, width // 8 : width * 3 // 8].reshape(-1, 3).mean(axis=0)
    )
    distances = [np.abs(patch - np.array(frame_colour(index))).sum() for index in range(count)]
    return int(np.argmin(distances))


def sine(seconds: float, *, rate_hz: int = 48_000, pitch_hz: float = 440.0) -> np.ndarray:
    """A tone, float32 (samples,)."""
    moments = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * math.pi * pitch_hz * moments)).astype(np.float32)


def write_video(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: float = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    sound: bool = True,
    sound_codec: str | None = None,
    sound_rate_hz: int = 48_000,
    rotation: int = 0,
    gop: int = 12,
    options: dict[str, str] | None = None,
    pix_fmt: str | None = None,
    times: Sequence[float] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a small video; the container follows from the suffix.

    Args:
        path: Where to.
        seconds: Length, unless `times` or `pictures` give it.
        fps: Frames a second.
        size: Width and height of the stored frames.
        codec: Of the pictures, such as ``libx264``, ``libvpx-vp9``, ``mpeg4``, ``gif``.
        sound: Whether there is a tone of 440 Hz.
        sound_codec: ``libopus`` for webm, else ``aac``.
        sound_rate_hz: Sample rate of the tone.
        rotation: Degrees counter-clockwise that a player shall turn the frames.
        gop: Largest distance of keyframes.
        options: Of the encoder.
        pix_fmt: ``bgr8`` for gif, else ``yuv420p``.
        times: When each frame is shown, for a variable frame rate.
        pictures: The frames themselves, uint8 (height, width, 3), instead of `frame_pixels`.
        container_format: Where the suffix doesn't tell.
        container_options: Of the container's writer.

    Returns:
        The path.
    """
    if pictures is not None:
        size = (pictures[0].shape[1], pictures[0].shape[0])
    if times is None:
        count = len(pictures) if pictures is not None else max(1, round(seconds * fps))
        times = [index / fps for index in range(count)]
    options = dict(options or {})
    if codec == "libx264":
        options = {"preset": "veryfast", "threads": "1", **options}
    elif codec.startswith("libvpx"):
        options = {"cpu-used": "8", "deadline": "realtime", **options}
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        pictures_out = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1000), options=options
        )
        pictures_out.width, pictures_out.height = size
        pictures_out.pix_fmt = pix_fmt or ("bgr8" if codec == "gif" else "yuv420p")
        pictures_out.codec_context.gop_size = gop
        time_base = Fraction(1, 100 if codec == "gif" else _TICKS)
        if codec in ("mpeg4", "mpeg2video"):  # these only take the frame rate's own clock
            time_base = 1 / Fraction(fps).limit_denominator(1000)
        pictures_out.codec_context.time_base = time_base
        if rotation:
            pictures_out.set_display_rotation(rotation)
        if sound:
            default_codec = "libopus" if path.suffix == ".webm" else "aac"
            sound_out = container.add_stream(sound_codec or default_codec, rate=sound_rate_hz)
            sound_out.layout = "mono"
        for index, time in enumerate(times):
            pixels = pictures[index] if pictures is not None else frame_pixels(index, size=size)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.time_base = time_base
            frame.pts = round(time / time_base)
            container.mux(pictures_out.encode(frame))
        container.mux(pictures_out.encode())
        if sound:
            tone = sine(times[-1] + 1 / fps, rate_hz=sound_rate_hz)
            for start in range(0, tone.size, 960):
                part = av.AudioFrame.from_ndarray(
                    tone[None, start : start + 960], format="fltp", layout="mono"
                )
                part.sample_rate = sound_rate_hz
                part.pts = start
                part.time_base = Fraction(1, sound_rate_hz)
                container.mux(sound_out.encode(part))
            container.mux(sound_out.encode())
    return path
