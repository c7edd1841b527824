"""A pool in Milvus: what several writers do, where it comes from and goes to, and what is refused."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from milvus_pools import Line, Milvus, milvus

from ggm.errors import ConfigError, MissingDependencyError, PoolError, PoolMismatchError
from ggm.pool import HalfLives, LivingPool, SharedPool, open_pool
from ggm.pool.address import MilvusAddress, address_of
from ggm.pool.changing import Contents
from ggm.pool.migrate import migrate
from ggm.pool.milvus_store import HASHTAGS, VERSIONS, MilvusStore
from pools import FINGERPRINT, START, WIDTH, Clock, embed, make_pool, observed, shipped, vector_of


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    with milvus(tmp_path_factory.mktemp("milvus") / "pools.db") as opened:
        yield opened


def where(pool: SharedPool) -> str:
    return str(pool.address)


def same(a: Contents, b: Contents) -> None:
    np.testing.assert_array_equal(a.vectors, b.vectors)
    nothing = np.zeros(0, np.float32)
    left, right = replace(a, vectors=nothing), replace(b, vectors=nothing)
    assert {**vars(left), "vectors": 0, "removed": set(left.removed)} == {
        **vars(right),
        "vectors": 0,
        "removed": set(right.removed),
    }


def lived(pool: LivingPool | SharedPool, clock: Clock) -> None:
    """Everything that can happen to a pool."""
    pool.reserve(["calm", "quiet", "still"])
    pool.add(["Schnee", "日本", "rain"])
    pool.alias("snow", "neige", "schnee")
    clock.forward(3)
    pool.observe(observed({"neige": [(clock.now, "a")], "calm": [(clock.now - 5, "b"), (clock.now, "c")]}))
    pool.observe(observed({"fog": [(clock.now, "a"), (clock.now, "b")], "mist": [(clock.now, "a")]}))
    clock.forward(1)
    assert pool.observe(observed({"fog": [(clock.now, "c")], "日本": [(clock.now, "a")]})) == ["fog"]
    pool.remove(["rain"])
    pool.alias("日本", "nippon")
    pool.remove(["nippon"])
    pool.add(["late"])


def test_it_answers_as_a_living_pool_of_the_same_past(database: Milvus, tmp_path: Path) -> None:
    clocks = Clock(), Clock()
    options = {"half_lives": HalfLives(2, 20), "trend_weight": 0.3, "reserve_discount": 0.2}
    with make_pool(tmp_path / "a", "snow", "ice", clock=clocks[0], **options) as living:
        shared = database.make("snow", "ice", clock=clocks[1], **options)
        lived(living, clocks[0])
        lived(shared, clocks[1])
        for pool in (shared, database.again(shared, clock=clocks[1], read_only=True)):
            same(pool.contents(), living.contents())
            assert list(pool.rows()) == list(living.rows())
            assert pool.rising() == living.rising()
            assert pool.starting_with("s", 9) == living.starting_with("s", 9)
            queries = np.random.default_rng(0).normal(size=(20, WIDTH))
            assert pool.search_many(queries, 4) == living.search_many(queries, 4)
            assert pool.target("NEIGE") == "snow"
            assert pool.info().watched == 1


def test_there_and_back_nothing_is_lost(database: Milvus, tmp_path: Path) -> None:
    clock = Clock()
    with make_pool(tmp_path / "a", "snow", "ice", clock=clock, trend_weight=0.1) as living:
        lived(living, clock)
    there = str(database.address())
    assert migrate(tmp_path / "a", there) == 8
    assert migrate(there, tmp_path / "b") == 8
    elsewhere = str(database.address())
    migrate(there, elsewhere, index="hnsw")
    with (
        LivingPool.open(tmp_path / "a", read_only=True) as first,
        LivingPool.open(tmp_path / "b", read_only=True) as last,
        open_pool(elsewhere) as third,
    ):
        same(first.contents(), last.contents())
        same(first.contents(), third.contents())
        assert third.hashtags == first.hashtags
    with pytest.raises(PoolError, match="there is a pool already"):
        migrate(tmp_path / "a", there)
    with pytest.raises(PoolError, match="write one with ggm pool export"):
        migrate(there, tmp_path / "c.safetensors")
    with pytest.raises(ConfigError, match="flat or hnsw, got 'ivf'"):
        migrate(tmp_path / "a", str(database.address()), index="ivf")


def test_a_bundles_file_becomes_a_shared_pool(database: Milvus, tmp_path: Path) -> None:
    plain = shipped("snow", "Straße", "日本", precision="float32")
    plain.save(tmp_path / "pool.safetensors")
    there = str(database.address())
    assert migrate(tmp_path / "pool.safetensors", there) == 3
    with open_pool(there, retriever_fingerprint=FINGERPRINT) as pool:
        assert pool.search(vector_of("ice"), 3) == plain.search(vector_of("ice"), 3)
        pool.save(tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "pool.safetensors").read_bytes()
    with pytest.raises(PoolMismatchError, match="made by another retriever"):
        open_pool(there, retriever_fingerprint="other")


def test_what_one_does_the_others_next_search_sees(database: Milvus) -> None:
    first = database.make("snow", "ice")
    others = [database.again(first) for _ in range(3)]
    for number, pool in enumerate((first, *others)):
        text = "new" + chr(97 + number)
        pool.add([text])
        for other in (first, *others):
            assert other.search(vector_of(text), 1)[0].text == text
            assert text in other
            assert other.hashtags[-1] == text
    others[0].alias("snow", "neige")
    others[1].remove(["ice"])
    for other in (first, *others):
        other.search(vector_of("ice"), 1)
        assert other.target("neige") == "snow"
        assert "ice" not in other


def test_many_writers_lose_nothing(database: Milvus) -> None:
    pools = [database.make("snow", trend_weight=0.1)]
    pools += [database.again(pools[0]) for _ in range(3)]

    def write(number: int) -> None:
        for turn in range(12):
            pools[number].add(["w" + chr(97 + number) + chr(97 + turn)])
            pools[number].observe(observed({"snow": [(START, str(number))], "fog": [(START, str(turn))]}))
            pools[number].search(vector_of("snow"), 3)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    new = {"w" + chr(97 + number) + chr(97 + turn) for number in range(4) for turn in range(12)}
    fresh = database.again(pools[0])
    for pool in (*pools, fresh):
        pool.refresh()
        assert set(pool.hashtags) == {"snow", "fog", *new}
        assert pool.hashtags == fresh.hashtags
        assert (pool.uses("snow").num_uses, pool.uses("fog").num_uses) == (48, 48)
        assert pool.info().uses == 96


def test_a_reader_that_slept_long_reads_all_of_it(database: Milvus) -> None:
    pool = database.make("snow")
    reader, sleeper = database.again(pool), database.again(pool)
    texts = ["t" + chr(97 + number // 20) + chr(97 + number % 20) for number in range(400)]
    for start in range(0, 400, 100):
        pool.add(texts[start : start + 100])
        reader.refresh()
    assert reader.hashtags == sleeper.hashtags + tuple(texts)
    sleeper.refresh()
    assert sleeper.hashtags == reader.hashtags
    pool.add([text + "x" for text in texts])  # more than a writer tells of
    assert reader.search(vector_of("tabx"), 1)[0].text == "tabx"
    assert len(reader) == 801


def test_compacting_forgets_and_all_go_on(database: Milvus) -> None:
    clock = Clock()
    pool = database.make("snow", clock=clock)
    gone, other = database.again(pool, clock=clock), database.again(pool, clock=clock)
    gone.add(["ice"])
    seen = [(clock.now, "a")]
    pool.observe(observed({"fog": seen, "mist": seen, "snow": seen}))
    clock.forward(121)
    pool.observe(observed({"mist": [(clock.now, "b")]}))
    writers = len(pool._store.where(VERSIONS, 'id != ""'))
    pool.compact()
    assert len(pool._store.where(VERSIONS, 'id != ""')) < writers
    for number, one in enumerate((pool, other, database.again(pool, clock=clock))):
        one.search(vector_of("snow"), 1)
        assert one.hashtags[:2] == ("snow", "ice")
        assert (len(one), one.info().watched, one.uses("snow").num_uses) == (2 + number, 1, 1)
        one.add(["after" + chr(97 + number)])
    gone.add(["more"])
    assert other.search(vector_of("more"), 1)[0].text == "more"


def test_a_change_that_is_cut_off_is_taken_in_or_made_again(
    database: Milvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = database.make("snow")
    other = database.again(pool)
    write = MilvusStore.write

    def cut(self: MilvusStore, part: str, *rows: Any) -> None:
        if part == VERSIONS:
            raise PoolError("cut off")
        write(self, part, *rows)

    with monkeypatch.context() as patch:
        patch.setattr(MilvusStore, "write", cut)
        with pytest.raises(PoolError, match="cut off"):
            pool.add(["ice"])
    assert other.search(vector_of("ice"), 1)[0].text == "ice"  # Milvus has it
    assert other.hashtags == ("snow", "ice")
    pool.add(["ice", "rain"])
    for one in (pool, other):
        one.search(vector_of("rain"), 1)
        assert one.hashtags == ("snow", "ice", "rain")


def test_two_that_name_each_other_are_both_gone_until_added(
    database: Milvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing keeps two processes from it: each saw the other's hashtag still there."""
    pool = database.make("snow", "neige", "ice")
    other = database.again(pool)
    with monkeypatch.context() as patch:
        patch.setattr(other, "_current_token", lambda: other._token)  # it looked just before
        pool.alias("snow", "neige")
        other.alias("neige", "snow")
    third = database.again(pool)
    for one in (pool, other, third):
        one.refresh()
        assert (one.hashtags, one.aliases) == (("ice",), {})
    third.add(["snow"])
    assert pool.search(vector_of("snow"), 9)[0].text == "snow"
    assert pool.hashtags == third.hashtags == ("ice", "snow")


