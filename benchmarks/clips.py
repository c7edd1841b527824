"""Generated clips that cost a decoder about what real ones cost.

Textures with a natural spectrum, panned, zoomed and turned, shapes that move, sensor grain, scene cuts every
two to five seconds; h264 and aac at 2.5 Mbit/s, 720x1280, 30 frames a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

FRAMES_PER_SECOND = 30
_SOUND_RATE_HZ = 44_100
_BLOCK = 1024


def write_clip(
    path: Path,
    *,
    seconds: float,
    gop: int,
    size: tuple[int, int] = (720, 1280),
    still_share: float = 0.0,
    codec: str = "libx264",
    megabits: float = 2.5,
    seed: int = 0,
) -> Path:
    """Write one clip, unless it is there already.

    Args:
        path: Where to; its suffix names the container.
        seconds: Length.
        gop: Largest distance of keyframes.
        size: Width and height.
        still_share: Share of the clip, at its start, in which one picture stands still.
        codec: Of the pictures.
        megabits: Bits a second, in millions.
        seed: Of all that is drawn.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"preset": "veryfast", "maxrate": f"{1.6 * megabits}M", "bufsize": f"{2 * megabits}M"}
    if codec != "libx264":
        options = {"cpu-used": "8", "deadline": "realtime"}
    building = path.with_name(f".{path.name}.part")
    with av.open(str(building), "w", format=path.suffix[1:], options={}) as container:
        pictures = container.add_stream(codec, rate=FRAMES_PER_SECOND, options=options)
        pictures.width, pictures.height = size
        pictures.pix_fmt = "yuv420p"
        pictures.bit_rate = round(megabits * 1e6)
        pictures.codec_context.gop_size = gop
        pictures.codec_context.thread_count = 2
        sound = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48_000)
        sound.layout = "mono"
        count = round(seconds * FRAMES_PER_SECOND)
        for number, pixels in enumerate(_pictures(count, size, still_share=still_share, seed=seed)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(pictures.encode(frame))
            if number % FRAMES_PER_SECOND == 0:
                for part in _sound(number // FRAMES_PER_SECOND, seed=seed):
                    container.mux(sound.encode(part))
        container.mux(pictures.encode())
        container.mux(sound.encode())
    building.replace(path)
    return path


def repeat_clip(source: Path, path: Path, *, times: int) -> Path:
    """The pictures of a clip several times over, packet by packet, unless the file is there already."""
    if path.exists():
        return path
    building = path.with_name(f".{path.name}.part")
    with av.open(str(source)) as read, av.open(str(building), "w", format=path.suffix[1:]) as written:
        stream = read.streams.video[0]
        out = written.add_stream_from_template(stream)
        packets = [packet for packet in read.demux(stream) if packet.size]
        length = stream.duration
        kept = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, kept, strict=True):
                packet.stream = out
                packet.time_base = stream.time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                written.mux(packet)
    building.replace(path)
    return path


def _pictures(count: int, size: tuple[int, int], *, still_share: float, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    width, height = size
    textures = [_texture(rng, 2 * max(size)) for _ in range(4)]
    grain = rng.normal(0, 2, (3, height, width, 1)).astype(np.int16)
    still = _View(rng, textures, size).picture(0)
    view, begun, until = _View(rng, textures, size), 0, 0
    for number in range(count):
        if number < still_share * count:
            yield still
            continue
        if number >= until:
            view, begun = _View(rng, textures, size), number
            until = number + int(rng.integers(60, 150))
        pixels = view.picture(number - begun).astype(np.int16)
        pixels += np.roll(grain[number % 3], int(rng.integers(height)), axis=0)
        yield np.clip(pixels, 0, 255).astype(np.uint8)


class _View:
    """One scene: a camera that moves over a texture, and shapes before it."""

    def __init__(self, rng: np.random.Generator, textures: list[Image.Image], size: tuple[int, int]) -> None:
        self.size = size
        self.texture = textures[int(rng.integers(len(textures)))]
        side = self.texture.width
        self.centre = rng.uniform(0.35 * side, 0.65 * side, 2)
        self.speed = rng.uniform(-2, 2, 2)
        self.turn = float(rng.uniform(-0.1, 0.1))
        self.shapes = [
            (
                rng.uniform(0, 1, 2) * size,
                rng.uniform(-6, 6, 2),
                int(rng.integers(30, 140)),
                tuple(rng.integers(0, 255, 3)),
            )
            for _ in range(4)
        ]

    def picture(self, moment: int) -> np.ndarray:
        width, height = self.size
        angle = math.radians(self.turn * moment)
        x, y = self.centre + self.speed * moment + 1.5 * np.sin(moment * np.array([0.7, 0.55]))
        cosine, sine = math.cos(angle), math.sin(angle)
        transform = (
            *(cosine, sine, x - cosine * width / 2 - sine * height / 2),
            *(-sine, cosine, y + sine * width / 2 - cosine * height / 2),
        )
        image = self.texture.transform(
            self.size, Image.Transform.AFFINE, transform, resample=Image.Resampling.BILINEAR
        )
        draw = ImageDraw.Draw(image)
        for start, speed, radius, colour in self.shapes:
            left, top = (start + speed * moment) % np.array(self.size)
            draw.ellipse(
                (left - radius, top - radius, left + radius, top + radius), fill=tuple(map(int, colour))
            )
        return np.asarray(image)


def _texture(rng: np.random.Generator, side: int) -> Image.Image:
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / side) ** 1.15
    planes = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        plane = np.fft.irfft2(amplitude * phases, s=(side, side))
        planes.append((plane - plane.mean()) / plane.std())
    colours = [0.75 * planes[0] + 0.5 * plane for plane in planes]
    image = Image.fromarray(np.clip(120 + 55 * np.stack(colours, -1), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        (x, y), (a, b) = rng.integers(0, side, 2), rng.integers(20, 300, 2)
        draw.ellipse((x - a, y - b, x + a, y + b), fill=tuple(map(int, rng.integers(0, 255, 3))))
    return image


def _sound(second: int, *, seed: int) -> Iterator[av.AudioFrame]:
    rng = np.random.default_rng([seed, second])
    noise = np.cumsum(rng.normal(0, 0.02, 48_000))
    samples = (0.3 * np.tanh(noise - noise.mean())).astype(np.float32)
    for start in range(0, 48_000, 960):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        frame.pts = second * 48_000 + start
        yield frame
