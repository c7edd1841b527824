"""A hashtag pool that changes while a service runs.

`living` is the one in a folder, which one process writes, and `shared` the one in Milvus, which many
do; `changing` is what both have in common. `opening` opens either by where it is kept, and `migrate`
copies one to another; `uses` has the arithmetic of trends and `posts` reads them from a stream.
Below: `vectors` are searched without waiting for writers, `state` is what a pool holds, `changes`
what can happen to it, `journal` makes changes durable, `folder` keeps snapshots and the manifest.
Of a shared pool, `milvus_store` keeps the rows, and `replica` is what a process knows of them.
The names below are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggm.pool.living import LivingPool
    from ggm.pool.opening import open_pool
    from ggm.pool.shared import SharedPool
    from ggm.pool.uses import HalfLives, Uses

_HOMES = {
    "HalfLives": "ggm.pool.uses",
    "LivingPool": "ggm.pool.living",
    "SharedPool": "ggm.pool.shared",
    "Uses": "ggm.pool.uses",
    "open_pool": "ggm.pool.opening",
}

__all__ = ["HalfLives", "LivingPool", "SharedPool", "Uses", "open_pool"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ggm.pool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
