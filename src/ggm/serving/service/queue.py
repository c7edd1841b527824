"""From files to hashtags: decoding processes side by side, and one model that takes what waits.

Videos are decoded in several processes while the model works on those before. The model takes all
that are ready, up to a number, in one pass, and never waits for more. All that is here at once,
uploads included, is bounded: what is more is refused before it is read.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, Queue

from ggm.errors import MediaError
from ggm.recommend import DecodedPost, Recommender
from ggm.serving.service.back_end import BackEnd
from ggm.serving.service.decoding import Decoding
from ggm.serving.service.errors import Refusal, media_refusal
from ggm.serving.service.jobs import (
    MODEL_STAGES,
    STAGE_OF_MODEL,
    Answer,
    Job,
    log_bug,
    model_refusal,
    stopping,
)
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings
from ggm.serving.service.why import WhyFinder


class RecommendQueue(BackEnd):
    """Does the work in this process and in decoding processes of its own.

    Args:
        recommender: Used by one thread of this queue alone.
        settings: How many of what.
        metrics: Counted in.
    """

    def __init__(self, recommender: Recommender, settings: ServiceSettings, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self._recommender = recommender
        self._decoding = Decoding(
            recommender, settings, count=settings.decoders, on_death=metrics.decoder_deaths.inc
        )
        self._why = WhyFinder(recommender.bundle.embed_hashtags)
        self._waiting: Queue[Job | None] = Queue()  # bounded by the places
        # Frames take memory: decoding goes no further ahead than the model's next turn.
        self._decoded: Queue[Job | None] = Queue(maxsize=settings.max_batch)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin; decoding processes start, so that the first request doesn't wait for them."""
        self.is_closed = False
        jobs = [self._decode_forever] * self.settings.decoders + [self._recommend_forever]
        for number, job in enumerate(jobs):
            thread = threading.Thread(target=job, name=f"ggm-serve-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._decoding.start()

    def close(self) -> None:
        """End; what waits is refused."""
        self.is_closed = True
        threads, self._threads = self._threads, []
        if threads:
            *decoders, model = threads
            for _ in decoders:
                self._waiting.put(None)
            for thread in decoders:
                thread.join()
            self._decoded.put(None)
            model.join()
        self._decoding.close()
        self._refuse_rest()

    @property
    def is_healthy(self) -> bool:
        """Whether it works."""
        return bool(self._threads) and not self.is_closed and all(one.is_alive() for one in self._threads)

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn; it needs a place."""
        job.arrived = time.monotonic()
        job.on_stage("queued")
        self._waiting.put(job)
        if self.is_closed:
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
            if not self.is_wanted(job):
                continue
            try:
                job.on_stage("decoding")
                started = time.monotonic()
                job.seconds["queue"] = started - job.arrived
                job.video = self._decoding.decode(job.path)
                job.seconds["decode"] = time.monotonic() - started
                self.metrics.stages.labels("decode").observe(job.seconds["decode"])
            except MediaError as error:
                self.metrics.bad_videos.labels(type(error).__name__).inc()
                job.refuse(media_refusal(error, str(job.path), job.name))
            except Exception as error:
                log_bug("decoding", error)
                job.refuse(
                    Refusal(503, "decoding_unavailable", "videos can't be decoded just now", retry_after=5)
                )
            else:
                self._decoded.put(job)

    def _recommend_forever(self) -> None:
        while (job := self._decoded.get()) is not None:
            batch, ended = [job], False
            while len(batch) < self.settings.max_batch:
                try:
                    following = self._decoded.get_nowait()
                except Empty:
                    break
                if following is None:
                    ended = True
                    break
                batch.append(following)
            wanted = [one for one in batch if self.is_wanted(one)]
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
            batch[0].refuse(model_refusal(error))
            return
        seconds = time.monotonic() - started
        self.metrics.batches.observe(len(batch))
        self.took(seconds / len(batch))
        for job, answer in zip(batch, answers, strict=True):
            job.finish(answer)

    def _answers(self, batch: list[Job]) -> list[Answer]:
        def tell(stage: str) -> None:
            for job in batch:
                job.on_stage(STAGE_OF_MODEL[stage])

        usual = self._recommender.bundle.decoding
        videos = [job.video for job in batch if job.video is not None]
        posts = [
            DecodedPost(video, **vars(job.asked(usual))) for job, video in zip(batch, videos, strict=True)
        ]
        answers = []
        for job, video, found in zip(
            batch, videos, self._recommender.recommend_decoded(posts, on_stage=tell), strict=True
        ):
            seconds = {**job.seconds, **found.seconds}
            for stage in MODEL_STAGES:
                self.metrics.stages.labels(stage).observe(seconds[stage])
            why = self._why.of(found)
            answers.append(Answer(found, why, video.frames if job.with_frames else None, len(batch), seconds))
        return answers
