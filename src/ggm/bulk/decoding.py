"""Videos of a batch are decoded, each in a limited process; as bytes they go to another one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ggm.bulk.plan import Batch, Turn
from ggm.errors import MediaError, MediaTimeoutError
from ggm.media.limits import DEFAULT_LIMITS
from ggm.media.protocol import Request, read_video, write_error, write_video
from ggm.media.sample import FrameChoice
from ggm.media.workers import DecodingWorkers
from ggm.records import Video

Decoded = Video | MediaError | None
"""A video, why it can't be used, or nothing where the row names none."""

_MOST_BYTES: Final = 2 * 1024**3  # what a decoding process may take for one video


@dataclass(frozen=True)
class Decoding:
    """How videos are decoded for a bundle.

    Args:
        short_side: Of the frames, in pixels.
        sound_rate_hz: None where no sound is heard.
        frames: Which frames.
    """

    short_side: int
    sound_rate_hz: int | None
    frames: FrameChoice = "exact"

    def __call__(self, turn: Turn, workers: DecodingWorkers) -> Decoded:
        """Decode one video in a limited process. What its death leaves open is tried a second time.

        Raises:
            MediaError: If no process can be started here, whatever the video.
        """
        if turn.clip is None:
            return None
        for last in (False, True):
            workers.ensure_started()
            try:
                return workers.decode(
                    turn.clip.video,
                    short_side=self.short_side,
                    sound_rate_hz=self.sound_rate_hz,
                    frames=self.frames,
                )
            except MediaTimeoutError as error:  # the file's fault, or somebody killed the process
                if last:
                    return error
            except MediaError as error:
                return error
        raise AssertionError("the last turn returns")


def pack(videos: Sequence[Decoded]) -> bytes:
    """The videos and errors of a batch, one behind the other."""
    packed = io.BytesIO()
    for video in videos:
        if isinstance(video, MediaError):
            write_error(packed, video)
        elif video is not None:
            write_video(packed, video)
    return packed.getvalue()


def unpack(packed: bytes | memoryview, batch: Batch, decoding: Decoding) -> list[Decoded]:
    """The reverse of `pack`.

    Args:
        packed: What it gave.
        batch: Whose videos they are.
        decoding: How they were decoded.

    Raises:
        ggm.media.protocol.ProtocolError: If they can't be what was decoded so.
    """
    stream = io.BytesIO(packed)
    videos: list[Decoded] = []
    for turn in batch.turns:
        if turn.clip is None:
            videos.append(None)
            continue
        request = Request(
            path=str(turn.clip.video),
            limits=DEFAULT_LIMITS,
            short_side=decoding.short_side,
            sound_rate_hz=decoding.sound_rate_hz,
            sound_seconds=10.0,
            frames=decoding.frames,
            cpu_seconds=0.0,
        )
        try:
            videos.append(read_video(stream, request, max_bytes=_MOST_BYTES))
        except MediaError as error:
            videos.append(error)
    return videos
