"""The stages by themselves, and the service whose work they do; `test_ray_serve` has them in replicas."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ggm.bundle import Bundle
from ggm.errors import ConfigError, MediaFormatError, MissingDependencyError
from ggm.policy import Policy
from ggm.recommend import AskedPost, DecodedPost, Recommender
from ggm.records import Video
from ggm.serving.replicas.queue import Clip, ReplicatedQueue
from ggm.serving.replicas.settings import ReplicaSettings, StageSettings
from ggm.serving.replicas.stages import (
    DecodeStage,
    FeaturesStage,
    Found,
    GenerateStage,
    Handed,
    RetrieveStage,
)
from ggm.serving.service.app import create_app
from ggm.serving.service.errors import Refusal
from ggm.serving.service.settings import ServiceSettings
from services import Started, events, refused, send


class Stages:
    """All stages in this process, one video after another; what goes between them is pickled, as Ray does."""

    num_at_work = 4
    is_running = True

    def __init__(self, recommender: Recommender, settings: ServiceSettings) -> None:
        self.decode = DecodeStage(recommender, settings)
        self.features = FeaturesStage(recommender)
        self.retrieve = RetrieveStage(recommender)
        self.generate = GenerateStage(recommender)
        self.lost = False

    def recommend(
        self, clip: Clip, goes_on: Callable[[str], bool]
    ) -> tuple[Handed[Found], Handed[Video] | None] | None:
        if self.lost:
            raise Refusal(503, "waited_too_long", "no replica", retry_after=1)
        if not goes_on("decode"):
            return None
        video = sent(self.decode.run(clip.content, clip.asked.name))
        if not goes_on("features"):
            return None
        (features,) = sent(self.features.run([video]))
        assert goes_on("retrieve")
        (guidance,) = sent(self.retrieve.run([features], [sent(clip.asked)]))
        assert goes_on("generate")
        (found,) = sent(self.generate.run([features], [guidance], [sent(clip.asked)]))
        return found, video if clip.with_video else None

    def close(self) -> None:
        self.decode.close()


def sent(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def staged(bundle: Bundle) -> Iterator[Started]:
    with ExitStack() as held:

        def start(**given: Any) -> Any:
            usual = {"recommendations_per_minute": 1e6, "recommendations_at_once": 10**6, "wait_seconds": 1e6}
            settings = ServiceSettings(**{**usual, **given})
            recommender = held.enter_context(Recommender(bundle))
            graph = Stages(recommender, settings)
            app = create_app(recommender, settings, back_end=partial(ReplicatedQueue, graph=graph))
            client = TestClient(app.asgi, base_url="http://localhost", raise_server_exceptions=False)
            return held.enter_context(client), app

        yield start


def without_chance(answer: Any) -> Any:
    """Without what differs from one request to the next; scores to the fifth digit."""
    rows = [answer["result"]] if "result" in answer else [answer]
    for row in rows:
        assert set(row.get("seconds", {})) in (set(), {"queue", "decode", "encode", "write", "total"})
        row.pop("seconds", None)
        row.pop("id", None)
        for item in row.get("hashtags", []):
            item["score"] = pytest.approx(item["score"], abs=1e-5)
    if "error" in answer:
        answer["error"].pop("request_id")
    return answer


ASKED: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("", {"description": "first snow #winter"}),
    ("?frames=1", {"options": json.dumps({"max_hashtags": 3, "beams": 2})}),
    ("", {"options": json.dumps({"novel": "forbid", "policy": {"block": ["cat"]}})}),
    ("", {"history": "#snow #cat"}),
    ("", {"options": json.dumps({"fitting": True})}),
    ("", {"options": json.dumps({"max_hashtags": 0})}),
]


@pytest.mark.parametrize(("query", "fields"), ASKED)
def test_answers_are_those_of_one_process(
    started: Started, staged: Started, clips: list[Path], query: str, fields: dict[str, str]
) -> None:
    plain, replicated = started()[0], staged()[0]
    for clip in clips[:2]:
        one, other = (send(client, clip, query=query, **fields) for client in (plain, replicated))
        assert other.status_code == one.status_code
        assert without_chance(other.json()) == without_chance(one.json())


def test_what_is_no_video_is_refused_in_the_same_words(
    started: Started, staged: Started, tmp_path: Path, clips: list[Path]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    (tmp_path / "large.mp4").write_bytes(clips[0].read_bytes() + bytes(200_000))
    settings: dict[str, Any] = {"roots": (tmp_path,), "max_upload_bytes": 150_000}
    plain, replicated = started(**settings)[0], staged(**settings)[0]
    messages = [
        refused(send(client, tmp_path / "a.mp4"), 422, "not_a_video") for client in (plain, replicated)
    ]
    assert messages[0].replace(str(tmp_path), "") == messages[1]
    items = [{"path": "a.mp4"}, {"path": "large.mp4"}, {"path": "none.mp4"}]
    answers = [client.post("/v1/recommend/batch", json={"items": items}) for client in (plain, replicated)]
    rows = [[without_chance(item) for item in answer.json()["items"]] for answer in answers]
    assert rows[0] == rows[1]
    assert [row["error"]["code"] for row in rows[1]] == ["not_a_video", "video_over_limit", "video_not_found"]


def test_progress_is_told(staged: Started, clips: list[Path]) -> None:
    told = events(send(staged()[0], clips[0], query="?stream=1").text)
    begun = [value["stage"] for name, value in told if name == "progress" and not value["done"]]
    assert begun == ["queued", "decoding", "encoding", "writing"]
    assert told[-1][0] == "result"


def test_places_are_bounded_and_lost_replicas_are_told(staged: Started, clips: list[Path]) -> None:
    client, app = staged(max_waiting=16)
    with app.service.queue.take(16):
        refused(send(client, clips[0]), 503, "queue_full")
    refused(send(staged(request_seconds=1e-6)[0], clips[0]), 503, "waited_too_long")
    app.service.queue._graph.lost = True
    refused(send(client, clips[0]), 503, "waited_too_long")
    app.service.queue._graph.lost = False
    assert send(client, clips[0]).status_code == 200
    assert client.get("/readyz").status_code == 200
    app.service.queue._graph.is_running = False
    refused(client.get("/readyz"), 503, "not_ready")
    assert app.service.queue.num_taken == 0


def test_one_in_a_batch_spoils_no_other(bundle: Bundle, clips: list[Path]) -> None:
    with Recommender(bundle) as recommender:
        stages = Stages(recommender, ServiceSettings())
        contents = [clips[0].read_bytes(), b"nothing", clips[1].read_bytes()]
        decoded = [stages.decode.run(content, f"{n}.mp4") for n, content in enumerate(contents)]
        features = stages.features.run(decoded)
        policies = [Policy(), Policy(), Policy(novel="forbid")]
        asked = [AskedPost(name=f"{n}.mp4", policy=policy) for n, policy in enumerate(policies)]
        guidance = stages.retrieve.run(features, asked)
        found = stages.generate.run(features, guidance, asked)
        assert isinstance(found[1].error, MediaFormatError)
        assert str(found[1].error).startswith("1.mp4")
        assert [one.batch for one in found] == [2, 1, 2]
        for row in (0, 2):
            value, video = found[row].value, decoded[row].value
            assert value is not None
            assert video is not None
            (alone,) = recommender.recommend_decoded([DecodedPost(video, **vars(asked[row]))])
            assert [h.text for h in value.recommendation.hashtags] == [h.text for h in alone.hashtags]
            assert set(found[row].seconds) == {"decode", "features", "retrieve", "generate"}
        # One that can't be asked for, beside one that can.
        fitting = [asked[0], AskedPost(name="2.mp4", fitting=True)]
        one, other = stages.generate.run(features[::2], guidance[::2], fitting)
        assert one.value is not None
        assert "has no scorer" in str(other.error)
        stages.close()


def test_settings_of_replicas(tmp_path: Path) -> None:
    file = tmp_path / "replicas.toml"
    file.write_text("upscale_seconds = 3\n[generate]\nmax_replicas = 9\ngpus = 0.5\n")
    read = ReplicaSettings.load(file)
    assert read.generate == StageSettings(max_replicas=9, target=4.0, gpus=0.5)
    assert read.decode == ReplicaSettings().decode
    assert [name for name, _ in read.stages()] == ["decode", "features", "retrieve", "generate"]
    for text, told in (
        ("[write]\nmax_replicas = 2", "unknown key write"),
        ("[generate]\nmany = 2", "unknown key many"),
        ("[generate]\nmax_replicas = 0", "max_replicas must be above 0"),
        ("[generate]\nmin_replicas = 9", "is below min_replicas"),
        ("[features]\ngpus = -1", "gpus can't be negative"),
        ("[decode]\nmax_batch = 4", "decode.max_batch must be 1"),
        ("upscale_seconds = -1", "upscale_seconds can't be negative"),
        ("=", "can't be read"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=told):
            ReplicaSettings.load(file)


def test_what_a_loss_is_told_by() -> None:
    """Serve says of a dead replica of the stage before something else than of one of the stage itself."""
    pytest.importorskip("ray.serve")
    from ray.exceptions import ActorDiedError, RayTaskError
    from ray.serve.exceptions import RayServeException

    from ggm.serving.replicas.graph import _is_loss

    def told(error: Exception, cause: Exception) -> Exception:
        error.__cause__ = cause
        return error

    of_task = RayTaskError("run", "where", ActorDiedError())
    for lost in (ActorDiedError(), of_task, told(RayServeException("failed"), of_task)):
        assert _is_loss(lost)
    for other in (
        ValueError("x"),
        RayTaskError("run", "where", ValueError("x")),
        RayServeException("failed"),
    ):
        assert not _is_loss(other)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from ggm.serving.cli import app

    monkeypatch.delitem(sys.modules, "ggm.serving.replicas.graph", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = CliRunner().invoke(app, ["serve", "--ray"])
    assert isinstance(result.exception, MissingDependencyError)
    assert "pip install 'ggm[ray]'" in str(result.exception)
