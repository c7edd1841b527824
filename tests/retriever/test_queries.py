"""What the pool is asked: videos, and videos with their descriptions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.retriever.queries import with_descriptions


def units(seed: int, count: int) -> npt.NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, 6))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_by_hand() -> None:
    videos = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    texts = np.array([[0, 1], [0, 0], [-1, 0]], np.float32)
    assert with_descriptions(videos, texts, weight=0.75) == pytest.approx(
        np.array([[0.8, 0.6], [1, 0], [1, 0]], np.float32)
    )
    assert with_descriptions(videos, texts, weight=2.0)[2].tolist() == [-1, 0]


def test_opposites_of_equal_weight_leave_the_video() -> None:
    videos = np.array([[0, 1]], np.float32)
    assert with_descriptions(videos, -videos, weight=1.0).tolist() == videos.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0, 10))
def test_a_similarity_is_the_weighted_sum_of_both(seed: int, count: int, weight: float) -> None:
    videos, texts, hashtags = units(seed, count), units(seed + 1, count), units(seed + 2, 7)
    texts[0] = 0
    queries = with_descriptions(videos, texts, weight=weight)
    assert np.array_equal(queries[0], videos[0])
    assert np.linalg.norm(queries, axis=1) == pytest.approx(1, abs=1e-5)
    sums = videos @ hashtags.T + np.float32(weight) * (texts @ hashtags.T)
    factors = np.linalg.norm(videos + np.float32(weight) * texts, axis=1, keepdims=True)
    assert (queries @ hashtags.T) * factors == pytest.approx(sums, abs=1e-4)
