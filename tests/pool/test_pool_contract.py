"""What guidance needs of a pool, asked of each kind of pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.pool import LivingPool
from ggm.pool import vectors as chunked
from ggm.records import Guidance
from ggm.retriever import HashtagPool
from pools import FINGERPRINT, WIDTH, embed, make_pool, shipped, vector_of

AnyPool = HashtagPool | LivingPool
Make = Callable[..., AnyPool]


PLAIN, LIVING, TINY, READER = (
    "HashtagPool",
    "LivingPool",
    "LivingPool of tiny chunks",
    "reader of a LivingPool",
)


def makes(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    opened: list[LivingPool] = []
    if kind == TINY:
        monkeypatch.setattr(chunked, "_CHUNK_BYTES", 3 * 4 * WIDTH)
        monkeypatch.setattr(chunked, "_PACKED_FROM", 1)

    def make(*hashtags: str) -> AnyPool:
        if kind == PLAIN:
            return shipped(*hashtags)
        opened.append(make_pool(folder / str(len(opened)), *hashtags))
        if kind == READER:
            opened.append(LivingPool.open(opened[-1].folder, read_only=True))
        return opened[-1]

    yield make
    for pool in opened:
        pool.close()


@pytest.fixture(params=[PLAIN, LIVING, TINY, READER])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    yield from makes(request.param, tmp_path, monkeypatch)


@pytest.fixture(params=[PLAIN, LIVING, TINY])
def make_writable(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    yield from makes(request.param, tmp_path, monkeypatch)


def names(count: int) -> list[str]:
    return ["tag" + "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(count)]


def slow_search(hashtags: tuple[str, ...], query: np.ndarray, top_k: int) -> list[str]:
    units = embed(hashtags) / np.linalg.norm(embed(hashtags), axis=1, keepdims=True)
    units = units.astype(np.float16).astype(np.float64)
    scored = [(-float(np.dot(unit, query)), text) for unit, text in zip(units, hashtags, strict=True)]
    return [text for _, text in sorted(scored)[:top_k]]


def test_what_it_holds(make: Make) -> None:
    pool = make("Straße", "snow", "日本")
    assert (len(pool), pool.hashtags, tuple(pool)) == (3, ("Straße", "snow", "日本"), pool.hashtags)
    assert "STRASSE" in pool
    assert "#Snow" in pool
    assert "stras" not in pool
    assert "!" not in pool
    assert 3 not in pool
    assert (pool.embedding_dim, pool.retriever_fingerprint, pool.precision) == (WIDTH, FINGERPRINT, "float16")


def test_it_gives_the_vectors_that_it_has(make: Make) -> None:
    pool = make("Straße", "snow", *names(9))
    found = pool.vectors_of(["#STRASSE", "nothing", "snow", "tagc", "snow"])
    assert found[1] is None
    for vector, text in zip(found, ["Straße", "nothing", "snow", "tagc", "snow"], strict=True):
        if vector is not None:
            unit = embed([text])[0] / np.linalg.norm(embed([text])[0])
            np.testing.assert_allclose(vector, unit.astype(np.float16), atol=1e-6)
            assert vector.dtype == np.float32
    assert sum(vector is None for vector in found) == 1
    assert pool.vectors_of([]) == []
    with pytest.raises(HashtagError):
        pool.vectors_of(["snow", "!"])


def test_vectors_stay_those_of_their_hashtags(make_writable: Make) -> None:
    pool = make_writable(*names(30))
    pool.remove(names(30)[3:25])
    pool.add(["winter", "cat"], embed(["winter", "cat"]))
    for text in (*names(30), "winter", "cat"):
        (vector,) = pool.vectors_of([text])
        assert (vector is None) == (text not in pool)
        if vector is not None:
            assert float(vector @ vector_of(text)) == pytest.approx(np.linalg.norm(vector_of(text)), abs=1e-2)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_search_equals_the_slow_twin(make: Make, count: int) -> None:
    pool = make(*names(count))
    for top_k in (1, 3, 50):
        for seed in range(5):
            query = np.random.default_rng(seed).normal(size=WIDTH)
            hits = pool.search(query, top_k)
            assert [hit.text for hit in hits] == slow_search(pool.hashtags, query, top_k)
            assert len(Guidance(hits)) == min(top_k, count)


def test_all_kinds_answer_bit_for_bit_alike(make: Make) -> None:
    pool, plain = make(*names(60)), shipped(*names(60))
    queries = np.random.default_rng(0).normal(size=(70, WIDTH))
    assert pool.search_many(queries, 9) == plain.search_many(queries, 9)
    assert pool.search_many(queries, 9) == [plain.search(query, 9) for query in queries]
    assert pool.search_many(np.zeros((0, WIDTH)), 2) == []


def test_bad_queries_are_refused(make: Make) -> None:
    pool = make("snow")
    with pytest.raises(PoolMismatchError, match="width 3 come from another retriever"):
        pool.search(np.ones(3), 1)
    with pytest.raises(PoolError, match="query 1 is zero"):
        pool.search_many(np.array([np.ones(WIDTH), np.zeros(WIDTH)]), 1)
    with pytest.raises(PoolError, match="query 0 is infinite or NaN"):
        pool.search(np.full(WIDTH, np.nan), 1)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        pool.search(np.ones(WIDTH), 0)
    with pytest.raises(PoolError, match="empty; add hashtags"):
        make().search(np.ones(WIDTH), 1)


def test_saved_it_is_the_same_pool(make: Make, tmp_path: Path) -> None:
    pool = make(*names(20))
    pool.save(tmp_path / "one-file")
    loaded = HashtagPool.load(tmp_path / "one-file", retriever_fingerprint=FINGERPRINT)
    queries = np.random.default_rng(0).normal(size=(9, WIDTH))
    assert loaded.search_many(queries, 50) == pool.search_many(queries, 50)
    assert loaded.hashtags == pool.hashtags
    shipped(*names(20)).save(tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "one-file").read_bytes()
    with pytest.raises(PoolError, match="can't write"):
        pool.save(tmp_path / "one-file" / "below")


def test_adding_and_removing(make_writable: Make) -> None:
    pool = make_writable("snow", "ice")
    pool.add(["Snow", "rain", "RAIN"], embed(["Snow", "rain", "RAIN"]))
    assert pool.hashtags == ("Snow", "ice", "RAIN")
    for text in pool.hashtags:
        assert pool.search(vector_of(text), 1)[0].text == text
    pool.remove(["#ICE"])
    assert pool.hashtags == ("Snow", "RAIN")
    assert "ice" not in {hit.text for hit in pool.search(vector_of("ice"), 9)}
    pool.add(["ice"], embed(["ice"]))
    assert pool.hashtags == ("Snow", "RAIN", "ice")
    pool.remove(["snow", "rain", "ice"])
    with pytest.raises(PoolError, match="empty"):
        pool.search(np.ones(WIDTH), 1)


def test_what_is_refused_changes_nothing(make_writable: Make) -> None:
    pool = make_writable("snow", "ice")
    with pytest.raises(PoolError, match="not in the pool: rain"):
        pool.remove(["snow", "rain"])
    with pytest.raises(HashtagError):
        pool.add(["rain", "!"], embed(["rain", "!"]))
    with pytest.raises(PoolError, match="the vector of 'rain' is zero"):
        pool.add(["rain"], np.zeros((1, WIDTH)))
    with pytest.raises(PoolError, match="2 hashtags need as many vectors, got 1"):
        pool.add(["rain", "hail"], np.ones((1, WIDTH)))
    with pytest.raises(PoolMismatchError, match="width 3"):
        pool.add(["rain"], np.ones((1, 3)))
    assert pool.hashtags == ("snow", "ice")
