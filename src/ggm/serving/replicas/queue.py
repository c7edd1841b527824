"""The service's back end whose work is done by replicas of the stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ggm.errors import MediaError
from ggm.media.container import check_file
from ggm.media.limits import MediaLimits
from ggm.recommend import AskedPost, Recommender
from ggm.records import Video
from ggm.serving.replicas.stages import Found, Handed
from ggm.serving.service.back_end import BackEnd
from ggm.serving.service.errors import Refusal, media_refusal
from ggm.serving.service.jobs import (
    MODEL_STAGES,
    STAGE_OF_MODEL,
    Answer,
    Job,
    Stage,
    log_bug,
    model_refusal,
    stopping,
)
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings

STAGES: Final = ("decode", *MODEL_STAGES)


@dataclass(frozen=True)
class Clip:
    """A video and what is wanted for it, as replicas are given it.

    Args:
        content: Of the file.
        asked: What is wanted.
        with_video: Whether the frames shall come back too.
        deadline: Of `time.monotonic`, after which nobody waits.
    """

    content: bytes
    asked: AskedPost
    with_video: bool
    deadline: float


class Graph(Protocol):
    """The stages, wherever they run. Any thread may ask."""

    num_at_work: int

    def recommend(
        self, clip: Clip, goes_on: Callable[[str], bool]
    ) -> tuple[Handed[Found], Handed[Video] | None] | None:
        """Send a video through all of them.

        Args:
            clip: The video.
            goes_on: Is told each stage's name before it begins; False if nobody waits any more.

        Returns:
            What came of it, and the video if it was wanted; None if nobody waited.

        Raises:
            Refusal: If the stages can't be reached in time.
        """

    @property
    def is_running(self) -> bool:
        """Whether videos can be sent."""

    def close(self) -> None:
        """Leave it, or end it if it was started for this service alone."""


class ReplicatedQueue(BackEnd):
    """Sends videos through a graph of stages, each by a thread that waits for it.

    Args:
        recommender: Knows how hashtags are usually written; its model isn't run.
        settings: How many of what; batches and decoding processes are the graph's.
        metrics: Counted in; a batch is counted once for each of its videos.
        graph: The stages. It is closed with this.
    """

    def __init__(
        self, recommender: Recommender, settings: ServiceSettings, metrics: Metrics, *, graph: Graph
    ) -> None:
        super().__init__(settings, metrics)
        self._usual = recommender.bundle.decoding
        self._graph = graph
        self._limits = MediaLimits(max_size_bytes=settings.max_upload_bytes)
        self._threads: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Begin."""
        self.is_closed = False
        self._threads = ThreadPoolExecutor(self.settings.max_waiting, thread_name_prefix="ggm-serve")

    def close(self) -> None:
        """End; what waits is refused, what a replica works on is answered."""
        self.is_closed = True
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
            self._graph.close()

    @property
    def is_healthy(self) -> bool:
        """Whether it works."""
        return self._threads is not None and not self.is_closed and self._graph.is_running

    @property
    def num_at_work(self) -> int:
        """See `BackEnd`."""
        return self._graph.num_at_work

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn; it needs a place."""
        job.arrived = time.monotonic()
        job.on_stage("queued")
        threads = self._threads
        try:
            if threads is None:
                raise RuntimeError
            threads.submit(self._work, job)
        except RuntimeError:  # it was closed in this moment
            job.refuse(stopping())

    def _work(self, job: Job) -> None:
        if not self.is_wanted(job):
            return
        try:
            self._answer(job)
        except Refusal as refusal:
            job.refuse(refusal)
        except Exception as error:
            log_bug("recommending", error)
            job.refuse(model_refusal(error))

    def _answer(self, job: Job) -> None:
        def goes_on(stage: str) -> bool:
            at: Stage = STAGE_OF_MODEL.get(stage, "decoding")
            job.on_stage(at)
            return self.is_wanted(job)

        started = time.monotonic()
        try:
            check_file(job.path, limits=self._limits)  # one that was named may be of any size
        except MediaError as error:
            raise self._refusal(job, error) from None
        content = job.path.read_bytes()
        deadline = job.arrived + self.settings.request_seconds
        asked = job.asked(self._usual)
        found = self._graph.recommend(Clip(content, asked, job.with_frames, deadline), goes_on)
        if found is None:
            return
        handed, decoded = found
        if handed.error is not None:
            raise self._refusal(job, handed.error)
        assert handed.value is not None
        seconds = {**handed.seconds, "total": time.monotonic() - job.arrived}
        seconds["queue"] = max(0.0, seconds["total"] - sum(handed.seconds.values()))
        for stage in STAGES:
            self.metrics.stages.labels(stage).observe(seconds[stage])
        self.metrics.batches.observe(handed.batch)
        self.took((time.monotonic() - started) / max(1, self.num_taken))
        frames = None if decoded is None or decoded.value is None else decoded.value.frames
        found_here = handed.value.recommendation
        recommendation = replace(
            found_here, notices=(*handed.notices, *found_here.notices), seconds=handed.seconds
        )
        job.finish(Answer(recommendation, handed.value.why, frames, handed.batch, seconds))

    def _refusal(self, job: Job, error: Exception) -> Refusal:
        if isinstance(error, MediaError):
            self.metrics.bad_videos.labels(type(error).__name__).inc()
            return media_refusal(error, str(job.path), job.name)
        return model_refusal(error)
