"""Hashtags for short videos: generated, and guided by a living pool.

    from ggm import Recommender

    recommender = Recommender.from_pretrained("compact")
    print(recommender.recommend("clip.mp4", "first snow").hashtags)

The names below are loaded when first used, so that ``import ggm`` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggm.bundle import Bundle
    from ggm.errors import GgmError
    from ggm.generator.model import Generator
    from ggm.policy import Policy
    from ggm.pool.living import LivingPool
    from ggm.recommend import Recommender
    from ggm.records import Post, Recommendation
    from ggm.retriever.model import Retriever
    from ggm.retriever.pool import HashtagPool

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "ggm.bundle",
    "Generator": "ggm.generator.model",
    "GgmError": "ggm.errors",
    "HashtagPool": "ggm.retriever.pool",
    "LivingPool": "ggm.pool.living",
    "Policy": "ggm.policy",
    "Post": "ggm.records",
    "Recommendation": "ggm.records",
    "Recommender": "ggm.recommend",
    "Retriever": "ggm.retriever.model",
}

__all__ = [
    "Bundle",
    "Generator",
    "GgmError",
    "HashtagPool",
    "LivingPool",
    "Policy",
    "Post",
    "Recommendation",
    "Recommender",
    "Retriever",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ggm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
