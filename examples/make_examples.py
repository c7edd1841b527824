"""Makes the example videos: photographs that scikit-image ships, with slow motion and made-up sound.

    python examples/make_examples.py [FOLDER]

Needs scikit-image (for its photographs; `pip install "ggm[dev]"`). Each photograph is in the public domain
or under CC0, as README.md beside this file says. The same versions of the packages give the same bytes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

PORTRAIT = (480, 640)
LANDSCAPE = (640, 480)
FRAMES_PER_SECOND = 24
SECONDS = 6
SAMPLE_RATE_HZ = 32_000

Samples = npt.NDArray[np.float64]
Box = tuple[float, float, float]
"""Centre x, centre y and height of what is seen, in pixels of the photograph."""


@dataclass(frozen=True)
class Example:
    """One example video.

    Args:
        name: Of the file, without its suffix.
        photograph: File in scikit-image's data folder.
        description: As its creator might write it.
        hashtags: As its creator might choose them.
        start: What the camera sees first.
        end: What it sees last.
        sound: Makes samples of shape (SECONDS * SAMPLE_RATE_HZ,), within -1 to 1, from a seeded generator.
        size: Width and height of the video.
        crf: The encoder's constant rate factor; higher makes smaller files.
    """

    name: str
    photograph: str
    description: str
    hashtags: tuple[str, ...]
    start: Box
    end: Box
    sound: Callable[[np.random.Generator], Samples]
    size: tuple[int, int] = PORTRAIT
    crf: int = 29


def _time() -> Samples:
    return np.arange(SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ


def _noise(rng: np.random.Generator, low_hz: float, high_hz: float) -> Samples:
    """Noise in a band, with a peak of 1."""
    spectrum = np.fft.rfft(rng.standard_normal(SECONDS * SAMPLE_RATE_HZ))
    frequencies = np.fft.rfftfreq(SECONDS * SAMPLE_RATE_HZ, 1 / SAMPLE_RATE_HZ)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    samples = np.fft.irfft(spectrum, SECONDS * SAMPLE_RATE_HZ)
    return np.asarray(samples / np.abs(samples).max())


def purr(rng: np.random.Generator) -> Samples:
    """Low noise that beats 25 times a second, and swells with the breath."""
    t = _time()
    beat = np.clip(np.sin(2 * np.pi * 25 * t), 0, None) ** 2
    breath = 0.65 + 0.35 * np.sin(2 * np.pi * 0.6 * t)
    return np.asarray(0.6 * _noise(rng, 40, 500) * beat * breath)


def cafe(rng: np.random.Generator) -> Samples:
    """A murmur, and now and then a spoon on china."""
    t = _time()
    samples = 0.12 * _noise(rng, 150, 1200) * (0.7 + 0.3 * np.sin(2 * np.pi * 1.3 * t))
    for at_seconds in (0.8, 1.1, 3.2, 4.9):
        after = np.clip(t - at_seconds, 0, None)
        ring = sum(np.sin(2 * np.pi * hz * after) for hz in (2350, 3710, 5230))
        samples = samples + 0.1 * ring * np.exp(-14 * after) * (t >= at_seconds)
    return np.asarray(samples)


def engine(rng: np.random.Generator) -> Samples:
    """A rumble that grows."""
    t = _time()
    return np.asarray((0.25 + 0.1 * t) * _noise(rng, 20, 350) + 0.1 * _noise(rng, 300, 3000) * t / SECONDS)


def chord(_rng: np.random.Generator) -> Samples:
    """Three soft tones that fade in and out."""
    t = _time()
    tones = sum(np.sin(2 * np.pi * hz * t + phase) for hz, phase in ((220.0, 0), (277.18, 1), (329.63, 2)))
    return np.asarray(0.15 * tones * np.sin(np.pi * t / SECONDS))


def space(rng: np.random.Generator) -> Samples:
    """A deep, slowly beating tone in a faint wind."""
    t = _time()
    drone = np.sin(2 * np.pi * 82.4 * t) + np.sin(2 * np.pi * 82.9 * t) + 0.4 * np.sin(2 * np.pi * 123.6 * t)
    return np.asarray(0.2 * drone + 0.05 * _noise(rng, 400, 2000))


def shutter(rng: np.random.Generator) -> Samples:
    """Wind over a meadow, and a camera that clicks three times."""
    t = _time()
    samples = 0.15 * _noise(rng, 100, 900) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * t))
    click = _noise(rng, 1500, 7000)
    for at_seconds in (1.5, 3.0, 4.6):
        samples = samples + 0.7 * click * np.exp(-90 * np.clip(t - at_seconds, 0, None)) * (t >= at_seconds)
    return np.asarray(samples)


EXAMPLES = (
    Example(
        "cat",
        "chelsea.png",
        "She has been staring at me like this all morning",
        ("cat", "kitten", "catsofinstagram", "pet"),
        (225, 150, 300),
        (215, 140, 245),
        purr,
        LANDSCAPE,
    ),
    Example(
        "coffee",
        "coffee.png",
        "First cup of the day",
        ("coffee", "espresso", "morning", "barista"),
        (320, 200, 400),
        (310, 210, 300),
        cafe,
    ),
    Example(
        "astronaut",
        "astronaut.png",
        "Commander Eileen Collins before her flight",
        ("astronaut", "nasa", "space", "spaceshuttle"),
        (250, 256, 512),
        (225, 190, 370),
        chord,
    ),
    Example(
        "rocket",
        "rocket.jpg",
        "Ready on the pad at dusk",
        ("rocket", "launch", "space", "falcon9"),
        (330, 240, 374),
        (325, 213.5, 427),
        engine,
    ),
    Example(
        "galaxies",
        "hubble_deep_field.jpg",
        "Every speck of light here is a galaxy",
        ("galaxy", "hubble", "space", "astronomy"),
        (400, 436, 760),
        (560, 436, 540),
        space,
        crf=33,
    ),
    Example(
        "photographer",
        "camera.png",
        "Waiting for the light",
        ("photography", "camera", "tripod", "blackandwhite"),
        (256, 256, 512),
        (235, 190, 360),
        shutter,
    ),
)


def frames(photograph: Image.Image, example: Example) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames, uint8 (height, width, 3), from the first view to the last, with a gentle start and stop."""
    count = SECONDS * FRAMES_PER_SECOND
    for index in range(count):
        t = index / (count - 1)
        eased = t * t * (3 - 2 * t)
        x, y, height = (a + (b - a) * eased for a, b in zip(example.start, example.end, strict=True))
        width = height * example.size[0] / example.size[1]
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        yield np.asarray(photograph.resize(example.size, Image.Resampling.BICUBIC, box=box))


