"""Where groups of pictures begin, and which packets a set of frames needs.

The index is one pass over the packets that keeps only their timestamps and sizes (17 bytes each),
so that the second pass can read and decode only what the wanted frames are predicted from.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from ggm.errors import MediaFormatError, MediaLimitError
from ggm.media import nal
from ggm.media.container import VideoPacket, frame_step, read_packets

Int64Array = npt.NDArray[np.int64]

_SELF_CONTAINED_KEYFRAMES = frozenset(
    {"vp8", "vp9", "av1", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "png", "rawvideo"}
)
_MAX_PACKETS = 4_000_000
_SEEK_OVER_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class PacketIndex:
    """What one video stream's packets say of themselves, in decoding order.

    Args:
        timestamps: When each packet's frame is shown, in ticks, int64 (packets>0,); decoding
            timestamps or a count where the file doesn't say (then `exact` is False).
        seek_timestamps: Decoding timestamps where known, for seeking, int64 (packets,).
        sizes: Bytes, int64 (packets,).
        starts: Whether decoding may start at each packet, bool (packets,); the first always may.
        shown: Whether its frame is shown, bool (packets,): edit lists hide frames.
        time_base: Seconds a tick.
        last_ticks: How long the last frame is shown.
        exact: Whether frames can be told by their timestamps.
        keyframes: How many packets the file flags as keyframes; decoding may not start at all of them.
    """

    timestamps: Int64Array
    seek_timestamps: Int64Array
    sizes: Int64Array
    starts: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.bool_]
    time_base: Fraction
    last_ticks: int
    exact: bool
    keyframes: int

    def __len__(self) -> int:
        return int(self.timestamps.size)

    @property
    def first_tick(self) -> int:
        """When the first frame is shown; times are measured from here."""
        return int(self.timestamps[self.shown].min())

    @property
    def duration_seconds(self) -> float:
        """From the first frame's appearance to the last one's end."""
        last_tick = int(self.timestamps[self.shown].max())
        return float((last_tick + self.last_ticks - self.first_tick) * self.time_base)

    def shown_positions(self) -> Int64Array:
        """Packets that are shown, in display order."""
        positions = np.flatnonzero(self.shown)
        return positions[np.argsort(self.timestamps[positions], kind="stable")]

    def start_for(self, position: int) -> int:
        """The packet to start decoding at, so that the frame of `position` comes out exact.

        A frame that follows a keyframe in the file and precedes it on the screen (open groups of
        pictures) is predicted from the group before as well.
        """
        starts = np.flatnonzero(self.starts[: position + 1])
        if self.timestamps[position] < self.timestamps[starts[-1]] and starts.size > 1:
            return int(starts[-2])
        return int(starts[-1])


@dataclass(frozen=True)
class Group:
    """One stretch of packets to decode.

    Args:
        start: First packet.
        wanted: Packets whose frames are wanted, ascending by time on the screen.
    """

    start: int
    wanted: tuple[int, ...]

    @property
    def stop(self) -> int:
        """One past the last packet that is needed."""
        return max(self.wanted) + 1


def plan(index: PacketIndex, wanted: Iterable[int]) -> list[Group]:
    """Group wanted frames by where their decoding starts, in file order."""
    groups: dict[int, list[int]] = {}
    for position in sorted(set(wanted), key=lambda position: int(index.timestamps[position])):
        groups.setdefault(index.start_for(position), []).append(position)
    return [Group(start, tuple(groups[start])) for start in sorted(groups)]


class PacketPolicy:
    """Which packets decoding may start at, and which it may leave out, for one stream."""

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context.codec.canonical_name
        self._nal_codec: nal.NalCodec | None = None
        self._length_bytes: int | None = None
        if self._codec in ("h264", "hevc"):
            self._nal_codec = "h264" if self._codec == "h264" else "hevc"
            self._length_bytes = nal.length_size(self._nal_codec, stream.codec_context.extradata)

    def may_start(self, packet: VideoPacket) -> bool:
        """Whether everything that is shown from here on can be decoded from here on."""
        if not packet.is_keyframe:
            return False
        if self._nal_codec is not None:
            return nal.starts_afresh(self._nal_codec, bytes(packet), length_bytes=self._length_bytes)
        return self._codec in _SELF_CONTAINED_KEYFRAMES

    def may_drop(self, packet: VideoPacket) -> bool:
        """Whether no other frame is predicted from this one."""
        return self._nal_codec == "h264" and nal.nothing_refers_to(
            bytes(packet), length_bytes=self._length_bytes
        )


def build_index(container: InputContainer, stream: VideoStream, *, path: object) -> PacketIndex:
    """Read all packets once, keeping none of them.

    Raises:
        MediaFormatError: If there is no packet.
        MediaLimitError: If there are implausibly many.
    """
    policy = PacketPolicy(stream)
    unknown = np.iinfo(np.int64).min
    pts, dts, sizes = array("q"), array("q"), array("q")
    starts, shown = bytearray(), bytearray()
    last_duration, last_pts, one_header, keyframes = 0, unknown, True, 0
    for packet in read_packets(container, stream):
        if len(sizes) == _MAX_PACKETS:
            raise MediaLimitError(f"{path}: more than {_MAX_PACKETS:,} frames")
        pts.append(unknown if packet.pts is None else packet.pts)
        dts.append(unknown if packet.dts is None else packet.dts)
        sizes.append(packet.size)
        starts.append(policy.may_start(packet))
        keyframes += packet.is_keyframe
        shown.append(not packet.is_discard)
        if pts[-1] >= last_pts:
            last_pts, last_duration = pts[-1], packet.duration or 0
        # A new decoder header comes with one packet and holds for all that follow.
        one_header = one_header and not (len(sizes) > 1 and packet.has_sidedata("new_extradata"))
    if not sizes:
        raise MediaFormatError(f"{path}: holds no frame")
    return _to_index(
        pts=np.array(pts, dtype=np.int64),
        dts=np.array(dts, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64),
        starts=np.array(starts, dtype=np.bool_) & one_header,
        shown=np.array(shown, dtype=np.bool_),
        time_base=stream.time_base or Fraction(1, 25),
        step=frame_step(stream),
        last_ticks=last_duration,
        keyframes=keyframes,
    )


def _to_index(
    *,
    pts: Int64Array,
    dts: Int64Array,
    sizes: Int64Array,
    starts: npt.NDArray[np.bool_],
    shown: npt.NDArray[np.bool_],
    time_base: Fraction,
    step: int,
    last_ticks: int,
    keyframes: int,
) -> PacketIndex:
    unknown = np.iinfo(np.int64).min
    if not shown.any():
        shown = np.ones_like(shown)
    exact = bool((pts != unknown).all()) and np.unique(pts).size == pts.size
    timestamps = pts
    if not exact:
        timestamps = dts if (dts != unknown).all() else np.arange(sizes.size, dtype=np.int64) * step
    starts[0] = True
    if last_ticks <= 0:
        gaps = np.diff(np.sort(timestamps[shown]))
        gaps = gaps[gaps > 0]
        last_ticks = int(np.median(gaps)) if gaps.size else step
    return PacketIndex(
        timestamps=timestamps,
        seek_timestamps=np.where(dts != unknown, dts, timestamps),
        sizes=sizes,
        starts=starts,
        shown=shown,
        time_base=time_base,
        last_ticks=last_ticks,
        exact=exact,
        keyframes=keyframes,
    )


class SeekError(Exception):
    """The container didn't land where the index said."""


