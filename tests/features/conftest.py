from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checkpoints import write_base_checkpoints
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.profiles import Profile
from ggm.records import Frames, Sound, Video

MakeVideo = Callable[..., Video]


def make_video(
    seed: int = 0,
    *,
    frames: int = 3,
    height: int = 40,
    width: int = 64,
    sound_samples: int = 0,
    rate_hz: int = 8000,
) -> Video:
    """Noise: every frame and every sound differs."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    sound = None
    if sound_samples:
        sound = Sound(random.normal(scale=0.1, size=sound_samples).astype(np.float32), rate_hz)
    return Video(Frames(pixels, np.arange(frames, dtype=np.float64) / 2), sound, duration_seconds=frames / 2)


@pytest.fixture(scope="session")
def tiny() -> FeatureExtractor:
    return load_extractor("tiny")


@pytest.fixture(scope="session")
def compact() -> FeatureExtractor:
    return load_extractor("compact")


@pytest.fixture(scope="session")
def base_profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return write_base_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def base(base_profile: Profile) -> FeatureExtractor:
    return load_extractor(base_profile)


@pytest.fixture
def video_files(tmp_path: Path) -> list[Path]:
    """Files whose content stands for a video; a fake decoder reads the seed in them."""
    paths = []
    for seed in range(4):
        path = tmp_path / f"clip{seed}.mp4"
        path.write_bytes(f"{seed}".encode())
        paths.append(path)
    return paths