def test_reading_only_and_closed(database: Milvus) -> None:
    pool = database.make("snow")
    reader = database.again(pool, read_only=True)
    assert not reader.writable
    for change in (
        lambda: reader.add(["ice"]),
        lambda: reader.remove(["snow"]),
        lambda: reader.alias("snow", "neige"),
        reader.compact,
    ):
        with pytest.raises(PoolError, match="opened for reading only"):
            change()
    reader.close()
    for ask in (lambda: reader.search(vector_of("snow"), 1), lambda: reader.add(["ice"])):
        with pytest.raises(PoolError, match="was closed"):
            ask()
    without = database.again(pool, embed=None)
    with pytest.raises(PoolError, match="opened without an embedder"):
        without.add(["ice"])
    assert "read only" in repr(database.again(pool, read_only=True))


@pytest.mark.parametrize(
    ("text", "uri", "name"),
    [
        ("milvus:pools/a.db", "pools/a.db", "ggm"),
        ("milvus:a.db#drama", "a.db", "drama"),
        ("milvus:http://localhost:19530", "http://localhost:19530", "ggm"),
        ("milvus:https://in.example.com/#x1", "https://in.example.com", "x1"),
    ],
)
def test_addresses(text: str, uri: str, name: str) -> None:
    address = address_of(text)
    assert address == MilvusAddress(uri, name)
    assert address_of(str(address)) == address
    assert address.embedded == ("://" not in uri)


