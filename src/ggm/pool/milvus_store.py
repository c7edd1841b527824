"""Rows in Milvus: an embedded database by default, a cluster by its URI. The one user of pymilvus."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ggm.errors import MissingDependencyError, PoolError
from ggm.pool.address import MilvusAddress
from ggm.retriever.index import Vectors

Row = dict[str, Any]
IndexKind = Literal["flat", "hnsw"]

TOKEN_VARIABLE: Final = "GGM_MILVUS_TOKEN"
MOST_HITS: Final = 16_384  # Milvus gives no more
HASHTAGS, USES, VERSIONS = "hashtags", "uses", "versions"

_TIMEOUT_SECONDS: Final = 60.0
_BULK_SECONDS: Final = 600.0  # of a call that reads or writes much
_CONNECT_SECONDS: Final = 30.0
_ROWS_AT_ONCE: Final = 1024  # of 512 numbers each: 2 MB
_IDS_AT_ONCE: Final = 500
_FLUSHED_FROM: Final = 512  # rows: Milvus Lite reads what it wrote out much faster
_KEY_BYTES: Final = 1200
_BODY_BYTES: Final = 65_535
_INDEXES: Final[dict[IndexKind, dict[str, Any]]] = {
    "flat": {"index_type": "FLAT", "params": {}},
    "hnsw": {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}},
}


class Found(NamedTuple):
    """What a search came upon: the hashtag's key and its vector."""

    key: str
    vector: npt.NDArray[np.float32]


