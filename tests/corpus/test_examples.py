"""The committed example clips are what their manifest and README say."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from ggm.corpus.manifest import read_manifest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = [
    json.loads(line)["id"] for line in (EXAMPLES / "examples.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_the_examples_are_a_manifest_and_each_has_its_terms() -> None:
    posts = list(read_manifest(EXAMPLES / "examples.jsonl"))
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [post.id for post in posts] == NAMES
    assert {path.name for path in EXAMPLES.glob("*.mp4")} == {post.video.name for post in posts}
    for post in posts:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{post.video.name}`"))
        assert "CC0" in row or "public domain" in row
        assert post.description


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_six_seconds_of_picture_motion_and_sound(name: str) -> None:
    path = EXAMPLES / f"{name}.mp4"
    assert path.stat().st_size < 320_000
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(6_000_000, abs=100_000)
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
        frames = list(container.decode(video=0))
    assert len(frames) == 144
    first, last = (frames[index].to_ndarray(format="gray").astype(float) for index in (0, -1))
    assert np.abs(first - last).mean() > 5
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert 0.02 < np.sqrt((sound**2).mean()) < 0.5
    assert np.abs(sound).max() <= 1.0
