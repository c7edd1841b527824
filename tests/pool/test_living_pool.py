"""The living pool: aliases, trends, threads, followers; durable after each change."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import ConfigError, HashtagError, PoolError, PoolMismatchError
from ggm.hashtags import key
from ggm.pool import HalfLives, LivingPool
from ggm.pool import vectors as chunked
from ggm.pool.uses import DAY_SECONDS
from pools import START, WIDTH, Clock, embed, make_pool, observed, shipped, vector_of

DAY = DAY_SECONDS


def reopened(pool: LivingPool, **options: object) -> LivingPool:
    pool.close()
    return LivingPool.open(pool.folder, embed=embed, **options)


def found(pool: LivingPool, text: str) -> str:
    return pool.search(vector_of(text), 1)[0].text


# Adding


def test_new_hashtags_are_embedded_at_once_and_known_ones_not(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def counting(texts: Sequence[str]) -> np.ndarray:
        calls.append(list(texts))
        return embed(texts)

    with make_pool(tmp_path / "pool", "snow", embed=counting) as pool:
        pool.alias("snow", "neige")
        pool.add(["#snow", "cold weather", "neige", "rain", "RAIN"])
        assert calls == [["coldweather", "RAIN"]]
        assert pool.hashtags == ("snow", "coldweather", "RAIN")
        records = pool.info().records
        pool.add(["snow", "NEIGE"])
        pool.add([])
        assert (pool.info().records, len(calls)) == (records, 1)
        pool.add(["Snow"])
        assert pool.hashtags == ("Snow", "coldweather", "RAIN")
        assert found(pool, "Snow") == "Snow"


def test_without_an_embedder_vectors_are_needed(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow", embed=None) as pool:
        with pytest.raises(PoolError, match="without an embedder"):
            pool.add(["rain"])
        with pytest.raises(PoolError, match="without an embedder"):
            pool.observe(observed({"rain": [(START, "me")]}), min_sources=1)
        pool.add(["rain"], embed(["rain"]))
        assert pool.hashtags == ("snow", "rain")


def test_thousands_at_once_are_several_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ggm.pool.changing._HASHTAGS_AT_ONCE", 10)
    texts = [f"tag{chr(97 + number)}" for number in range(25)]
    with make_pool(tmp_path / "pool") as pool:
        pool.add(texts)
        assert (pool.hashtags, pool.info().records) == (tuple(texts), 3)
    with LivingPool.open(tmp_path / "pool") as pool:
        assert [found(pool, text) for text in texts] == texts


def test_half_empty_chunks_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "_CHUNK_BYTES", 80 * 4 * WIDTH)
    texts = [f"tag{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(200)]
    with make_pool(tmp_path / "pool", *texts) as pool:
        pool.observe(observed({texts[150]: [(START, "me")]}), min_sources=1)
        before = sum(len(chunk.vectors) for chunk in pool._state.vectors.snapshot)
        pool.remove([text for number, text in enumerate(texts) if number % 10])
        snapshot = pool._state.vectors.snapshot
        assert sum(len(chunk.vectors) for chunk in snapshot) < before
        assert chunked.count(snapshot) == len(pool) == 20
        assert [found(pool, text) for text in texts[::10]] == texts[::10]
        levels = {
            text: level for chunk in snapshot for text, level in zip(chunk.texts, chunk.levels, strict=False)
        }
        assert np.isfinite(levels[texts[150]])
        assert pool.uses(texts[150]).num_uses == 1


# Aliases


def test_an_alias_is_found_as_its_hashtag(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "newyorkcity", "nyc", "snow", clock=Clock(START + 9 * DAY)) as pool:
        pool.observe(observed({"nyc": [(START, "a")], "newyorkcity": [(START + DAY, "b")]}), min_sources=1)
        pool.alias("NewYorkCity", "#NYC", "BigApple")
        assert pool.hashtags == ("newyorkcity", "snow")
        assert pool.aliases == {"NYC": "newyorkcity", "BigApple": "newyorkcity"}
        assert "nyc" in pool
        assert pool.resolve("bigapple") == "newyorkcity"
        assert "nyc" not in {hit.text for hit in pool.search(vector_of("nyc"), 9)}
        uses = pool.uses("nyc")
        assert (uses.num_uses, uses.first_seen, uses.last_seen) == (2, START, START + DAY)
        pool.observe(observed({"bigapple": [(START, "c")], "nyc": [(START, "d")]}), min_sources=1)
        assert pool.uses("newyorkcity").num_uses == 4
    with LivingPool.open(tmp_path / "pool") as pool:
        assert pool.aliases == {"NYC": "newyorkcity", "BigApple": "newyorkcity"}
        assert pool.uses("nyc").num_uses == 4


def test_chains_of_aliases_lead_to_one_hashtag(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "a", "b", "c") as pool:
        pool.alias("b", "c")
        pool.alias("a", "b")
        assert pool.aliases == {"c": "a", "b": "a"}
        pool.alias("c", "d")
        assert pool.aliases["d"] == "a"
        pool.add(["e"])
        pool.alias("e", "d")
        assert (pool.aliases["d"], pool.hashtags) == ("e", ("a", "e"))
        records = pool.info().records
        pool.alias("e", "d")
        assert pool.info().records == records


def test_an_alias_goes_alone_but_a_hashtag_with_its_aliases(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "newyorkcity", "snow") as pool:
        pool.alias("newyorkcity", "nyc", "bigapple")
        pool.remove(["nyc"])
        assert ("nyc" in pool, "bigapple" in pool, "newyorkcity" in pool) == (False, True, True)
        pool.remove(["newyorkcity", "bigapple"])
        assert (pool.hashtags, pool.aliases) == (("snow",), {})


def test_impossible_aliases_are_refused(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        with pytest.raises(PoolError, match="not in the pool: rain; add it before"):
            pool.alias("rain", "drizzle")
        with pytest.raises(PoolError, match="snow can't be another name of itself"):
            pool.alias("snow", "SNOW")
        with pytest.raises(HashtagError):
            pool.alias("snow", "!")
        assert (pool.aliases, pool.info().records) == ({}, 0)


# Uses and trends


def test_uses_are_counted_in_any_order(tmp_path: Path) -> None:
    clock = Clock()
    with make_pool(tmp_path / "pool", "snow", clock=clock, half_lives=HalfLives(2, 20)) as pool:
        assert pool.uses("snow") == (0, START, START, 0, 0)
        for at in (START + 4 * DAY, START + 2 * DAY):
            pool.observe(observed({"SNOW": [(at, "me")]}, HalfLives(2, 20)))
        uses = pool.uses("#snow")
        assert (uses.num_uses, uses.first_seen, uses.last_seen) == (2, START, START + 4 * DAY)
        assert uses.recent == pytest.approx(1.5)
        clock.forward(6)
        assert pool.trend("snow") == pytest.approx(0.75)
        assert pool.trend("snow", START + 4 * DAY) == pytest.approx(1.5)
        with pytest.raises(PoolError, match="not in the pool: rain"):
            pool.trend("rain")
        with pytest.raises(PoolError, match="not in the pool: rain"):
            pool.resolve("rain")


def test_a_new_hashtag_comes_in_once_enough_people_use_it(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow", clock=Clock(START + 9 * DAY)) as pool:
        assert pool.observe(observed({"CoinedNow": [(START, "a"), (START + 9, "a")]}), min_sources=3) == []
        assert "coinednow" not in pool
        assert pool.info().watched == 1
        pool = reopened(pool, clock=Clock(START + 9 * DAY))
        assert pool.observe(observed({"coinednow": [(START + DAY, "b")]}), min_sources=3) == []
        new = observed({"coinednow": [(START + DAY, "b"), (START + DAY, "c")], "other": [(START, "a")]})
        assert pool.observe(new, min_sources=3) == ["CoinedNow"]
        assert pool.hashtags == ("snow", "CoinedNow")
        assert found(pool, "CoinedNow") == "CoinedNow"
        uses = pool.uses("coinednow")
        assert (uses.num_uses, uses.first_seen, uses.last_seen) == (5, START, START + DAY)
        assert pool.info().uses == 6
        with pytest.raises(ValueError, match="min_sources must be at least 1"):
            pool.observe({}, min_sources=0)
        pool.close()


def test_what_was_removed_by_hand_comes_back_by_hand_only(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "spam", "snow") as pool:
        pool.remove(["spam"])
        pool.compact()
        pool = reopened(pool)
        assert pool.observe(observed({"Spam": [(START, "a")]}), min_sources=1) == []
        assert pool.info().removed == 1
        pool.add(["spam"])
        assert ("spam" in pool, pool.info().removed) == (True, 0)
        pool.close()


def test_watched_hashtags_are_forgotten_when_nobody_uses_them(tmp_path: Path) -> None:
    clock = Clock()
    with make_pool(tmp_path / "pool", "snow", clock=clock, half_lives=HalfLives(1, 10)) as pool:
        pool.observe(observed({"old": [(START, "a")]}))
        clock.forward(30)
        pool.observe(observed({"young": [(clock.now, "a")]}))
        clock.forward(11)
        pool.compact()
        assert pool.info().watched == 1
        assert pool.observe(observed({"young": [(clock.now, "b")]}), min_sources=2) == ["young"]
        pool.compact()


def test_the_trend_weight_adds_to_the_similarity(tmp_path: Path) -> None:
    clock = Clock(START + 2 * DAY)
    texts = ("snow", "ice", "rain", "hail")
    with make_pool(tmp_path / "pool", *texts, clock=clock, trend_weight=0.5) as pool:
        pool.observe(observed({"ice": [(START + 2 * DAY, str(n)) for n in range(7)]}))
        plain = {hit.text: hit.similarity for hit in shipped(*texts).search(np.ones(WIDTH), 4)}
        hits = {hit.text: hit.similarity for hit in pool.search(np.ones(WIDTH), 4)}
        assert hits == {
            **plain,
            "ice": pytest.approx(plain["ice"] + 0.5 * np.log1p(pool.trend("ice"))),
        }
        assert pool.trend("ice") == pytest.approx(7)
        assert pool.search(np.ones(WIDTH), 1)[0].text == "ice"
        clock.forward(300)
        assert {hit.text: hit.similarity for hit in pool.search(np.ones(WIDTH), 4)} == pytest.approx(plain)
        with LivingPool.open(pool.folder, read_only=True, trend_weight=0, clock=clock) as reader:
            assert {h.text: h.similarity for h in reader.search(np.ones(WIDTH), 4)} == plain
        with pytest.raises(ConfigError, match="trend_weight must be 0 or more"):
            LivingPool.open(pool.folder, read_only=True, trend_weight=-1)


def test_rising_hashtags_are_those_with_more_uses_than_usual(tmp_path: Path) -> None:
    half_lives = HalfLives(1, 20)
    events = {
        "steady": [(START + day * DAY, "a") for day in range(60) for _ in range(10)],
        "falling": [(START + day * DAY, "a") for day in range(30) for _ in range(10)],
        "rising": [(START + day * DAY, "a") for day in range(55, 60) for _ in range(10)],
        "once": [(START + 59 * DAY, "a")],
    }
    with make_pool(tmp_path / "pool", *events, "unused", half_lives=half_lives) as pool:
        assert pool.rising() == []
        pool.observe(observed(events, half_lives))
        first, *others = pool.rising()
        assert first.text == "rising"
        assert first.per_day == pytest.approx(10, rel=0.4)
        assert first.per_day_before < 3
        assert 2 < first.rise < 20
        assert "falling" not in {item.text for item in others}
        assert "unused" not in {item.text for item in others}
        assert all(item.rise < first.rise for item in others)
        assert [item.text for item in pool.rising(top_k=1)] == ["rising"]
        (at_rest,) = (item for item in pool.rising(smoothing=1e-9) if item.text == "once")
        assert at_rest.rise > 5
        with pytest.raises(ValueError, match="smoothing must be above 0"):
            pool.rising(smoothing=0)


def test_the_beginning_of_a_stream_is_no_trend(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "a", "b") as pool:
        pool.observe(observed({"a": [(START, "x")] * 50, "b": [(START, "x")] * 50}))
        assert [item.rise for item in pool.rising()] == pytest.approx([])


def test_prefixes_find_hashtags_and_aliases_that_trend_first(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "Snow", "snowball", "ice", "Neve", clock=Clock()) as pool:
        pool.alias("ice", "snowice")
        pool.observe(observed({"snowball": [(START, "a")]}))
        assert pool.starting_with("#SN", 9) == ["snowball", "Snow", "ice"]
        assert pool.starting_with("snow", 1) == ["snowball"]
        assert pool.starting_with("x", 1) == []
        with pytest.raises(HashtagError):
            pool.starting_with("#", 3)
        with pytest.raises(ValueError, match="top_k must be at least 1"):
            pool.starting_with("s", 0)


# Opening


def test_everything_is_there_again(tmp_path: Path) -> None:
    clock = Clock()
    with make_pool(tmp_path / "pool", "snow", "ice", clock=clock) as pool:
        pool.add(["Ωmega", "日本"])
        pool.alias("ice", "glace")
        pool.observe(observed({"snow": [(START, "a")], "new": [(START, "b")]}))
        pool.remove(["ω" + "mega"])
        for compact in (False, True):
            if compact:
                pool.compact()
            info, rows = pool.info(), list(pool.rows())
            hits = pool.search_many(embed(["x", "y"]), 9)
            pool = reopened(pool, clock=clock)
            assert (list(pool.rows()), pool.search_many(embed(["x", "y"]), 9)) == (rows, hits)
            assert pool.info() == info
        pool.close()


def test_an_empty_pool_is_filled_by_hand(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool") as pool:
        pool.add(["snow"])
        pool = reopened(pool)
        pool.remove(["snow"])
        pool.compact()
        pool = reopened(pool)
        assert len(pool) == 0
        pool.close()


def test_another_retrievers_pool_is_refused(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        with pytest.raises(PoolMismatchError, match="made by another retriever"):
            LivingPool.open(pool.folder, retriever_fingerprint="you", read_only=True)
        pool = reopened(pool, retriever_fingerprint="me")
        pool.close()


def test_a_folder_is_taken_once(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", "snow").close()
    with pytest.raises(PoolError, match="holds a living pool already"):
        make_pool(tmp_path / "pool")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(PoolError, match="holds something that isn't a living pool"):
        make_pool(tmp_path / "photos")
    (tmp_path / "file").touch()
    with pytest.raises(PoolError, match="can't be made"):
        make_pool(tmp_path / "file")
    with pytest.raises(PoolError, match="no living pool there; `ggm pool init"):
        LivingPool.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trend_weight": -1.0}, "trend_weight"),
        ({"half_lives": None, "trend_weight": np.nan}, "trend_weight"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_pool(tmp_path / "pool", **options)
    assert not (tmp_path / "pool").exists()


def test_one_process_writes(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        with pytest.raises(PoolError, match=r"process \d+ on .* writes to this pool, and one process can"):
            LivingPool.open(pool.folder)
        code = f"from ggm.pool import LivingPool; LivingPool.open({str(pool.folder)!r})"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "writes to this pool" in result.stderr
    LivingPool.open(tmp_path / "pool").close()


def test_a_closed_pool_can_be_searched_but_not_changed(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        reader = LivingPool.open(pool.folder, read_only=True)
    for closed in (pool, reader):
        closed.close()
        assert closed.search(vector_of("snow"), 1)[0].text == "snow"
        assert not closed.refresh()
        with pytest.raises(PoolError, match="the pool was closed"):
            closed.add(["rain"])


# Readers


def test_a_reader_sees_what_was_written_at_its_next_search(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool, LivingPool.open(pool.folder, read_only=True) as reader:
        assert repr(reader).endswith("1 x 8 float16, read only)")
        assert not reader.refresh()
        for number in range(8):
            text = f"tag{chr(97 + number)}"
            pool.add([text])
            assert found(reader, text) == text
            if number % 3 == 1:
                pool.compact()
        pool.alias("snow", "neige")
        assert reader.refresh()
        assert not reader.refresh()
        assert list(reader.rows()) == list(pool.rows())
        for change in (
            lambda: reader.add(["rain"]),
            lambda: reader.remove(["snow"]),
            lambda: reader.alias("snow", "x"),
            lambda: reader.observe({}),
            reader.compact,
        ):
            with pytest.raises(PoolError, match="opened for reading"):
                change()


def test_a_reader_that_slept_through_compactions_reads_the_snapshot(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool, LivingPool.open(pool.folder, read_only=True) as reader:
        state = reader._state
        pool.add(["a"])
        pool.compact()
        pool.add(["b"])
        assert (reader.refresh(), reader._state is state) == (True, True)
        assert reader.info() == pool.info()
        for text in ("c", "d"):
            pool.add([text])
            pool.compact()
        pool.add(["e"])
        assert (reader.refresh(), reader._state is state) == (True, False)
        assert list(reader.rows()) == list(pool.rows())
        assert reader.info() == pool.info()
        pool.add(["f"])
        assert found(reader, "f") == "f"


def test_a_reader_says_when_the_pool_is_gone_or_another(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", "snow")
    reader = LivingPool.open(pool.folder, read_only=True)
    pool.close()
    pool.folder.rename(tmp_path / "elsewhere")
    with pytest.raises(PoolError, match="can't be read"):
        reader.search(np.ones(WIDTH), 1)
    make_pool(tmp_path / "pool", "rain").close()
    with pytest.raises(PoolError, match="another pool has taken its place"):
        reader.search(np.ones(WIDTH), 1)
    assert reader.hashtags == ("snow",)
    reader.close()


# Threads


def test_threads_that_write_lose_nothing_and_share_records(tmp_path: Path) -> None:
    texts = [f"tag{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(160)]
    failures: list[BaseException] = []
    with make_pool(tmp_path / "pool", "snow") as pool:
        own = threading.Barrier(8)

        def write(part: list[str]) -> None:
            try:
                own.wait()
                for text in part:
                    pool.add([text])
                    assert text in pool
                    if text.endswith("a"):
                        pool.remove([text])
                        assert text not in pool
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(texts[start::8],)) for start in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            pool.compact()
        for thread in threads:
            thread.join()
        assert failures == []
        kept = {text for text in texts if not text.endswith("a")}
        assert set(pool) == {"snow", *kept}
        assert pool.info().records <= 160 + 7
        pool = reopened(pool)
        assert set(pool) == {"snow", *kept}
        assert [found(pool, text) for text in sorted(kept)[:20]] == sorted(kept)[:20]
        pool.close()


def test_wishes_that_touch_the_same_hashtag_take_turns(tmp_path: Path) -> None:
    results: list[str] = []
    with make_pool(tmp_path / "pool", "snow", *(f"tag{c}" for c in "abcdefgh")) as pool:

        def remove() -> None:
            try:
                pool.remove(["snow"])
                results.append("removed")
            except PoolError as error:
                results.append(str(error))

        threads = [threading.Thread(target=remove) for _ in range(6)]
        with pool._writing:  # so that all of them wait
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["not in the pool: snow"] * 5 + ["removed"]


def test_threads_that_wait_share_one_record(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        threads = [threading.Thread(target=pool.add, args=([f"tag{c}"],)) for c in "abcdefgh"]
        with pool._writing:
            for thread in threads:
                thread.start()
            while len(pool._commit._waiting) < len(threads):
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert (len(pool), pool.info().records) == (9, 1)


def test_a_thread_that_fails_leaves_no_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[str] = []
    with make_pool(tmp_path / "pool", "snow") as pool:

        def fail(changes: object) -> None:
            raise MemoryError

        def add(text: str) -> None:
            try:
                pool.add([text])
            except (PoolError, MemoryError) as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=add, args=(f"tag{c}",)) for c in "abc"]
        monkeypatch.setattr(pool._commit, "_record", fail)
        with pool._writing:
            for thread in threads:
                thread.start()
            while len(pool._commit._waiting) < len(threads):
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["MemoryError", "PoolError", "PoolError"]
        monkeypatch.undo()
        pool.add(["rain"])
        assert pool.hashtags == ("snow", "rain")


@pytest.mark.parametrize("read_only", [False, True])
def test_searches_see_all_or_nothing_of_a_change(tmp_path: Path, read_only: bool) -> None:
    guests = {"one", "two", "three", "four"}
    failures: list[BaseException] = []
    done = threading.Event()
    with make_pool(tmp_path / "pool", *(f"tag{c}" for c in "abcdefghij")) as pool:
        own = set(pool.hashtags)
        searched = LivingPool.open(pool.folder, read_only=True) if read_only else pool

        def search() -> None:
            try:
                while not done.is_set():
                    texts = [hit.text for hit in searched.search(np.ones(WIDTH), 60)]
                    assert len(set(texts)) == len(texts)
                    assert own <= set(texts)
                    assert len(set(texts) - own) in (0, 4)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(25):
            pool.add(list(guests), embed(list(guests)))
            if number % 8 == 7:
                pool.compact()
            pool.remove(list(guests))
        done.set()
        for thread in threads:
            thread.join()
        searched.close()
    assert failures == []


def test_the_list_of_hashtags_is_made_anew_after_a_change_only(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool, LivingPool.open(pool.folder, read_only=True) as reader:
        first = pool.hashtags
        assert pool.hashtags is first
        read = reader.hashtags
        pool.add(["rain"])
        assert pool.hashtags == ("snow", "rain")
        assert reader.hashtags is read
        reader.refresh()
        assert reader.hashtags == ("snow", "rain")


def test_every_key_has_one_entry(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "Straße") as pool:
        pool.add(["STRASSE"])
        assert pool.hashtags == ("STRASSE",)
        assert key("Straße") == key(pool.hashtags[0])


def test_unknown_names_are_attribute_errors() -> None:
    import ggm.pool

    assert dir(ggm.pool) == sorted(ggm.pool.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ggm.pool.Nothing


def test_what_an_alias_stands_for(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "newyorkcity", "by-cycle") as pool:
        assert pool.target("nyc") is None
        pool.alias("newyorkcity", "NYC", "big_apple", "bycycle")
        assert pool.target("nyc") == pool.target("#Big-Apple") == pool.target("bigapple") == "newyorkcity"
        assert pool.target("newyorkcity") is None
        assert pool.target("by-cycle") is None  # a hashtag of its own
        assert pool.target("snow") is None
        with LivingPool.open(tmp_path / "pool", read_only=True) as follower:
            assert follower.target("nyc") == "newyorkcity"
        pool.remove(["nyc"])
        assert pool.target("nyc") is None
        with pytest.raises(HashtagError):
            pool.target("!")