def test_what_is_no_address() -> None:
    assert address_of("pools/mine") is None
    assert address_of("http-pools") is None
    assert address_of(Path("milvus:a.db")) is None
    for text, reason in {
        "milvus:a": "ends with .db",
        "milvus:": "ends with .db",
        "milvus:ftp://host": "expected milvus:http://HOST",
        "milvus:http://": "expected milvus:http://HOST",
        "milvus:http://h:99999": "expected milvus:http://HOST",
        "milvus:a.db#1": "made of letters",
        "milvus:http://me:secret@host": "GGM_MILVUS_TOKEN",
    }.items():
        with pytest.raises(ConfigError, match=reason) as raised:
            address_of(text)
        assert "secret" not in str(raised.value)


def test_where_there_is_no_pool(database: Milvus, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="no such database"):
        open_pool(f"milvus:{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(PoolError, match="no pool there"):
        open_pool(str(database.address()))
    (tmp_path / "file.db").write_text("x")
    with pytest.raises(PoolError, match=r"file\.db"):
        SharedPool.create(MilvusAddress(str(tmp_path / "file.db")), shipped("snow"))


def test_a_server_that_isnt_there_and_a_token_that_stays_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GGM_MILVUS_TOKEN", "root:hunter2")
    monkeypatch.setattr("ggm.pool.milvus_store._CONNECT_SECONDS", 1.0)
    with caplog.at_level(logging.DEBUG), pytest.raises(PoolError, match=r"127\.0\.0\.1:9: ") as raised:
        open_pool("milvus:http://127.0.0.1:9")
    shown = capfd.readouterr()
    assert "hunter2" not in f"{raised.value}{caplog.text}{shown.out}{shown.err}"


def test_a_server_that_doesnt_answer_is_told_of(database: Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    name = database.make("snow").address.name
    line = Line(database.socket_file)
    try:
        with closing(SharedPool.open(MilvusAddress(line.uri, name), embed=embed)) as pool:
            assert pool.search(vector_of("snow"), 1)[0].text == "snow"
            monkeypatch.setattr("ggm.pool.milvus_store._TIMEOUT_SECONDS", 0.5)
            with line.silent(), pytest.raises(PoolError, match="Milvus: "):
                pool.search(vector_of("snow"), 1)
            monkeypatch.undo()
            assert pool.search(vector_of("snow"), 1)[0].text == "snow"
    finally:
        line.close()


def test_without_the_packages_all_else_works(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["pymilvus"] = sys.modules["milvus_lite"] = None
from ggm.errors import MissingDependencyError
from ggm.pool import LivingPool, SharedPool, open_pool
from ggm.retriever import HashtagPool
where = sys.argv[1]
LivingPool.create(where, HashtagPool(embedding_dim=3, retriever_fingerprint="x")).close()
open_pool(where).close()
try:
    open_pool("milvus:http://localhost:19530")
except MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "pool")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
    )
    assert done.stdout == "a pool in Milvus needs the package pymilvus; run: pip install 'ggm[milvus]'\n"


def test_without_milvus_lite_the_message_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "milvus_lite.adapter.grpc.server", None)
    with pytest.raises(MissingDependencyError, match=r"milvus-lite; run: pip install 'ggm\[milvus\]'"):
        SharedPool.create(MilvusAddress(str(tmp_path / "a.db")), shipped("snow"))


