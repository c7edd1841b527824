"""One video on its way through the service: the job, its stages, its answer, and why there may be none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ggm.errors import GgmError, PoolError
from ggm.generator.decoding import DecodingConfig
from ggm.history import History
from ggm.recommend import AskedPost
from ggm.records import Frames, Recommendation, Video
from ggm.serving.service.errors import Refusal, internal_error
from ggm.serving.service.why import Why
from ggm.serving.service.wishes import Wish

Stage = Literal["received", "queued", "decoding", "encoding", "writing"]
"""Where a video is."""

MODEL_STAGES: Final = ("features", "retrieve", "generate")
"""What the model does, in order; see `ggm.recommend`."""

STAGE_OF_MODEL: Final[dict[str, Stage]] = {
    "features": "encoding",
    "retrieve": "encoding",
    "generate": "writing",
}

_log = logging.getLogger("ggm.serve")


@dataclass(frozen=True)
class Answer:
    """What came of one video.

    Args:
        recommendation: Its hashtags.
        why: For each of them the guidance closest to it.
        frames: What the model looked at; None if that wasn't asked for and isn't here.
        batch: How many videos the model took together.
        seconds: ``queue`` besides the recommendation's.
    """

    recommendation: Recommendation
    why: Sequence[Why]
    frames: Frames | None
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
        with_frames: Whether the answer shall have what the model looked at.
        on_stage: Is told each stage when it begins, by some thread.
    """

    path: Path
    name: str
    description: str
    wish: Wish
    history: History = field(default_factory=History)
    with_frames: bool = False
    on_stage: Callable[[Stage], object] = lambda _: None
    answer: Future[Answer] = field(default_factory=Future)
    arrived: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    video: Video | None = None

    def asked(self, usual: DecodingConfig) -> AskedPost:
        """What the model is asked for.

        Args:
            usual: How hashtags are written if nothing else is wished for.
        """
        return AskedPost(
            description=self.description,
            name=self.name,
            top=self.wish.top,
            fitting=self.wish.fitting,
            policy=self.wish.policy,
            decoding=self.wish.decoding(usual),
            history=self.history,
        )

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


def stopping() -> Refusal:
    """The service ends; another one may take its place."""
    return Refusal(503, "stopping", "the service is being stopped; try again in a moment", retry_after=5)


def model_refusal(error: Exception) -> Refusal:
    """Why the model gave no answer."""
    if isinstance(error, PoolError):
        return Refusal(
            503, "pool_unavailable", "the pool of hashtags is empty or can't be read just now", retry_after=5
        )
    if isinstance(error, GgmError):
        return Refusal(422, "invalid_request", str(error))
    log_bug("recommending", error)
    return internal_error()


def log_bug(doing: str, error: Exception) -> None:
    """Where it happened, without its words, which may be a user's."""
    _log.error("failed", extra={"fields": {"doing": doing}}, exc_info=error)
