"""The hashtag pool: what comes in is found, exactly and in a stable order, and survives storage."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.records import Guidance
from ggm.retriever import HashtagPool
from ggm.retriever.index import ExactIndex, Rows, Vectors

WIDTH = 16


def names(count: int) -> list[str]:
    return ["tag" + "".join(chr(97 + int(digit)) for digit in str(number)) for number in range(count)]


def random_vectors(count: int, *, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def random_pool(count: int, **options: object) -> HashtagPool:
    return HashtagPool.build(
        names(count), lambda texts: random_vectors(len(texts)), retriever_fingerprint="me", **options
    )


def two_dimensional(**vectors: tuple[float, float]) -> HashtagPool:
    return HashtagPool.build(
        list(vectors),
        lambda texts: np.array([vectors[text] for text in texts]),
        retriever_fingerprint="me",
        precision="float32",
    )


def slow_search(pool: HashtagPool, vectors: np.ndarray, query: np.ndarray, top_k: int) -> list[str]:
    """Every cosine on its own, then a plain sort."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    units = units.astype(pool.precision).astype(np.float64)
    scored = [
        (-float(np.dot(unit, query / np.linalg.norm(query))), text)
        for unit, text in zip(units, pool.hashtags, strict=True)
    ]
    return [text for _, text in sorted(scored)[:top_k]]


def test_worked_by_hand() -> None:
    pool = two_dimensional(north=(0, 2), east=(5, 0), northeast=(1, 1), south=(0, -1))
    hits = pool.search(np.array([0.0, 3.0]), 3)
    assert [hit.text for hit in hits] == ["north", "northeast", "east"]
    assert [hit.similarity for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0])
    assert len(Guidance(hits)) == 3


def test_equal_similarities_stand_in_the_order_of_their_texts() -> None:
    pool = two_dimensional(zebra=(0, 1), ant=(0, 7), mole=(0, 3), far=(1, 0))
    assert [hit.text for hit in pool.search(np.array([0.0, 1.0]), 2)] == ["ant", "mole"]
    assert [hit.text for hit in pool.search(np.array([0.0, 1.0]), 3)] == ["ant", "mole", "zebra"]


@given(
    count=st.integers(1, 40),
    top_k=st.integers(1, 50),
    seed=st.integers(0, 1000),
    precision=st.sampled_from(["float16", "float32"]),
)
@settings(max_examples=60, deadline=None)
def test_search_equals_the_slow_twin(count: int, top_k: int, seed: int, precision: str) -> None:
    vectors = random_vectors(count, seed=seed)
    pool = HashtagPool.build(names(count), lambda _: vectors, retriever_fingerprint="me", precision=precision)
    query = random_vectors(1, seed=seed + 1)[0].astype(np.float64)
    hits = pool.search(query, top_k)
    assert [hit.text for hit in hits] == slow_search(pool, vectors, query, top_k)
    assert len(hits) == min(top_k, count)


def test_a_batch_answers_bit_for_bit_as_its_members_alone() -> None:
    """A matrix product's last bits depend on its size; near-ties then changed their order."""
    vectors = np.repeat(random_vectors(50), 8, axis=0) + random_vectors(400, seed=1) * 1e-7
    pool = HashtagPool.build(names(400), lambda _: vectors, retriever_fingerprint="me", precision="float32")
    queries = random_vectors(150, seed=2)
    assert pool.search_many(queries, 20) == [pool.search(query, 20) for query in queries]


def test_more_than_there_are_gives_all() -> None:
    assert len(random_pool(7).search(random_vectors(1)[0], 50)) == 7


def test_similarity_never_exceeds_one() -> None:
    """Unit vectors rounded to float16 are a little too long or too short."""
    vectors = random_vectors(300, width=3)
    pool = HashtagPool.build(names(300), lambda _: vectors, retriever_fingerprint="me")
    best = [hits[0].similarity for hits in pool.search_many(vectors, 1)]
    assert max(best) <= 1.0
    assert min(best) > 0.999


def test_a_query_of_any_length_means_the_same() -> None:
    pool = random_pool(30)
    query = random_vectors(1, seed=9)[0].astype(np.float64)
    assert [h.text for h in pool.search(query * 1000, 5)] == [h.text for h in pool.search(query, 5)]


