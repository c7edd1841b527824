from __future__ import annotations

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.media import nal
from videos import write_video

IDR, P_USED, B_UNUSED, SEI, SPS, PPS = 0x65, 0x41, 0x01, 0x06, 0x67, 0x68

B_FRAMES = {"bf": "2", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=none"}


def length_prefixed(*headers: int) -> bytes:
    return b"".join((3).to_bytes(4, "big") + bytes([header, 7, 7]) for header in headers)


def start_coded(*headers: int) -> bytes:
    return b"".join(b"\0\0\0\1" + bytes([header, 7, 7]) for header in headers)


@pytest.mark.parametrize(("write", "length_bytes"), [(length_prefixed, 4), (start_coded, None)])
def test_headers_of_both_forms(write, length_bytes) -> None:
    packet = write(SPS, PPS, SEI, IDR)
    assert list(nal.unit_headers(packet, length_bytes=length_bytes)) == [SPS, PPS, SEI, IDR]


@pytest.mark.parametrize(("write", "length_bytes"), [(length_prefixed, 4), (start_coded, None)])
def test_what_may_be_skipped(write, length_bytes) -> None:
    def may_skip(*headers: int) -> bool:
        return nal.nothing_refers_to(write(*headers), length_bytes=length_bytes)

    assert may_skip(B_UNUSED)
    assert may_skip(SEI, B_UNUSED, B_UNUSED)
    assert not may_skip(P_USED)
    assert not may_skip(IDR)
    assert not may_skip(SEI)
    assert not may_skip(B_UNUSED, P_USED)  # two fields, the second of which is referred to
    assert not may_skip(PPS, B_UNUSED)  # later pictures may need these parameters


def test_only_idr_pictures_start_afresh() -> None:
    assert nal.starts_afresh("h264", length_prefixed(SEI, IDR), length_bytes=4)
    assert not nal.starts_afresh("h264", length_prefixed(SEI, P_USED), length_bytes=4)


def test_start_codes_need_parameter_sets_too() -> None:
    assert nal.starts_afresh("h264", start_coded(SPS, PPS, IDR), length_bytes=None)
    assert not nal.starts_afresh("h264", start_coded(IDR), length_bytes=None)


def test_hevc_random_access_pictures() -> None:
    cra, trailing = 21 << 1, 1 << 1
    assert nal.starts_afresh("hevc", length_prefixed(cra), length_bytes=4)
    assert not nal.starts_afresh("hevc", length_prefixed(trailing), length_bytes=4)


def test_length_size_is_read_from_the_stream_header() -> None:
    assert nal.length_size("h264", bytes([1, 100, 0, 30, 0xFF])) == 4
    assert nal.length_size("h264", bytes([1, 100, 0, 30, 0xFD])) == 2
    assert nal.length_size("hevc", bytes([1] + [0] * 20 + [0xF3])) == 4
    assert nal.length_size("h264", b"\0\0\0\1\x67") is None
    assert nal.length_size("h264", None) is None


@given(st.binary(max_size=200), st.sampled_from([None, 1, 2, 4]))
def test_garbage_ends(packet: bytes, length_bytes: int | None) -> None:
    assert len(list(nal.unit_headers(packet, length_bytes=length_bytes))) <= len(packet)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_real_files_hold_frames_of_both_kinds(tmp_path, suffix) -> None:
    path = write_video(tmp_path / f"clip{suffix}", sound=False, options=B_FRAMES)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        length_bytes = nal.length_size("h264", stream.codec_context.extradata)
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    assert (length_bytes is None) == (suffix == ".ts")
    skippable = sum(nal.nothing_refers_to(packet, length_bytes=length_bytes) for packet in packets)
    starts = sum(nal.starts_afresh("h264", packet, length_bytes=length_bytes) for packet in packets)
    assert 0 < skippable < len(packets)
    assert starts == 2  # 20 frames, a keyframe every 12
