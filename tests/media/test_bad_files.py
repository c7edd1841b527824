from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from ggm.errors import MediaError, MediaFormatError, MediaLimitError, MediaNotFoundError
from ggm.media import DecodingWorker, MediaLimits, decode, decode_video, gop
from ggm.media.probe import probe
from videos import which_frame, write_video


@pytest.fixture(scope="module")
def worker():
    with DecodingWorker() as worker:
        yield worker


@pytest.fixture(params=["probe", "decode_video", "worker"])
def reader(request, worker):
    """Each way to read a file: all must refuse the same with the same error."""
    return {"probe": probe, "decode_video": decode_video, "worker": worker.decode}[request.param]


def refused(reader, path, error: type[MediaError], reason: str, **options) -> None:
    with pytest.raises(error) as caught:
        reader(path, **options)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_missing(reader, tmp_path) -> None:
    refused(reader, tmp_path / "none.mp4", MediaNotFoundError, "no such file")


def test_directory(reader, tmp_path) -> None:
    refused(reader, tmp_path, MediaNotFoundError, "is a directory")


def test_special_file_is_not_waited_for(reader, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(reader, tmp_path / "pipe.mp4", MediaNotFoundError, "not a regular file")


def test_impossible_path(reader, tmp_path) -> None:
    refused(reader, str(tmp_path / "a\0b.mp4"), MediaNotFoundError, "can't be read")


def test_unreadable(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")

    def deny(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # a privileged user may read any file
    refused(decode_video, path, MediaNotFoundError, "Permission denied")


def test_empty(reader, tmp_path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    refused(reader, path, MediaFormatError, "empty")


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.nfo"])
def test_text(reader, tmp_path, name) -> None:
    path = tmp_path / name
    path.write_text("This is no video.\n" * 100)
    refused(reader, path, MediaFormatError, "not a video")


def test_truncated_without_its_index(reader, tmp_path, clip) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    refused(reader, path, MediaFormatError, "cut off")


def test_sound_only(reader, tmp_path, clip) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as out, av.open(str(clip)) as source:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    refused(reader, path, MediaFormatError, "no video stream")


def test_all_pictures_destroyed(reader, tmp_path, silent_clip) -> None:
    path = destroy(silent_clip, tmp_path / "a.mp4", lambda packets: packets)
    refused(reader, path, MediaFormatError, "no frame could be decoded")


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_playlists_may_not_name_other_files(reader, tmp_path, clip, playlist) -> None:
    path = tmp_path / "a.mp4"
    path.write_text(playlist.format(clip))
    refused(reader, path, MediaFormatError, "not a video")


def test_a_name_is_never_taken_for_an_address(reader, tmp_path, clip, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:a.mp4").write_bytes(clip.read_bytes())
    assert reader("concat:a.mp4").duration_seconds == pytest.approx(2.0)
    refused(reader, "http://127.0.0.1:9/a.mp4", MediaNotFoundError, "no such file")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (MediaLimits(max_size_bytes=1000), "1,000 are allowed"),
        (MediaLimits(max_duration_seconds=1.5), "lasts 2 s"),
        (MediaLimits(max_pixels=64 * 48 - 1), "64x48"),
        (MediaLimits(max_streams=1), "2 streams"),
    ],
)
def test_limits(reader, clip, limits, reason) -> None:
    refused(reader, clip, MediaLimitError, reason, limits=limits)


def test_limits_that_are_just_met(reader, clip) -> None:
    limits = MediaLimits(clip.stat().st_size, max_duration_seconds=2.001, max_pixels=64 * 48, max_streams=2)
    assert reader(clip, limits=limits).duration_seconds == pytest.approx(2.0)


def test_a_duration_that_the_header_hides(tmp_path) -> None:
    path = write_video(tmp_path / "a.h264", seconds=20, sound=False, container_format="h264")
    refused(decode_video, path, MediaLimitError, "lasts 8 s", limits=MediaLimits(max_duration_seconds=5))
    refused(probe, path, MediaLimitError, "lasts 8 s", limits=MediaLimits(max_duration_seconds=5))


@pytest.mark.parametrize("name", ["max_size_bytes", "max_duration_seconds", "max_pixels", "max_streams"])
def test_limits_must_be_positive(name) -> None:
    with pytest.raises(ValueError, match=name):
        MediaLimits(**{name: 0})


def destroy(source: Path, target: Path, choose) -> Path:
    """Overwrite the pictures' packets that `choose` picks from a list of (position, size)."""
    with av.open(str(source)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(source.read_bytes())
    for position, size in choose(packets):
        content[position : position + size] = b"\xff" * size
    target.write_bytes(content)
    return target


def test_damage_in_the_middle_costs_only_what_it_hits(tmp_path, reader) -> None:
    if reader is probe:
        assert reader(write_video(tmp_path / "probe.mp4")).width == 64
        return
    path = write_video(tmp_path / "a.mp4", seconds=6, gop=10, sound=False, options={"bf": "0"})
    whole = reader(path)
    broken = reader(destroy(path, tmp_path / "b.mp4", lambda packets: packets[20:30]))
    hit = [index for index, moment in enumerate(whole.frames.timestamps_seconds) if 2 <= moment < 3]
    spared = [index for index in range(len(whole.frames)) if index not in hit]
    assert len(hit) == 2
    np.testing.assert_array_equal(broken.frames.pixels[spared], whole.frames.pixels[spared])
    # In place of what was lost, the last frame before it stays on the screen.
    assert [which_frame(broken.frames.pixels[index]) for index in hit] == [19, 19]
    assert "damaged" in broken.notices[0]
    assert broken.duration_seconds == whole.duration_seconds


def test_damaged_first_frames_are_replaced_by_the_next(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=3, gop=10, sound=False, options={"bf": "0"})
    whole = decode_video(path)
    broken = decode_video(destroy(path, tmp_path / "b.mp4", lambda packets: packets[:10]))
    np.testing.assert_array_equal(broken.frames.pixels[0], whole.frames.pixels[2])
    np.testing.assert_array_equal(broken.frames.pixels[2:], whole.frames.pixels[2:])


def test_a_damaged_transport_stream_is_read_to_its_end(tmp_path) -> None:
    path = write_video(tmp_path / "a.ts", seconds=6, gop=10, sound=False)
    whole = decode_video(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(content)
    broken = decode_video(path)
    assert broken.duration_seconds == pytest.approx(6.0, abs=0.01)
    same = [bool((a == b).all()) for a, b in zip(whole.frames.pixels, broken.frames.pixels, strict=True)]
    assert same[:3] == same[-3:] == [True] * 3
    assert not all(same)


def test_a_file_cut_off_behind_its_index_gives_what_is_there(tmp_path, reader) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=20, sound=False, gop=10, options={"bf": "0"},
                       container_options={"movflags": "faststart"})  # fmt: skip
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    if reader is probe:
        assert reader(path).duration_seconds == pytest.approx(20.0)  # as its header claims
        return
    video = reader(path)
    assert 9 < video.duration_seconds < 13
    assert "of 20.0 s" in video.notices[0]
    last = round(video.frames.timestamps_seconds[-1] * 10)
    assert which_frame(video.frames.pixels[-1]) == last % 125


def test_a_file_that_changes_while_it_is_read(tmp_path, clip, monkeypatch) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip.read_bytes())
    other = write_video(tmp_path / "b.mp4", seconds=3, fps=7, size=(32, 32))

    def exchange(*arguments, **options):
        index = gop.build_index(*arguments, **options)
        path.write_bytes(other.read_bytes())
        return index

    monkeypatch.setattr(decode, "build_index", exchange)
    refused(decode_video, path, MediaFormatError, "changed")


def test_a_title_that_is_not_unicode(tmp_path, reader) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "TITLETITLE"
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            out.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24"))
            )
        out.mux(stream.encode())
    content = path.read_bytes()
    assert b"TITLETITLE" in content
    path.write_bytes(content.replace(b"TITLETITLE", b"\xff\xfe" * 5))
    assert reader(path).duration_seconds > 0


def test_random_damage_never_raises_anything_else(tmp_path, clip) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "a.mp4"
    reasons = []
    for _ in range(30):
        content = bytearray(clip.read_bytes())
        for position in rng.integers(0, len(content), 30):
            content[position] = rng.integers(256)
        path.write_bytes(content)
        for attempt in (lambda: decode_video(path, sound_rate_hz=16_000), lambda: probe(path)):
            try:
                attempt()
            except MediaError as error:
                reasons.append(str(error))
    assert all(reason.startswith(str(path)) for reason in reasons)
