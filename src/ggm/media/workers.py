"""Several decoding processes behind one door."""

from __future__ import annotations

import os
from queue import LifoQueue
from types import TracebackType

from ggm.media.guard import DecodingWorker
from ggm.media.limits import DEFAULT_LIMITS, MediaLimits
from ggm.media.sample import FrameChoice
from ggm.records import Video


class DecodingWorkers:
    """Decodes as many videos at once as there are processes; each starts when it is first needed.

    Use it as a context manager, or `close` it; the processes otherwise end with this object.

    Args:
        count: How many, 1 or more; by default one for each processor that this process may use.
        timeout_seconds: See `DecodingWorker`.
        memory_bytes: See `DecodingWorker`.

    Raises:
        ValueError: If a number isn't positive.
    """

    def __init__(
        self, count: int | None = None, *, timeout_seconds: float = 30.0, memory_bytes: int = 2 * 1024**3
    ) -> None:
        if count is not None and count < 1:
            raise ValueError(f"count must be positive, got {count}")
        self.count = count or available_processors()
        self._workers = [
            DecodingWorker(timeout_seconds=timeout_seconds, memory_bytes=memory_bytes)
            for _ in range(self.count)
        ]
        self._free: LifoQueue[DecodingWorker] = LifoQueue()  # the last one is warm
        for worker in self._workers:
            self._free.put(worker)

    def start(self) -> None:
        """Begin to start all processes, so that they are ready sooner; `decode` would do it otherwise.

        Raises:
            MediaError: If one can't be started.
        """
        for worker in self._workers:
            worker.start()

    def ensure_started(self) -> None:
        """Wait until a process takes requests; see `DecodingWorker.ensure_started`.

        Raises:
            MediaError: If it can't be started.
        """
        worker = self._free.get()
        try:
            worker.ensure_started()
        finally:
            self._free.put(worker)

    def decode(
        self,
        path: str | os.PathLike[str],
        *,
        limits: MediaLimits = DEFAULT_LIMITS,
        short_side: int | None = None,
        sound_rate_hz: int | None = None,
        sound_seconds: float = 10.0,
        frames: FrameChoice = "exact",
    ) -> Video:
        """Decode in a free process, waiting for one if need be; see `DecodingWorker.decode`.

        Raises:
            MediaError: If the video can't be used; the subclass says why.
            ValueError: If an option is out of range.
        """
        worker = self._free.get()
        try:
            return worker.decode(
                path,
                limits=limits,
                short_side=short_side,
                sound_rate_hz=sound_rate_hz,
                sound_seconds=sound_seconds,
                frames=frames,
            )
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """End the processes. A later call of `decode` starts others."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> DecodingWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def available_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