class PacketReader:
    """Reads stretches of packets in file order, seeking over the long gaps between them.

    Args:
        container: Freshly opened.
        stream: Its video stream.
        index: The index of the same stream.
        may_seek: Whether to seek at all; without it every packet in between is read.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, index: PacketIndex, may_seek: bool
    ) -> None:
        self._container = container
        self._stream = stream
        self._index = index
        self._may_seek = may_seek and index.exact
        self._packets = read_packets(container, stream)
        self._position = 0

    def read(self, start: int, stop: int) -> Iterator[tuple[int, VideoPacket]]:
        """Packets from start to before stop, with their positions.

        Raises:
            SeekError: If the packets aren't those of the index; read again without seeking.
        """
        gap_bytes = int(self._index.sizes[self._position : start].sum())
        if start < self._position or gap_bytes > _SEEK_OVER_BYTES:
            self._seek(start)
        while self._position < stop:
            packet = next(self._packets, None)
            if packet is None:
                return
            self._check(packet)
            position = self._position
            self._position += 1
            if position >= start:
                yield position, packet

    def _seek(self, start: int) -> None:
        if not self._may_seek:
            if start < self._position:
                raise SeekError
            return
        try:
            self._container.seek(int(self._index.seek_timestamps[start]), stream=self._stream)
        except av.FFmpegError as error:
            raise SeekError from error
        self._packets = read_packets(self._container, self._stream)
        first = next(self._packets, None)
        if first is None:
            raise SeekError
        landed = np.flatnonzero(self._index.timestamps == first.pts)
        if landed.size != 1 or landed[0] > start:
            raise SeekError
        self._packets = _with_first(first, self._packets)
        self._position = int(landed[0])

    def _check(self, packet: VideoPacket) -> None:
        same_size = packet.size == self._index.sizes[self._position]
        if not same_size or (self._index.exact and packet.pts != self._index.timestamps[self._position]):
            raise SeekError


def _with_first(first: VideoPacket, rest: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    yield first
    yield from rest
