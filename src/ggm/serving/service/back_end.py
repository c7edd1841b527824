"""What every back end of the service has: a number of places, which bounds all that is here at once."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Final

from ggm.serving.service.errors import Refusal
from ggm.serving.service.jobs import Job, stopping
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings

_USUAL_SECONDS: Final = 1.0  # of a video, before any was measured
_WEIGHT_OF_NEW: Final = 0.2
_LONGEST_WAIT: Final = 60.0


class Places:
    """Places that were taken; given back once, by `close`.

    Args:
        give_back: Is told how many.
        count: As many.
    """

    def __init__(self, give_back: Callable[[int], object], count: int) -> None:
        self._give_back = give_back
        self._count = count

    def close(self) -> None:
        """Let others have them."""
        count, self._count = self._count, 0
        self._give_back(count)

    def __enter__(self) -> Places:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BackEnd(ABC):
    """Takes jobs from any thread and answers them; `start` it and `close` it.

    What the routes ask, whoever does the work: `ggm.serving.service.queue` in this process,
    `ggm.serving.replicas.queue` in replicas.

    Args:
        settings: How many of what.
        metrics: Counted in.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self._lock = threading.Lock()
        self._taken = 0
        self._seconds_a_video = _USUAL_SECONDS
        self._is_closed = False

    @abstractmethod
    def start(self) -> None:
        """Begin."""

    @abstractmethod
    def close(self) -> None:
        """End; what waits is refused."""

    @property
    @abstractmethod
    def is_healthy(self) -> bool:
        """Whether it works."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Let a job wait for its turn; it needs a place."""

    @property
    def num_taken(self) -> int:
        """Places that are taken now."""
        return self._taken

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, and not started again."""
        return self._is_closed

    @is_closed.setter
    def is_closed(self, value: bool) -> None:
        with self._lock:
            self._is_closed = value

    @property
    def num_at_work(self) -> int:
        """How many videos never wait for each other; so many are always taken, and measured."""
        return 1

    def take(self, count: int = 1) -> Places:
        """Take places, before anything is read.

        Raises:
            Refusal: 503 if there aren't as many.
        """
        with self._lock:
            if self._is_closed:
                raise stopping()
            wait = self._taken * self._seconds_a_video
            too_long = self._taken >= self.num_at_work and wait > self.settings.wait_seconds
            if too_long or self._taken + count > self.settings.max_waiting:
                raise Refusal(
                    503,
                    "queue_full",
                    f"{self._taken} videos are here already, which is as many as can be worked on in time; "
                    "try again later",
                    retry_after=min(_LONGEST_WAIT, wait),
                )
            self._taken += count
        self.metrics.places.set(self._taken)
        return Places(self._give_back, count)

    def took(self, seconds_a_video: float) -> None:
        """Remember how long a video takes of late.

        Args:
            seconds_a_video: Between one answer and the next, were all at work.
        """
        with self._lock:
            self._seconds_a_video += _WEIGHT_OF_NEW * (seconds_a_video - self._seconds_a_video)

    def is_wanted(self, job: Job) -> bool:
        """Whether somebody still waits for a job; one that came too long ago is refused."""
        if job.is_over:
            return False
        if self._is_closed:
            job.refuse(stopping())
            return False
        if time.monotonic() - job.arrived > self.settings.request_seconds:
            job.refuse(
                Refusal(
                    503,
                    "waited_too_long",
                    f"the video waited for more than {self.settings.request_seconds:g} s; try again later",
                    retry_after=self.settings.request_seconds / 2,
                )
            )
            return False
        return True

    def _give_back(self, count: int) -> None:
        with self._lock:
            self._taken -= count
        self.metrics.places.set(self._taken)
