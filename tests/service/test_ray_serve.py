"""The stages in replicas of a real Ray Serve, on this computer: answers, losses, the end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from starlette.testclient import TestClient

from ggm.bundle import Bundle
from ggm.errors import ConfigError
from ggm.recommend import Recommender
from ggm.serving.replicas.queue import ReplicatedQueue
from ggm.serving.replicas.settings import ReplicaSettings, StageSettings
from ggm.serving.replicas.stages import Source
from ggm.serving.service.app import create_app
from ggm.serving.service.settings import ServiceSettings
from services import ServiceProcess, Started, events, refused, send

pytest.importorskip("ray.serve")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of which there are many
]

_SETTINGS = ServiceSettings(
    recommendations_per_minute=1e6, recommendations_at_once=10**6, wait_seconds=1e6, request_seconds=600
)
_REPLICAS = ReplicaSettings(
    decode=StageSettings(max_replicas=2, max_batch=1, cpus=0.25),
    features=StageSettings(max_replicas=2, cpus=0.25),
    retrieve=StageSettings(cpus=0.25),
    generate=StageSettings(max_replicas=2, target=1.0, cpus=0.25),
    upscale_seconds=0.0,
)


@pytest.fixture(scope="module")
def graph(tiny_bundle_dir: Path) -> Iterator[Any]:
    from ggm.serving.replicas.graph import RayGraph

    patch = pytest.MonkeyPatch()
    patch.setenv("OMP_NUM_THREADS", "1")
    made = RayGraph(Source(str(tiny_bundle_dir), settings=_SETTINGS), _REPLICAS)
    yield made
    made.close()
    patch.undo()


@pytest.fixture(scope="module")
def client(graph: Any, bundle: Bundle) -> Iterator[TestClient]:
    held_open = partial(ReplicatedQueue, graph=_Kept(graph))
    with Recommender(bundle) as recommender:
        app = create_app(recommender, _SETTINGS, back_end=held_open)
        with TestClient(app.asgi, base_url="http://localhost", raise_server_exceptions=False) as client:
            yield client


class _Kept:
    """A graph that a service doesn't end."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)

    def close(self) -> None:
        pass


def pid_of(stage: str) -> int:
    from ray import serve

    pid: int = serve.get_deployment_handle(stage, "ggm").pid.remote().result(timeout_s=300)
    return pid


def test_answers_are_those_of_one_process(
    client: TestClient, started: Started, clips: list[Path], tmp_path: Path
) -> None:
    plain = started()[0]
    for clip in clips:
        for fields in ({}, {"description": "first snow", "options": '{"max_hashtags": 3, "beams": 2}'}):
            one, other = (send(c, clip, query="?frames=1", **fields) for c in (plain, client))
            assert (one.status_code, other.status_code) == (200, 200), other.text
            first, second = one.json(), other.json()
            for item in (*first["hashtags"], *second["hashtags"]):
                item["score"] = round(item["score"], 4)
            for answer in (first, second):
                del answer["id"], answer["seconds"]
            assert first == second
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    assert refused(send(plain, tmp_path / "a.mp4"), 422, "not_a_video") == refused(
        send(client, tmp_path / "a.mp4"), 422, "not_a_video"
    )
    assert client.get("/readyz").status_code == 200


def test_deployments_scale_by_what_is_under_way(graph: Any) -> None:
    from ray import serve

    found = serve.status().applications["ggm"].deployments
    assert set(found) == {"decode", "features", "retrieve", "generate"}
    from ggm.serving.replicas.graph import application

    bound: Any = application(Source("compact"), _REPLICAS)
    config = bound._bound_deployment._deployment_config.autoscaling_config
    assert (config.min_replicas, config.max_replicas, config.target_ongoing_requests) == (1, 2, 1.0)
    assert config.upscale_delay_s == 0.0


def test_nothing_listens_to_other_computers(graph: Any) -> None:
    import ray

    session = Path(ray._private.worker._global_node.get_session_dir_path()).name
    strangers = []
    for process in psutil.process_iter():
        try:
            if session in " ".join(process.cmdline()) or process.name().startswith("ray::"):
                strangers += [
                    (process.name(), one.laddr)
                    for one in process.net_connections("inet")
                    if one.status == psutil.CONN_LISTEN
                    and one.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
                ]
        except psutil.Error:
            continue
    assert not strangers


def test_killed_replicas_lose_no_request(client: TestClient, clips: list[Path]) -> None:
    ended = threading.Event()
    statuses: list[int] = []

    def keep_asking(clip: Path) -> None:
        while not ended.is_set():
            statuses.append(send(client, clip).status_code)

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(keep_asking, clip) for clip in clips[:3]]
        try:
            for stage in ("generate", "decode"):
                pid = pid_of(stage)
                os.kill(pid, signal.SIGKILL)
                before, until = len(statuses), time.monotonic() + 900
                while len(statuses) < before + 6 or pid_of(stage) == pid:
                    assert time.monotonic() < until, f"no answers after {stage} was killed"
                    time.sleep(0.05)
        finally:
            ended.set()
        for one in asking:
            one.result()
    assert set(statuses) == {200}


def test_a_second_service_shares_the_replicas_and_ends_in_order(
    graph: Any, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    options = ("--ray-address", address, "--drain-seconds", "300", "--max-wait", "1000")
    with ServiceProcess(tiny_bundle_dir, tmp_path / "log", *options) as service, ExitStack() as held:
        client = held.enter_context(httpx2.Client(base_url=service.url, timeout=300))
        streams = []
        for clip in clips:
            with clip.open("rb") as file:
                asked = client.stream("POST", "/v1/recommend?stream=1", files={"video": file})
                lines = held.enter_context(asked).iter_text()
            streams.append((lines, next(lines)))
        service.process.send_signal(signal.SIGTERM)
        for lines, first in streams:
            *_, (name, value) = events(first + "".join(lines))
            assert name == "result", value
            assert value["hashtags"]
        assert service.process.wait(300) == 0
    assert graph.is_running


def test_a_cluster_that_isnt_there() -> None:
    from ggm.serving.replicas.graph import RayGraph

    with pytest.raises(ConfigError, match="Ray can't be used"):
        RayGraph(Source("compact"), _REPLICAS, address="127.0.0.1:1")
