"""Cosine similarity as every pool computes it: the same bits for a query alone and among others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.errors import PoolError, PoolMismatchError
from ggm.records import Hit

_ROWS_AT_ONCE: Final = 4096


def check_width(vectors: npt.NDArray[Any], embedding_dim: int) -> None:
    """Refuse vectors that no retriever of this width made.

    Raises:
        PoolError: If they aren't (n, width).
        PoolMismatchError: If the width isn't ``embedding_dim``.
    """
    if vectors.ndim != 2:
        raise PoolError(f"expected vectors of shape (n, {embedding_dim}), got {vectors.shape}")
    if vectors.shape[1] != embedding_dim:
        raise PoolMismatchError(
            f"vectors of width {vectors.shape[1]} come from another retriever than this pool's, "
            f"whose are {embedding_dim} wide"
        )


def unit_length(vectors: npt.NDArray[Any], name: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """Scale each row to length 1.

    Args:
        vectors: (n, E).
        name: What to call a row in the error.

    Raises:
        PoolError: With the row's name, if it is zero, infinite or NaN.
    """
    exact: npt.NDArray[np.float64] = np.asarray(vectors, dtype=np.float64)
    lengths: npt.NDArray[np.float64] = np.sqrt((exact * exact).sum(axis=1))
    refused = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(refused):
        fault = "zero" if lengths[refused[0]] == 0 else "infinite or NaN"
        raise PoolError(f"{name(int(refused[0]))} is {fault}")
    units: npt.NDArray[np.float64] = exact / lengths[:, None]
    return units


def stored_units(
    hashtags: Sequence[str], vectors: npt.NDArray[Any], *, embedding_dim: int, precision: str
) -> npt.NDArray[np.float32]:
    """Unit vectors of hashtags as a pool keeps them: float32 of the values that will be saved.

    Args:
        hashtags: n of them.
        vectors: (n, E), of any length but zero.
        embedding_dim: E.
        precision: ``float16`` or ``float32``.

    Raises:
        PoolMismatchError: If the vectors are of another width.
        PoolError: If there isn't one vector a hashtag, or one is zero, infinite or NaN.
    """
    vectors = np.asarray(vectors)
    check_width(vectors, embedding_dim)
    if len(vectors) != len(hashtags):
        raise PoolError(f"{len(hashtags)} hashtags need as many vectors, got {len(vectors)}")
    units = unit_length(vectors, lambda row: f"the vector of {hashtags[row]!r}")
    return units.astype(precision).astype(np.float32)


def closest(
    query: npt.NDArray[np.float64],
    texts: Sequence[str],
    vectors: npt.NDArray[np.float32],
    top_k: int,
    *,
    priors: npt.NDArray[np.float64] | None = None,
) -> tuple[Hit, ...]:
    """Score candidates and sort them.

    Row by row in float64: what a matrix product returns depends in its last bits on how many
    queries and vectors there are, and a batch has to rank like its members alone.

    Args:
        query: (E,), of unit length.
        texts: n candidates.
        vectors: (n, E), theirs.
        top_k: How many at most.
        priors: (n,), what is added to each similarity.

    Returns:
        In descending order, equal ones in the order of their texts.
    """
    blocks = [
        (vectors[start : start + _ROWS_AT_ONCE] * query).sum(axis=1)
        for start in range(0, len(vectors), _ROWS_AT_ONCE)
    ]
    # Rounded vectors are a little longer or shorter than 1, so that a cosine may exceed 1 by a hair.
    similarities = np.clip(np.concatenate([np.zeros(0), *blocks]), -1.0, 1.0)
    if priors is not None:
        similarities = similarities + priors
    hits = [Hit(text, float(value)) for text, value in zip(texts, similarities, strict=True)]
    return tuple(sorted(hits, key=lambda hit: (-hit.similarity, hit.text))[:top_k])
