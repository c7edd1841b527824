"""From a video file to sampled frames and sound, decoding as little as exactness allows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ggm.errors import MediaFormatError, MediaTimeoutError
from ggm.media.container import (
    VideoPacket,
    check_duration,
    check_file,
    choose_video_stream,
    declared_duration,
    frame_step,
    open_container,
    reraise_if_out_of_memory,
)
from ggm.media.gop import Int64Array, PacketIndex, PacketPolicy, PacketReader, SeekError, build_index, plan
from ggm.media.keyframes import read_keyframes
from ggm.media.limits import DEFAULT_LIMITS, MediaLimits, check_options
from ggm.media.pictures import FrameConverter
from ggm.media.sample import FrameChoice, nearest_to, sample_timestamps, shown_at, to_ticks
from ggm.media.sound import decode_sound
from ggm.records import Frames, Video

MediaPath: TypeAlias = "str | os.PathLike[str]"
Pixels: TypeAlias = "npt.NDArray[np.uint8]"

_CUT_OFF_SECONDS = 1.0


def decode_video(
    path: str | os.PathLike[str],
    *,
    limits: MediaLimits = DEFAULT_LIMITS,
    short_side: int | None = None,
    sound_rate_hz: int | None = None,
    sound_seconds: float = 10.0,
    frames: FrameChoice = "exact",
) -> Video:
    """Read the sampled frames and the first seconds of sound of one video file.

    The frames are those of `sample_timestamps`: for each moment the frame that is on the screen
    then, whatever the frame rate. Only the groups of pictures that hold them are decoded, and in
    these no packet that nothing refers to; the pixels are those that decoding everything gives.

    Args:
        path: The video file.
        limits: What is refused.
        short_side: Length that the short side of the frames is reduced to; never enlarged. None
            keeps the size.
        sound_rate_hz: Sample rate of the sound; None reads no sound.
        sound_seconds: How much of the sound is read, more than 0.
        frames: ``nearest-keyframe`` takes for each moment the keyframe nearest to it. Where there are
            few keyframes, the same picture comes several times. A file whose keyframes can't be
            decoded alone (h264 in open groups, or refreshed bit by bit) gives exact frames.

    Returns:
        The video; its `sound` is None when it has none or none was asked for.

    Raises:
        MediaNotFoundError: If there is no such file, or it can't be read.
        MediaFormatError: If it isn't a video, is damaged beyond use, or has no frame.
        MediaLimitError: If it exceeds a limit.
        MediaTimeoutError: If there isn't enough memory; only `DecodingWorker` limits the time.
        ValueError: If an option is out of range.
    """
    check_options(
        short_side=short_side, sound_rate_hz=sound_rate_hz, sound_seconds=sound_seconds, frames=frames
    )
    check_file(path, limits=limits)
    try:
        decoded = decode_frames(path, limits=limits, short_side=short_side, choice=frames)
        if sound_rate_hz is None:
            return Video(decoded.frames, None, decoded.duration_seconds, decoded.notices)
        sound, sound_notices = decode_sound(path, rate_hz=sound_rate_hz, seconds=sound_seconds, limits=limits)
    except MemoryError:
        raise MediaTimeoutError(f"{path}: decoding needs more memory than it may take") from None
    return Video(decoded.frames, sound, decoded.duration_seconds, (*decoded.notices, *sound_notices))


@dataclass(frozen=True)
class DecodedFrames:
    """The sampled frames, and what they cost."""

    frames: Frames
    duration_seconds: float
    notices: tuple[str, ...]
    packets: int
    packets_decoded: int


@dataclass
class _Pass:
    """One attempt at decoding: what came out, by the tick at which it was wanted."""

    pictures: dict[int, tuple[int, Pixels]] = field(default_factory=dict)
    packets_decoded: int = 0
    packets_damaged: int = 0


def decode_frames(
    path: MediaPath, *, limits: MediaLimits, short_side: int | None, choice: FrameChoice = "exact"
) -> DecodedFrames:
    """The frames of `decode_video`, with a count of the packets that were decoded."""
    if choice == "nearest-keyframe":
        quick = _decode_by_table(path, limits=limits, short_side=short_side)
        if quick is not None:
            return quick
    with open_container(path, limits=limits) as container:
        stream = choose_video_stream(container, path=path, limits=limits)
        declared = declared_duration(container, stream)
        if declared is not None:
            check_duration(declared, path=path, limits=limits)
        index = build_index(container, stream, path=path)
    duration = index.duration_seconds
    check_duration(duration, path=path, limits=limits)
    notices = []
    if declared is not None and declared - duration > max(_CUT_OFF_SECONDS, 0.05 * declared):
        notices.append(f"the pictures end after {duration:.1f} s of {declared:.1f} s")

    ticks = to_ticks(sample_timestamps(duration), time_base=index.time_base)
    try:
        if index.exact:
            wanted, result = _decode_exact(
                path, index, ticks, limits=limits, short_side=short_side, choice=choice
            )
            origin = index.first_tick
        else:
            wanted, result = ticks, _decode_in_order(path, index, ticks, limits=limits, short_side=short_side)
            origin = 0
    except SeekError:
        raise MediaFormatError(f"{path}: changed while it was read") from None
    if not result.pictures:
        raise MediaFormatError(f"{path}: no frame could be decoded, all are damaged")
    if result.packets_damaged:
        notices.append(f"{result.packets_damaged} damaged packets were skipped")
    pictures = [_nearest(result.pictures, tick) for tick in wanted]
    frames = Frames(
        pixels=np.stack([pixels for _, pixels in pictures]),
        timestamps_seconds=np.array([float((tick - origin) * index.time_base) for tick, _ in pictures]),
    )
    return DecodedFrames(frames, duration, tuple(notices), len(index), result.packets_decoded)


def _nearest(pictures: dict[int, tuple[int, Pixels]], wanted: int) -> tuple[int, Pixels]:
    """What was shown at a tick, or if it was lost the one before, or else the one after."""
    if wanted in pictures:
        return pictures[wanted]
    before = [tick for tick in pictures if tick < wanted]
    return pictures[max(before) if before else min(pictures)]


def _converter(stream: VideoStream, *, short_side: int | None) -> FrameConverter:
    return FrameConverter(short_side=short_side, pixel_aspect=float(stream.sample_aspect_ratio or 1))


def _decode_by_table(path: MediaPath, *, limits: MediaLimits, short_side: int | None) -> DecodedFrames | None:
    """The nearest keyframes, if the file's own table leads to them."""
    with open_container(path, limits=limits) as container:
        stream = choose_video_stream(container, path=path, limits=limits)
        duration = declared_duration(container, stream)
        if duration is None:
            return None
        check_duration(duration, path=path, limits=limits)
        time_base, origin = stream.time_base or Fraction(1, 25), stream.start_time or 0
        pictures = read_keyframes(
            container,
            stream,
            to_ticks(sample_timestamps(duration), time_base=time_base),
            duration_seconds=duration,
            converter=_converter(stream, short_side=short_side),
        )
        if pictures is None:
            return None
        frames = Frames(
            pixels=np.stack([picture.pixels for picture in pictures]),
            timestamps_seconds=np.array([float((item.tick - origin) * time_base) for item in pictures]),
        )
        read = len({picture.tick for picture in pictures})
        return DecodedFrames(frames, duration, (), len(stream.index_entries), read)