def test_an_empty_pool_says_so() -> None:
    pool = HashtagPool(embedding_dim=2, retriever_fingerprint="me")
    with pytest.raises(PoolError, match="empty; add hashtags"):
        pool.search(np.ones(2), 1)
    pool.add(["Snow"], np.ones((1, 2)))
    assert [hit.text for hit in pool.search(np.ones(2), 1)] == ["Snow"]
    pool.remove(["snow"])
    assert len(pool) == 0
    with pytest.raises(PoolError, match="empty"):
        pool.search(np.ones(2), 1)


def test_building_from_nothing_or_with_wrong_settings_is_refused() -> None:
    with pytest.raises(PoolError, match="at least one hashtag"):
        HashtagPool.build([], lambda _: np.zeros((0, 2)), retriever_fingerprint="me")
    with pytest.raises(PoolError, match=r"vectors must be \(1, width\), got \(2,\)"):
        HashtagPool.build(["a"], lambda _: np.ones(2), retriever_fingerprint="me")
    with pytest.raises(PoolError, match="precision must be"):
        random_pool(1, precision="int8")
    with pytest.raises(PoolError, match="embedding_dim must be at least 1"):
        HashtagPool(embedding_dim=0, retriever_fingerprint="me")
    with pytest.raises(HashtagError):
        HashtagPool.build(["!?"], lambda _: np.ones((1, 2)), retriever_fingerprint="me")


def test_the_embedder_is_called_once_with_canonical_distinct_hashtags() -> None:
    calls: list[list[str]] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        calls.append(list(texts))
        return random_vectors(len(texts))

    pool = HashtagPool.build(["#Snow", "cold weather", "SNOW"], embed, retriever_fingerprint="me")
    assert calls == [["SNOW", "coldweather"]]
    assert pool.hashtags == tuple(pool) == ("SNOW", "coldweather")


def test_membership_is_by_equality_of_hashtags() -> None:
    pool = two_dimensional(Straße=(1, 0))
    assert "STRASSE" in pool
    assert "#straße" in pool
    assert "stras" not in pool
    assert "!" not in pool
    assert 3 not in pool


def test_adding_replaces_a_duplicate_and_appends_the_rest() -> None:
    pool = two_dimensional(snow=(0, 1), ice=(1, 0))
    pool.add(["Snow", "rain"], np.array([[-1.0, 0.0], [0.0, 1.0]]))
    assert pool.hashtags == ("Snow", "ice", "rain")
    assert [hit.text for hit in pool.search(np.array([-1.0, 0.1]), 3)] == ["Snow", "rain", "ice"]


