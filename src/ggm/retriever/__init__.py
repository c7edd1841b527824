"""Finds the pool hashtags closest to a video (paper, section 3.2, "VLM-based Hashtag Retriever").

`model` has the two towers' heads, `loss` what they are trained with, `pool` the hashtags that are
searched, `index` how. The names below are loaded when first used: the pool alone needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggm.retriever.loss import contrastive_loss, false_negative_mask
    from ggm.retriever.model import Retriever, RetrieverConfig
    from ggm.retriever.pool import HashtagPool

_HOMES = {
    "HashtagPool": "ggm.retriever.pool",
    "Retriever": "ggm.retriever.model",
    "RetrieverConfig": "ggm.retriever.model",
    "contrastive_loss": "ggm.retriever.loss",
    "false_negative_mask": "ggm.retriever.loss",
}

__all__ = [
    "HashtagPool",
    "Retriever",
    "RetrieverConfig",
    "contrastive_loss",
    "false_negative_mask",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ggm.retriever' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
