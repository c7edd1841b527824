"""Pools in an embedded Milvus database: one for a test, with a pool of another name each time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    @property
    def socket_file(self) -> str:
        """Where the engine is asked."""
        assert self._held._server is not None
        return self._held._server.uri.removeprefix("unix:")

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


class Line:
    """A line of TCP to an embedded database, as to a server elsewhere; it can fall silent and still hold.

    Args:
        socket_file: Of the database.
    """

    def __init__(self, socket_file: str) -> None:
        self._socket_file = socket_file
        self._speaking = threading.Event()
        self._speaking.set()
        self._ends: list[socket.socket] = [socket.create_server(("127.0.0.1", 0))]
        self.uri = "http://127.0.0.1:{1}".format(*self._ends[0].getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing passes meanwhile."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    def close(self) -> None:
        self._speaking.set()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._ends[0].accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._socket_file)
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, goal: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._speaking.wait()
                goal.sendall(data)