def _decode_exact(
    path: MediaPath,
    index: PacketIndex,
    ticks: list[int],
    *,
    limits: MediaLimits,
    short_side: int | None,
    choice: FrameChoice,
) -> tuple[list[int], _Pass]:
    """Decode only the groups that are needed; frames are told by their timestamps."""
    shown = index.shown_positions()
    alone = shown[index.starts[shown]]
    if choice == "nearest-keyframe" and len(alone) and index.starts.sum() >= index.keyframes:
        shown = alone
        positions = shown[nearest_to(index.timestamps[shown] - index.first_tick, ticks)]
    else:
        positions = shown[shown_at(index.timestamps[shown] - index.first_tick, ticks)]
    wanted = [int(tick) for tick in index.timestamps[positions]]
    try:
        result = _decode_groups(path, index, positions, may_seek=True, limits=limits, short_side=short_side)
    except SeekError:
        result = _decode_groups(path, index, positions, may_seek=False, limits=limits, short_side=short_side)
    return wanted, result


def _decode_groups(
    path: MediaPath,
    index: PacketIndex,
    positions: Int64Array,
    *,
    may_seek: bool,
    limits: MediaLimits,
    short_side: int | None,
) -> _Pass:
    result = _Pass()
    with open_container(path, limits=limits) as container:
        stream = choose_video_stream(container, path=path, limits=limits)
        policy, converter = PacketPolicy(stream), _converter(stream, short_side=short_side)
        reader = PacketReader(container, stream, index=index, may_seek=may_seek)
        for group in plan(index, positions.tolist()):
            picker = _Picker([int(index.timestamps[wanted]) for wanted in group.wanted], converter, result)
            for position, packet in reader.read(group.start, group.stop):
                if position in group.wanted or not policy.may_drop(packet):
                    for frame in _decode_packet(stream, packet, result):
                        picker.offer(frame.pts, frame)
            for frame in _decode_packet(stream, None, result):
                picker.offer(frame.pts, frame)
            picker.finish()
            stream.codec_context.flush_buffers()
    return result


