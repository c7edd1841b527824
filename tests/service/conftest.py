"""A service of random weights, asked in this process or in one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ggm.bundle import Bundle
from ggm.pool import LivingPool
from ggm.recommend import Recommender
from ggm.serving.service.app import create_app
from ggm.serving.service.settings import ServiceSettings
from services import Started
from systems import random_bundle


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return random_bundle("tiny")


@pytest.fixture
def started(bundle: Bundle) -> Iterator[Started]:
    """Starts services: started(pool=..., keys=..., **settings)."""
    with ExitStack() as held:

        def start(*, pool: LivingPool | None = None, keys: Any = None, **settings: Any) -> Any:
            chosen = bundle if pool is None else bundle.with_pool(pool)
            recommender = held.enter_context(Recommender(chosen))
            usual = {
                "decoders": 1,
                "recommendations_per_minute": 1e6,
                "recommendations_at_once": 10**6,
                "requests_per_minute": 1e6,
                "wait_seconds": 1e6,
            }
            app = create_app(recommender, ServiceSettings(**{**usual, **settings}), keys=keys)
            client = TestClient(app.asgi, base_url="http://localhost", raise_server_exceptions=False)
            return held.enter_context(client), app

        yield start


@pytest.fixture
def client(started: Started) -> TestClient:
    return started()[0]


@pytest.fixture
def living(bundle: Bundle, tmp_path: Path) -> Iterator[LivingPool]:
    with LivingPool.create(tmp_path / "pool", bundle.pool, embed=bundle.embed_hashtags) as pool:
        yield pool
