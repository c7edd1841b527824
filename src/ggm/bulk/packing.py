"""Decoded videos as bytes, for another process: the format in which the decoding process answers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from ggm.bulk.plan import Batch
from ggm.bulk.work import Decoded, Decoding
from ggm.errors import MediaError
from ggm.media.limits import DEFAULT_LIMITS
from ggm.media.protocol import Request, read_video, write_error, write_video

_MOST_BYTES: Final = 2 * 1024**3  # what a decoding process may take for one video


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
