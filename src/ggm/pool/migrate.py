"""All of a pool, from one place to another: a file, a folder, Milvus."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ggm.errors import PoolError
from ggm.hashtags import key
from ggm.pool.address import address_of
from ggm.pool.changing import Contents
from ggm.pool.durable import make as make_folder
from ggm.pool.opening import open_pool
from ggm.pool.shared_rows import fill, index_kind
from ggm.pool.state import Alias, PoolSettings, State
from ggm.pool.uses import unused
from ggm.retriever.pool import HashtagPool

_FILE: Final = ".safetensors"


def migrate(source: str | Path, target: str | Path, *, index: str = "flat") -> int:
    """Copy a pool: hashtags with their vectors and uses, other names, watched and removed ones.

    Args:
        source: A folder, ``milvus:…``, or a bundle's file, ``.safetensors``.
        target: A folder or ``milvus:…`` where no pool is yet.
        index: For Milvus, see `ggm.pool.SharedPool.create`.

    Returns:
        How many hashtags there are.

    Raises:
        PoolError: If the source can't be read, or there is a pool at the target already.
        ConfigError: If one is no address.
        MissingDependencyError: If a package for Milvus isn't installed.
    """
    to = address_of(target)
    if to is None and str(target).endswith(_FILE):
        raise PoolError(f"{target}: a file holds hashtags and vectors alone; write one with ggm pool export")
    contents = _read(source)
    if to is None:
        _write_folder(Path(target), contents)
    else:
        fill(to, contents, index_kind(index))
    return len(contents.texts)


def _read(source: str | Path) -> Contents:
    if address_of(source) is None and str(source).endswith(_FILE):
        pool = HashtagPool.load(source)
        settings = PoolSettings(
            embedding_dim=pool.embedding_dim,
            retriever_fingerprint=pool.retriever_fingerprint,
            precision=pool.precision,
        )
        since = unused(time.time())
        return Contents(settings, list(pool.hashtags), [since] * len(pool), pool.vectors, {}, {}, [], None)
    with open_pool(source, read_only=True) as opened:
        return opened.contents()


def _write_folder(folder: Path, contents: Contents) -> None:
    state = State(contents.settings)
    state.enter(contents.texts, contents.uses, contents.vectors)
    state.aliases = {key(text): Alias(text, key(of)) for text, of in contents.aliases.items()}
    state.watched = dict(contents.watched)
    state.removed = dict.fromkeys(contents.removed)
    state.total = contents.total
    make_folder(folder, state)
