"""The vectors of a pool that changes, in chunks that searches read while writers go on.

A chunk's rows are written once and never again, so that a search which knows how many there are
needs no lock. Adding writes behind the last row; taking out marks the row in a new copy of the
chunk's small mask; half-empty chunks are packed, one at a time. No change costs more than a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ggm.records import Hit
from ggm.retriever.index import Vectors
from ggm.retriever.similarity import closest

Levels = npt.NDArray[np.float64]
Prior = Callable[[Levels], npt.NDArray[np.float64]]
"""Levels (n,) to what is added to similarities (n,)."""

_CHUNK_BYTES: Final = 8 * 1024**2
_PACKED_FROM: Final = 64  # rows of a chunk that are worth the work
_QUERIES_AT_ONCE: Final = 64  # bounds the similarities held in memory: 64 x 1 M hashtags are 256 MB
_ROUNDING: Final = 1e-5  # more than float32 matrix products of unit vectors can be off


class Place(NamedTuple):
    """Where a hashtag's vector is: which chunk, which row in it."""

    chunk: int
    row: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the vectors at one moment.

    Args:
        vectors: float32 (capacity, E), of unit length; shared with later moments, as `texts` and
            `levels` are: only the first ``num_rows`` count.
        texts: The rows' hashtags.
        levels: float64 (capacity,), a number that goes with each row and may change; -inf at first.
        num_rows: How many are written.
        taken_out: bool (capacity,), rows that count no more; None for none.
        num_taken_out: How many these are.
    """

    vectors: Vectors
    texts: list[str]
    levels: Levels
    num_rows: int = 0
    taken_out: npt.NDArray[np.bool_] | None = None
    num_taken_out: int = 0

    @property
    def num_left(self) -> int:
        """How many rows count."""
        return self.num_rows - self.num_taken_out

    def rows_left(self) -> npt.NDArray[np.intp]:
        """Those rows."""
        rows = np.arange(self.num_rows)
        return rows if self.taken_out is None else rows[~self.taken_out[: self.num_rows]]


Snapshot = tuple[Chunk, ...]
"""All chunks at one moment."""


class ChunkedVectors:
    """Rows of hashtags with their vectors. One thread writes at a time; any number search `snapshot`.

    Args:
        embedding_dim: E.
    """

    def __init__(self, embedding_dim: int) -> None:
        self.embedding_dim = embedding_dim
        self._chunk_rows = max(1, _CHUNK_BYTES // (4 * embedding_dim))
        self._chunks: dict[int, Chunk] = {}
        self._open = -1  # the chunk that is written to
        self._next = 0
        self.snapshot: Snapshot = ()

    def publish(self) -> None:
        """Show all that was written to the next search."""
        self.snapshot = tuple(self._chunks.values())

    def append(self, texts: Sequence[str], vectors: Vectors) -> list[Place]:
        """Write n hashtags with their vectors (n, E), and give their places."""
        places: list[Place] = []
        while len(places) < len(texts):
            chunk = self._chunks.get(self._open)
            if chunk is None or chunk.num_rows == len(chunk.vectors):
                chunk = self._new_chunk(self._chunk_rows)
                self._open = self._next - 1
            start = len(places)
            count = min(len(texts) - start, len(chunk.vectors) - chunk.num_rows)
            end = chunk.num_rows + count
            chunk.vectors[chunk.num_rows : end] = vectors[start : start + count]
            chunk.texts.extend(texts[start : start + count])
            self._chunks[self._open] = replace(chunk, num_rows=end)
            places += [Place(self._open, row) for row in range(chunk.num_rows, end)]
        return places

    def take_out(self, places: Sequence[Place]) -> None:
        """Mark rows that count no more."""
        rows: dict[int, list[int]] = {}
        for place in places:
            rows.setdefault(place.chunk, []).append(place.row)
        for number, gone in rows.items():
            chunk = self._chunks[number]
            old = chunk.taken_out
            taken_out = np.zeros(len(chunk.vectors), np.bool_) if old is None else old.copy()
            taken_out[gone] = True
            count = chunk.num_taken_out + len(gone)
            self._chunks[number] = replace(chunk, taken_out=taken_out, num_taken_out=count)

    def pack(self) -> dict[str, Place]:
        """Write chunks anew of whose rows more than half are taken out.

        Returns:
            The new places of the hashtags that moved.
        """
        moved: dict[str, Place] = {}
        for number, chunk in list(self._chunks.items()):
            small = chunk.num_left > 0 and chunk.num_rows < _PACKED_FROM
            if small or chunk.num_taken_out * 2 <= chunk.num_rows:
                continue
            rows = chunk.rows_left()
            del self._chunks[number]
            if len(rows):
                capacity = self._chunk_rows if number == self._open else len(rows)
                packed = self._new_chunk(capacity)
                packed.vectors[: len(rows)] = chunk.vectors[rows]
                packed.levels[: len(rows)] = chunk.levels[rows]
                packed.texts.extend(chunk.texts[row] for row in rows)
                self._chunks[self._next - 1] = replace(packed, num_rows=len(rows))
                moved |= {text: Place(self._next - 1, row) for row, text in enumerate(packed.texts)}
            if number == self._open:
                self._open = self._next - 1 if len(rows) else -1
        return moved

    def chunks(self) -> dict[int, Chunk]:
        """All chunks as they are now, by the number that places name."""
        return dict(self._chunks)

    def row(self, place: Place, text: str) -> Vectors | None:
        """The vector (E,) of a hashtag; None if it has moved meanwhile. Any thread may ask."""
        chunk = self._chunks.get(place.chunk)
        if chunk is None or chunk.texts[place.row] != text:
            return None
        vector: Vectors = chunk.vectors[place.row]
        return vector

    def set_level(self, place: Place, level: float) -> None:
        """Change the number that goes with a row; searches see it at once."""
        self._chunks[place.chunk].levels[place.row] = level

    def _new_chunk(self, capacity: int) -> Chunk:
        vectors = np.empty((capacity, self.embedding_dim), np.float32)
        chunk = Chunk(vectors, [], np.full(capacity, -np.inf))
        self._chunks[self._next] = chunk
        self._next += 1
        return chunk


def count(snapshot: Snapshot) -> int:
    """How many hashtags there are."""
    return sum(chunk.num_left for chunk in snapshot)


def rows_of(chunks: Mapping[int, Chunk], places: Sequence[tuple[int, int]]) -> Vectors:
    """The vectors float32 (n, E) of n > 0 places."""
    numbers, rows = np.asarray(places, np.intp).reshape(-1, 2).T
    found = np.empty((len(places), chunks[int(numbers[0])].vectors.shape[1]), np.float32)
    for number in np.unique(numbers).tolist():
        own = numbers == number
        found[own] = chunks[number].vectors[rows[own]]
    return found


def search(
    snapshot: Snapshot,
    queries: npt.NDArray[np.float64],
    top_k: int,
    *,
    prior: Prior | None = None,
) -> list[tuple[Hit, ...]]:
    """Compare queries with every vector.

    Args:
        snapshot: Not empty.
        queries: float64 (B, E), of unit length.
        top_k: How many hashtags for each, at least 1.
        prior: What is added to the similarities, by the rows' levels.

    Returns:
        For each query its hits in descending order, equal ones in the order of their texts.
    """
    starts = np.cumsum([0, *(chunk.num_rows for chunk in snapshot)])
    priors = None
    if prior is not None:
        priors = prior(np.concatenate([chunk.levels[: chunk.num_rows] for chunk in snapshot]))
    last = int(starts[-1]) - min(top_k, count(snapshot))
    answers: list[tuple[Hit, ...]] = []
    for scores, query in _scores(snapshot, starts, queries, priors):
        threshold = np.partition(scores, last)[last] - _ROUNDING  # finite: so many rows count
        rows = np.flatnonzero(scores >= threshold)
        texts, vectors = _gather(snapshot, starts, rows)
        own = None if priors is None else priors[rows]
        answers.append(closest(query, texts, vectors, top_k, priors=own))
    return answers


def _scores(
    snapshot: Snapshot,
    starts: npt.NDArray[np.intp],
    queries: npt.NDArray[np.float64],
    priors: npt.NDArray[np.float64] | None,
) -> Iterator[tuple[npt.NDArray[np.floating], npt.NDArray[np.float64]]]:
    """Each query's scores of all rows, roughly, with -inf for rows that count no more."""
    for begin in range(0, len(queries), _QUERIES_AT_ONCE):
        block = queries[begin : begin + _QUERIES_AT_ONCE]
        rounded = block.astype(np.float32)
        scores = np.empty((len(block), int(starts[-1])), np.float32)
        for start, chunk in zip(starts, snapshot, strict=False):
            part = scores[:, start : start + chunk.num_rows]
            part[:] = rounded @ chunk.vectors[: chunk.num_rows].T
            if chunk.taken_out is not None:
                part[:, chunk.taken_out[: chunk.num_rows]] = -np.inf
        for row, query in zip(scores, block, strict=True):
            yield row if priors is None else row + priors, query


def _gather(
    snapshot: Snapshot, starts: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]
) -> tuple[list[str], Vectors]:
    """Texts and vectors of rows that are numbered through all chunks."""
    positions = np.searchsorted(starts, rows, side="right") - 1
    places = list(zip(positions.tolist(), (rows - starts[positions]).tolist(), strict=True))
    texts = [snapshot[position].texts[row] for position, row in places]
    return texts, rows_of(dict(enumerate(snapshot)), places)
