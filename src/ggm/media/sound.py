"""From a video file to the first seconds of its sound, mono."""

from __future__ import annotations

import os
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from ggm.media.container import open_container, read_only, reraise_if_out_of_memory, sound_streams
from ggm.media.limits import MediaLimits
from ggm.records import Sound

_MAX_READ_ERRORS = 1000


def decode_sound(
    path: str | os.PathLike[str], *, rate_hz: int, seconds: float, limits: MediaLimits
) -> tuple[Sound | None, tuple[str, ...]]:
    """The first seconds of the first sound stream; the rest of the file isn't touched.

    Args:
        path: The video file.
        rate_hz: Sample rate to convert to.
        seconds: How much is read, more than 0.
        limits: What is refused.

    Returns:
        The sound, or None when there is none or it can't be decoded, and notices of damage.
    """
    with open_container(path, limits=limits) as container:
        streams = sound_streams(container)
        if not streams:
            lost = bool(container.streams.audio)
            return None, ("the sound was left out: no decoder for its codec",) if lost else ()
        read_only(container, streams[0])
        reading = _Reading(container, streams[0], wanted=max(1, round(seconds * rate_hz)))
        samples = reading.samples(rate_hz)
    if not samples.size:
        return None, ("the sound was left out: it is damaged or empty",)
    notices = (f"{reading.damaged} damaged sound packets were skipped",) if reading.damaged else ()
    return Sound(samples, rate_hz), notices


class _Reading:
    """Decoding of one sound stream up to a number of samples."""

    def __init__(self, container: InputContainer, stream: AudioStream, *, wanted: int) -> None:
        self._container = container
        self._stream = stream
        self._wanted = wanted
        self.damaged = 0

    def samples(self, rate_hz: int) -> npt.NDArray[np.float32]:
        parts: list[npt.NDArray[np.float32]] = []
        count = 0
        resampled = self._resampled(rate_hz)
        while count < self._wanted and (part := next(resampled, None)) is not None:
            parts.append(part)
            count += part.size
        if not parts:
            return np.empty(0, dtype=np.float32)
        return np.nan_to_num(np.concatenate(parts)[: self._wanted], posinf=1.0, neginf=-1.0)

    def _resampled(self, rate_hz: int) -> Iterator[npt.NDArray[np.float32]]:
        resampler = AudioResampler(format="fltp", layout="mono", rate=rate_hz)
        kind: tuple[str, str, int] | None = None
        for frame in self._frames():
            if kind not in (None, _kind(frame)):
                yield from self._resample(resampler, None)
                resampler = AudioResampler(format="fltp", layout="mono", rate=rate_hz)
            kind = _kind(frame)
            frame.pts = None  # samples follow each other, whatever the timestamps say
            yield from self._resample(resampler, frame)
        yield from self._resample(resampler, None)

    def _resample(
        self, resampler: AudioResampler, frame: AudioFrame | None
    ) -> Iterator[npt.NDArray[np.float32]]:
        try:
            converted = resampler.resample(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            reraise_if_out_of_memory(error)
            self.damaged += 1
            return
        for part in converted:
            if part is not None:
                yield part.to_ndarray()[0].astype(np.float32, copy=False)

    def _frames(self) -> Iterator[AudioFrame]:
        for _ in range(_MAX_READ_ERRORS):
            try:
                for packet in self._container.demux(self._stream):
                    yield from self._decode(packet)
                return
            except av.FFmpegError:
                self.damaged += 1

    def _decode(self, packet: av.Packet[AudioStream]) -> list[AudioFrame]:
        try:
            return self._stream.codec_context.decode(packet if packet.size else None)
        except (av.FFmpegError, MemoryError) as error:
            reraise_if_out_of_memory(error)
            self.damaged += 1
            return []


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
