"""Hashtags in reserve: they stand behind the others until somebody adds or uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggm.errors import ConfigError, PoolError
from ggm.pool import LivingPool
from ggm.retriever import HashtagPool
from pools import START, WIDTH, Clock, embed, observed, vector_of


def make(folder: Path, *, discount: float = 0.15, trend_weight: float = 0.0) -> LivingPool:
    own = HashtagPool(embedding_dim=WIDTH, retriever_fingerprint="f")
    own.add(["snow"], embed(["snow"]))
    return LivingPool.create(
        folder, own, embed=embed, reserve_discount=discount, trend_weight=trend_weight, clock=Clock()
    )


def similarity(pool: LivingPool, text: str) -> float:
    return {hit.text: hit.similarity for hit in pool.search(vector_of(text), 10)}[text]


def test_the_discount_is_taken_off_hashtags_in_reserve_alone(tmp_path: Path) -> None:
    with make(tmp_path / "pool") as pool:
        pool.reserve(["rain", "#SNOW"])
        assert pool.hashtags == ("snow", "rain")
        assert similarity(pool, "snow") == pytest.approx(1, abs=1e-3)
        assert similarity(pool, "rain") == pytest.approx(0.85, abs=1e-3)


def test_without_a_discount_they_are_as_any(tmp_path: Path) -> None:
    with make(tmp_path / "pool", discount=0) as pool:
        pool.reserve(["rain"])
        assert similarity(pool, "rain") == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("compacted", [False, True])
def test_reserve_lasts_through_files(tmp_path: Path, compacted: bool) -> None:
    with make(tmp_path / "pool") as pool:
        pool.reserve(["rain"])
        if compacted:
            pool.compact()
    with LivingPool.open(tmp_path / "pool", read_only=True) as pool:
        assert pool.settings.reserve_discount == 0.15
        assert similarity(pool, "rain") == pytest.approx(0.85, abs=1e-3)


def test_whoever_adds_one_takes_it_out_of_reserve(tmp_path: Path) -> None:
    with make(tmp_path / "pool") as pool:
        pool.reserve(["rain"])
        pool.add(["rain"])
        assert similarity(pool, "rain") == pytest.approx(1, abs=1e-3)
        assert pool.uses("rain").first_seen == START


def test_whoever_uses_one_takes_it_out_of_reserve(tmp_path: Path) -> None:
    with make(tmp_path / "pool") as pool:
        pool.reserve(["rain"])
        pool.observe(observed({"rain": [(START - 5, "me")]}), min_sources=1)
        assert similarity(pool, "rain") == pytest.approx(1, abs=1e-3)
        assert pool.uses("rain").first_seen == START - 5


def test_an_alias_in_reserve_brings_nothing_along(tmp_path: Path) -> None:
    with make(tmp_path / "pool") as pool:
        before = pool.uses("snow")
        pool.reserve(["neige"])
        pool.alias("snow", "neige")
        assert pool.uses("snow") == before
        pool.reserve(["neige"])
        assert pool.hashtags == ("snow",)


def test_what_was_removed_stays_out(tmp_path: Path) -> None:
    with make(tmp_path / "pool") as pool:
        pool.reserve(["rain"])
        pool.remove(["rain"])
        pool.reserve(["rain"])
        assert pool.hashtags == ("snow",)


def test_trends_and_reserve_go_together(tmp_path: Path) -> None:
    with make(tmp_path / "pool", trend_weight=0.1) as pool:
        pool.reserve(["rain"])
        assert similarity(pool, "rain") == pytest.approx(0.85, abs=1e-3)
        pool.observe(observed({"rain": [(START, "me")]}), min_sources=1)
        assert similarity(pool, "rain") == pytest.approx(1 + 0.1 * np.log(2), abs=1e-3)


def test_a_wrong_discount_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reserve_discount must be 0 or more, got -1"):
        make(tmp_path / "pool", discount=-1)


def test_a_pool_for_reading_takes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "pool").close()
    with (
        LivingPool.open(tmp_path / "pool", read_only=True, embed=embed) as pool,
        pytest.raises(PoolError, match="for reading"),
    ):
        pool.reserve(["rain"])
