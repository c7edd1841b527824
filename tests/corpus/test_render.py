from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from ggm.corpus.render import (
    NUM_FRAMES,
    SIDE,
    choose_motion,
    flatten,
    is_light,
    load_picture,
    render_frames,
    write_video,
)
from ggm.errors import DataError


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_video_is_what_the_readme_of_a_dataset_says(tmp_path: Path, draw: Any) -> None:
    path = tmp_path / "a.mp4"
    write_video(render_frames(draw(5), choose_motion("a", seed=0)), path)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", SIDE, SIDE)
        assert (stream.pix_fmt, stream.average_rate, stream.frames) == ("yuv420p", 8, NUM_FRAMES)
        assert container.duration == 2_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_the_picture_is_seen_and_moves(tmp_path: Path, draw: Any) -> None:
    path = tmp_path / "a.mp4"
    motion = choose_motion("a", seed=0)
    expected = [np.asarray(frame, dtype=float) for frame in render_frames(draw(0b111010111), motion)]
    write_video(render_frames(draw(0b111010111), motion), path)
    decoded = decode(path)
    assert len(decoded) == NUM_FRAMES
    for got, wanted in zip(decoded, expected, strict=True):
        assert np.abs(got - wanted).mean() < 6
    assert np.abs(expected[0] - expected[-1]).mean() > 10
    red = (expected[0][..., 0] > 150) & (expected[0][..., 1] < 90)
    assert 0.05 < red.mean() < 0.6


def test_the_same_id_and_seed_give_the_same_bytes_and_others_other_motion(tmp_path: Path, draw: Any) -> None:
    for name in ("one.mp4", "other.mp4"):
        write_video(render_frames(draw(9), choose_motion("a", seed=3)), tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "other.mp4").read_bytes()
    assert len({choose_motion("a", seed=3), choose_motion("b", seed=3), choose_motion("a", seed=4)}) == 3


def test_motions_never_show_the_canvas_edge_and_both_directions_occur() -> None:
    motions = [choose_motion(str(n), seed=0) for n in range(200)]
    assert all(0.75 <= share <= 1 for motion in motions for share in motion.zoom)
    zooms_in = sum(motion.zoom[0] > motion.zoom[1] for motion in motions)
    white = sum(motion.background == (255, 255, 255) for motion in motions)
    assert 60 < zooms_in < 140
    assert 60 < white < 140
    # The picture has the background's colour, so any edge or bar would show.
    plain = Image.new("RGBA", (40, 40), (*motions[0].background, 255))
    for frame in render_frames(plain, motions[0]):
        assert frame.getcolors() == [(SIDE * SIDE, motions[0].background)]


def test_a_white_drawing_gets_a_darker_background(draw: Any) -> None:
    assert is_light(draw(7, colour=(255, 255, 255)))
    assert not is_light(draw(7))
    assert max(choose_motion("a", seed=0, light=True).background) <= 100


def test_a_failing_frame_leaves_no_file(tmp_path: Path, draw: Any) -> None:
    def frames():  # type: ignore[no-untyped-def]
        yield next(render_frames(draw(1), choose_motion("a", seed=0)))
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        write_video(frames(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_cropped_to_what_is_visible_and_shrunk(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2000, 1000), (0, 0, 0, 0))
    image.paste((10, 20, 30, 255), (500, 100, 1500, 600))
    image.save(tmp_path / "a.png")
    picture = load_picture(tmp_path / "a.png")
    assert picture.size == (320, 160)
    assert picture.getpixel((160, 80)) == (10, 20, 30, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (40, 30)).save(tmp_path / "a.png")
    if mode in {"LA", "RGBA"}:
        with pytest.raises(DataError, match="wholly transparent"):
            load_picture(tmp_path / "a.png")
    else:
        assert load_picture(tmp_path / "a.png").mode == "RGBA"


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        # A large header alone: nothing is decoded, and Pillow's own warning (an error here) stays out.
        (png_that_claims(20_990, 29_700), "20990x29700 pixels, more than 40,000,000 are allowed"),
        (png_that_claims(50, 50), "not a readable PNG"),
        (b"", "not a PNG"),
        (b"GIF89a" + b"\0" * 60, "not a PNG"),
    ],
)
def test_bad_pictures_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.png: .*{reason}|a.png: {reason}"):
        load_picture(path)


def test_missing_truncated_and_tiny_pictures_are_refused(tmp_path: Path, draw: Any) -> None:
    with pytest.raises(DataError, match="can't be read"):
        load_picture(tmp_path / "none.png")
    draw(3, size=15).save(tmp_path / "tiny.png")
    with pytest.raises(DataError, match="only 15x15 pixels"):
        load_picture(tmp_path / "tiny.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (80, 80, 4), dtype=np.uint8)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a readable PNG"):
        load_picture(tmp_path / "cut.png")


def test_flatten_centres_on_the_background_with_a_margin() -> None:
    flat = flatten(Image.new("RGBA", (100, 50), (0, 0, 0, 255)), background=(1, 2, 3), margin=0.25)
    black = np.argwhere(np.asarray(flat).max(axis=2) == 0)
    assert flat.size == (320, 320)
    assert (black.min(axis=0).tolist(), black.max(axis=0).tolist()) == ([120, 80], [199, 239])
