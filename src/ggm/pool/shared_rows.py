"""How a shared pool stands in Milvus: its rows, and all of them written or read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, cast, get_args

import numpy as np

from ggm.errors import ConfigError, PoolError
from ggm.hashtags import key
from ggm.pool.address import MilvusAddress
from ggm.pool.changing import Contents
from ggm.pool.milvus_store import HASHTAGS, USES, VERSIONS, IndexKind, MilvusStore, Row
from ggm.pool.replica import ALIAS, ALL, HASHTAG, REMOVED, NameRow, UsesRow
from ggm.pool.state import PoolSettings
from ggm.pool.uses import Uses, unused

FORMAT: Final = "ggm-shared-pool-1"
POOL, TOKEN = "pool", "token"
"""Ids of rows of versions, besides the writers'."""
NAMES_AT_ONCE: Final = 100_000

_ROWS_AT_ONCE: Final = 4096


def index_kind(name: str) -> IndexKind:
    """Check the name of an index.

    Raises:
        ConfigError: If there is none of that name.
    """
    for kind in get_args(IndexKind):
        if name == kind:
            return cast("IndexKind", name)
    raise ConfigError(f"the index must be {' or '.join(get_args(IndexKind))}, got {name!r}")


def fill(address: MilvusAddress, contents: Contents, index: IndexKind) -> None:
    """Make a pool; nobody finds it before all of it is there.

    Args:
        address: Where there is none of that name.
        contents: What it will hold.
        index: See `ggm.pool.SharedPool.create`.

    Raises:
        PoolError: If there is one of that name, or Milvus can't be used.
    """
    writer = uuid.uuid4().hex[:16]
    width = contents.settings.embedding_dim
    store = MilvusStore(address)
    try:
        if store.exists():
            raise PoolError(f"{address}: there is a pool already; name another one with #NAME")
        store.create(width, index)
        names, end = _names(contents, writer), 0
        while rows := [row.to_row() for row in islice(names, _ROWS_AT_ONCE)]:
            own = np.zeros((len(rows), width), np.float32)
            units = contents.vectors[end : end + len(rows)]
            own[: len(units)] = units
            store.write(HASHTAGS, rows, own)
            end += len(rows)
        uses = _uses(contents, writer)
        while rows := [row.to_row() for row in islice(uses, _ROWS_AT_ONCE)]:
            store.write(USES, rows)
        pool = {
            "format": FORMAT,
            "settings": contents.settings.to_dict(),
            "index": index,
            "generation": uuid.uuid4().hex,
            "records": 0,
            "end": end,
        }
        told = {"seq": 1, "at": 0.0, "after": 1, "last": [], "end": end}
        store.write(VERSIONS, [version(writer, told), version(TOKEN, uuid.uuid4().hex), version(POOL, pool)])
    finally:
        store.close()


def check_exists(address: MilvusAddress) -> None:
    """Refuse an embedded database that isn't there, before it would be made.

    Raises:
        PoolError: If there is none.
    """
    if address.embedded and not Path(address.uri).is_dir():
        raise PoolError(f"{address}: no such database; make a pool in it: ggm pool init, or ggm pool migrate")


def read_settings(store: MilvusStore) -> tuple[PoolSettings, IndexKind]:
    """What is fixed of a pool, and how it is searched.

    Raises:
        PoolError: If there is no pool, or it is of another format.
    """
    rows = []
    if store.exists():
        store.load()
        rows = store.get(VERSIONS, [POOL])
    if not rows:
        raise PoolError(f"{store.address}: no pool there; make one: ggm pool init, or ggm pool migrate")
    try:
        body = json.loads(rows[0]["body"])
        if body["format"] != FORMAT:
            raise PoolError(f"{store.address}: not a shared pool of format {FORMAT}")
        return PoolSettings.from_dict(body["settings"]), body["index"]
    except (KeyError, TypeError, ValueError) as error:
        raise PoolError(f"{store.address}: damaged pool: {error}") from error


def version(own_id: str, body: object) -> Row:
    """A row of versions."""
    return {"id": own_id, "body": json.dumps(body, ensure_ascii=False)}


def pages(
    store: MilvusStore, end: int, size: int, fields: Sequence[str] = ("*",), condition: str = ""
) -> Iterator[list[Row]]:
    """Rows of hashtags, some at once, in the order in which they came.

    Args:
        store: To read.
        end: Where the next hashtag will stand.
        size: Places at once.
        fields: Which.
        condition: More that rows must satisfy, beginning with ``and``.
    """
    for start in range(0, max(end, 1), size):
        until = f" and place < {start + size}" if start + size < end else ""
        yield store.where(HASHTAGS, f"place >= {start}{until}{condition}", fields)


def uses_rows(store: MilvusStore, last: int) -> Iterator[Row]:
    """All rows of uses, by the number of the change, so many changes at once as give a good page."""
    start, step = 0, 16
    while start <= last:
        until = f" and seq < {start + step}" if start + step <= last else ""
        rows = store.where(USES, f"seq >= {start}{until}")
        yield from rows
        start += step
        step = step * 2 if len(rows) < NAMES_AT_ONCE // 4 else max(1, step // 2)


def _names(contents: Contents, writer: str) -> Iterator[NameRow]:
    """Hashtags first, in the order of their vectors."""
    place = 0
    for text, uses in zip(contents.texts, contents.uses, strict=True):
        yield NameRow(text, HASHTAG, place, uses.first_seen, 0, "", 0, writer, 1)
        place += 1
    for text, of in contents.aliases.items():
        yield NameRow(text, ALIAS, place, 0.0, 0, key(of), 0, writer, 1)
        place += 1
    for name in contents.removed:
        yield NameRow(name, REMOVED, place, 0.0, 0, "", 0, writer, 1)
        place += 1


def _uses(contents: Contents, writer: str) -> Iterator[UsesRow]:
    def row(name: str, text: str, uses: Uses, sources: tuple[str, ...] = ()) -> UsesRow:
        return UsesRow(name, text, 0, uses, sources, writer, 1)

    for text, uses in zip(contents.texts, contents.uses, strict=True):
        if uses != unused(uses.first_seen):
            yield row(key(text), text, uses)
    for name, watched in contents.watched.items():
        yield row(name, watched.text, watched.uses, watched.sources)
    if contents.total is not None:
        yield row(ALL, ALL, contents.total)
