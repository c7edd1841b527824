"""Whatever is done in whatever order, a living pool holds what a plain dictionary would."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ggm.errors import PoolError
from ggm.hashtags import key
from ggm.pool import HalfLives, LivingPool
from ggm.pool import vectors as chunked
from ggm.pool.changing import ChangingPool
from ggm.pool.uses import DAY_SECONDS
from ggm.retriever import HashtagPool
from pools import START, WIDTH, Clock, embed, observed, shipped

TEXTS = ["snow", "Snow", "ICE", "ice", "rain", "日本", "Straße", "STRASSE", "fog"]
MIN_SOURCES = 2
HALF_LIVES = HalfLives(2, 10)
texts = st.sampled_from(TEXTS)
many = st.lists(texts, min_size=1, max_size=4)


@dataclass
class Twin:
    """The same pool, as plainly as can be: uses are remembered one by one."""

    hashtags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    events: dict[str, list[float]] = field(default_factory=dict)
    watched: dict[str, str] = field(default_factory=dict)
    sources: dict[str, set[str]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def add(self, added: list[str]) -> None:
        for text in added:
            if key(text) not in self.aliases:
                self.hashtags[key(text)] = text
                self.watched.pop(key(text), None)
                self.removed.discard(key(text))

    def remove(self, names: set[str]) -> None:
        for name in sorted(names, key=lambda name: name not in self.aliases):  # those of a hashtag go with it
            self.removed.add(name)
            if self.aliases.pop(name, None) is None:
                self.hashtags.pop(name, None)  # an alias may have gone with its target
                self.events.pop(name, None)
                self.aliases = {other: target for other, target in self.aliases.items() if target != name}

    def alias(self, target: str, other: str) -> None:
        target = self.aliases.get(key(target), key(target))
        name = key(other)
        if self.aliases.get(name, name) == target:
            return
        self.removed.discard(name)
        in_pool = self.hashtags.pop(name, None) is not None
        if in_pool or self.watched.pop(name, None) is not None:
            self.events[target] = self.events.get(target, []) + self.events.pop(name, [])
        self.aliases = {a: target if b == name else b for a, b in self.aliases.items()}
        self.aliases[name] = target

    def observe(self, text: str, at: float, source: str) -> None:
        name = self.aliases.get(key(text), key(text))
        if name not in self.hashtags:
            if name in self.removed:
                return
            self.watched.setdefault(name, text)
            self.sources.setdefault(name, set()).add(source)
        self.events.setdefault(name, []).append(at)
        if name in self.watched and len(self.sources[name]) >= MIN_SOURCES:
            self.hashtags[name] = self.watched.pop(name)
        if name not in self.watched:
            self.sources.pop(name, None)

    def clear(self) -> None:
        """Whatever left the watched hashtags is watched anew."""
        for name in [name for name in self.sources if name not in self.watched]:
            del self.sources[name]


class PoolMachine(RuleBasedStateMachine):
    """A pool, a follower of it, and its twin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda _: None)
        self.patch.setattr(chunked, "_CHUNK_BYTES", 3 * 4 * WIDTH)
        self.patch.setattr(chunked, "_PACKED_FROM", 1)
        self.root = Path(tempfile.mkdtemp())
        self.clock = Clock()
        self.twin = Twin()

    def create(self, pool: HashtagPool) -> ChangingPool:
        return LivingPool.create(
            self.root / "pool", pool, embed=embed, half_lives=HALF_LIVES, clock=self.clock
        )

    def open(self, *, read_only: bool = False) -> ChangingPool:
        return LivingPool.open(self.root / "pool", embed=embed, read_only=read_only, clock=self.clock)

    @initialize(start=st.lists(texts, max_size=3, unique_by=key))
    def begin(self, start: list[str]) -> None:
        self.pool: ChangingPool = self.create(shipped(*start))
        self.follower: ChangingPool = self.open(read_only=True)
        self.twin.hashtags = {key(text): text for text in start}

    @rule(added=many)
    def add(self, added: list[str]) -> None:
        self.pool.add(added)
        last = {key(text): text for text in added}
        self.twin.add(list(last.values()))
        self.twin.clear()

    @rule(gone=many)
    def remove_any(self, gone: list[str]) -> None:
        if {key(text) for text in gone} <= {*self.twin.hashtags, *self.twin.aliases}:
            self.pool.remove(gone)
            self.twin.remove({key(text) for text in gone})
        else:
            with pytest.raises(PoolError, match="not in the pool"):
                self.pool.remove(gone)

    @precondition(lambda self: len(self.twin.hashtags) > 1 or self.twin.aliases)
    @rule(data=st.data())
    def remove_some(self, data: st.DataObject) -> None:
        there = sorted({*self.twin.hashtags, *self.twin.aliases})
        gone = data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=2, unique=True))
        self.pool.remove(gone)
        self.twin.remove(set(gone))

    @rule(hashtag=texts, other=texts)
    def alias_any(self, hashtag: str, other: str) -> None:
        resolved = self.twin.aliases.get(key(hashtag), key(hashtag))
        if resolved not in self.twin.hashtags or resolved == key(other):
            with pytest.raises(PoolError):
                self.pool.alias(hashtag, other)
            return
        self.pool.alias(hashtag, other)
        self.twin.alias(hashtag, other)
        self.twin.clear()

    @precondition(lambda self: len(self.twin.hashtags) > 1)
    @rule(data=st.data())
    def alias_two(self, data: st.DataObject) -> None:
        there = st.sampled_from(sorted(self.twin.hashtags))
        hashtag, other = data.draw(st.lists(there, min_size=2, max_size=2, unique=True))
        self.alias_any(hashtag, other)

    @rule(text=texts, hours=st.integers(-48, 24), source=st.sampled_from("abc"))
    def observe(self, text: str, hours: int, source: str) -> None:
        at = self.clock.now + hours * 3600
        before = set(self.twin.hashtags)
        added = self.pool.observe(observed({text: [(at, source)]}, HALF_LIVES), min_sources=MIN_SOURCES)
        self.twin.observe(text, at, source)
        assert {key(new) for new in added} == set(self.twin.hashtags) - before

    @rule(days=st.floats(0, 2))
    def wait(self, days: float) -> None:
        self.clock.forward(days)

    @rule()
    def compact(self) -> None:
        self.pool.compact()

    @rule()
    def reopen(self) -> None:
        self.pool.close()
        self.pool = self.open()

    @rule()
    def compact_and_reopen(self) -> None:
        self.compact()
        self.reopen()

    @rule()
    def follow(self) -> None:
        self.follower.refresh()
        assert list(self.follower.rows()) == list(self.pool.rows())

    @precondition(lambda self: hasattr(self, "pool"))
    @invariant()
    def holds_the_same(self) -> None:
        twin, pool = self.twin, self.pool
        assert pool.hashtags == tuple(twin.hashtags.values())
        assert {key(other): key(target) for other, target in pool.aliases.items()} == twin.aliases
        assert (pool.info().watched, pool.info().removed) == (len(twin.watched), len(twin.removed))
        for text in TEXTS:
            assert (text in pool) == (key(text) in {*twin.hashtags, *twin.aliases})
        for name, text in twin.hashtags.items():
            events = twin.events.get(name, [])
            assert pool.uses(text).num_uses == len(events)
            if events:
                assert pool.uses(text).last_seen == max(events)
                now = max(self.clock.now, max(events))
                expected = sum(2 ** (-(now - at) / (2 * DAY_SECONDS)) for at in events)
                assert pool.trend(text, now) == pytest.approx(expected)

    @precondition(lambda self: self.__dict__.get("pool") is not None and len(self.twin.hashtags) > 0)
    @invariant()
    def finds_the_same(self) -> None:
        queries = np.eye(WIDTH)[:2]
        plain = shipped(*self.twin.hashtags.values())
        assert self.pool.search_many(queries, 3) == plain.search_many(queries, 3)
        assert self.follower.search_many(queries, 3) == plain.search_many(queries, 3)

    def teardown(self) -> None:
        for pool in (getattr(self, "pool", None), getattr(self, "follower", None)):
            if pool is not None:
                pool.close()
        self.patch.undo()
        shutil.rmtree(self.root, ignore_errors=True)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.slow
def test_much_longer() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(PoolMachine, settings=settings(max_examples=1000, stateful_step_count=50))


def test_the_twin_is_no_pool() -> None:
    """Worked by hand, so that both can't be wrong together."""
    twin = Twin({"snow": "snow"})
    for source, at in itertools.product("ab", (START,)):
        twin.observe("Fog", at, source)
    assert twin.hashtags == {"snow": "snow", "fog": "Fog"}
    twin.alias("snow", "fog")
    assert (twin.hashtags, twin.aliases) == ({"snow": "snow"}, {"fog": "snow"})
    assert twin.events == {"snow": [START, START]}
