"""How a manifest is cut: so many rows are a shard, so many of a shard's are a batch.

Both follow from the manifest and two numbers alone. So each run, wherever it runs, makes the same
batches, and a shard that is there need not be made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ggm.corpus.manifest import Clip, Place, read_placed_rows
from ggm.corpus.rows import RowError, row_id
from ggm.errors import DataError

_BLOCK_BYTES: Final = 1024**2


@dataclass(frozen=True)
class Problem:
    """Why a clip has no hashtags or features.

    Args:
        kind: Name of the error's class in `ggm.errors`, such as ``MediaFormatError``.
        reason: Its message.
    """

    kind: str
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Problem:
        """That of an error; of a bad row, `DataError`."""
        return cls("DataError" if isinstance(error, RowError) else type(error).__name__, str(error))


@dataclass(frozen=True)
class Turn:
    """A row of the manifest whose turn it is.

    Args:
        row: Its number, from 1; in JSON Lines, of the line.
        clip: What it names; None if the row can't be used.
        id: Of the clip, where that much is known.
        problem: Why there is no clip.
    """

    row: int
    clip: Clip | None
    id: str | None
    problem: Problem | None = None


@dataclass(frozen=True)
class Batch:
    """Rows that are worked on together.

    Args:
        shard: Number of the shard that they belong to.
        turns: In the manifest's order.
    """

    shard: int
    turns: tuple[Turn, ...]

    def to_json(self) -> str:
        """For another process."""
        turns = [
            [turn.row, turn.id, *_clip_values(turn.clip), *_problem_values(turn.problem)]
            for turn in self.turns
        ]
        return json.dumps([self.shard, turns])

    @classmethod
    def from_json(cls, text: str) -> Batch:
        """The reverse of `to_json`."""
        shard, turns = json.loads(text)
        return cls(
            shard,
            tuple(
                Turn(
                    row,
                    None if video is None else Clip(id_, Path(video), description),
                    id_,
                    None if kind is None else Problem(kind, reason),
                )
                for row, id_, video, description, kind, reason in turns
            ),
        )


def _clip_values(clip: Clip | None) -> tuple[str | None, str | None]:
    return (None, None) if clip is None else (str(clip.video), clip.description)


def _problem_values(problem: Problem | None) -> tuple[str | None, str | None]:
    return (None, None) if problem is None else (problem.kind, problem.reason)


@dataclass(frozen=True)
class Span:
    """The rows of one shard.

    Args:
        shard: Its number, from 0.
        start: Where they begin.
        rows: How many there are, 1 or more.
        repeated: Numbers of the rows whose id an earlier row has.
    """

    shard: int
    start: Place
    rows: int
    repeated: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Span:
        """The reverse of `to_dict`."""
        return cls(
            values["shard"], Place(**values["start"]), values["rows"], tuple(map(int, values["repeated"]))
        )


def plan(manifest: Path, *, shard_rows: int) -> list[Span]:
    """Cut a manifest into shards. It is read once, a row at a time; memory holds ids and spans.

    Args:
        manifest: JSON Lines or Parquet.
        shard_rows: Rows of each shard but the last, 1 or more.

    Raises:
        DataError: If the manifest can't be read, or has no row.
        MissingDependencyError: If it is Parquet and pyarrow isn't installed.
    """
    spans: list[Span] = []
    ids: set[str] = set()
    start, behind = Place(), Place()
    count = 0
    repeated: list[int] = []
    for row, place in read_placed_rows(manifest):
        if count == shard_rows:
            spans.append(Span(len(spans), start, count, tuple(repeated)))
            start, count, repeated = behind, 0, []
        count, behind = count + 1, place
        id_ = row_id(row.value)
        if id_ in ids:
            repeated.append(row.number)
        elif id_ is not None:
            ids.add(id_)
    if not count:
        raise DataError(f"{manifest}: has no row")
    spans.append(Span(len(spans), start, count, tuple(repeated)))
    return spans


def batches(manifest: Path, span: Span, *, batch_size: int) -> Iterator[Batch]:
    """The rows of a shard in batches, read from the manifest.

    Args:
        manifest: That was cut.
        span: One of its shards.
        batch_size: Rows of each batch but the last, 1 or more.

    Raises:
        DataError: If the manifest can't be read, or is shorter than it was.
    """
    rows = islice(_turns(manifest, span), span.rows)
    found = 0
    while turns := tuple(islice(rows, batch_size)):
        found += len(turns)
        yield Batch(span.shard, turns)
    if found != span.rows:
        raise DataError(f"{manifest}: was changed while it was read: rows are missing")


def _turns(manifest: Path, span: Span) -> Iterator[Turn]:
    repeated = set(span.repeated)
    for row, _ in read_placed_rows(manifest, span.start):
        id_ = row_id(row.value)
        try:
            clip = row.clip(manifest.parent)
        except RowError as error:
            yield Turn(row.number, None, id_, Problem.of(error))
            continue
        if row.number in repeated:
            reason = f"the id {clip.id!r} occurs twice; the first row with it counts"
            yield Turn(row.number, None, clip.id, Problem("DataError", reason))
        else:
            yield Turn(row.number, clip, clip.id)


def digest_of(manifest: Path) -> str:
    """The BLAKE2 digest of a manifest's bytes.

    Raises:
        DataError: If it can't be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with manifest.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{manifest}: can't be read: {error.strerror or error}") from error
    return digest.hexdigest()


def num_rows(spans: Sequence[Span]) -> int:
    """Of several shards together."""
    return sum(span.rows for span in spans)
