"""The simulation of the service's queues, against what theory knows of single ones."""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("simpy")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def queueing() -> Any:
    spec = importlib.util.spec_from_file_location("queueing", BENCHMARKS / "queueing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["queueing"] = module
    spec.loader.exec_module(module)
    return module


def waited(queueing: Any, stage: Any, rate: float) -> tuple[float, float]:
    found = queueing.simulate([stage], queueing.poisson(rate), requests=30_000, seed=1)
    assert found.busy["one"] == pytest.approx(rate * 1.0 / stage.replicas, rel=0.05)
    mean, half = found.mean_wait()
    return mean, half


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server(queueing: Any, load: float) -> None:
    for seconds, theory in (
        (queueing.exponential(1.0), queueing.mm1_wait),
        (queueing.constant(1.0), queueing.md1_wait),
    ):
        mean, half = waited(queueing, queueing.Stage("one", seconds), load)
        assert abs(mean - theory(load, 1.0)) < half
        assert half < 0.2 * mean


@pytest.mark.parametrize(("servers", "load"), [(2, 0.6), (5, 0.8)])
def test_several_servers(queueing: Any, servers: int, load: float) -> None:
    rate = servers * load
    stage = queueing.Stage("one", queueing.exponential(1.0), servers)
    mean, half = waited(queueing, stage, rate)
    assert abs(mean - queueing.mmc_wait(rate, 1.0, servers)) < half
    assert queueing.mmc_wait(load, 1.0, 1) == pytest.approx(queueing.mm1_wait(load, 1.0))
    assert queueing.erlang_c(1, 0.4) == pytest.approx(0.4)


def test_a_queue_each_is_worse_than_one_for_all(queueing: Any) -> None:
    means = {}
    for routing in ("shared", "two"):
        stage = queueing.Stage("one", queueing.exponential(1.0), 5, routing=routing)
        means[routing] = queueing.simulate([stage], queueing.poisson(4.0), requests=20_000).mean_wait()[0]
    assert means["shared"] < means["two"] < queueing.mm1_wait(0.8, 1.0)


def test_batches_places_and_bursts(queueing: Any) -> None:
    seconds = queueing.spread(1.0, variation=0.0, batched=0.25)
    assert seconds(random.Random(0), 1) == 1.0
    assert seconds(random.Random(0), 4) == 1.75
    stage = queueing.Stage("one", seconds, max_batch=4)
    # Alone a server could do one a second; in batches of four it does 2.3.
    found = queueing.simulate([stage], queueing.poisson(2.0), requests=5_000)
    assert 2.0 < found.batches["one"] <= 4.0
    assert found.quantile(0.5) < 4.0
    rules = queueing.Admission(places=8)
    full = queueing.simulate([stage], queueing.poisson(5.0), requests=5_000, admission=rules)
    assert full.refused == pytest.approx(1 - 4 / 1.75 / 5.0, abs=0.05)
    assert max(full.latencies) < 8.0
    gaps = queueing.bursty(10.0, factor=4.0, share=0.1, seconds=0.5)(random.Random(0))
    drawn = [next(gaps) for _ in range(50_000)]
    assert statistics.fmean(drawn) == pytest.approx(0.1, rel=0.1)
    assert statistics.stdev(drawn) > 1.1 * statistics.fmean(drawn)


def test_a_stage_that_is_ahead_waits(queueing: Any) -> None:
    stages = [
        queueing.Stage("quick", queueing.constant(0.01)),
        queueing.Stage("slow", queueing.constant(1.0), ahead=1),
    ]
    found = queueing.simulate(stages, queueing.poisson(0.5), requests=3_000)
    alone = queueing.simulate(stages[1:], queueing.poisson(0.5), requests=3_000)
    assert statistics.fmean(found.latencies) == pytest.approx(statistics.fmean(alone.latencies), rel=0.05)