class MilvusStore:
    """Three collections of a pool: hashtags with vectors, their uses, and who wrote how much.

    Every read is strongly consistent: it sees all that was written before, by whomever.

    Args:
        address: Of the pool. The token of a cluster stands in the variable GGM_MILVUS_TOKEN.

    Raises:
        MissingDependencyError: If pymilvus isn't installed, or milvus-lite for an embedded database.
        PoolError: If the server can't be reached, or another process has the embedded database open.
    """

    def __init__(self, address: MilvusAddress) -> None:
        self.address = address
        self._milvus, self._grpc = _packages()
        self._server = _Embedded.of(Path(address.uri)) if address.embedded else None
        uri = address.uri if self._server is None else self._server.uri
        token = "" if address.embedded else os.environ.get(TOKEN_VARIABLE, "")
        try:
            with self._told():
                self._client = self._milvus.MilvusClient(
                    uri=uri, token=token, timeout=_CONNECT_SECONDS, dedicated=True
                )
                version = str(self._client.get_server_version(timeout=_CONNECT_SECONDS))
                self._lite = version.startswith("milvus_lite")
        except BaseException:
            self._release()
            raise
        self._unflushed: Counter[str] = Counter()

    def close(self) -> None:
        """Let go of it. An embedded database can then be opened by another process."""
        with self._told():
            self._client.close()
        self._release()

    def _release(self) -> None:
        if self._server is not None:
            self._server.release()
            self._server = None

    def exists(self) -> bool:
        """Whether there is a pool."""
        with self._told():
            return bool(self._client.has_collection(self._name(VERSIONS), timeout=_TIMEOUT_SECONDS))

    def load(self) -> None:
        """Have Milvus read the collections, which nobody can search before."""
        with self._told():
            for part in (HASHTAGS, USES, VERSIONS):
                self._client.load_collection(self._name(part), timeout=_BULK_SECONDS)

    def create(self, embedding_dim: int, index: IndexKind) -> None:
        """Make the collections; that of versions last, by which a pool is known.

        Args:
            embedding_dim: Width of the vectors.
            index: ``flat`` compares with every vector, ``hnsw`` with few, and may miss one.
        """
        types = self._milvus.DataType
        text = {"datatype": types.VARCHAR, "max_length": _KEY_BYTES}
        body = {"datatype": types.VARCHAR, "max_length": _BODY_BYTES}
        number = {"datatype": types.INT64}
        changed = {"writer": text, "seq": number}
        self._make(
            HASHTAGS,
            {
                "text": text,
                "kind": number,
                "place": number,
                "since": {"datatype": types.DOUBLE},
                "epoch": number,
                "target": text,
                "target_epoch": number,
                **changed,
            },
            embedding_dim,
            _INDEXES[index],
        )
        self._make(USES, {"name": text, "body": body, **changed}, 2, _INDEXES["flat"])
        self._make(VERSIONS, {"body": body}, 2, _INDEXES["flat"])

    def _make(self, part: str, fields: dict[str, Row], width: int, index: Row) -> None:
        types = self._milvus.DataType
        with self._told():
            if self._client.has_collection(self._name(part)):  # left by an attempt that was cut off
                self._client.drop_collection(self._name(part))
            schema = self._milvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", types.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
            for name, options in fields.items():
                schema.add_field(name, **options)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=width)
            indexes = self._client.prepare_index_params()
            indexes.add_index("vector", metric_type="IP", **index)
            self._client.create_collection(
                self._name(part), schema=schema, consistency_level="Strong", timeout=_TIMEOUT_SECONDS
            )
            self._client.create_index(self._name(part), indexes, timeout=_TIMEOUT_SECONDS, sync=False)
            self._client.load_collection(self._name(part), timeout=_TIMEOUT_SECONDS)

    def write(
        self, part: str, rows: Sequence[Row], vectors: Vectors | None = None, *, new: bool = False
    ) -> None:
        """Put rows in the place of those of the same ``id``.

        Args:
            part: Which collection.
            rows: All fields but the vector.
            vectors: (n, E), theirs; Milvus wants a vector in each row, of a collection of others too.
            new: Whether there are none of the same ``id``, and `flush` will be called after many.
        """
        with self._told():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[start : start + _ROWS_AT_ONCE]
                if vectors is None:
                    full = [{**row, "vector": [0.0, 0.0]} for row in some]
                else:
                    own = vectors[start : start + _ROWS_AT_ONCE]
                    full = [{**row, "vector": vector} for row, vector in zip(some, own, strict=True)]
                put = self._client.insert if new else self._client.upsert
                put(self._name(part), full, timeout=_BULK_SECONDS)
        self._unflushed[part] += len(rows)
        if not new and self._unflushed[part] >= _FLUSHED_FROM:
            self.flush(part)

    def flush(self, part: str) -> None:
        """Have Milvus Lite write out what it has in memory; a cluster knows when by itself."""
        if self._lite and self._unflushed[part]:
            with self._told():
                self._client.flush(self._name(part), timeout=_BULK_SECONDS)
            self._unflushed[part] = 0

    def get(self, part: str, ids: Sequence[str], fields: Sequence[str] = ("*",)) -> list[Row]:
        """The rows of these ``id``s, as far as there are such; ``vector`` only if it is named."""
        rows: list[Row] = []
        with self._told():
            for start in range(0, len(ids), _IDS_AT_ONCE):
                rows += self._client.get(
                    self._name(part),
                    ids=list(ids[start : start + _IDS_AT_ONCE]),
                    output_fields=_without_vector(part) if tuple(fields) == ("*",) else list(fields),
                    consistency_level="Strong",
                    timeout=_TIMEOUT_SECONDS,
                )
        return [dict(row) for row in rows]

    def where(self, part: str, condition: str, fields: Sequence[str] = ("*",)) -> list[Row]:
        """All rows that a condition of Milvus holds for; ``vector`` only if it is named."""
        with self._told():
            rows = self._client.query(
                self._name(part),
                filter=condition,
                output_fields=_without_vector(part) if tuple(fields) == ("*",) else list(fields),
                consistency_level="Strong",
                timeout=_BULK_SECONDS,
            )
        return [dict(row) for row in rows]

    def delete(self, part: str, ids: Sequence[str]) -> None:
        """Take rows out for good."""
        with self._told():
            for start in range(0, len(ids), _IDS_AT_ONCE):
                self._client.delete(
                    self._name(part), ids=list(ids[start : start + _IDS_AT_ONCE]), timeout=_TIMEOUT_SECONDS
                )

    def search(
        self, queries: npt.NDArray[np.float32], condition: str, limit: int, *, index: IndexKind
    ) -> list[list[Found]]:
        """The hashtags of the largest inner product.

        Args:
            queries: (B, E).
            condition: Which rows.
            limit: How many, at most `MOST_HITS`.
            index: What the pool was made with.

        Returns:
            For each query, in descending order, each once; fewer than ``limit`` where there are no more.
        """
        params = {"ef": max(2 * limit, 128)} if index == "hnsw" else {}
        with self._told():
            answers = self._client.search(
                self._name(HASHTAGS),
                data=list(queries),
                anns_field="vector",
                filter=condition,
                limit=limit,
                output_fields=["vector"],
                search_params={"metric_type": "IP", "params": params},
                consistency_level="Strong",
                timeout=_TIMEOUT_SECONDS,
            )
            return [
                list(
                    {
                        str(hit["id"]): Found(
                            str(hit["id"]), np.asarray(hit["entity"]["vector"], dtype=np.float32)
                        )
                        for hit in hits
                    }.values()
                )
                for hits in answers
            ]

    def _name(self, part: str) -> str:
        return f"{self.address.name}_{part}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What Milvus refuses, in a sentence; its own messages hold addresses, never the token."""
        try:
            yield
        except (self._milvus.MilvusException, self._grpc.RpcError, ValueError) as error:
            code: Callable[[], Any] | None = getattr(error, "code", None)
            if isinstance(error, self._grpc.RpcError) and code is not None:
                reason = f"no answer: {code().name}"
            else:
                reason = getattr(error, "message", "") or str(error)
            raise PoolError(f"{self.address}: Milvus: {_short(reason)}") from None