def write_video(example: Example, photographs: Path, path: Path) -> None:
    """Encodes one example as H.264 and AAC in MP4."""
    with Image.open(photographs / example.photograph) as image:
        photograph = image.convert("RGB")
    samples = example.sound(np.random.default_rng(0))
    fade = np.minimum(1, np.minimum(_time(), _time()[::-1]) / 0.1)
    samples = (np.clip(samples * fade, -1, 1)).astype(np.float32)
    partial = path.with_name(f".{path.name}.partial")
    with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"crf": str(example.crf), "preset": "slow"}
        )
        video.width, video.height = example.size
        video.pix_fmt = "yuv420p"
        # One thread, so that the bytes don't depend on the machine.
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = FRAMES_PER_SECOND
        sound = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        sound.bit_rate = 48_000
        for index, pixels in enumerate(frames(photograph, example)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(samples), 1024):
            chunk = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            chunk.sample_rate, chunk.pts = SAMPLE_RATE_HZ, start
            chunk.time_base = Fraction(1, SAMPLE_RATE_HZ)
            container.mux(sound.encode(chunk))
        container.mux(sound.encode(None))
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the example videos.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder: Path = parser.parse_args().folder
    # Found, not imported: only the files are needed.
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit('scikit-image is missing: pip install "ggm[dev]"')
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for example in EXAMPLES:
        path = folder / f"{example.name}.mp4"
        write_video(example, Path(spec.origin).parent / "data", path)
        rows.append(
            {
                "id": example.name,
                "video": path.name,
                "description": example.description,
                "hashtags": list(example.hashtags),
            }
        )
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "examples.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
