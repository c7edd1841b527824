"""How the pool's vectors are searched: exactly, unless another `Index` is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

_QUERIES_AT_ONCE: Final = 64  # bounds the similarities held in memory: 64 x 1 M hashtags are 256 MB
_ROUNDING: Final = 1e-5  # more than float32 matrix products of unit vectors can be off


class Index(Protocol):
    """Proposes candidates for a query. Approximate indexes, such as those of FAISS, fit in here."""

    def candidates(self, queries: Vectors, top_k: int) -> Sequence[Rows]:
        """Rows that may be among the closest.

        Args:
            queries: float32 (B, E), of unit length.
            top_k: How many are wanted, 1 to the number of rows.

        Returns:
            For each query at least ``top_k`` different rows (fewer when the index is approximate),
            in any order: the pool scores and sorts them itself.
        """


class ExactIndex:
    """Compares with every vector. 43,282 hashtags of width 512 take some 12 ms a query.

    Args:
        vectors: float32 (n, E), of unit length.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def candidates(self, queries: Vectors, top_k: int) -> Sequence[Rows]:
        """See `Index`. All rows that rounding could have put in the wrong order are included."""
        found: list[Rows] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            similarities = queries[start : start + _QUERIES_AT_ONCE] @ self._vectors.T
            last = similarities.shape[1] - top_k
            thresholds = np.partition(similarities, last, axis=1)[:, last] - _ROUNDING
            found += [np.flatnonzero(row >= low) for row, low in zip(similarities, thresholds, strict=True)]
        return found
