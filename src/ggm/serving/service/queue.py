"""From files to hashtags: decoding processes side by side, and one model that takes what waits.

Videos are decoded in several processes while the model works on those before. The model takes all
that are ready, up to a number, in one pass, and never waits for more. All that is here at once,
uploads included, is bounded: what is more is refused before it is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Final, Literal

from ggm.errors import GgmError, MediaError, MediaTimeoutError, PoolError
from ggm.history import History
from ggm.media.limits import MediaLimits
from ggm.media.workers import DecodingWorkers
from ggm.recommend import DecodedPost, Recommender
from ggm.records import Frames, Recommendation, Video
from ggm.serving.service.errors import Refusal, internal_error, media_refusal
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings
from ggm.serving.service.why import Why, WhyFinder
from ggm.serving.service.wishes import Wish

Stage = Literal["received", "queued", "decoding", "encoding", "writing"]
"""Where a video is."""

_STAGE_OF_MODEL: Final[dict[str, Stage]] = {
    "features": "encoding",
    "retrieve": "encoding",
    "generate": "writing",
}
_USUAL_SECONDS: Final = 1.0  # of a video, before any was measured
_WEIGHT_OF_NEW: Final = 0.2
_LONGEST_WAIT: Final = 60.0
_EARLY: Final = 0.8  # of the time to decode: a process that is gone before was ended by something else

_log = logging.getLogger("ggm.serve")


@dataclass(frozen=True)
class Answer:
    """What came of one video.

    Args:
        recommendation: Its hashtags.
        why: For each of them the guidance closest to it.
        frames: What the model looked at.
        batch: How many videos the model took together.
        seconds: ``queue`` besides the recommendation's.
    """

    recommendation: Recommendation
    why: Sequence[Why]
    frames: Frames
    batch: int
    seconds: dict[str, float]


@dataclass(eq=False)
class Job:
    """One video on its way.

    Args:
        path: The file.
        name: What the client calls it.
        description: What the creator wrote.
        wish: What is wanted.
        history: What the creator used before.
        on_stage: Is told each stage when it begins, by some thread.
    """

    path: Path
    name: str
    description: str
    wish: Wish
    history: History = field(default_factory=History)
    on_stage: Callable[[Stage], object] = lambda _: None
    answer: Future[Answer] = field(default_factory=Future)
    arrived: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    video: Video | None = None

    def cancel(self) -> None:
        """Nobody waits for it any more: it is left out where it isn't worked on yet."""
        self.answer.cancel()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits, or it was refused."""
        return self.answer.done()

    def refuse(self, refusal: Exception) -> None:
        """Answer with an error."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(refusal)

    def finish(self, answer: Answer) -> None:
        """Answer."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_result(answer)


class Places:
    """Places that were taken in the queue; given back once, by `close`."""

    def __init__(self, queue: RecommendQueue, count: int) -> None:
        self._queue = queue
        self._count = count

    def close(self) -> None:
        """Let others have them."""
        count, self._count = self._count, 0
        self._queue.give_back(count)

    def __enter__(self) -> Places:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RecommendQueue:
    """Takes jobs from any thread; `start` it and `close` it.

    Args:
        recommender: Used by one thread of this queue alone.
        settings: How many of what.
        metrics: Counted in.
    """

    def __init__(self, recommender: Recommender, settings: ServiceSettings, metrics: Metrics) -> None:
        self._recommender = recommender
        self._settings = settings
        self._metrics = metrics
        self._limits = MediaLimits(
            max_size_bytes=settings.max_upload_bytes, max_duration_seconds=settings.max_duration_seconds
        )
        self._workers = DecodingWorkers(settings.decoders, timeout_seconds=settings.decode_seconds)
        self._why = WhyFinder(recommender.bundle.embed_hashtags)
        self._lock = threading.Lock()
        self._taken = 0
        self._seconds_a_video = _USUAL_SECONDS
        self._waiting: Queue[Job | None] = Queue()  # bounded by the places
        # Frames take memory: decoding goes no further ahead than the model's next turn.
        self._decoded: Queue[Job | None] = Queue(maxsize=settings.max_batch)
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self) -> None:
        """Begin; decoding processes start, so that the first request doesn't wait for them."""
        with self._lock:
            self._closed = False
        jobs = [self._decode_forever] * self._settings.decoders + [self._recommend_forever]
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=job, name=f"ggm-serve-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._workers.start()

    def close(self) -> None:
        """End; what waits is refused."""
        with self._lock:
            self._closed = True
        threads, self._threads = self._threads, []
        if threads:
            *decoders, model = threads
            for _ in decoders:
                self._waiting.put(None)
            for thread in decoders:
                thread.join()
            self._decoded.put(None)
            model.join()
        self._workers.close()
        self._refuse_rest()

    @property
    def is_healthy(self) -> bool:
        """Whether it works."""
        return bool(self._threads) and not self._closed and all(one.is_alive() for one in self._threads)

    @property
    def num_taken(self) -> int:
        """Places that are taken now."""
        return self._taken

    def take(self, count: int = 1) -> Places:
        """Take places, before anything is read.

        Raises:
            Refusal: 503 if there aren't as many.
        """
        with self._lock:
            if self._closed:
                raise stopping()
            wait = self._taken * self._seconds_a_video
            # Where nothing is here there is no wait, so that there is always somebody to measure.
            if wait > self._settings.wait_seconds or self._taken + count > self._settings.max_waiting:
                raise Refusal(
                    503,
                    "queue_full",
                    f"{self._taken} videos are here already, which is as many as can be worked on in time; "
                    "try again later",
                    retry_after=min(_LONGEST_WAIT, wait),
                )
            self._taken += count
        self._metrics.places.set(self._taken)
        return Places(self, count)

    def give_back(self, count: int) -> None:
        """See `Places.close`."""
        with self._lock:
            self._taken -= count
        self._metrics.places.set(self._taken)

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn; it needs a place."""
        job.arrived = time.monotonic()
        job.on_stage("queued")
        self._waiting.put(job)
        with self._lock:
            closed = self._closed
        if closed:
            self._refuse_rest()

    def _refuse_rest(self) -> None:
        for queue in (self._waiting, self._decoded):
            while True:
                try:
                    job = queue.get_nowait()
                except Empty:
                    break
                if job is not None:
                    job.refuse(stopping())

    def _decode_forever(self) -> None:
        while (job := self._waiting.get()) is not None:
            if not self._is_wanted(job):
                continue
            try:
                job.on_stage("decoding")
                started = time.monotonic()
                job.seconds["queue"] = started - job.arrived
                job.video = self._decode(job.path)
                job.seconds["decode"] = time.monotonic() - started
                self._metrics.stages.labels("decode").observe(job.seconds["decode"])
            except MediaError as error:
                self._metrics.bad_videos.labels(type(error).__name__).inc()
                job.refuse(media_refusal(error, str(job.path), job.name))
            except Exception as error:
                _log_bug("decoding", error)
                job.refuse(
                    Refusal(503, "decoding_unavailable", "videos can't be decoded just now", retry_after=5)
                )
            else:
                self._decoded.put(job)

    def _decode(self, path: Path) -> Video:
        extractor = self._recommender.bundle.extractor
        for attempt in (1, 2):
            started = time.monotonic()
            try:
                return self._workers.decode(
                    path,
                    limits=self._limits,
                    short_side=extractor.short_side,
                    sound_rate_hz=extractor.sound_rate_hz,
                    frames=self._recommender.frames,
                )
            except MediaError as error:
                # The process died, which need not be the video's fault: another one tries once more.
                died = type(error) in (MediaError, MediaTimeoutError)
                early = time.monotonic() - started < _EARLY * self._settings.decode_seconds
                if attempt == 2 or not (died and early):
                    raise
                self._metrics.decoder_deaths.inc()
        raise AssertionError

    def _recommend_forever(self) -> None:
        while (job := self._decoded.get()) is not None:
            batch, ended = [job], False
            while len(batch) < self._settings.max_batch:
                try:
                    following = self._decoded.get_nowait()
                except Empty:
                    break
                if following is None:
                    ended = True
                    break
                batch.append(following)
            wanted = [one for one in batch if self._is_wanted(one)]
            if wanted:
                self._recommend(wanted)
            if ended:
                return

    def _recommend(self, batch: list[Job]) -> None:
        started = time.monotonic()
        try:
            answers = self._answers(batch)
        except Exception as error:
            if len(batch) > 1:  # one of them must not spoil the others
                for job in batch:
                    self._recommend([job])
                return
            batch[0].refuse(_model_refusal(error))
            return
        seconds = time.monotonic() - started
        self._metrics.batches.observe(len(batch))
        with self._lock:
            change = seconds / len(batch) - self._seconds_a_video
            self._seconds_a_video += _WEIGHT_OF_NEW * change
        for job, answer in zip(batch, answers, strict=True):
            job.finish(answer)

    def _answers(self, batch: list[Job]) -> list[Answer]:
        def tell(stage: str) -> None:
            for job in batch:
                job.on_stage(_STAGE_OF_MODEL[stage])

        usual = self._recommender.bundle.decoding
        videos = [job.video for job in batch if job.video is not None]
        posts = [
            DecodedPost(
                video=video,
                description=job.description,
                name=job.name,
                top=job.wish.top,
                fitting=job.wish.fitting,
                policy=job.wish.policy,
                decoding=job.wish.decoding(usual),
                history=job.history,
            )
            for job, video in zip(batch, videos, strict=True)
        ]
        answers = []
        for job, video, found in zip(
            batch, videos, self._recommender.recommend_decoded(posts, on_stage=tell), strict=True
        ):
            seconds = {**job.seconds, **found.seconds}
            for stage in ("features", "retrieve", "generate"):
                self._metrics.stages.labels(stage).observe(seconds[stage])
            why = self._why.of(found)
            answers.append(Answer(found, why, video.frames, len(batch), seconds))
        return answers

    def _is_wanted(self, job: Job) -> bool:
        if job.is_over:
            return False
        if self._closed:
            job.refuse(stopping())
            return False
        if time.monotonic() - job.arrived > self._settings.request_seconds:
            job.refuse(
                Refusal(
                    503,
                    "waited_too_long",
                    f"the video waited for more than {self._settings.request_seconds:g} s; try again later",
                    retry_after=self._settings.request_seconds / 2,
                )
            )
            return False
        return True


def stopping() -> Refusal:
    """The service ends; another one may take its place."""
    return Refusal(503, "stopping", "the service is being stopped; try again in a moment", retry_after=5)


def _model_refusal(error: Exception) -> Refusal:
    if isinstance(error, PoolError):
        return Refusal(
            503, "pool_unavailable", "the pool of hashtags is empty or can't be read just now", retry_after=5
        )
    if isinstance(error, GgmError):
        return Refusal(422, "invalid_request", str(error))
    _log_bug("recommending", error)
    return internal_error()


def _log_bug(doing: str, error: Exception) -> None:
    """Where it happened, without its words, which may be a user's."""
    _log.error("failed", extra={"fields": {"doing": doing}}, exc_info=error)
