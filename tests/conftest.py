"""The small world of the tests: a system of random weights, and a dataset of tiny videos."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# Shared machines pause now and then; slowness is what the timeout of each test is for.
settings.register_profile("ggm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ggm")

# Networks this small gain nothing from a second thread, and lose much where cores are shared.
torch.set_num_threads(1)

# Shells start what runs in the background with SIGINT ignored, and the processes of tests would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved bundle of the profile ``tiny``: every part real but small, random and untrained."""
    from ggm.bundle import save_bundle
    from systems import random_bundle

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(random_bundle("tiny"), folder)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Videos that differ: with sound, without, short, and with more frames."""
    from videos import write_video

    folder = tmp_path_factory.mktemp("clips")
    return [
        write_video(folder / "sound.mp4", seconds=1.0),
        write_video(folder / "silent.mp4", seconds=1.5, sound=False),
        write_video(folder / "short.mp4", seconds=0.3, fps=20),
        write_video(folder / "long.mp4", seconds=8.0, fps=5),
    ]


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of twelve posts: eight to train, two to validate, two to test."""
    from ggm.corpus.manifest import write_manifest
    from ggm.records import Post
    from videos import write_video

    folder = tmp_path_factory.mktemp("dataset")
    posts = []
    for index in range(12):
        video = write_video(folder / f"{index}.mp4", seconds=0.6 + index / 20, fps=10, sound=index % 3 == 0)
        colour, animal = ("red", "blue")[index % 2], ("cat", "dog", "bird")[index % 3]
        split = "train" if index < 8 else "validation" if index < 10 else "test"
        posts.append(Post(str(index), video, f"a {colour} {animal}", (colour, animal), split=split))
    write_manifest(posts, folder / "manifest.jsonl")
    return folder
