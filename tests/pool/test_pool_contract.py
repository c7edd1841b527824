"""What guidance needs of a pool, asked of each kind of pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from milvus_pools import Milvus, milvus

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.pool import LivingPool, SharedPool
from ggm.pool import vectors as chunked
from ggm.records import Guidance
from ggm.retriever import HashtagPool
from ggm.retriever.faiss_index import FaissIndex
from pools import FINGERPRINT, WIDTH, embed, make_pool, shipped, vector_of

AnyPool = HashtagPool | LivingPool | SharedPool

PLAIN, FAISS, LIVING, TINY, READER, MILVUS, OTHER, HNSW = (
    "HashtagPool",
    "HashtagPool with FAISS",
    "LivingPool",
    "LivingPool of tiny chunks",
    "reader of a LivingPool",
    "SharedPool",
    "reader of a SharedPool",
    "SharedPool with HNSW",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    pytest.importorskip("pymilvus")
    with milvus(tmp_path_factory.mktemp("milvus") / "pools.db") as opened:
        yield opened


class Maker:
    """Makes pools of one kind, and opens them again."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.kind, self.folder = kind, folder
        self._request = request
        self.opened: list[AnyPool] = []

    def __call__(self, *hashtags: str) -> AnyPool:
        number = str(len(self.opened))
        if self.kind in (PLAIN, FAISS):
            pool: AnyPool = shipped(*hashtags)
            if self.kind == FAISS:
                pool.save(self.folder / number)
                pool = HashtagPool.load(self.folder / number, make_index=FaissIndex)
        elif self.kind in (MILVUS, OTHER, HNSW):
            database: Milvus = self._request.getfixturevalue("database")
            pool = database.make(*hashtags, index="hnsw" if self.kind == HNSW else "flat")
            if self.kind == OTHER:
                pool = database.again(pool, read_only=True)
        else:
            pool = make_pool(self.folder / number, *hashtags)
            if self.kind == READER:
                self.opened.append(pool)
                pool = LivingPool.open(pool.folder, read_only=True)
        self.opened.append(pool)
        return pool

    def again(self, pool: AnyPool) -> AnyPool:
        """What another process finds, once this one is through."""
        if isinstance(pool, SharedPool):
            database: Milvus = self._request.getfixturevalue("database")
            return database.again(pool)
        if isinstance(pool, LivingPool):
            pool.close()
            self.opened.append(LivingPool.open(pool.folder))
            return self.opened[-1]
        pool.save(self.folder / "again")
        return HashtagPool.load(self.folder / "again")

    def close(self) -> None:
        for pool in self.opened:
            if not isinstance(pool, HashtagPool):
                pool.close()


