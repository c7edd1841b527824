"""Opening a media file, and reading its packets past damage."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from ggm.errors import MediaFormatError, MediaLimitError, MediaNotFoundError
from ggm.media.limits import MediaLimits

VideoPacket: TypeAlias = "Packet[VideoStream]"

# Playlists (hls, dash, concat …) make FFmpeg open other files and addresses, and its text
# "videos" (tty) would accept any text file, so only these are allowed.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,nut,mxf,dv,rm,"
    "apng,obu,h264,hevc,m4v,mp3,wav,flac,aac"
)
_COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
_MAX_READ_ERRORS = 1000
_UNKNOWN_FRAME_SECONDS = Fraction(1, 25)


def check_file(path: str | os.PathLike[str], *, limits: MediaLimits) -> int:
    """Size of a readable, regular, non-empty file in bytes.

    Raises:
        MediaNotFoundError: If it's missing, a directory or another special file, or unreadable.
        MediaFormatError: If it's empty.
        MediaLimitError: If it's larger than allowed.
    """
    try:
        status = Path(path).stat()
        if stat.S_ISREG(status.st_mode):
            with Path(path).open("rb"):
                pass
    except FileNotFoundError:
        raise MediaNotFoundError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise MediaNotFoundError(
            f"{path}: can't be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise MediaNotFoundError(f"{path}: is a directory, give a video file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaNotFoundError(f"{path}: is not a regular file")
    if status.st_size == 0:
        raise MediaFormatError(f"{path}: the file is empty")
    if status.st_size > limits.max_size_bytes:
        raise MediaLimitError(
            f"{path}: {status.st_size:,} bytes, at most {limits.max_size_bytes:,} are allowed"
        )
    return status.st_size


def reraise_if_out_of_memory(error: BaseException) -> None:
    """Keep a lack of memory in a decoder from passing for a damaged packet.

    When reading (not decoding) fails for it, that is damage: a size field which says absurd things.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        raise MemoryError(str(error)) from error


@contextmanager
def open_container(path: str | os.PathLike[str], *, limits: MediaLimits) -> Iterator[InputContainer]:
    """Open a media file for reading, and close it at the end.

    Raises:
        MediaFormatError: If it isn't a known format, or its header is missing or damaged.
        MediaLimitError: If it has more streams than allowed.
    """
    try:
        container = av.open(
            "file:" + os.path.abspath(path),  # noqa: PTH100 (a path must not be taken for an address)
            mode="r",
            options={
                "protocol_whitelist": "file",
                "format_whitelist": _FORMATS,
                "max_pixels": str(limits.max_pixels),
            },
            metadata_errors="replace",
        )
    except (av.FFmpegError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaFormatError(f"{path}: not a video, or cut off or damaged: {reason}") from error
    with container:
        if len(container.streams) > limits.max_streams:
            raise MediaLimitError(
                f"{path}: {len(container.streams)} streams, at most {limits.max_streams} are allowed"
            )
        yield container


def choose_video_stream(
    container: InputContainer, *, path: str | os.PathLike[str], limits: MediaLimits
) -> VideoStream:
    """The first video stream that isn't a cover picture, with all others turned off.

    Raises:
        MediaFormatError: If there is none, or no decoder for it.
        MediaLimitError: If its frames are larger than allowed.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _COVERS]
    if not streams:
        raise MediaFormatError(f"{path}: has no video stream")
    decodable = [stream for stream in streams if _has_decoder(stream)]
    if not decodable:
        raise MediaFormatError(f"{path}: no decoder for its video codec")
    stream = decodable[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        allowed = f"at most {limits.max_pixels:,} pixels are allowed"
        raise MediaLimitError(f"{path}: frames of {width}x{height}, {allowed}")
    # Frames may grow within a video; the decoder then takes them for damaged.
    stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
    read_only(container, stream)
    return stream


def sound_streams(container: InputContainer) -> list[AudioStream]:
    """The sound streams that can be decoded."""
    return [stream for stream in container.streams.audio if _has_decoder(stream)]


def _has_decoder(stream: Stream) -> bool:
    # Without a decoder the stream's context is None, whatever the type stubs say.
    return getattr(stream, "codec_context", None) is not None


def read_only(container: InputContainer, stream: Stream) -> None:
    """Let the container read one stream, on the calling thread."""
    for other in container.streams:
        other.discard = Discard.default if other.index == stream.index else Discard.all
    # Frame threads can hang when decoding stops early, and pay off only on many idle cores.
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.thread_count = 1


def check_duration(seconds: float, *, path: str | os.PathLike[str], limits: MediaLimits) -> None:
    """Refuse videos that are too long.

    Raises:
        MediaLimitError: If the video is longer than the limit.
    """
    if seconds > limits.max_duration_seconds:
        raise MediaLimitError(
            f"{path}: lasts {seconds:,.0f} s, at most {limits.max_duration_seconds:,.0f} s are allowed"
        )


def declared_duration(container: InputContainer, stream: Stream) -> float | None:
    """Seconds that the file's header claims, or None."""
    if stream.duration and stream.time_base and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return container.duration / av.time_base
    return None


def frame_step(stream: VideoStream) -> int:
    """Usual ticks from one frame to the next, at least 1; a guess where the file doesn't say."""
    seconds = 1 / stream.average_rate if stream.average_rate else _UNKNOWN_FRAME_SECONDS
    return max(1, round(seconds / (stream.time_base or _UNKNOWN_FRAME_SECONDS)))


def read_packets(container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
    """The stream's packets from here on, skipping what can't be read."""
    for _ in range(_MAX_READ_ERRORS):
        # After an error the same container reads on behind it.
        with suppress(av.FFmpegError, MemoryError):
            for packet in container.demux(stream):
                if packet.size:  # the empty one at the end only asks the decoder to flush
                    yield packet
            return
