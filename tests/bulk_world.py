"""What bulk runs wrote, and an engine that makes hashtags up."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggm.bulk.plan import batches
from ggm.bulk.work import Annotation, Answers, Work


def rows_of(out: Path) -> list[dict[str, Any]]:
    """All rows of all parts, in the parts' order."""
    from pyarrow import parquet

    return [row for part in sorted(out.glob("part-*")) for row in parquet.read_table(part).to_pylist()]


@dataclass
class Made:
    """Gives all clips the same hashtag, and fails after so many batches.

    Args:
        fail_after: Batches.
        error: How.
    """

    fail_after: int | None = None
    error: BaseException | None = None
    batches: int = 0

    def __call__(self, work: Work, /) -> Generator[Answers, None, None]:
        for span in work.spans:
            for batch in batches(work.manifest, span, batch_size=work.settings.batch_size):
                if self.batches == self.fail_after and self.error is not None:
                    raise self.error
                self.batches += 1
                yield Answers(
                    batch.shard,
                    tuple(
                        Annotation(turn.row, turn.id, problem=turn.problem)
                        if turn.problem
                        else Annotation(turn.row, turn.id, ("cat",), (0.5,), ("novel",))
                        for turn in batch.turns
                    ),
                )
