"""Approximate search with FAISS: for pools of a million hashtags and more.

Up to some fifty thousand hashtags the exact search takes a few milliseconds, and nothing is gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ggm.errors import MissingDependencyError, PoolError
from ggm.retriever.index import ExactIndex, Rows, Vectors

_SMALLEST: Final = 4096  # below that an exact search is quicker than any index
_CODE_SIZE: Final = 4  # dimensions that share four bits: a 32nd of float32
_TRAINING_ROWS: Final = 65_536
_WIDTH: Final = 8  # how many times more candidates the codes propose than are wanted


class FaissIndex:
    """Compares codes of four bits for every four dimensions; the pool scores what these propose.

    Hand it to a pool: ``HashtagPool.build(..., make_index=FaissIndex)``.

    Args:
        vectors: float32 (n, E), of unit length. A pool of fewer than 4,096, or of a width that four
            doesn't divide, is searched exactly.
        candidates: How many times more rows are proposed than are wanted, 1 or more: more of them
            find more of the true ones, for longer.

    Raises:
        PoolError: If ``candidates`` is out of range.
        MissingDependencyError: If the package faiss is absent.
    """

    def __init__(self, vectors: Vectors, *, candidates: int = _WIDTH) -> None:
        if candidates < 1:
            raise PoolError(f"candidates must be at least 1, got {candidates}")
        try:
            import faiss
        except ImportError:
            raise MissingDependencyError(
                "approximate search needs the package faiss; run: pip install 'ggm[faiss]'"
            ) from None
        self._candidates = candidates
        self._exact: ExactIndex | None = None
        rows, width = vectors.shape
        if rows < _SMALLEST or width % _CODE_SIZE:
            self._exact = ExactIndex(vectors)
            return
        self._index: Any = faiss.index_factory(
            width, f"PQ{width // _CODE_SIZE}x4fs", faiss.METRIC_INNER_PRODUCT
        )
        # The same rows for the same pool, so that the same query finds the same.
        chosen = np.random.default_rng(0).choice(rows, min(rows, _TRAINING_ROWS), replace=False)
        self._index.train(np.ascontiguousarray(vectors[np.sort(chosen)]))
        self._index.add(np.ascontiguousarray(vectors))

    def candidates(self, queries: Vectors, top_k: int) -> Sequence[Rows]:
        """See `ggm.retriever.index.Index`."""
        if self._exact is not None:
            return self._exact.candidates(queries, top_k)
        wanted = min(self._candidates * top_k, self._index.ntotal)
        _, found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), wanted)
        return [row[row >= 0].astype(np.intp) for row in found]
