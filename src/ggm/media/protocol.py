"""How the decoding process and its owner talk: JSON headers and raw arrays over pipes.

A message is a header, as four bytes of length and JSON, and behind it the arrays that the header
announces. The owner takes nothing on trust, since a hostile file may have taken the process over:
every number is checked before memory is set aside for it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ggm import errors
from ggm.errors import MediaError
from ggm.media.limits import MediaLimits
from ggm.media.sample import MAX_SAMPLES, FrameChoice
from ggm.records import Frames, Sound, Video

_LENGTH_BYTES = 4
_MAX_HEADER_BYTES = 1024**2
_MAX_NOTICES = 100
_MAX_TEXT = 4000
_ERRORS: dict[str, type[MediaError]] = {
    kind.__name__: kind
    for kind in (
        errors.MediaError,
        errors.MediaNotFoundError,
        errors.MediaFormatError,
        errors.MediaLimitError,
        errors.MediaTimeoutError,
    )
}


class ProtocolError(Exception):
    """The other side said something that it may not say."""


class ClosedError(ProtocolError):
    """The other side is gone."""


@dataclass(frozen=True)
class Request:
    """What is to be decoded; the options are those of `ggm.media.decode.decode_video`.

    Args:
        path: Absolute path.
        limits: What is refused.
        short_side: Of the frames.
        sound_rate_hz: None for no sound.
        sound_seconds: How much sound.
        frames: Which frames.
        cpu_seconds: After how much computing the process shall be ended by its system.
    """

    path: str
    limits: MediaLimits
    short_side: int | None
    sound_rate_hz: int | None
    sound_seconds: float
    frames: FrameChoice
    cpu_seconds: float

    def to_header(self) -> dict[str, Any]:
        """JSON of this request."""
        return asdict(self)

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Request:
        """The request of its JSON."""
        return cls(**{**header, "limits": MediaLimits(**header["limits"])})


def write_header(stream: BinaryIO, header: dict[str, Any]) -> None:
    """Send a header.

    Raises:
        ClosedError: If the other side is gone.
    """
    encoded = json.dumps(header).encode("ascii")
    try:
        stream.write(len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded)
        stream.flush()
    except (OSError, ValueError) as error:
        raise ClosedError from error


def read_header(stream: BinaryIO) -> dict[str, Any]:
    """Receive a header.

    Raises:
        ClosedError: If the other side is gone.
        ProtocolError: If it isn't a JSON object of at most 1 MiB.
    """
    length = bytearray(_LENGTH_BYTES)
    _fill(stream, memoryview(length))
    size = int.from_bytes(length, "big")
    if size > _MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {size} bytes")
    encoded = bytearray(size)
    _fill(stream, memoryview(encoded))
    try:
        header = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header that isn't JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that isn't an object")
    return header


def _fill(stream: BinaryIO, view: memoryview) -> None:
    filled = 0
    while filled < len(view):
        try:
            # One read of a BufferedReader may give less than was asked for.
            count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise ClosedError from error
        if not count:
            raise ClosedError
        filled += count


def write_video(stream: BinaryIO, video: Video) -> None:
    """Send a decoded video.

    Raises:
        ClosedError: If the other side is gone.
    """
    sound = video.sound
    header = {
        "shape": video.frames.pixels.shape,
        "timestamps_seconds": video.frames.timestamps_seconds.tolist(),
        "sound": None if sound is None else [sound.samples.size, sound.sample_rate_hz],
        "duration_seconds": video.duration_seconds,
        "notices": [notice[:_MAX_TEXT] for notice in video.notices[:_MAX_NOTICES]],
    }
    write_header(stream, header)
    try:
        stream.write(np.ascontiguousarray(video.frames.pixels).data.cast("B"))
        if sound is not None:
            stream.write(np.ascontiguousarray(sound.samples).data.cast("B"))
        stream.flush()
    except (OSError, ValueError) as error:
        raise ClosedError from error


def write_error(stream: BinaryIO, error: MediaError) -> None:
    """Send an error instead of a video.

    Raises:
        ClosedError: If the other side is gone.
    """
    write_header(stream, {"error": type(error).__name__, "message": str(error)[:_MAX_TEXT]})


def read_video(stream: BinaryIO, request: Request, *, max_bytes: int) -> Video:
    """Receive the answer to a request.

    Args:
        stream: From the decoding process.
        request: What was asked.
        max_bytes: More isn't accepted.

    Raises:
        MediaError: The error that was sent.
        ClosedError: If the other side is gone.
        ProtocolError: If the answer is malformed, or too large for the request.
    """
    header = read_header(stream)
    if "error" in header:
        kind = _ERRORS.get(str(header["error"]))
        if kind is None:
            raise ProtocolError("an unknown kind of error")
        raise kind(str(header.get("message"))[:_MAX_TEXT])
    shape = _check_shape(header.get("shape"), request, max_bytes=max_bytes)
    timestamps = _check_floats(header.get("timestamps_seconds"), count=shape[0])
    (duration,) = _check_floats([header.get("duration_seconds")], count=1)
    notices = _check_notices(header.get("notices"))
    sound_size = _check_sound(header.get("sound"), request)
    pixels = np.empty(shape, dtype=np.uint8)
    _fill(stream, pixels.data.cast("B"))
    sound = None
    if sound_size is not None and request.sound_rate_hz is not None:
        samples = np.empty(sound_size, dtype=np.float32)
        _fill(stream, samples.data.cast("B"))
        sound = Sound(samples, request.sound_rate_hz)
    return Video(Frames(pixels, timestamps), sound, float(duration), notices)


def _is_count(value: object, *, most: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _check_shape(value: object, request: Request, *, max_bytes: int) -> tuple[int, int, int, int]:
    # Pixels that aren't square may stretch a frame up to fourfold.
    most = 4 * request.limits.max_pixels
    if not (
        isinstance(value, list) and len(value) == 4 and all(_is_count(side, most=most) for side in value)
    ):
        raise ProtocolError("frames of a malformed shape")
    count, height, width, channels = value
    if count > MAX_SAMPLES or channels != 3 or height * width > most or math.prod(value) > max_bytes:
        raise ProtocolError(f"frames of shape {value}, which is too large")
    return count, height, width, channels


def _check_sound(value: object, request: Request) -> int | None:
    if value is None:
        return None
    if request.sound_rate_hz is None:
        raise ProtocolError("sound that wasn't asked for")
    most = max(1, round(request.sound_seconds * request.sound_rate_hz))
    well_formed = isinstance(value, list) and len(value) == 2 and value[1] == request.sound_rate_hz
    if not (well_formed and isinstance(value, list) and _is_count(value[0], most=most)):
        raise ProtocolError("sound of a malformed or excessive length")
    return int(value[0])


def _check_floats(value: object, *, count: int) -> npt.NDArray[np.float64]:
    if isinstance(value, list) and len(value) == count and all(type(item) in (int, float) for item in value):
        try:
            numbers = np.array(value, dtype=np.float64)
        except OverflowError as error:
            raise ProtocolError("a time out of range") from error
        if np.isfinite(numbers).all():
            return numbers
    raise ProtocolError("malformed times")


def _check_notices(value: object) -> tuple[str, ...]:
    if not (isinstance(value, list) and len(value) <= _MAX_NOTICES):
        raise ProtocolError("malformed notices")
    if not all(isinstance(notice, str) and len(notice) <= _MAX_TEXT for notice in value):
        raise ProtocolError("malformed notices")
    return tuple(value)