def _decode_in_order(
    path: MediaPath, index: PacketIndex, ticks: list[int], *, limits: MediaLimits, short_side: int | None
) -> _Pass:
    """Decode from the start; for files whose packets don't say when they are shown."""
    result = _Pass()
    with open_container(path, limits=limits) as container:
        stream = choose_video_stream(container, path=path, limits=limits)
        converter = _converter(stream, short_side=short_side)
        picker = _Picker(sorted(set(ticks)), converter, result)
        clock = _Clock(frame_step(stream))
        packets = PacketReader(container, stream, index=index, may_seek=False).read(0, len(index))
        for _, packet in packets:
            for frame in _decode_packet(stream, packet, result):
                picker.offer(clock.tick(frame), frame)
            if picker.done:
                return result
        for frame in _decode_packet(stream, None, result):
            picker.offer(clock.tick(frame), frame)
        picker.finish()
    return result


def _decode_packet(stream: VideoStream, packet: VideoPacket | None, result: _Pass) -> list[VideoFrame]:
    """Frames that come out when a packet goes in; None asks for those still inside."""
    result.packets_decoded += packet is not None
    try:
        return stream.codec_context.decode(packet)
    except (av.FFmpegError, MemoryError) as error:
        reraise_if_out_of_memory(error)
        result.packets_damaged += packet is not None
        return []


class _Clock:
    """Ticks since the first frame, for frames that may have no timestamp or a wrong one."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._origin: int | None = None
        self._last = -step

    def tick(self, frame: VideoFrame) -> int:
        expected = self._last + self._step
        if frame.pts is not None:
            if self._origin is None:
                self._origin = frame.pts - expected
            expected = max(frame.pts - self._origin, self._last + 1)
        self._last = expected
        return expected


class _Picker:
    """Keeps, of frames that come in display order, the one on the screen at each wanted tick."""

    def __init__(self, wanted: list[int], converter: FrameConverter, result: _Pass) -> None:
        self._wanted = wanted
        self._converter = converter
        self._pictures = result.pictures
        self._previous: tuple[int, VideoFrame] | None = None
        self._next = 0

    @property
    def done(self) -> bool:
        return self._next == len(self._wanted)

    def offer(self, tick: int | None, frame: VideoFrame) -> None:
        if tick is None or (self._previous is not None and tick <= self._previous[0]):
            return
        while not self.done and self._wanted[self._next] < tick:
            self._take()
        self._previous = (tick, frame)
        if not self.done and self._wanted[self._next] == tick:
            self._take()

    def finish(self) -> None:
        while not self.done:
            self._take()

    def _take(self) -> None:
        if self._previous is not None:
            tick, frame = self._previous
            self._pictures[self._wanted[self._next]] = (tick, self._converter(frame))
        self._next += 1
