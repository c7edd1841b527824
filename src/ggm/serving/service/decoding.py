"""Decoding as the service does it: in processes that may die, each video twice if need be."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ggm.errors import MediaError, MediaTimeoutError
from ggm.media.limits import MediaLimits
from ggm.media.workers import DecodingWorkers
from ggm.recommend import Recommender
from ggm.records import Video
from ggm.serving.service.settings import ServiceSettings

_EARLY: Final = 0.8  # of the time to decode: a process that is gone before was ended by something else


class Decoding:
    """Reads what a recommender's encoders want. `close` it.

    Args:
        recommender: Its encoders say what is read; its limits aren't asked.
        settings: Limits of a video.
        count: Processes.
        on_death: Is called when a process ended before its time.
    """

    def __init__(
        self,
        recommender: Recommender,
        settings: ServiceSettings,
        *,
        count: int,
        on_death: Callable[[], object] = lambda: None,
    ) -> None:
        extractor = recommender.bundle.extractor
        self._short_side = extractor.short_side
        self._sound_rate_hz = extractor.sound_rate_hz
        self._frames = recommender.frames
        self._limits = MediaLimits(
            max_size_bytes=settings.max_upload_bytes, max_duration_seconds=settings.max_duration_seconds
        )
        self._early_seconds = _EARLY * settings.decode_seconds
        self._on_death = on_death
        self.workers = DecodingWorkers(count, timeout_seconds=settings.decode_seconds)

    def start(self) -> None:
        """Begin to start the processes."""
        self.workers.start()

    def close(self) -> None:
        """End them."""
        self.workers.close()

    def decode(self, path: Path) -> Video:
        """Read one video.

        Raises:
            MediaError: If it can't be used; the subclass says why.
        """
        started = time.monotonic()
        try:
            return self._decode(path)
        except MediaError as error:
            # The process died, which need not be the video's fault: another one tries once more.
            died = type(error) in (MediaError, MediaTimeoutError)
            if not died or time.monotonic() - started >= self._early_seconds:
                raise
        self._on_death()
        return self._decode(path)

    def _decode(self, path: Path) -> Video:
        return self.workers.decode(
            path,
            limits=self._limits,
            short_side=self._short_side,
            sound_rate_hz=self._sound_rate_hz,
            frames=self._frames,
        )
