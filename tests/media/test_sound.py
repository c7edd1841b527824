from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from ggm.media import decode_video
from ggm.media.limits import DEFAULT_LIMITS
from ggm.media.sound import decode_sound
from videos import sine, write_video


def pitch(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / samples.size)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_the_tone_comes_back(tmp_path, suffix, rate_hz) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    sound = decode_video(write_video(tmp_path / f"a{suffix}", codec=codec), sound_rate_hz=rate_hz).sound
    assert sound is not None
    assert sound.samples.dtype == np.float32
    assert sound.sample_rate_hz == rate_hz
    assert sound.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert pitch(sound.samples, rate_hz) == pytest.approx(440, abs=2)
    middle = sound.samples[rate_hz // 2 : rate_hz]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def write_pcm(path: Path, tone: np.ndarray, *, rate_hz: int = 48_000) -> Path:
    """A video whose sound is uncompressed, so that samples can be compared."""
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        stream = out.add_stream("pcm_f32le", rate=rate_hz)
        stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[tone.shape[0]]
        out.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(pictures.encode())
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(tone.T).reshape(1, -1), format="flt", layout=stream.layout
        )
        frame.sample_rate = rate_hz
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def test_samples_at_the_files_own_rate_are_exact(tmp_path) -> None:
    tone = sine(1.0)
    sound = decode_video(write_pcm(tmp_path / "a.mov", tone[None]), sound_rate_hz=48_000).sound
    np.testing.assert_array_equal(sound.samples, tone)


def test_the_resampler_is_flushed(tmp_path) -> None:
    tone = sine(1.0)
    sound = decode_video(write_pcm(tmp_path / "a.mov", tone[None]), sound_rate_hz=16_000).sound
    assert sound.samples.size == 16_000
    expected = sine(1.0, rate_hz=16_000)
    np.testing.assert_allclose(sound.samples[200:-200], expected[200:-200], atol=2e-3)
    assert np.abs(sound.samples[-30:]).max() > 0.1


@pytest.mark.parametrize("channels", [2, 6])
def test_many_channels_become_one(tmp_path, channels) -> None:
    tone = np.zeros((channels, 48_000), np.float32)
    tone[0] = sine(1.0)
    sound = decode_video(write_pcm(tmp_path / "a.mov", tone), sound_rate_hz=48_000).sound
    assert sound.samples.ndim == 1
    assert pitch(sound.samples, 48_000) == pytest.approx(440, abs=2)


def test_numbers_that_are_none_become_harmless(tmp_path) -> None:
    tone = sine(0.5)
    tone[100], tone[200] = np.nan, np.inf
    sound = decode_video(write_pcm(tmp_path / "a.mov", tone[None]), sound_rate_hz=48_000).sound
    assert np.isfinite(sound.samples).all()


def test_only_the_first_seconds(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=3)
    whole = decode_video(path, sound_rate_hz=16_000).sound
    part = decode_video(path, sound_rate_hz=16_000, sound_seconds=1.5).sound
    assert part.samples.size == 24_000
    np.testing.assert_array_equal(part.samples, whole.samples[:24_000])


def test_what_follows_the_first_seconds_is_not_read(tmp_path) -> None:
    path = write_video(tmp_path / "a.ts", seconds=10, fps=2)
    content = path.read_bytes()
    expected = decode_sound(path, rate_hz=16_000, seconds=1.0, limits=DEFAULT_LIMITS)[0]
    # Were it read, the damage behind would give a notice.
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(len(content) - middle))
    sound, notices = decode_sound(path, rate_hz=16_000, seconds=1.0, limits=DEFAULT_LIMITS)
    np.testing.assert_array_equal(sound.samples, expected.samples)
    assert notices == ()


def test_no_sound_is_normal(silent_clip) -> None:
    video = decode_video(silent_clip, sound_rate_hz=16_000)
    assert video.sound is None
    assert video.notices == ()


def test_sound_that_was_not_asked_for(clip) -> None:
    assert decode_video(clip).sound is None


def destroy_sound(path: Path, which: slice) -> None:
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[which]:
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)


def test_destroyed_sound_is_left_out_with_a_notice(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1)
    destroy_sound(path, slice(None))
    video = decode_video(path, sound_rate_hz=16_000)
    assert video.sound is None
    assert len(video.frames) == 2
    assert "sound was left out" in video.notices[0]


def test_a_damaged_part_of_the_sound_is_skipped_with_a_notice(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=2)
    destroy_sound(path, slice(30, 40))
    video = decode_video(path, sound_rate_hz=16_000)
    assert video.sound is not None
    assert 1.5 < video.sound.duration_seconds < 2.1
    assert "damaged sound packets" in video.notices[0]


def test_a_rate_that_changes_midway(tmp_path) -> None:
    paths = [write_video(tmp_path / f"{rate}.ts", seconds=1, sound_rate_hz=rate) for rate in (48_000, 24_000)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    sound = decode_video(joined, sound_rate_hz=16_000).sound
    assert sound.duration_seconds == pytest.approx(2.0, abs=0.15)
    second = sound.samples[-14_000:-2_000]
    assert pitch(second, 16_000) == pytest.approx(440, abs=3)
