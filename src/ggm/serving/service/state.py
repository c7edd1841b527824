"""What the routes of one service share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from ggm.pool.changing import ChangingPool
from ggm.recommend import Recommender
from ggm.serving.service.access import Access
from ggm.serving.service.back_end import BackEnd
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings


@dataclass
class Service:
    """One service.

    Args:
        recommender: Its model.
        settings: Its limits.
        access: Who may ask.
        metrics: What is counted.
        queue: Where videos wait.
        folder: Where uploads go, once the service runs.
        stopping: Whether it is being stopped.
    """

    recommender: Recommender
    settings: ServiceSettings
    access: Access
    metrics: Metrics
    queue: BackEnd
    folder: Path = Path()
    stopping: bool = False
    pool_threads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))

    @property
    def living_pool(self) -> ChangingPool | None:
        """The pool, if it can be changed here."""
        pool: object = self.recommender.bundle.pool
        return pool if isinstance(pool, ChangingPool) and pool.writable else None
