"""What a video file is, without decoding more than one frame of it."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ggm.errors import MediaFormatError
from ggm.media.container import (
    check_duration,
    check_file,
    choose_video_stream,
    declared_duration,
    open_container,
    read_packets,
    sound_streams,
)
from ggm.media.gop import build_index
from ggm.media.limits import DEFAULT_LIMITS, MediaLimits
from ggm.media.pictures import Orientation, upright_size

__all__ = ["MediaLimits", "MediaProbe", "probe"]


@dataclass(frozen=True)
class MediaProbe:
    """What a video file says of itself.

    Args:
        duration_seconds: As the file's header claims; `decode_video` measures it.
        width: Of a frame on the screen, that is turned upright, in square pixels.
        height: Likewise.
        rotation_degrees: Clockwise turn from the stored frame to the upright one: 0, 90, 180, 270.
        has_sound: Whether there is a sound stream that can be decoded.
        video_codec: Such as ``h264``.
        audio_codec: Such as ``aac``, or None.
        container: FFmpeg's name of the format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        frame_rate_hz: Average frames a second, or None where unknown.
        size_bytes: Size of the file.
    """

    duration_seconds: float
    width: int
    height: int
    rotation_degrees: int
    has_sound: bool
    video_codec: str
    audio_codec: str | None
    container: str
    frame_rate_hz: float | None
    size_bytes: int


def probe(path: str | os.PathLike[str], *, limits: MediaLimits = DEFAULT_LIMITS) -> MediaProbe:
    """Look at a video file's header and first frame.

    Args:
        path: The video file.
        limits: What is refused.

    Returns:
        What was found.

    Raises:
        MediaNotFoundError: If there is no such file, or it can't be read.
        MediaFormatError: If it isn't a video, is damaged beyond use, or has no frame.
        MediaLimitError: If it exceeds a limit.
    """
    size_bytes = check_file(path, limits=limits)
    with open_container(path, limits=limits) as container:
        stream = choose_video_stream(container, path=path, limits=limits)
        duration = declared_duration(container, stream)
        sounds = sound_streams(container)
        if duration is None:
            with open_container(path, limits=limits) as again:
                indexed = choose_video_stream(again, path=path, limits=limits)
                duration = build_index(again, indexed, path=path).duration_seconds
        check_duration(duration, path=path, limits=limits)
        frame = _first_frame(container, stream)
        if frame is None:
            raise MediaFormatError(f"{path}: no frame could be decoded")
        width, height = upright_size(frame, pixel_aspect=float(stream.sample_aspect_ratio or 1))
        return MediaProbe(
            duration_seconds=duration,
            width=width,
            height=height,
            rotation_degrees=Orientation.of(frame).rotation_degrees,
            has_sound=bool(sounds),
            video_codec=stream.codec_context.codec.canonical_name,
            audio_codec=sounds[0].codec_context.codec.canonical_name if sounds else None,
            container=container.format.name,
            frame_rate_hz=float(stream.average_rate) if stream.average_rate else None,
            size_bytes=size_bytes,
        )


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    """The first frame that can be decoded."""
    for packet in itertools.chain(read_packets(container, stream), [None]):
        try:
            frames = stream.codec_context.decode(packet)
        except (av.FFmpegError, MemoryError):
            continue
        if frames:
            return frames[0]
    return None