def test_another_process_that_has_the_file_open_is_told_of(tmp_path: Path) -> None:
    where = f"milvus:{tmp_path}/a.db"
    SharedPool.create(MilvusAddress(f"{tmp_path}/a.db"), shipped("snow")).close()
    code = """
import sys
from ggm.pool import open_pool
pool = open_pool(sys.argv[1])
print("open", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(PoolError, match=r"another process has this database open.*--max-workers 1"):
            open_pool(where)
        holder.kill()
    with open_pool(where, read_only=True) as pool:
        assert pool.hashtags == ("snow",)


def test_a_process_that_forgets_to_close_ends(tmp_path: Path) -> None:
    code = "import sys; from ggm.pool import open_pool; pool = open_pool(sys.argv[1]); print(*pool)"
    SharedPool.create(MilvusAddress(f"{tmp_path}/a.db"), shipped("snow")).close()
    done = subprocess.run(
        [sys.executable, "-c", code, f"milvus:{tmp_path}/a.db"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)},
        timeout=100,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("snow\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_a_process_that_is_killed_has_lost_nothing(tmp_path: Path) -> None:
    where = f"milvus:{tmp_path}/a.db"
    SharedPool.create(MilvusAddress(f"{tmp_path}/a.db"), shipped("snow")).close()
    code = """
import sys
from ggm.pool import open_pool
pool = open_pool(sys.argv[1])
for number in range(100000):
    text = "n" + "".join(chr(97 + int(digit)) for digit in str(number))
    pool.add([text], [[1.0, number, 2, 3, 4, 5, 6, 7]])
    print(text, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, where],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(25)]
        writer.kill()
        told += writer.stdout.read().split()
    with open_pool(where) as pool:
        assert set(told) - set(pool.hashtags) == set()
        assert pool.search(np.array([1.0, 3, 2, 3, 4, 5, 6, 7]), 1)[0].text == "nd"


def test_rows_that_no_pool_writes(database: Milvus) -> None:
    pool = database.make("snow")
    store = MilvusStore(pool.address)
    row = store.get(HASHTAGS, ["snow"])[0]
    store.write(HASHTAGS, [{**row, "kind": 7}], np.zeros((1, WIDTH), np.float32))
    with pytest.raises(PoolError, match="a row that no pool writes"):
        open_pool(where(pool))
    store.close()
