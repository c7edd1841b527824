from __future__ import annotations

from pathlib import Path

import pytest

from videos import write_video


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of h264 and aac, 10 frames a second, 64x48."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def silent_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second without a sound stream."""
    return write_video(tmp_path_factory.mktemp("clip") / "silent.mp4", seconds=1, sound=False)
