"""Work in this process: the next videos are decoded in limited processes while the model runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ggm.bulk.annotator import Annotator
from ggm.bulk.decoding import Decoded
from ggm.bulk.plan import Batch, batches
from ggm.bulk.work import Answers, Work
from ggm.media.workers import DecodingWorkers

_BATCHES_AHEAD: Final = 2


@dataclass(frozen=True)
class LocalEngine:
    """Does work here, batch after batch, in order.

    Args:
        workers: Processes that decode, 1 or more; by default one for each processor.
    """

    workers: int | None = None

    def __call__(self, work: Work, /) -> Generator[Answers, None, None]:
        """Do it; see `ggm.bulk.work.Engine`.

        Raises:
            ValueError: If there is no process to decode.
            GgmError: See `ggm.bulk.annotator.Annotator`.
        """
        ahead: deque[tuple[Batch, list[Future[Decoded]]]] = deque()
        with (
            DecodingWorkers(self.workers) as workers,
            Annotator(work.settings, work.features_folder) as annotator,
            ThreadPoolExecutor(workers.count, thread_name_prefix="decode") as threads,
        ):
            decoding = annotator.decoding
            try:
                for batch in _all_batches(work):
                    futures = [threads.submit(decoding, turn, workers) for turn in batch.turns]
                    ahead.append((batch, futures))
                    if len(ahead) > _BATCHES_AHEAD:
                        yield _annotated(annotator, *ahead.popleft())
                while ahead:
                    yield _annotated(annotator, *ahead.popleft())
            finally:
                threads.shutdown(wait=True, cancel_futures=True)


def _all_batches(work: Work) -> Iterator[Batch]:
    for span in work.spans:
        yield from batches(work.manifest, span, batch_size=work.settings.batch_size)


def _annotated(annotator: Annotator, batch: Batch, futures: list[Future[Decoded]]) -> Answers:
    return annotator(batch, [future.result() for future in futures])