def makers(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    if request.param == TINY:
        monkeypatch.setattr(chunked, "_CHUNK_BYTES", 3 * 4 * WIDTH)
        monkeypatch.setattr(chunked, "_PACKED_FROM", 1)
    maker = Maker(request.param, folder, request)
    yield maker
    maker.close()


WRITABLE = [PLAIN, FAISS, LIVING, TINY, MILVUS, HNSW]


@pytest.fixture(params=[*WRITABLE, READER, OTHER])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    yield from makers(request, tmp_path, monkeypatch)


@pytest.fixture(params=WRITABLE)
def make_writable(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Maker]:
    yield from makers(request, tmp_path, monkeypatch)


def names(count: int) -> list[str]:
    return ["tag" + "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(count)]


def slow_search(hashtags: tuple[str, ...], query: np.ndarray, top_k: int) -> list[str]:
    units = embed(hashtags) / np.linalg.norm(embed(hashtags), axis=1, keepdims=True)
    units = units.astype(np.float16).astype(np.float64)
    scored = [(-float(np.dot(unit, query)), text) for unit, text in zip(units, hashtags, strict=True)]
    return [text for _, text in sorted(scored)[:top_k]]


def test_what_it_holds(make: Maker) -> None:
    pool = make("Straße", "snow", "日本")
    assert (len(pool), pool.hashtags, tuple(pool)) == (3, ("Straße", "snow", "日本"), pool.hashtags)
    assert "STRASSE" in pool
    assert "#Snow" in pool
    assert "stras" not in pool
    assert "!" not in pool
    assert 3 not in pool
    assert (pool.embedding_dim, pool.retriever_fingerprint, pool.precision) == (WIDTH, FINGERPRINT, "float16")


def test_it_gives_the_vectors_that_it_has(make: Maker) -> None:
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


def test_vectors_stay_those_of_their_hashtags(make_writable: Maker) -> None:
    pool = make_writable(*names(30))
    pool.remove(names(30)[3:25])
    pool.add(["winter", "cat"], embed(["winter", "cat"]))
    for text in (*names(30), "winter", "cat"):
        (vector,) = pool.vectors_of([text])
        assert (vector is None) == (text not in pool)
        if vector is not None:
            assert float(vector @ vector_of(text)) == pytest.approx(np.linalg.norm(vector_of(text)), abs=1e-2)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_search_equals_the_slow_twin(make: Maker, count: int) -> None:
    pool = make(*names(count))
    for top_k in (1, 3, 50):
        for seed in range(5):
            query = np.random.default_rng(seed).normal(size=WIDTH)
            hits = pool.search(query, top_k)
            assert [hit.text for hit in hits] == slow_search(pool.hashtags, query, top_k)
            assert len(Guidance(hits)) == min(top_k, count)


def test_all_kinds_answer_bit_for_bit_alike(make: Maker) -> None:
    pool, plain = make(*names(60)), shipped(*names(60))
    queries = np.random.default_rng(0).normal(size=(70, WIDTH))
    assert pool.search_many(queries, 9) == plain.search_many(queries, 9)
    assert pool.search_many(queries, 9) == [plain.search(query, 9) for query in queries]
    assert pool.search_many(np.zeros((0, WIDTH)), 2) == []


def test_bad_queries_are_refused(make: Maker) -> None:
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


def test_saved_it_is_the_same_pool(make: Maker, tmp_path: Path) -> None:
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


def test_adding_and_removing(make_writable: Maker) -> None:
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


def test_what_is_refused_changes_nothing(make_writable: Maker) -> None:
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


def test_equal_vectors_come_in_the_order_of_their_texts(make_writable: Maker) -> None:
    texts = [*names(60), "Äther", "zoé", "日本", "ß"]
    pool = make_writable()
    pool.add(texts, np.ones((len(texts), WIDTH)))
    pool.add(["other"], -np.ones((1, WIDTH)))
    for top_k in (1, 5, 64):
        assert [hit.text for hit in pool.search(np.ones(WIDTH), top_k)] == sorted(texts)[:top_k]
    assert pool.search(np.ones(WIDTH), 70)[-1].text == "other"


def test_every_script_and_every_writing_is_one_hashtag(make_writable: Maker) -> None:
    pool = make_writable("Straße", "ＦＵＬＬ", "नमस्ते", "cafe\u0301", "日本", "mañana_hoy")
    for text in ("#STRASSE", "full", "नमस्ते", "CAFÉ", "#日本", "MAÑANA_HOY"):
        assert text in pool
        assert pool.target(text) is None
    pool.add(["strasse", "Café"], embed(["strasse", "Café"]))
    assert len(pool) == 6
    assert pool.search(vector_of("strasse"), 1)[0].text == "strasse"
    pool.remove(["नमस्ते", "#日本"])
    assert pool.hashtags == ("strasse", "FULL", "Café", "mañana_hoy")


def test_opened_again_it_is_the_same_pool(make_writable: Maker) -> None:
    pool = make_writable(*names(30))
    pool.remove(names(30)[5:8])
    pool.add(["Tagb", "new"], embed(["Tagb", "new"]))
    queries = np.random.default_rng(0).normal(size=(5, WIDTH))
    hashtags, answers = pool.hashtags, pool.search_many(queries, 40)
    again = make_writable.again(pool)
    assert again.hashtags == hashtags
    assert again.search_many(queries, 40) == answers
    again.add(["later"], embed(["later"]))
    assert again.hashtags == (*hashtags, "later")
