from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import MediaError, MediaFormatError, MediaLimitError, MediaTimeoutError
from ggm.media.limits import MediaLimits
from ggm.media.protocol import (
    ClosedError,
    ProtocolError,
    Request,
    read_header,
    read_video,
    write_error,
    write_header,
    write_video,
)
from ggm.records import Frames, Sound, Video

REQUEST = Request("/a.mp4", MediaLimits(max_pixels=100), None, 16_000, 1.0, "exact", 30.0)


def a_video(*, sound: bool = True) -> Video:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    samples = rng.standard_normal(100).astype(np.float32)
    return Video(
        Frames(pixels, np.array([0.0, 0.1, 1 / 3])),
        Sound(samples, 16_000) if sound else None,
        1.5,
        ("a", "ü"),
    )


def message(header: object, payload: bytes = b"") -> io.BytesIO:
    encoded = json.dumps(header).encode()
    return io.BytesIO(len(encoded).to_bytes(4, "big") + encoded + payload)


@pytest.mark.parametrize("sound", [True, False])
def test_a_video_survives_the_pipe(sound) -> None:
    video, pipe = a_video(sound=sound), io.BytesIO()
    write_video(pipe, video)
    pipe.seek(0)
    received = read_video(pipe, REQUEST, max_bytes=1000)
    np.testing.assert_array_equal(received.frames.pixels, video.frames.pixels)
    np.testing.assert_array_equal(received.frames.timestamps_seconds, video.frames.timestamps_seconds)
    assert (received.duration_seconds, received.notices) == (video.duration_seconds, video.notices)
    if sound:
        np.testing.assert_array_equal(received.sound.samples, video.sound.samples)
    else:
        assert received.sound is None
    assert pipe.read() == b""


@pytest.mark.parametrize("kind", [MediaError, MediaFormatError, MediaLimitError, MediaTimeoutError])
def test_errors_keep_their_kind(kind) -> None:
    pipe = io.BytesIO()
    write_error(pipe, kind("a.mp4: reason"))
    pipe.seek(0)
    with pytest.raises(kind, match=r"a\.mp4: reason") as caught:
        read_video(pipe, REQUEST, max_bytes=1000)
    assert type(caught.value) is kind


@given(st.text(max_size=20))
def test_requests_survive_the_pipe_whatever_the_path(name) -> None:
    request = Request(
        "/" + name + "\udcff", MediaLimits(max_streams=3), 224, None, 2.5, "nearest-keyframe", 1.0
    )
    pipe = io.BytesIO()
    write_header(pipe, request.to_header())
    pipe.seek(0)
    assert Request.from_header(read_header(pipe)) == request


GOOD = {
    "shape": [1, 2, 2, 3],
    "timestamps_seconds": [0.0],
    "sound": None,
    "duration_seconds": 1.0,
    "notices": [],
}


def test_the_good_answer_is_good() -> None:
    assert read_video(message(GOOD, bytes(12)), REQUEST, max_bytes=1000).frames.pixels.shape == (1, 2, 2, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": None},
        {"shape": [1, 2, 2]},
        {"shape": [0, 2, 2, 3]},
        {"shape": [1, -2, -2, 3]},
        {"shape": [1, 2.0, 2, 3]},
        {"shape": [1, True, 2, 3]},
        {"shape": [1, 2, 2, 4]},
        {"shape": [16, 2, 2, 3], "timestamps_seconds": [0.0] * 16},
        {"shape": [1, 10**6, 10**6, 3]},
        {"shape": [1, 21, 20, 3]},
        {"shape": [10, 6, 6, 3], "timestamps_seconds": [0.0] * 10},
        {"timestamps_seconds": [0.0, 1.0]},
        {"timestamps_seconds": ["0"]},
        {"timestamps_seconds": [float("nan")]},
        {"timestamps_seconds": [10**400]},
        {"duration_seconds": None},
        {"duration_seconds": float("inf")},
        {"notices": "text"},
        {"notices": [1]},
        {"notices": ["x"] * 101},
        {"notices": ["x" * 5000]},
        {"sound": [0, 16_000]},
        {"sound": [16_001, 16_000]},
        {"sound": [100, 48_000]},
        {"sound": 5},
        {"error": "SystemExit", "message": "x"},
    ],
)
def test_a_hostile_answer_is_refused_before_memory_is_taken(change) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_video(message({**GOOD, **change}), REQUEST, max_bytes=1000)
    assert not isinstance(caught.value, ClosedError)


def test_sound_that_was_not_asked_for_is_refused() -> None:
    request = Request("/a.mp4", MediaLimits(), None, None, 1.0, "exact", 30.0)
    with pytest.raises(ProtocolError, match="asked"):
        read_video(message({**GOOD, "sound": [10, 16_000]}), request, max_bytes=1000)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\3abc", (99_999).to_bytes(4, "big") + b"[" * 99_999],
    ids=["huge", "list", "text", "deep"],
)  # fmt: skip
def test_headers_that_are_none(content) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_header(io.BytesIO(content))
    assert not isinstance(caught.value, ClosedError)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\0\5{}"])
def test_a_pipe_that_ends_midway(content) -> None:
    with pytest.raises(ClosedError):
        read_header(io.BytesIO(content))
    with pytest.raises(ClosedError):
        read_video(message(GOOD, bytes(11)), REQUEST, max_bytes=1000)


def test_a_closed_pipe() -> None:
    pipe = io.BytesIO()
    pipe.close()
    for attempt in (
        lambda: write_header(pipe, {}),
        lambda: read_header(pipe),
        lambda: write_video(pipe, a_video()),
        lambda: write_error(pipe, MediaError("x")),
    ):
        with pytest.raises(ClosedError):
            attempt()
