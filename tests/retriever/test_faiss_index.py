from __future__ import annotations

import sys

import numpy as np
import pytest

from ggm.errors import MissingDependencyError, PoolError
from ggm.retriever.faiss_index import FaissIndex
from ggm.retriever.index import ExactIndex
from ggm.retriever.pool import HashtagPool


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(count: int, *, width: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in clusters, as those of words are, and queries near some of them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count // 50 + 1, width))
    vectors = unit(
        centres[rng.integers(len(centres), size=count)] + 0.6 * rng.standard_normal((count, width))
    )
    queries = vectors[rng.integers(count, size=40)] + 0.05 * rng.standard_normal((40, width))
    return vectors, unit(queries)


def best(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, top_k: int) -> set[int]:
    return set(rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:top_k]].tolist())


def test_finds_nearly_all_that_the_exact_search_finds() -> None:
    vectors, queries = world(12_000)
    exact = ExactIndex(vectors).candidates(queries, 50)
    near = FaissIndex(vectors).candidates(queries, 50)
    recalls = [
        len(best(vectors, query, mine, 50) & best(vectors, query, theirs, 50)) / 50
        for query, mine, theirs in zip(queries, near, exact, strict=True)
    ]
    assert np.mean(recalls) >= 0.99
    for rows in near:
        assert len(set(rows.tolist())) == len(rows) >= 50


@pytest.mark.parametrize(("count", "width"), [(300, 64), (5000, 63)])
def test_small_and_odd_pools_are_searched_exactly(count: int, width: int) -> None:
    vectors, queries = world(count, width=width)
    for mine, theirs in zip(
        FaissIndex(vectors).candidates(queries, 10), ExactIndex(vectors).candidates(queries, 10), strict=True
    ):
        assert mine.tolist() == theirs.tolist()


def test_in_a_pool_that_changes() -> None:
    vectors, queries = world(5000)
    names = [f"tag{number}x" for number in range(5000)]
    places = {name: place for place, name in enumerate(names)}
    pool = HashtagPool.build(
        names,
        lambda texts: vectors[[places[text] for text in texts]],
        retriever_fingerprint="a",
        make_index=FaissIndex,
    )
    exact = HashtagPool.build(
        names, lambda texts: vectors[[places[text] for text in texts]], retriever_fingerprint="a"
    )
    first = pool.search_many(queries, 5)
    assert [hits[0] for hits in first] == [hits[0] for hits in exact.search_many(queries, 5)]
    gone = first[0][0].text
    pool.remove([gone])
    assert gone not in {hit.text for hit in pool.search_many(queries[:1], 50)[0]}


def test_same_pool_same_answer() -> None:
    vectors, queries = world(6000)
    one, other = (FaissIndex(vectors).candidates(queries, 20) for _ in range(2))
    assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = world(300)
    with pytest.raises(PoolError, match="at least 1"):
        FaissIndex(vectors, candidates=0)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"ggm\[faiss\]"):
        FaissIndex(vectors)
