"""Pools in an embedded Milvus database: one for a test, with a pool of another name each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ggm.pool import SharedPool
from ggm.pool.address import MilvusAddress
from ggm.pool.milvus_store import MilvusStore
from pools import embed, shipped


class Milvus:
    """A database, kept open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._numbers = count()
        self._held = MilvusStore(MilvusAddress(str(path)))
        self._opened: list[SharedPool] = []

    def address(self) -> MilvusAddress:
        """Where no pool is yet."""
        return MilvusAddress(str(self.path), f"pool{next(self._numbers)}")

    def make(self, *hashtags: str, **options: object) -> SharedPool:
        options.setdefault("embed", embed)
        self._opened.append(SharedPool.create(self.address(), shipped(*hashtags), **options))
        return self._opened[-1]

    def again(self, pool: SharedPool, **options: object) -> SharedPool:
        """The same pool, as another process would have it."""
        options.setdefault("embed", embed)
        self._opened.append(SharedPool.open(pool.address, **options))
        return self._opened[-1]

    def close(self) -> None:
        for pool in self._opened:
            pool.close()
        self._held.close()


@contextmanager
def milvus(path: Path) -> Iterator[Milvus]:
    database = Milvus(path)
    try:
        yield database
    finally:
        database.close()
