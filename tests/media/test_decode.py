from __future__ import annotations

import struct
import time
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from ggm.media import MediaLimits, decode_video, gop
from ggm.media.container import choose_video_stream, open_container
from ggm.media.decode import decode_frames
from ggm.media.limits import DEFAULT_LIMITS
from ggm.media.pictures import FrameConverter
from ggm.media.sample import sample_timestamps
from media.everything import decode_everything
from videos import frame_colour, frame_pixels, which_frame, write_video

PLAIN_B = {"bf": "2", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"}
B_FRAMES = {"bf": "3", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=normal"}
OPEN_GOP = {"bf": "3", "x264-params": "scenecut=0:b-adapt=0:open-gop=1"}
INTRA_REFRESH = {"x264-params": "scenecut=0:intra-refresh=1"}
FILES = {
    "h264_gop60": ("a.mp4", {"seconds": 9, "fps": 20, "gop": 60, "options": B_FRAMES}),
    "h264_gop250": ("a.mp4", {"seconds": 14, "fps": 20, "gop": 250, "options": B_FRAMES}),
    "h264_plain_b": ("a.mp4", {"seconds": 4, "gop": 12, "options": PLAIN_B}),
    "h264_open_gop": ("a.mp4", {"seconds": 8, "gop": 10, "options": OPEN_GOP}),
    "h264_intra_refresh": ("a.mp4", {"seconds": 8, "gop": 10, "options": INTRA_REFRESH}),
    "h264_annex_b": ("a.ts", {"seconds": 8, "gop": 15, "options": B_FRAMES}),
    "h264_mkv": ("a.mkv", {"seconds": 8, "gop": 15, "options": B_FRAMES}),
    "h264_flv": ("a.flv", {"seconds": 3, "gop": 15, "sound": False}),
    "hevc_open_gop": ("a.mp4", {"seconds": 8, "gop": 12, "codec": "libx265",
                                "options": {"x265-params": "log-level=none:pools=1:frame-threads=1"}}),
    "vp9_hidden_frames": ("a.webm", {"seconds": 8, "gop": 30, "codec": "libvpx-vp9",
                                     "options": {"auto-alt-ref": "1", "lag-in-frames": "16",
                                                 "deadline": "good", "cpu-used": "5"}}),
    "vp8_hidden_frames": ("a.webm", {"seconds": 8, "gop": 30, "codec": "libvpx",
                                     "options": {"auto-alt-ref": "1", "lag-in-frames": "16",
                                                 "deadline": "good", "cpu-used": "5"}}),
    "mpeg4": ("a.mp4", {"seconds": 8, "gop": 12, "codec": "mpeg4", "options": {"bf": "2"}}),
    "mpeg2": ("a.ts", {"seconds": 8, "gop": 12, "fps": 25, "codec": "mpeg2video", "options": {"bf": "2"}}),
    "mjpeg": ("a.mov", {"seconds": 3, "codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    "gif": ("a.gif", {"seconds": 8, "codec": "gif", "sound": False}),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    written = {}
    for name, (file, options) in FILES.items():
        (folder / name).mkdir()
        written[name] = write_video(folder / name / file, **options)
    return written


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seeking", ["never", "always"])
def test_pixels_are_those_of_decoding_everything(files, name, seeking, monkeypatch) -> None:
    monkeypatch.setattr(gop, "_SEEK_OVER_BYTES", 0 if seeking == "always" else 1 << 60)
    video = decode_video(files[name], short_side=32)
    expected = decode_everything(files[name], duration_seconds=video.duration_seconds, short_side=32)
    np.testing.assert_array_equal(video.frames.pixels, expected)
    assert video.notices == ()
    seconds = FILES[name][1]["seconds"]
    assert video.duration_seconds == pytest.approx(seconds, abs=0.06)
    assert len(video.frames) == (15 if seconds >= 7 else 2 * seconds)


def test_only_needed_packets_are_decoded(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=60, gop=40, sound=False,
                       options=PLAIN_B)  # fmt: skip
    decoded = decode_frames(path, limits=DEFAULT_LIMITS, short_side=None)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
    # By hand: keyframes every 4 s, frames wanted at 2, 6, 10 … s, so each lies in the middle of a
    # group of its own; of the 20 packets before it every third is a P frame, the others B frames.
    assert decoded.packets == len(packets) == 600
    assert 15 * (1 + 20 // 3) <= decoded.packets_decoded <= 15 * (1 + 20 // 3 + 2)


def test_nothing_after_the_last_wanted_frame_is_decoded(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=3, gop=250, sound=False, options={"bf": "0"})
    decoded = decode_frames(path, limits=DEFAULT_LIMITS, short_side=None)
    assert decoded.packets == 30
    assert decoded.packets_decoded == 28  # the last wanted moment is 2.75 s


def test_frames_are_told_by_time_not_by_number(tmp_path) -> None:
    times = [0.0, 0.1, 0.2, 1.2, 1.21, 1.22, 1.23, 1.24, 2.6, 2.9]
    path = write_video(tmp_path / "a.mp4", times=times, sound=False)
    video = decode_video(path)
    # Wanted: 0.25, 0.75, 1.25, 1.75, 2.25, 2.75.
    assert [which_frame(pixels) for pixels in video.frames.pixels] == [2, 2, 7, 7, 7, 8]
    np.testing.assert_allclose(video.frames.timestamps_seconds, [0.2, 0.2, 1.24, 1.24, 1.24, 2.6], atol=1e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_times_are_measured_from_the_first_frame(tmp_path, suffix) -> None:
    times = [5 + index / 10 for index in range(20)]
    path = write_video(tmp_path / f"a{suffix}", times=times, sound=False)
    video = decode_video(path)
    assert video.duration_seconds == pytest.approx(2.0, abs=0.02)
    assert [which_frame(pixels) for pixels in video.frames.pixels] == [2, 7, 12, 17]
    np.testing.assert_allclose(video.frames.timestamps_seconds, [0.2, 0.7, 1.2, 1.7], atol=1e-3)


def test_frames_hidden_by_an_edit_list_are_not_shown(tmp_path) -> None:
    # Frames before time 0 are cut off by the edit list that the mp4 writer adds.
    times = [index / 10 - 1 for index in range(30)]
    path = write_video(tmp_path / "a.mp4", times=times, sound=False, gop=40,
                       container_options={"avoid_negative_ts": "disabled"})  # fmt: skip
    with av.open(str(path)) as container:
        hidden = sum(packet.is_discard for packet in container.demux(video=0))
    assert hidden >= 9
    video = decode_video(path)
    assert video.duration_seconds == pytest.approx(2.0, abs=0.11)
    expected = decode_everything(path, duration_seconds=video.duration_seconds)
    np.testing.assert_array_equal(video.frames.pixels, expected)
    assert which_frame(video.frames.pixels[0]) in (12, 13)


@pytest.mark.parametrize("options", [{"bf": "0"}, B_FRAMES])
def test_packets_without_timestamps_are_decoded_in_order(tmp_path, options) -> None:
    path = write_video(tmp_path / "a.h264", seconds=2, sound=False, container_format="h264", options=options)
    with open_container(path, limits=DEFAULT_LIMITS) as container:
        stream = choose_video_stream(container, path=path, limits=DEFAULT_LIMITS)
        assert not gop.build_index(container, stream, path=path).exact
    video = decode_video(path)
    # It says nothing of its rate: FFmpeg takes 25 a second, so 20 frames last 0.8 s.
    assert video.duration_seconds == pytest.approx(0.8)
    assert [which_frame(pixels) for pixels in video.frames.pixels] == [6, 18]
    np.testing.assert_allclose(video.frames.timestamps_seconds, [0.24, 0.72])


def patch(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def test_lost_keyframe_flags_only_cost_time(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=8, gop=10, sound=False)
    video = decode_video(path)
    content = path.read_bytes()
    start = content.index(b"stss")
    assert struct.unpack(">I", content[start + 8 : start + 12]) == (8,)
    path.write_bytes(content[: start + 8] + struct.pack(">I", 1) + content[start + 12 :])
    np.testing.assert_array_equal(decode_video(path).frames.pixels, video.frames.pixels)


def test_a_missing_keyframe_table_only_costs_time(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=8, gop=10, sound=False)
    video = decode_video(path)
    patch(path, b"stss", b"free")
    np.testing.assert_array_equal(decode_video(path).frames.pixels, video.frames.pixels)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_frames_come_upright(tmp_path, rotation) -> None:
    upright = decode_video(write_video(tmp_path / "a.mov", seconds=1))
    turned = decode_video(write_video(tmp_path / "b.mov", seconds=1, rotation=rotation))
    expected = np.rot90(upright.frames.pixels, rotation // 90, axes=(1, 2))
    np.testing.assert_array_equal(turned.frames.pixels, expected)


def test_three_tenths_of_a_second(tmp_path) -> None:
    video = decode_video(write_video(tmp_path / "a.mp4", seconds=0.3), sound_rate_hz=16_000)
    assert len(video.frames) == 1
    assert which_frame(video.frames.pixels[0]) == 2
    assert video.sound is not None


def test_a_single_frame(tmp_path) -> None:
    video = decode_video(write_video(tmp_path / "a.gif", seconds=0.1, codec="gif", sound=False))
    assert len(video.frames) == 1
    assert video.duration_seconds > 0


def test_twenty_minutes(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1200, fps=1, size=(32, 32), sound=False, gop=30,
                       options={"preset": "ultrafast"})  # fmt: skip
    begin = time.process_time()
    decoded = decode_frames(path, limits=DEFAULT_LIMITS, short_side=None)
    assert time.process_time() - begin < 2
    assert decoded.duration_seconds == pytest.approx(1200, abs=1.1)
    np.testing.assert_allclose(decoded.frames.timestamps_seconds, np.arange(40, 1200, 80), atol=1.1)
    assert decoded.packets_decoded <= 15 * 30


def test_four_k(tmp_path) -> None:
    pictures = [np.full((2160, 3840, 3), frame_colour(index), np.uint8) for index in range(3)]
    path = write_video(tmp_path / "a.mp4", fps=5, pictures=pictures, options={"preset": "ultrafast"})
    video = decode_video(path, short_side=224)
    assert video.frames.pixels.shape == (1, 224, 398, 3)
    assert which_frame(video.frames.pixels[0]) == 1


def test_the_short_side_is_reduced_never_enlarged(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=0.5, size=(64, 48))
    assert decode_video(path, short_side=24).frames.pixels.shape[1:] == (24, 32, 3)
    assert decode_video(path, short_side=48).frames.pixels.shape[1:] == (48, 64, 3)
    assert decode_video(path, short_side=480).frames.pixels.shape[1:] == (48, 64, 3)
    assert decode_video(path).frames.pixels.shape[1:] == (48, 64, 3)


def test_a_size_that_changes_midway(tmp_path) -> None:
    paths = [write_video(tmp_path / f"{n}.ts", seconds=2, size=size, sound=False, options={"bf": "0"})
             for n, size in enumerate([(64, 48), (96, 96)])]  # fmt: skip
    joined = tmp_path / "joined.ts"
    with av.open(str(joined), "w") as out, av.open(str(paths[0])) as first, av.open(str(paths[1])) as second:
        stream = out.add_stream_from_template(first.streams.video[0])
        for source, offset in ((first, 0), (second, 180_000)):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    out.mux(packet)
    video = decode_video(joined)
    assert video.frames.pixels.shape == (8, 48, 64, 3)
    assert [which_frame(pixels) for pixels in video.frames.pixels] == [2, 7, 12, 17] * 2
    limited = decode_video(joined, limits=MediaLimits(max_pixels=64 * 48))
    assert [which_frame(pixels) for pixels in limited.frames.pixels] == [2, 7, 12, 17, 17, 17, 17, 17]
    assert "damaged" in limited.notices[0]


def test_pixels_that_are_not_square(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=0.5, options={"x264-params": "sar=2/1"})
    assert decode_video(path).frames.pixels.shape[1:] == (48, 128, 3)


@pytest.mark.parametrize(("pix_fmt", "codec"), [("yuv420p", "libx264"), ("yuvj420p", "mjpeg")])
def test_white_stays_white(tmp_path, pix_fmt, codec) -> None:
    grey = np.full((48, 64, 3), 128, np.uint8)
    white = np.full((48, 64, 3), 255, np.uint8)
    path = write_video(tmp_path / "a.mov", fps=2, pictures=[white, grey], codec=codec, pix_fmt=pix_fmt)
    pixels = decode_video(path).frames.pixels.astype(int)
    assert np.abs(pixels[0] - 255).max() <= 2
    assert np.abs(pixels[1] - 128).max() <= 2


def test_transparency_gives_plain_rgb(tmp_path) -> None:
    path = tmp_path / "a.png.mov"
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("png", rate=2)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        opaque = np.dstack([frame_pixels(3, size=(64, 48)), np.full((48, 64), 255, np.uint8)])
        opaque[:4, -4:, 3] = 0
        container.mux(stream.encode(av.VideoFrame.from_ndarray(opaque, format="rgba")))
        container.mux(stream.encode())
    video = decode_video(path)
    np.testing.assert_array_equal(video.frames.pixels[0, 8:], opaque[8:, :, :3])


def test_a_cover_picture_is_not_the_video(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=1, sound=False)
    covered = tmp_path / "covered.mp4"
    with av.open(str(covered), "w") as out, av.open(str(path)) as source:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        stream = out.add_stream_from_template(source.streams.video[0])
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        out.mux(cover.encode(picture))
        out.mux(cover.encode())
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with av.open(str(covered)) as container:
        assert len(container.streams.video) == 2
    np.testing.assert_array_equal(decode_video(covered).frames.pixels, decode_video(path).frames.pixels)


@pytest.mark.parametrize(
    "options",
    [{"short_side": 0}, {"sound_rate_hz": 0}, {"sound_seconds": 0}, {"sound_seconds": float("inf")},
     {"sound_seconds": float("nan")}, {"frames": "first"}],
)  # fmt: skip
def test_options_out_of_range(clip, options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        decode_video(clip, **options)


KEYFRAME_FILES = [name for name in FILES if name not in ("h264_intra_refresh", "h264_open_gop")]


@pytest.mark.parametrize("name", KEYFRAME_FILES)
def test_nearest_keyframes(files, name) -> None:
    exact = decode_video(files[name], short_side=32)
    video = decode_video(files[name], short_side=32, frames="nearest-keyframe")
    assert len(video.frames) == len(exact.frames)
    assert video.duration_seconds == pytest.approx(exact.duration_seconds, abs=0.15)
    with av.open(str(files[name])) as container:
        stream = container.streams.video[0]
        shown = {frame.pts: frame for frame in container.decode(stream) if frame.pts is not None}
        first = min(shown)
        keyframes = sorted(float((pts - first) * stream.time_base) for pts in shown if shown[pts].key_frame)
    wanted = sample_timestamps(exact.duration_seconds)
    slack = 0.31  # decoding timestamps, which tables hold, are up to three frames of 10 a second early
    for moment, seconds in zip(wanted, video.frames.timestamps_seconds, strict=True):
        assert min(abs(seconds - keyframe) for keyframe in keyframes) < 0.02
        assert abs(seconds - moment) <= min(abs(keyframe - moment) for keyframe in keyframes) + slack


@pytest.mark.parametrize("name", ["h264_gop60", "h264_mkv", "vp9_hidden_frames", "h264_annex_b"])
def test_a_keyframe_is_the_frame_that_the_whole_video_shows_then(files, name) -> None:
    video = decode_video(files[name], short_side=32, frames="nearest-keyframe")
    with av.open(str(files[name])) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        convert = FrameConverter(short_side=32, pixel_aspect=1.0)
        shown = {frame.pts: convert(frame) for frame in container.decode(stream)}
    first = min(shown)
    for seconds, pixels in zip(video.frames.timestamps_seconds, video.frames.pixels, strict=True):
        pts = min(shown, key=lambda pts: abs(float((pts - first) * stream.time_base) - seconds))
        np.testing.assert_array_equal(pixels, shown[pts])


def test_one_packet_a_keyframe_is_decoded(files) -> None:
    decoded = decode_frames(
        files["h264_gop60"], limits=DEFAULT_LIMITS, short_side=None, choice="nearest-keyframe"
    )
    assert decoded.packets == 180
    assert decoded.packets_decoded == 3  # 180 frames, a keyframe every 60
    assert len(decoded.frames) == 15


@pytest.mark.parametrize("name", ["h264_intra_refresh", "h264_open_gop"])
def test_without_keyframes_that_decode_alone_frames_are_exact(files, name) -> None:
    exact = decode_video(files[name], short_side=32)
    video = decode_video(files[name], short_side=32, frames="nearest-keyframe")
    np.testing.assert_array_equal(video.frames.pixels, exact.frames.pixels)


def test_keyframes_of_a_file_that_was_cut_off(tmp_path) -> None:
    whole = write_video(tmp_path / "a.mp4", seconds=8, gop=10, container_options={"movflags": "+faststart"})
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    video = decode_video(path, frames="nearest-keyframe")
    assert any("the pictures end after" in notice for notice in video.notices)
    assert len(video.frames) >= 8
    assert {which_frame(pixels) % 10 for pixels in video.frames.pixels} == {0}


def test_a_fragmented_file_has_no_whole_table(tmp_path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = write_video(tmp_path / "a.mp4", seconds=9, gop=10, container_options=options)
    video = decode_video(path, frames="nearest-keyframe")
    seconds = video.frames.timestamps_seconds
    np.testing.assert_allclose(seconds % 1, 0, atol=0.01)
    assert len(set(seconds.round().tolist())) == 9