def test_equal_hashtags_in_one_call_leave_the_last() -> None:
    pool = two_dimensional(ice=(1, 0))
    pool.add(["snow", "SNOW"], np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert pool.hashtags == ("ice", "SNOW")
    assert pool.search(np.array([0.0, 1.0]), 1)[0].similarity == pytest.approx(1.0)


def test_removing_leaves_the_others_with_their_own_vectors() -> None:
    """With plain FAISS indexes, removing one shifts the ids of those after it."""
    pool = random_pool(10)
    vectors = random_vectors(10)
    pool.remove([pool.hashtags[3].upper(), "#" + pool.hashtags[0]])
    assert len(pool) == 8
    for text, vector in zip(names(10), vectors, strict=True):
        found = pool.search(vector, 1)[0]
        assert (found.text == text) == (text in pool)


def test_removing_what_is_not_there_changes_nothing() -> None:
    pool = random_pool(3)
    before = pool.hashtags
    with pytest.raises(PoolError, match="not in the pool: snow"):
        pool.remove([before[0], "snow"])
    assert pool.hashtags == before


@pytest.mark.parametrize(
    ("vector", "fault"),
    [((0, 0), "zero"), ((np.nan, 1), "infinite or NaN"), ((np.inf, 1), "infinite or NaN")],
)
def test_vectors_without_a_direction_are_refused(vector: tuple[float, float], fault: str) -> None:
    pool = two_dimensional(snow=(0, 1))
    with pytest.raises(PoolError, match=f"the vector of 'rain' is {fault}"):
        pool.add(["ice", "rain"], np.array([(1.0, 0.0), vector]))
    assert pool.hashtags == ("snow",)
    with pytest.raises(PoolError, match=f"query 0 is {fault}"):
        pool.search(np.array(vector), 1)


def test_wrong_shapes_are_refused() -> None:
    pool = random_pool(3)
    with pytest.raises(PoolError, match="2 hashtags need as many vectors, got 1"):
        pool.add(["ice", "rain"], random_vectors(1))
    with pytest.raises(PoolError, match="expected vectors of shape"):
        pool.add(["ice"], random_vectors(1)[0])
    with pytest.raises(PoolMismatchError, match="width 3 come from another retriever"):
        pool.add(["ice"], np.ones((1, 3)))
    with pytest.raises(PoolMismatchError, match="width 3"):
        pool.search(np.ones(3), 1)
    with pytest.raises(PoolMismatchError, match="width 3"):
        pool.search_many(np.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        pool.search(np.ones(WIDTH), 0)
    assert len(pool) == 3


def test_no_query_no_answer() -> None:
    assert random_pool(3).search_many(np.zeros((0, WIDTH)), 2) == []


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_a_saved_pool_answers_bit_for_bit_the_same(tmp_path: Path, precision: str) -> None:
    pool = random_pool(200, precision=precision)
    pool.add(["日本", "Ωmega", "cold-weather"], random_vectors(3, seed=4))
    pool.remove([names(200)[17]])
    pool.save(tmp_path / "pool.safetensors")
    loaded = HashtagPool.load(tmp_path / "pool.safetensors", retriever_fingerprint="me")
    queries = random_vectors(40, seed=5)
    assert loaded.search_many(queries, 50) == pool.search_many(queries, 50)
    assert loaded.hashtags == pool.hashtags
    assert (loaded.precision, loaded.retriever_fingerprint) == (precision, "me")
    loaded.save(tmp_path / "again.safetensors")
    again = (tmp_path / "again.safetensors").read_bytes()
    assert (
        load(again)["vectors"].tobytes()
        == load((tmp_path / "pool.safetensors").read_bytes())["vectors"].tobytes()
    )


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    for precision in ("float16", "float32"):
        random_pool(500, precision=precision).save(tmp_path / precision)
    half, full = ((tmp_path / precision).stat().st_size for precision in ("float16", "float32"))
    assert full - half == pytest.approx(500 * WIDTH * 2, abs=16)  # headers are padded to 8 bytes


def test_a_pool_emptied_by_hand_can_be_saved(tmp_path: Path) -> None:
    HashtagPool(embedding_dim=5, retriever_fingerprint="me").save(tmp_path / "pool")
    loaded = HashtagPool.load(tmp_path / "pool")
    assert len(loaded) == 0
    assert loaded.embedding_dim == 5


def test_another_retrievers_pool_is_refused(tmp_path: Path) -> None:
    random_pool(3).save(tmp_path / "pool")
    with pytest.raises(PoolMismatchError, match="made by another retriever"):
        HashtagPool.load(tmp_path / "pool", retriever_fingerprint="you")
    assert HashtagPool.load(tmp_path / "pool").retriever_fingerprint == "me"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    random_pool(20).save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    swapped = whole.replace(b"tagb", b"tagz", 1)
    duplicated = whole.replace(b"tagb", b"taga", 1)
    for content in (b"", b"no pool", whole[:40], whole[:-1], bytes(flipped), swapped, duplicated):
        path.write_bytes(content)
        with pytest.raises(PoolError, match="pool") as caught:
            HashtagPool.load(path)
        assert str(path) in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    vectors = random_vectors(1)
    header = {"format": "ggm-pool-1", "retriever_fingerprint": "me", "sha256": "0"}
    for tensors, metadata in (
        ({"vectors": vectors}, None),
        ({"weights": vectors}, header),
        ({"vectors": vectors}, header),
        ({"vectors": vectors[0]}, header | {"hashtags": ["a"]}),
        ({"vectors": vectors}, header | {"hashtags": [1]}),
        ({"vectors": vectors}, header | {"hashtags": 7}),
        ({"vectors": vectors}, header | {"hashtags": ["!"]}),
        ({"vectors": vectors}, [1]),
        ({"vectors": vectors.astype(np.int32)}, header | {"hashtags": ["a"]}),
    ):
        path.write_bytes(save(tensors, metadata=metadata and {"pool": json.dumps(metadata)}))
        with pytest.raises(PoolError, match="pool"):
            HashtagPool.load(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="nothing-here"):
        HashtagPool.load(tmp_path / "nothing-here")
    with pytest.raises(PoolError, match="pool"):
        HashtagPool.load(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pool"
    random_pool(3).save(path)
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PoolError, match="No space left on device"):
        random_pool(9).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(PoolError, match="can't write"):
        random_pool(3).save(path / "below-a-file")


def test_the_file_holds_texts_and_vectors_together(tmp_path: Path) -> None:
    random_pool(2).save(tmp_path / "pool")
    raw = (tmp_path / "pool").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    pool = json.loads(header["pool"])
    assert pool["hashtags"] == names(2)
    assert pool["count"] == 2


def test_equal_pools_are_equal_files(tmp_path: Path) -> None:
    files = []
    for number in range(5):
        random_pool(3).save(tmp_path / str(number))
        files.append((tmp_path / str(number)).read_bytes())
    assert len(set(files)) == 1


def test_a_header_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").write_bytes(save({"vectors": random_vectors(1)}, metadata={"pool": "{"}))
    with pytest.raises(PoolError, match="damaged"):
        HashtagPool.load(tmp_path / "pool")


def test_searching_while_another_thread_adds_and_removes() -> None:
    pool = random_pool(50)
    own = set(pool.hashtags)
    failures: list[BaseException] = []
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                hits = pool.search(random_vectors(1, seed=7)[0], 60)
                found = [hit.text for hit in hits]
                assert len(set(found)) == len(found)
                # The four guests come and go together, so a search sees all or none of them.
                assert len(set(found) - own) in (0, 4)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    guests = ["one", "two", "three", "four"]
    for _ in range(60):
        pool.add(guests, random_vectors(4, seed=8))
        pool.remove(guests)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


class SlowToBuild(ExactIndex):
    """Gives other threads time to come between reading the pool and replacing it."""

    def __init__(self, vectors: Vectors) -> None:
        super().__init__(vectors)
        time.sleep(0.001)


def test_adding_from_several_threads_loses_nothing() -> None:
    pool = HashtagPool(embedding_dim=WIDTH, retriever_fingerprint="me", make_index=SlowToBuild)
    texts = names(80)

    def add(part: list[str]) -> None:
        for text in part:
            pool.add([text], random_vectors(1))

    threads = [threading.Thread(target=add, args=(texts[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(pool) == set(texts)


class OnlyTheFirstRows:
    """An approximate index: it looks at few rows."""

    def __init__(self, vectors: Vectors) -> None:
        self.num_rows = len(vectors)

    def candidates(self, queries: Vectors, top_k: int) -> list[Rows]:
        return [np.arange(min(2, self.num_rows))[::-1] for _ in queries]


def test_another_index_proposes_and_the_pool_sorts() -> None:
    pool = HashtagPool.build(
        ["a", "b", "c"], lambda _: np.eye(3), retriever_fingerprint="me", make_index=OnlyTheFirstRows
    )
    assert [hit.text for hit in pool.search(np.array([0.1, 0.2, 0.9]), 3)] == ["b", "a"]


def test_exact_index_includes_every_row_that_rounding_could_move() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (30, 1))
    (rows,) = ExactIndex(vectors).candidates(np.array([[0.6, 0.8]], np.float32), 5)
    assert sorted(rows) == list(range(30))


def test_the_pool_needs_no_torch() -> None:
    code = (
        "import sys, ggm.retriever; from ggm.retriever import HashtagPool; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors() -> None:
    import ggm.retriever

    assert "HashtagPool" in dir(ggm.retriever)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ggm.retriever.Nothing
    assert repr(random_pool(3)) == "HashtagPool(3 x 16 float16)"
