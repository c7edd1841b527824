from __future__ import annotations

import pytest

from ggm.media.pictures import Orientation, fit_short_side
from ggm.media.probe import probe
from videos import write_video


def test_what_a_file_is(clip) -> None:
    found = probe(clip)
    assert found.duration_seconds == pytest.approx(2.0)
    assert (found.width, found.height, found.rotation_degrees) == (64, 48, 0)
    assert (found.video_codec, found.audio_codec, found.has_sound) == ("h264", "aac", True)
    assert "mp4" in found.container
    assert found.frame_rate_hz == pytest.approx(10)
    assert found.size_bytes == clip.stat().st_size


def test_a_silent_file(silent_clip) -> None:
    found = probe(silent_clip)
    assert not found.has_sound
    assert found.audio_codec is None


@pytest.mark.parametrize(("counter_clockwise", "clockwise"), [(90, 270), (180, 180), (270, 90)])
def test_rotation_is_clockwise_and_the_size_upright(tmp_path, counter_clockwise, clockwise) -> None:
    found = probe(write_video(tmp_path / "a.mov", seconds=0.5, rotation=counter_clockwise))
    assert found.rotation_degrees == clockwise
    assert (found.width, found.height) == ((64, 48) if clockwise == 180 else (48, 64))


def test_a_duration_that_only_reading_tells(tmp_path) -> None:
    path = write_video(tmp_path / "a.h264", seconds=2, sound=False, container_format="h264")
    assert probe(path).duration_seconds == pytest.approx(0.8)


def test_pixels_that_are_not_square(tmp_path) -> None:
    found = probe(write_video(tmp_path / "a.mp4", seconds=0.5, options={"x264-params": "sar=2/1"}))
    assert (found.width, found.height) == (128, 48)


@pytest.mark.parametrize(
    ("matrix", "transposed", "mirrored_x", "mirrored_y"),
    [
        ((1, 0, 0, 1), False, False, False),
        ((-1, 0, 0, 1), False, True, False),
        ((1, 0, 0, -1), False, False, True),
        ((-1, 0, 0, -1), False, True, True),
        ((0, 1, -1, 0), True, True, False),
        ((0, -1, 1, 0), True, False, True),
        ((0, 1, 1, 0), True, False, False),
        ((7, 1, -1, 7), False, False, False),  # a few degrees off
    ],
)
def test_orientation_of_a_matrix(matrix, transposed, mirrored_x, mirrored_y) -> None:
    orientation = Orientation(matrix)
    assert (orientation.transposed, orientation.mirrored_x, orientation.mirrored_y) == (
        transposed,
        mirrored_x,
        mirrored_y,
    )


def test_short_side_by_hand() -> None:
    assert fit_short_side(1920, 1080, short_side=224) == (398, 224)
    assert fit_short_side(720, 1280, short_side=224) == (224, 398)
    assert fit_short_side(100, 50, short_side=224) == (100, 50)
    assert fit_short_side(1, 9000, short_side=224) == (1, 9000)
    assert fit_short_side(100, 50, short_side=None) == (100, 50)
