"""Keyframes near the wanted moments, by the table that the file itself keeps of them.

A keyframe decodes alone, so this costs one packet a picture however long the video is. Other frames
come out than those on the screen at the wanted moments: the mode is a choice, never the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from ggm.media.container import VideoPacket, read_packets, reraise_if_out_of_memory
from ggm.media.gop import Int64Array, PacketPolicy
from ggm.media.pictures import FrameConverter
from ggm.media.sample import nearest_to

_MOST_MISSING_SECONDS = 1.0


@dataclass(frozen=True)
class Picture:
    """One decoded keyframe.

    Args:
        tick: When it is shown, in ticks of its stream.
        pixels: Upright RGB, uint8 (height, width, 3).
    """

    tick: int
    pixels: npt.NDArray[np.uint8]


def read_keyframes(
    container: InputContainer,
    stream: VideoStream,
    ticks: list[int],
    *,
    duration_seconds: float,
    converter: FrameConverter,
) -> list[Picture] | None:
    """The keyframes nearest to some moments, read through the container's table.

    Args:
        container: Freshly opened.
        stream: Its video stream, the only one that is read.
        ticks: The moments, from the first frame on.
        duration_seconds: What the file says.
        converter: Of the frames.

    Returns:
        One picture a moment; None where the file has no whole table, or the table leads to something
        else than keyframes that decode alone. Then an index of all packets tells more.
    """
    table = _table(stream, ticks, duration_seconds=duration_seconds)
    if table is None:
        return None
    start = stream.start_time or 0
    chosen = table[nearest_to(table, [start + tick for tick in ticks])]
    policy = PacketPolicy(stream)
    read: dict[int, Picture] = {}
    for timestamp in np.unique(chosen).tolist():
        picture = _read_one(container, stream, timestamp, policy=policy, converter=converter)
        if picture is None:
            return None
        read[timestamp] = picture
    return [read[timestamp] for timestamp in chosen.tolist()]


def _table(stream: VideoStream, ticks: list[int], *, duration_seconds: float) -> Int64Array | None:
    """Decoding timestamps of the keyframes around these moments; None if the table isn't whole."""
    entries = stream.index_entries
    if not len(entries):
        return None
    start, time_base = stream.start_time or 0, stream.time_base or Fraction(1, 25)
    last = entries[len(entries) - 1].timestamp
    missing = duration_seconds - float((last - start) * time_base)
    if missing > _MOST_MISSING_SECONDS:
        return None  # such as that of a file in fragments, or one that is read from a stream
    found: set[int] = set()
    for tick in ticks:
        for backward in (True, False):
            place = entries.search_timestamp(start + tick, backward=backward)
            if place >= 0:
                found.add(entries[place].timestamp)
    return np.array(sorted(found), dtype=np.int64) if found else None


def _read_one(
    container: InputContainer,
    stream: VideoStream,
    timestamp: int,
    *,
    policy: PacketPolicy,
    converter: FrameConverter,
) -> Picture | None:
    try:
        container.seek(timestamp, stream=stream)
        packet = next(read_packets(container, stream), None)
        if packet is None or timestamp not in (packet.dts, packet.pts) or not policy.may_start(packet):
            return None
        frame = _decode_alone(stream, packet)
    except (av.FFmpegError, MemoryError) as error:
        reraise_if_out_of_memory(error)
        return None
    if frame is None or frame.pts is None:
        return None
    return Picture(frame.pts, converter(frame))


def _decode_alone(stream: VideoStream, packet: VideoPacket) -> av.VideoFrame | None:
    codec = stream.codec_context
    try:
        frames = [*codec.decode(packet), *codec.decode(None)]
    finally:
        codec.flush_buffers()
    return frames[0] if frames else None
