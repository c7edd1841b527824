"""A pool by where it is kept: a living one in a folder, or a shared one in Milvus."""

from __future__ import annotations

from pathlib import Path

from ggm.pool.address import address_of
from ggm.pool.changing import ChangingPool
from ggm.pool.folder import read_manifest
from ggm.pool.living import LivingPool
from ggm.pool.shared import SharedPool
from ggm.pool.shared_rows import check_exists, index_kind
from ggm.pool.uses import HalfLives
from ggm.retriever.pool import Embed, HashtagPool


def open_pool(
    where: str | Path,
    *,
    embed: Embed | None = None,
    retriever_fingerprint: str | None = None,
    read_only: bool = False,
) -> ChangingPool:
    """Open a pool, see `LivingPool.open` and `ggm.pool.SharedPool.open`.

    Args:
        where: A folder, or ``milvus:…``, see `ggm.pool.address.address_of`.
        embed: Embeds hashtags that come in.
        retriever_fingerprint: Of the retriever that will search it; None accepts any pool.
        read_only: Whether it will only be searched.

    Raises:
        ConfigError: If it is no address.
        PoolError: If there is no pool, or it can't be opened.
        PoolMismatchError: If another retriever made its vectors.
        MissingDependencyError: If a package for Milvus isn't installed.
    """
    address = address_of(where)
    if address is None:
        return LivingPool.open(
            where, embed=embed, retriever_fingerprint=retriever_fingerprint, read_only=read_only
        )
    return SharedPool.open(
        address, embed=embed, retriever_fingerprint=retriever_fingerprint, read_only=read_only
    )


def create_pool(
    where: str | Path,
    pool: HashtagPool,
    *,
    embed: Embed | None = None,
    half_lives: HalfLives | None = None,
    trend_weight: float = 0.0,
    reserve_discount: float = 0.0,
    index: str = "flat",
) -> ChangingPool:
    """Make a pool, see `LivingPool.create` and `ggm.pool.SharedPool.create`.

    Args:
        where: See `open_pool`.
        pool: What it holds at first.
        embed: See `open_pool`.
        half_lives: How fast uses are forgotten.
        trend_weight: What searches add for trends.
        reserve_discount: What searches take off in reserve.
        index: Of Milvus; a folder's pool is searched exactly.

    Raises:
        ConfigError: If it is no address, or a setting is out of range.
        PoolError: If there is a pool already, or it can't be made.
        MissingDependencyError: If a package for Milvus isn't installed.
    """
    address = address_of(where)
    if address is None:
        return LivingPool.create(
            where,
            pool,
            embed=embed,
            half_lives=half_lives,
            trend_weight=trend_weight,
            reserve_discount=reserve_discount,
        )
    return SharedPool.create(
        address,
        pool,
        embed=embed,
        half_lives=half_lives,
        trend_weight=trend_weight,
        reserve_discount=reserve_discount,
        index=index_kind(index),
    )


def check_pool(where: str | Path) -> None:
    """Tell that there is no pool before anything slow is done.

    Raises:
        ConfigError: If it is no address.
        PoolError: If there is none, as far as is soon seen: a server isn't asked.
    """
    address = address_of(where)
    if address is None:
        read_manifest(Path(where))
        return
    check_exists(address)
