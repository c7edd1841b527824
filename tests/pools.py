"""Small living pools for tests: vectors that follow from the hashtag, and a clock that is set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ggm.hashtags import key
from ggm.pool import LivingPool
from ggm.pool.changes import Observed
from ggm.pool.uses import DAY_SECONDS, HalfLives, joined, used_once
from ggm.retriever import HashtagPool

WIDTH = 8
FINGERPRINT = "me"
START = 1_800_000_000.0
"""When the tests' time begins."""


def vector_of(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=WIDTH)


def embed(texts: Sequence[str]) -> np.ndarray:
    return np.array([vector_of(text) for text in texts]).reshape(-1, WIDTH)


class Clock:
    """Stands still unless it is set forward."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, days: float) -> None:
        self.now += days * DAY_SECONDS


def shipped(*hashtags: str, precision: str = "float16") -> HashtagPool:
    """The pool that a living one is made of."""
    pool = HashtagPool(embedding_dim=WIDTH, retriever_fingerprint=FINGERPRINT, precision=precision)
    if hashtags:
        pool.add(hashtags, embed(hashtags))
    return pool


def make_pool(folder: Path, *hashtags: str, **options: object) -> LivingPool:
    options.setdefault("embed", embed)
    return LivingPool.create(folder, shipped(*hashtags), **options)


def observed(
    uses: dict[str, Sequence[tuple[float, str]]], half_lives: HalfLives | None = None
) -> dict[str, Observed]:
    """Uses of each hashtag: when, and by whom."""
    found = {}
    for text, events in uses.items():
        total = None
        for at, _ in events:
            total = joined(total, used_once(at), half_lives or HalfLives())
        assert total is not None
        sources = tuple(dict.fromkeys(source for _, source in events))
        found[key(text)] = Observed(text, total, sources)
    return found
