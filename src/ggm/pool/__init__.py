"""A hashtag pool in a folder that changes while a service runs.

`living` is the pool; `uses` has the arithmetic of trends and `posts` reads them from a stream.
Below: `vectors` are searched without waiting for writers, `state` is what a pool holds, `changes`
what can happen to it, `journal` makes changes durable, `folder` keeps snapshots and the manifest.
The names below are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggm.pool.living import LivingPool
    from ggm.pool.uses import HalfLives, Uses

_HOMES = {
    "HalfLives": "ggm.pool.uses",
    "LivingPool": "ggm.pool.living",
    "Uses": "ggm.pool.uses",
}

__all__ = ["HalfLives", "LivingPool", "Uses"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ggm.pool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
