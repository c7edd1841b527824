"""Scenes as small videos that can be decoded: for tests from end to end, not for training.

Each topic is a shape with a colour, its kind decides the colour, and what is heard is a tone.
"""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from ggm.corpus import render
from ggm.records import Sound
from ggm.scenes import Scene, Topic

MAX_CLIPS: Final = 1000
"""More than a test needs."""

SOUND_RATE_HZ: Final = 16_000

_SIDE: Final = 320
_PLACES: Final = ((0, 0, 200), (200, 0, 120), (200, 200, 120))  # x, y and side of each topic, by prominence
_LOWEST_HZ: Final = 200.0
_OCTAVES: Final = 3.0
_STRIPES: Final = (0, 2, 3, 5)
_MIN_CORNERS, _MAX_CORNERS = 3, 9


def write_clip(scene: Scene, path: Path, *, topics: Sequence[Topic], post_id: str, seed: int) -> None:
    """Renders a scene: two seconds, with a slow motion of the camera that differs from post to post.

    Args:
        scene: What is shown and heard.
        path: Ends in ``.mp4``; replaced if it exists.
        topics: The table that the scene refers to.
        post_id: Of its post.
        seed: Of the corpus.
    """
    picture = paint(scene, topics, seed=seed)
    motion = render.choose_motion(post_id, seed=seed)
    sound = None if scene.silent else sing(scene.heard, post_id=post_id, seed=seed)
    render.write_video(render.render_frames(picture, motion), path, sound=sound)


def paint(scene: Scene, topics: Sequence[Topic], *, seed: int) -> Image.Image:
    """The shapes of the topics of a scene, RGBA; the most prominent is the largest."""
    picture = Image.new("RGBA", (_SIDE, _SIDE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    for row, (left, top, side) in zip(scene.shown, _PLACES, strict=False):
        _paint_topic(pen, row, topics[row], box=(left, top, side), seed=seed)
    return picture


def sing(heard: int | None, *, post_id: str, seed: int) -> Sound:
    """The tone of a topic, its own pitch; noise, which differs from post to post, where none is heard."""
    count = SOUND_RATE_HZ * render.NUM_FRAMES // render.FRAMES_PER_SECOND
    if heard is None:
        noise = np.random.default_rng(_number_of(f"{seed}/noise/{post_id}"))
        return Sound(noise.normal(0, 0.1, count).astype(np.float32), SOUND_RATE_HZ)
    rng = random.Random(f"{seed}/tone/{heard}")
    pitch_hz = _LOWEST_HZ * 2 ** rng.uniform(0, _OCTAVES)
    seconds = np.arange(count) / SOUND_RATE_HZ
    return Sound((0.3 * np.sin(2 * math.pi * pitch_hz * seconds)).astype(np.float32), SOUND_RATE_HZ)


def _number_of(text: str) -> int:
    """A number that stands for a text, the same in every process."""
    return random.Random(text).getrandbits(63)


def _paint_topic(
    pen: ImageDraw.ImageDraw, row: int, topic: Topic, *, box: tuple[int, int, int], seed: int
) -> None:
    """A polygon with stripes: colour by what the topic is a kind of, the rest its own."""
    left, top, side = box
    own = random.Random(f"{seed}/look/{row}")
    hue = random.Random(f"{seed}/hue/{row if topic.parent is None else topic.parent}").random()
    hue = (hue + own.uniform(-0.04, 0.04)) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, own.uniform(0.6, 1.0), own.uniform(0.5, 0.9))
    colour = (round(255 * red), round(255 * green), round(255 * blue), 255)
    circle = (left + side / 2, top + side / 2, side / 2)
    pen.regular_polygon(circle, own.randint(_MIN_CORNERS, _MAX_CORNERS), own.randrange(90), fill=colour)
    stripes = own.choice(_STRIPES)
    for stripe in range(stripes):
        y = top + side * (stripe + 1) / (stripes + 1)
        pen.line((left + side * 0.2, y, left + side * 0.8, y), fill=(0, 0, 0, 255), width=max(2, side // 24))
