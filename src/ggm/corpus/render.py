"""A still picture becomes a short video with slow motion (zoom and pan), silent unless it gets a sound."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ggm.errors import DataError
from ggm.records import Sound

SIDE = 256
FRAMES_PER_SECOND = 8
NUM_FRAMES = 16
MAX_PIXELS = 40_000_000
MIN_SIDE = 16
CANVAS = 320
"""Side of the square that the camera moves over."""

_KEY_FRAME_EVERY = 8
_ENCODER = {"crf": "23", "preset": "veryfast"}
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Motion:
    """What the camera does.

    Args:
        zoom: Side of the visible square at the start and the end, as a share of the canvas, 0 to 1.
        centre: Where it looks at the start and the end, x and y as shares of the canvas.
        background: RGB behind a transparent picture.
    """

    zoom: tuple[float, float]
    centre: tuple[tuple[float, float], tuple[float, float]]
    background: tuple[int, int, int]


def choose_motion(id: str, *, seed: int, light: bool = False) -> Motion:  # noqa: A002
    """The motion of one post: the same for the same id and seed.

    Args:
        id: Of the post.
        seed: Of the corpus.
        light: Whether the picture is nearly white, so that it needs a darker background.

    Returns:
        Half of the motions zoom in and half out, by 8 to 25 percent; half of the backgrounds are white.
    """
    rng = random.Random(f"{seed}:{id}")
    wide, near = rng.uniform(0.94, 1.0), rng.uniform(0.78, 0.87)
    zoom = (wide, near) if rng.random() < 0.5 else (near, wide)
    start, end = ((0.5 + rng.uniform(-0.06, 0.06), 0.5 + rng.uniform(-0.06, 0.06)) for _ in range(2))
    tint = (rng.randint(205, 250), rng.randint(205, 250), rng.randint(205, 250))
    background = _WHITE if rng.random() < 0.5 else tint
    if light:
        background = (tint[0] - 150, tint[1] - 150, tint[2] - 150)
    return Motion(zoom=zoom, centre=(start, end), background=background)


def load_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads a picture, cropped to what isn't transparent, and no larger than needed.

    Args:
        path: A PNG.
        max_pixels: Checked in the header, before anything is decoded.

    Returns:
        RGBA, at most as large as the canvas.

    Raises:
        DataError: If it isn't a PNG, is too large or too small, or is wholly transparent.
    """
    width, height = _png_size(path)
    if width * height > max_pixels:
        raise DataError(f"{path}: {width}x{height} pixels, more than {max_pixels:,} are allowed")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            picture = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not a readable PNG: {error}") from error
    return crop_picture(picture, path)


def crop_picture(picture: Image.Image, name: Path | str) -> Image.Image:
    """Crops an RGBA picture to what isn't transparent, and shrinks it if it is larger than needed.

    Args:
        picture: RGBA.
        name: Of it, for the message of an error.

    Raises:
        DataError: If it is too small, or wholly transparent.
    """
    box = picture.getchannel("A").getbbox()
    if box is None:
        raise DataError(f"{name}: wholly transparent")
    picture = picture.crop(box)
    if max(picture.size) < MIN_SIDE:
        raise DataError(f"{name}: only {picture.width}x{picture.height} pixels are visible")
    picture.thumbnail((CANVAS, CANVAS), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return picture


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height as the header states them. Pillow would warn of a large one before it answers."""
    try:
        with path.open("rb") as file:
            header = file.read(24)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(header) < 24 or not header.startswith(b"\x89PNG\r\n\x1a\n") or header[12:16] != b"IHDR":
        raise DataError(f"{path}: not a PNG")
    width, height = struct.unpack(">II", header[16:24])
    return width, height


def is_light(picture: Image.Image) -> bool:
    """Whether nothing of an RGBA picture would be seen on white."""
    pixels = np.asarray(picture)
    opaque = pixels[pixels[..., 3] > 64]
    return bool(opaque.size) and float(np.quantile(opaque[:, :3].min(axis=1), 0.02)) > 215


def flatten(
    picture: Image.Image, *, background: Image.Image | tuple[int, int, int] = _WHITE, margin: float = 0.0
) -> Image.Image:
    """An RGBA picture on a square background, as large as fits.

    Args:
        picture: RGBA.
        background: RGB colour, or a picture as large as the canvas, which is left as it is.
        margin: Share of the square left free on each side, 0 to less than 0.5.

    Returns:
        RGB, square.
    """
    if isinstance(background, Image.Image):
        canvas = background.copy()
    else:
        canvas = Image.new("RGB", (CANVAS, CANVAS), background)
    room = CANVAS * (1 - 2 * margin)
    scale = room / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    scaled = picture.resize(size, Image.Resampling.BICUBIC)
    canvas.paste(scaled, ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2), scaled)
    return canvas


def render_frames(picture: Image.Image, motion: Motion) -> Iterator[Image.Image]:
    """The frames of the video.

    Args:
        picture: RGBA.
        motion: What the camera does.

    Returns:
        NUM_FRAMES pictures, RGB, SIDE x SIDE.
    """
    return move_camera(flatten(picture, background=motion.background, margin=0.1), motion)


def move_camera(
    canvas: Image.Image, motion: Motion, *, num_frames: int | None = None
) -> Iterator[Image.Image]:
    """The frames of a video whose camera moves over a canvas.

    Args:
        canvas: RGB, CANVAS x CANVAS.
        motion: What the camera does; its background plays no part.
        num_frames: Number of frames, at least 2; NUM_FRAMES by default.

    Yields:
        Pictures, RGB, SIDE x SIDE.
    """
    num_frames = num_frames or NUM_FRAMES
    for index in range(num_frames):
        t = index / (num_frames - 1)
        half = CANVAS * _between(*motion.zoom, t) / 2
        (x0, y0), (x1, y1) = motion.centre
        # Kept inside the canvas, so that no edge of it is ever seen.
        x = min(max(_between(x0, x1, t) * CANVAS, half), CANVAS - half)
        y = min(max(_between(y0, y1, t) * CANVAS, half), CANVAS - half)
        yield canvas.resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR, box=(x - half, y - half, x + half, y + half)
        )


def write_video(
    frames: Iterator[Image.Image],
    path: Path,
    *,
    sound: Sound | None = None,
    frames_per_second: int = FRAMES_PER_SECOND,
) -> None:
    """Encodes frames as H.264 in MP4.

    One encoder thread, so that the same frames give the same bytes with the same libx264.
    The file appears whole or not at all.

    Args:
        frames: RGB, SIDE x SIDE.
        path: Ends in ``.mp4``; replaced if it exists.
        sound: Encoded as AAC beside them; None for a silent video.
        frames_per_second: How fast they follow each other.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=frames_per_second, options=_ENCODER)
            stream.width = stream.height = SIDE
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            stream.codec_context.gop_size = _KEY_FRAME_EVERY
            audio = (
                None
                if sound is None
                else container.add_stream("aac", rate=sound.sample_rate_hz, layout="mono")
            )
            for index, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if sound is not None and audio is not None:
                samples = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
                samples.sample_rate = sound.sample_rate_hz
                container.mux([*audio.encode(samples), *audio.encode(None)])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _between(start: float, end: float, t: float) -> float:
    return start + (end - start) * t
