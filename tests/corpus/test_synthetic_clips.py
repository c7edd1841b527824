from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ggm.corpus.render import NUM_FRAMES, SIDE
from ggm.corpus.synthetic.clips import SOUND_RATE_HZ, paint, sing, write_clip
from ggm.scenes import Scene, Topic

TOPICS = (Topic("thing"), Topic("animal", 0), *(Topic(f"kind {n}", 1) for n in range(8)))
KINDS = range(2, 10)


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum)) * SOUND_RATE_HZ / len(samples)


def test_each_topic_has_a_look_and_kinds_of_one_thing_have_a_colour() -> None:
    pictures = [np.asarray(paint(Scene((row,)), TOPICS, seed=0)) for row in KINDS]
    assert len({picture.tobytes() for picture in pictures}) == 8
    hues = []
    for picture in pictures:
        colours = picture[(picture[..., 3] == 255) & (picture[..., :3].sum(-1) > 0)]
        assert len(colours) > 500
        hues.append(int(np.argmax(colours.mean(0)[:3])))
    assert len(set(hues)) <= 2  # neighbouring hues
    again = np.asarray(paint(Scene((2,)), TOPICS, seed=0))
    assert np.array_equal(again, pictures[0])
    assert not np.array_equal(np.asarray(paint(Scene((2,)), TOPICS, seed=1)), pictures[0])
    both = np.asarray(paint(Scene((2, 3)), TOPICS, seed=0))
    assert np.array_equal(both[:200, :200], pictures[0][:200, :200])
    assert (both[..., 3] > 0).sum() > (pictures[0][..., 3] > 0).sum()


def test_each_topic_has_a_pitch_and_noise_has_none() -> None:
    pitches = {round(pitch_hz(sing(row, post_id="1", seed=0).samples)) for row in KINDS}
    assert len(pitches) == 8
    assert all(190 < pitch < 1700 for pitch in pitches)
    assert np.array_equal(sing(2, post_id="1", seed=0).samples, sing(2, post_id="9", seed=0).samples)
    noise = sing(None, post_id="1", seed=0).samples
    assert (
        np.abs(np.fft.rfft(noise)).max()
        < 0.1 * np.abs(np.fft.rfft(sing(2, post_id="1", seed=0).samples)).max()
    )
    assert not np.array_equal(noise, sing(None, post_id="2", seed=0).samples)


@pytest.mark.parametrize("silent", [True, False])
def test_a_clip_can_be_decoded_and_is_the_same_again(tmp_path: Path, silent: bool) -> None:
    scene = Scene((2, 5), heard=None if silent else 3, silent=silent)
    for name in ("a.mp4", "b.mp4"):
        write_clip(scene, tmp_path / name, topics=TOPICS, post_id="7", seed=0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [stream.type for stream in container.streams] == (["video"] if silent else ["video", "audio"])
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert (len(frames), frames[0].shape) == (NUM_FRAMES, (SIDE, SIDE, 3))
    if not silent:
        with av.open(str(tmp_path / "a.mp4")) as container:
            samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert len(samples) / SOUND_RATE_HZ == pytest.approx(2.0, abs=0.2)
        assert pitch_hz(samples) == pytest.approx(pitch_hz(sing(3, post_id="7", seed=0).samples), abs=3)
