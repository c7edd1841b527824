"""Whatever two writers do in whatever order, a shared pool holds what a plain dictionary would."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import rule

pytest.importorskip("pymilvus")

from test_pool_machine import HALF_LIVES, PoolMachine

from ggm.pool import SharedPool
from ggm.pool.address import MilvusAddress
from ggm.pool.changing import ChangingPool
from ggm.retriever import HashtagPool
from pools import embed


class SharedMachine(PoolMachine):
    """A pool in an embedded database, opened twice for writing, and its twin."""

    def create(self, pool: HashtagPool) -> ChangingPool:
        self.address = MilvusAddress(str(self.root / "pool.db"))
        return SharedPool.create(self.address, pool, embed=embed, half_lives=HALF_LIVES, clock=self.clock)

    def open(self, *, read_only: bool = False) -> ChangingPool:
        return SharedPool.open(self.address, embed=embed, clock=self.clock)

    @rule()
    def change_sides(self) -> None:
        """What the other one would do, that one does now."""
        self.pool, self.follower = self.follower, self.pool
        self.pool.refresh()

    @rule()
    def close_the_database(self) -> None:
        self.follower.close()
        self.pool.close()
        self.pool, self.follower = self.open(), self.open()


class TestSharedMachine(SharedMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=4, stateful_step_count=15, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_much_longer() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(SharedMachine, settings=settings(max_examples=100, stateful_step_count=30))
