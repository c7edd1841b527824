"""Broken videos and requests, too many of them, and the OpenAPI document; at length in benchmarks/."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from ggm.bundle import Bundle
from ggm.pool import LivingPool
from services import ServiceProcess, Serving
from videos import write_video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def process(bundle: Bundle, tiny_bundle_dir: Path, tmp_path: Path) -> Iterator[ServiceProcess]:
    LivingPool.create(tmp_path / "pool", bundle.pool).close()
    options = ("--pool", str(tmp_path / "pool"), "--per-minute", "1e7")
    with ServiceProcess(tiny_bundle_dir, tmp_path / "log", *options) as service:
        yield service


@pytest.mark.timeout(900)
def test_broken_videos_and_requests_break_nothing(process: ServiceProcess, tmp_path: Path) -> None:
    fuzz = benchmark("fuzz_service")
    seeds = [
        write_video(tmp_path / "a.mp4", seconds=0.5).read_bytes(),
        write_video(tmp_path / "b.webm", seconds=0.3, codec="libvpx-vp9").read_bytes(),
        write_video(tmp_path / "c.gif", seconds=0.3, codec="gif", sound=False).read_bytes(),
    ]
    made = fuzz.cases(seeds, seeds[0], media=60, requests=60, seed=0)
    findings, memory = fuzz.fuzz(process.port, process.process.pid, made, 120)
    assert findings.wrong == []
    assert sum(findings.statuses.values()) == 120
    assert findings.statuses["200"] > 0
    assert findings.codes["not_a_video"] > 0
    assert fuzz.grown(memory) < fuzz.GROWTH_BYTES
    received, _, _ = fuzz.send(process.port, fuzz.video_request(seeds[0]))
    assert received.startswith(b"HTTP/1.1 200")
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [row for row in rows if row["level"] == "error"] == []


def test_the_harness_finds_what_is_wrong() -> None:
    fuzz = benchmark("fuzz_service")
    shape = b'{"error":{"code":"%s","message":"","request_id":""}}'
    answer = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s"
    for status, code, extra, wrong in (
        (500, b"internal_error", b"", True),
        (503, b"queue_full", b"Retry-After: 1\r\n", False),
        (503, b"queue_full", b"", True),
        (503, b"strange", b"Retry-After: 1\r\n", True),
        (422, b"not_a_video", b"", False),
    ):
        findings = fuzz.Findings()
        body = shape % code
        findings.judge("x", b"", answer % (status, len(body), extra, body), 1.0, cut=False)
        assert bool(findings.wrong) == wrong, (status, code)
    findings = fuzz.Findings()
    findings.judge("shape", b"", answer % (404, 9, b"", b"Not Found"), 1.0, cut=False)
    findings.judge("nothing", b"", b"", 1.0, cut=False)
    findings.judge("slow", b"", b"", 1e6, cut=True)
    assert len(findings.wrong) == 3
    assert fuzz.grown([0, 10, 20, 50]) == 30


@pytest.mark.timeout(900)
def test_ten_times_too_much_is_refused_and_passes(
    tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    overload = benchmark("overload")
    options = ("--per-minute", "1e7", "--max-waiting", "8", "--max-wait", "1e6")
    with ServiceProcess(tiny_bundle_dir, tmp_path / "log", *options) as service:
        found = asyncio.run(
            overload.measure(service.url, clips[0].read_bytes(), times=10, seconds=2, alone=6, at_once=3)
        )
    assert {one.status for one in found.asked} <= {200, 503}
    assert found.accepted
    assert found.refused
    assert all(int(one.retry_after or 0) >= 1 for one in found.asked if one.status == 503)
    # At most eight are here at once, so that none waits longer than eight take, on a machine that pauses.
    assert overload.quantile(found.accepted, 0.5) < 8 * 8 / found.rate + 5
    assert overload.quantile(found.refused, 0.5) < overload.quantile(found.accepted, 0.5)
    verdicts = overload.judged(found)
    assert [held for words, held in verdicts if words.startswith(("nothing but", "every refusal"))] == [
        True
    ] * 2
    assert overload.quantile(found.recovered, 0.5) < 4 * overload.quantile(found.unloaded, 0.9) + 1


def test_the_measurement_judges() -> None:
    overload = benchmark("overload")
    usual = [1.0] * 100

    def judge(asked: list[tuple[int, float, str | None]], recovered: float = 1.0) -> list[bool]:
        rows = [overload.Asked(*one) for one in asked]
        found = overload.Measured(usual, 1.0, rows, [recovered] * 9, 1.0)
        return [held for _, held in overload.judged(found)]

    good: list[tuple[int, float, str | None]] = [(200, 1.9, None), (503, 0.1, "1")]
    assert judge(good) == [True] * 5
    assert judge([*good, (200, 2.1, None)]) == [False, True, True, True, True]
    assert judge([*good, (503, 1.1, "1")]) == [True, False, True, True, True]
    assert judge(good, 1.3) == [True, True, False, True, True]
    assert judge([*good, (0, 0.1, None)]) == [True, True, True, False, True]
    assert judge([*good, (429, 0.1, None)]) == [True, True, True, True, False]


# The OpenAPI document


def test_the_document_has_all_routes_with_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/recommend", "/v1/recommend/batch", "/v1/pool", "/v1/pool/trends", "/v1/platforms", "/v1/limits",
        "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            refusal = operation["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
            assert refusal.endswith("/Error"), (path, method)
            assert {"401", "403", "413", "421", "429", "503"} <= set(operation["responses"])
    schemas = document["components"]["schemas"]
    assert schemas["PoolChange"]["examples"]
    assert schemas["Recommended"]["examples"]
    form = document["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["example"]
    json_batch = document["paths"]["/v1/recommend/batch"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    assert json_batch["schema"]["examples"]


@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(serve: Serving, living: LivingPool) -> None:
    import schemathesis
    from schemathesis.specs.openapi import checks

    server = serve(pool=living, requests_per_minute=1e6, recommendations_per_minute=1e6)
    schema = schemathesis.openapi.from_url(f"{server.url}openapi.json")
    tried: Counter[tuple[str, str]] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=12,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            tried[case.path, case.method.lower()] += 1
            # That a schema is kept doesn't make bytes a video, or a hashtag one of the pool.
            case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

        from hypothesis import given

        given(case=operation.as_strategy())(check)()
    document = schema.raw_schema["paths"]
    assert set(tried) == {(path, method) for path, methods in document.items() for method in methods}
