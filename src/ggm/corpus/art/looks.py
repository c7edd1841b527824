"""How a picture is shown: its colour if it has none, what is behind it, its size and tilt."""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from ggm.corpus import render

NUM_FRAMES: Final = 8
FRAMES_PER_SECOND: Final = 4
"""Fewer than the clip-art corpus has: there are ten times as many clips."""

Colour = tuple[int, int, int]

_LEAST_CONTRAST: Final = 0.4
_LEAST_CONTRAST_OF_COLOURED: Final = 0.25
_TRIES: Final = 30
_PLAIN_SHARE: Final = 0.6  # of backgrounds that are of one colour
_LEVEL_SHARE: Final = 0.6  # of pictures that aren't tilted
_MOST_TILT_DEGREES: Final = 14.0


@dataclass(frozen=True)
class Look:
    """How a picture is shown.

    Args:
        ink: Colour of a picture that has none of its own; None for others.
        top: Of the background.
        bottom: Of the background; between them it changes evenly.
        margin: Share of the canvas left free on each side, 0 to 0.5.
        tilt_degrees: Anticlockwise.
    """

    ink: Colour | None
    top: Colour
    bottom: Colour
    margin: float
    tilt_degrees: float


def choose_look(clip_id: str, *, seed: int, tone: float | None) -> Look:
    """The look of a clip: the same for the same id, seed and tone.

    Args:
        clip_id: Of the clip.
        seed: Of the corpus.
        tone: Brightness of a picture with colours of its own, 0 to 1; None for one that gets an ink.

    Returns:
        A look with enough contrast between picture and background.
    """
    rng = random.Random(f"{seed}/look/{clip_id}")
    margin = rng.uniform(0.1, 0.22)
    tilt = 0.0 if rng.random() < _LEVEL_SHARE else rng.uniform(-_MOST_TILT_DEGREES, _MOST_TILT_DEGREES)
    is_plain = rng.random() < _PLAIN_SHARE
    for _ in range(_TRIES):
        top = _background(rng)
        bottom = top if is_plain else _background(rng)
        ink = None if tone is not None else _ink(rng)
        brightness = tone if ink is None else _brightness(ink)
        least = _LEAST_CONTRAST if ink is not None else _LEAST_CONTRAST_OF_COLOURED
        if (
            brightness is not None
            and min(abs(brightness - _brightness(top)), abs(brightness - _brightness(bottom))) >= least
            and abs(_brightness(top) - _brightness(bottom)) < least
        ):
            return Look(ink, top, bottom, margin, tilt)
    if tone is None:
        return Look((0, 0, 0), (255, 255, 255), (255, 255, 255), margin, tilt)
    end = (255, 255, 255) if tone < 0.5 else (20, 20, 30)
    return Look(None, end, end, margin, tilt)


def _background(rng: random.Random) -> Colour:
    kind = rng.random()
    if kind < 0.2:
        return (255, 255, 255)
    if kind < 0.55:  # pastel
        return _hsv(rng.random(), rng.uniform(0.05, 0.35), rng.uniform(0.85, 1.0))
    if kind < 0.8:  # full
        return _hsv(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.5, 0.95))
    return _hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.05, 0.3))


def _ink(rng: random.Random) -> Colour:
    kind = rng.random()
    if kind < 0.3:
        return (25, 25, 25)
    if kind < 0.45:
        return (250, 250, 250)
    return _hsv(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.25, 0.95))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return (round(255 * red), round(255 * green), round(255 * blue))


def _brightness(colour: Colour) -> float:
    """As it is seen, 0 to 1 (Rec. 601)."""
    red, green, blue = colour
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def picture_tone(picture: Image.Image) -> float:
    """Mean brightness of what is opaque in an RGBA picture, 0 to 1."""
    pixels = np.asarray(picture, dtype=np.float64)
    opaque = pixels[pixels[..., 3] > 64]
    if not opaque.size:
        return 0.5
    red, green, blue = opaque[:, :3].mean(axis=0).tolist()
    return _brightness((round(red), round(green), round(blue)))


def to_ink(picture: Image.Image) -> Image.Image:
    """A drawing in black on nothing or on white as black ink alone, RGBA: what is white becomes clear."""
    pixels = np.asarray(picture, dtype=np.float64)
    darkness = 255 - pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    ink = np.zeros_like(pixels, dtype=np.uint8)
    ink[..., 3] = np.rint(darkness * pixels[..., 3] / 255).astype(np.uint8)
    return Image.fromarray(ink)


def compose(picture: Image.Image, look: Look) -> Image.Image:
    """A picture in its look, on the canvas that the camera moves over.

    Args:
        picture: RGBA; of ink alone if the look has an ink.
        look: How it is shown.

    Returns:
        RGB, square.
    """
    if look.ink is not None:
        coloured = Image.new("RGBA", picture.size, (*look.ink, 0))
        coloured.putalpha(picture.getchannel("A"))
        picture = coloured
    if look.tilt_degrees:
        picture = picture.rotate(look.tilt_degrees, Image.Resampling.BICUBIC, expand=True)
    return render.flatten(picture, background=_gradient(look.top, look.bottom), margin=look.margin)


def _gradient(top: Colour, bottom: Colour) -> Image.Image | Colour:
    if top == bottom:
        return top
    share = np.linspace(0, 1, render.CANVAS)[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)  # (side, 1, 3)
    return Image.fromarray(np.repeat(np.rint(rows).astype(np.uint8), render.CANVAS, axis=1))
