"""The service as a process: it ends in order, survives its decoders, and loses nothing when it is killed."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest

from ggm.bundle import Bundle
from ggm.pool import LivingPool
from services import ServiceProcess, events, is_decoder

_log = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(900)  # busy machines start slowly


def ask(service: ServiceProcess, path: Path, *, query: str = "") -> httpx2.Response:
    with path.open("rb") as file:
        return httpx2.post(f"{service.url}/v1/recommend{query}", files={"video": file}, timeout=300)


def test_what_has_begun_is_answered_before_the_end(
    tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with ServiceProcess(tiny_bundle_dir, log, "--drain-seconds", "300") as service, ExitStack() as held:
        client = held.enter_context(httpx2.Client(base_url=service.url, timeout=300))
        assert client.get("/readyz").status_code == 200
        streams = []
        for _ in range(6):
            with clips[3].open("rb") as file:
                stream = held.enter_context(
                    client.stream("POST", "/v1/recommend?stream=1", files={"video": file})
                )
            lines = stream.iter_text()
            streams.append((lines, next(lines)))
        service.process.send_signal(signal.SIGTERM)
        for lines, first in streams:
            *_, (name, value) = events(first + "".join(lines))
            assert name == "result", value
            assert value["hashtags"]
        assert service.process.wait(300) == 0
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{service.url}/healthz", timeout=10)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["status"] for row in rows if row.get("route") == "/v1/recommend"] == [200] * 6
    assert not [row for row in rows if row["level"] == "error"]


def kill_decoders(service: ServiceProcess, clips: list[Path], times: int) -> None:
    """Kill all decoders at random moments under load; after each time an answer must come again."""
    draw = random.Random(0)
    ended = threading.Event()
    answered: list[Path] = []

    def keep_asking(clip: Path) -> None:
        while not ended.is_set():
            answer = ask(service, clip)
            if answer.status_code == 200:
                answered.append(clip)
            else:  # a video whose second process is killed as well can't be told from one that kills
                assert answer.json()["error"]["code"] in ("decoding_gave_up", "decoding_unavailable")

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(keep_asking, clip) for clip in clips[:2]]
        killed = 0
        try:
            while killed < times:
                time.sleep(draw.uniform(0.05, 0.3))
                for pid in service.decoders():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
                        _log.info("killed %d decoders; %d answers", killed, len(answered))
                before, until = len(answered), time.monotonic() + 60
                while len(answered) <= before:
                    assert time.monotonic() < until, "no answer within a minute of a killed decoder"
                    assert not any(one.done() for one in asking), [one.exception() for one in asking]
                    time.sleep(0.01)
        finally:
            ended.set()
        for one in asking:
            one.result()
    for clip in clips:
        assert ask(service, clip).status_code == 200


def test_killed_decoders_are_replaced(tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path) -> None:
    with ServiceProcess(tiny_bundle_dir, tmp_path / "log", "--per-minute", "1e6") as service:
        kill_decoders(service, clips, 4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_killed_decoders_are_replaced(
    tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    with ServiceProcess(tiny_bundle_dir, tmp_path / "log", "--per-minute", "1e6") as service:
        kill_decoders(service, clips, 100)


def change_until_killed(service: ServiceProcess, number: int, seconds: float, clip: Path) -> dict[str, bool]:
    """Add and remove hashtags from four threads, and send videos, until the service is killed.

    Returns:
        What was acknowledged: whether each hashtag is there.
    """
    acknowledged: dict[str, bool] = {}

    def letters(value: int) -> str:
        return "".join(chr(97 + int(digit)) for digit in str(value))

    def change(thread: int) -> None:
        with httpx2.Client(base_url=service.url, timeout=300) as client, suppress(httpx2.TransportError):
            for turn in range(100_000):
                name = f"r{letters(number)}t{letters(thread)}n{letters(turn)}"
                assert client.post("/v1/pool", json={"add": [name]}).status_code == 200
                acknowledged[name] = True
                if turn % 3 == 1:
                    del acknowledged[name]  # whether it is there is uncertain now
                    answer = client.request("DELETE", "/v1/pool", json={"hashtags": [name]})
                    assert answer.status_code == 200
                    acknowledged[name] = False

    def send() -> None:
        with suppress(httpx2.TransportError):
            while True:
                assert ask(service, clip).status_code in (200, 503)

    with ThreadPoolExecutor(5) as threads:
        changing = [threads.submit(change, thread) for thread in range(4)]
        changing.append(threads.submit(send))
        try:
            while len(acknowledged) < 8:
                time.sleep(0.01)
                assert not any(one.done() for one in changing), [one.exception() for one in changing]
            time.sleep(seconds)
            decoders = service.decoders()
        finally:
            service.process.kill()
        for one in changing:
            one.result()
    until = time.monotonic() + 60
    while any(is_decoder(pid) for pid in decoders):
        assert time.monotonic() < until, "decoders outlived their service by a minute"
        time.sleep(0.01)
    return acknowledged


def listed(service: ServiceProcess, prefix: str) -> Iterator[str]:
    """All hashtags of its pool that begin with it, page by page."""
    with httpx2.Client(base_url=service.url, timeout=300) as client:
        offset, total = 0, 1
        while offset < total:
            page = client.get("/v1/pool", params={"limit": 1000, "offset": offset, "prefix": prefix}).json()
            yield from (row["hashtag"] for row in page["hashtags"])
            offset, total = offset + 1000, page["total"]


def kill_service(
    bundle: Bundle, model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    draw = random.Random(0)
    folder, uploads = tmp_path / "pool", tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setenv("TMPDIR", str(uploads))  # of the services
    LivingPool.create(folder, bundle.pool).close()
    acknowledged: dict[str, bool] = {}
    for number in range(times):
        options = ("--pool", str(folder), "--per-minute", "1e6")
        with ServiceProcess(model, tmp_path / "log", *options) as service:
            acknowledged |= change_until_killed(service, number, draw.uniform(0.0, 0.5), clip)
        assert len(list(uploads.glob("ggm-serve-*"))) == 1, "each service takes away what the one before left"
        with LivingPool.open(folder) as pool:
            assert {name for name, there in acknowledged.items() if (name in pool) != there} == set()
        _log.info("killed %d times; %d changes were acknowledged", number + 1, len(acknowledged))
    with ServiceProcess(model, tmp_path / "log", "--pool", str(folder)) as service:
        found = set(listed(service, "r"))
        assert {name for name, there in acknowledged.items() if (name in found) != there} == set()
        assert ask(service, clip).status_code == 200


def test_a_killed_service_has_lost_nothing(
    bundle: Bundle, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_service(bundle, tiny_bundle_dir, clips[2], tmp_path, monkeypatch, 2)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_killed_services_have_lost_nothing(
    bundle: Bundle, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_service(bundle, tiny_bundle_dir, clips[2], tmp_path, monkeypatch, 100)


def test_two_services_dont_share_a_port_or_a_pool(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    from typer.testing import CliRunner

    from ggm.errors import ConfigError, PoolError
    from ggm.serving.cli import app

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--model", str(tiny_bundle_dir), "--port", port])
        assert isinstance(result.exception, ConfigError)
        assert f"port {port} can't be opened" in str(result.exception)
    result = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--model", str(tiny_bundle_dir)])
    assert isinstance(result.exception, ConfigError)
    assert "keys are needed" in str(result.exception)
    result = CliRunner().invoke(app, ["serve", "--pool", str(tmp_path / "nothing")])
    assert isinstance(result.exception, PoolError)