def _without_vector(part: str) -> list[str]:
    named = {
        HASHTAGS: ["text", "kind", "place", "since", "epoch", "target", "target_epoch", "writer", "seq"],
        USES: ["name", "body", "writer", "seq"],
        VERSIONS: ["body"],
    }
    return ["id", *named[part]]


def _short(reason: str) -> str:
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    return first if len(first) <= 300 else f"{first[:297]}..."


def _packages() -> tuple[Any, Any]:
    """That of Milvus, and the one below it, whose errors come through at times."""
    try:
        import grpc
        import pymilvus
    except ImportError:
        raise MissingDependencyError(
            "a pool in Milvus needs the package pymilvus; run: pip install 'ggm[milvus]'"
        ) from None
    # It logs each error that it raises too, with a trace; ours say what matters.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus, grpc


class _Embedded:
    """An embedded database, one for all that open it in this process.

    It is asked through a socket file in a folder that only this user may enter, since the engine
    knows no passwords; one call at a time, since it isn't made for writers at the same time.
    """

    _open: dict[Path, _Embedded] = {}  # noqa: RUF012
    _opening = threading.Lock()

    def __init__(self, path: Path, start: Callable[..., Any]) -> None:
        self.path = path
        self.users = 0
        self._folder = tempfile.mkdtemp(prefix="ggm-milvus-")
        try:
            self._server, self._database, _ = start(
                data_dir=str(path), host=f"unix:{self._folder}/socket", port=0, max_workers=1
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.uri = f"unix:{self._folder}/socket:0"
        atexit.register(self._close)

    @classmethod
    def of(cls, path: Path) -> _Embedded:
        """Open it, or use it together with others.

        Raises:
            MissingDependencyError: If milvus-lite isn't installed.
            PoolError: If it can't be opened.
        """
        try:
            from milvus_lite.adapter.grpc.server import start_server_in_thread
            from milvus_lite.exceptions import DataDirLockedError
        except ImportError:
            raise MissingDependencyError(
                "a pool in a file of Milvus needs the package milvus-lite; run: pip install 'ggm[milvus]'"
            ) from None
        path = path.resolve()
        with cls._opening:
            if path not in cls._open:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cls._open[path] = cls(path, start_server_in_thread)
                except DataDirLockedError:
                    raise PoolError(
                        f"{path}: another process has this database open; for several, start a server: "
                        f"milvus-lite server --data-dir {path} --host 127.0.0.1 --max-workers 1"
                    ) from None
                except OSError as error:
                    raise PoolError(f"{path}: can't be opened: {error.strerror or error}") from error
            cls._open[path].users += 1
            return cls._open[path]

    def release(self) -> None:
        """Close it with its last user."""
        with self._opening:
            self.users -= 1
            if self.users:
                return
            del self._open[self.path]
            atexit.unregister(self._close)
            self._close()

    def _close(self) -> None:
        """Also at the end of a process that didn't."""
        self._server.stop(grace=2).wait()
        self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)
