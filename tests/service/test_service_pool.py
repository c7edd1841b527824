"""The pool of a service: searched, changed, and seen by the next video."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ggm.bundle import load_bundle
from ggm.pool import LivingPool
from ggm.recommend import Recommender
from ggm.serving.service.app import create_app
from services import Started, refused, send

EXAMPLES = Path(__file__).parents[2] / "examples"


def delete(client: TestClient, *hashtags: str) -> Any:
    return client.request("DELETE", "/v1/pool", json={"hashtags": list(hashtags)})


def test_hashtags_come_go_and_get_other_names(started: Started, living: LivingPool) -> None:
    client, _ = started(pool=living)
    size = len(living)
    assert client.post("/v1/pool", json={"add": ["#TabbyCat", "cat", "tabbycat"]}).json() == {
        "hashtags": size + 1,
        "added": 1,
        "removed": 0,
    }
    assert client.post("/v1/pool", json={"alias": {"tabbycat": ["tabby", "tabs"]}}).status_code == 200
    assert living.aliases == {"tabby": "tabbycat", "tabs": "tabbycat"}
    found = client.get("/v1/pool", params={"prefix": "tab"}).json()
    assert found == {"hashtags": [{"hashtag": "tabbycat", "uses": 0}], "total": 1}
    assert delete(client, "tabbycat").json() == {"hashtags": size, "added": 0, "removed": 1}
    refused(delete(client, "tabbycat", "cat"), 404, "not_in_pool")
    assert "cat" in living
    with LivingPool.open(living.folder, read_only=True) as followed:
        assert list(followed) == list(living)


def test_changes_that_cant_be_made(started: Started, living: LivingPool) -> None:
    client, _ = started(pool=living, max_pool_changes=5)
    size = len(living)
    refused(client.post("/v1/pool", json={"add": ["goodone", "!"]}), 422, "no_hashtag")
    refused(client.post("/v1/pool", json={"alias": {"nothere": ["other"]}}), 409, "pool_refused")
    refused(client.post("/v1/pool", json={}), 422, "invalid_request")
    refused(
        client.post("/v1/pool", json={"add": [f"many{chr(97 + n)}" for n in range(6)]}),
        422,
        "too_many_changes",
    )
    refused(client.post("/v1/pool", json={"add": ["x" * 300]}), 422, "invalid_request")
    refused(delete(client), 422, "invalid_request")
    refused(client.delete("/v1/pool"), 422, "invalid_request")
    assert len(living) == size
    message = refused(client.post("/v1/pool", json={"alias": {"nothere": ["other"]}}), 409, "pool_refused")
    assert str(living.folder) not in message


def test_a_pool_that_cant_be_changed_here(client: TestClient, started: Started, living: LivingPool) -> None:
    refused(client.post("/v1/pool", json={"add": ["x1"]}), 409, "pool_not_living")
    assert client.get("/v1/limits").json()["pool_changes"] is False
    assert client.get("/v1/pool/trends").json() == {"rising": []}
    with LivingPool.open(living.folder, read_only=True) as followed:
        follower, _ = started(pool=followed)
        refused(delete(follower, "cat"), 409, "pool_not_living")
        writer, _ = started(pool=living)
        assert writer.get("/v1/limits").json()["pool_changes"] is True
        writer.post("/v1/pool", json={"add": ["somethingnew"]})
        found = follower.get("/v1/pool", params={"meaning": "something new", "limit": 1000}).json()[
            "hashtags"
        ]
        assert "somethingnew" in [row["hashtag"] for row in found]


def test_searching(client: TestClient, started: Started, living: LivingPool) -> None:
    for asked in (client, started(pool=living)[0]):
        everything = asked.get("/v1/pool").json()
        assert everything["total"] == len(everything["hashtags"]) == 8
        assert [
            row["hashtag"] for row in asked.get("/v1/pool", params={"prefix": "#C"}).json()["hashtags"]
        ] in (
            ["cat", "ColdWeather"],
            ["ColdWeather", "cat"],
        )
        page = asked.get("/v1/pool", params={"limit": 3, "offset": 2}).json()
        assert page["hashtags"] == everything["hashtags"][2:5]
        closest = asked.get("/v1/pool", params={"meaning": "cat on a mat"}).json()
        assert closest["total"] == len(closest["hashtags"]) == 8
        near = asked.get("/v1/pool", params={"meaning": "cat on a mat", "limit": 3, "offset": 2}).json()
        assert near == {"hashtags": closest["hashtags"][2:5], "total": 8}
        assert closest["hashtags"] == sorted(closest["hashtags"], key=lambda row: -row["similarity"])
        both = asked.get("/v1/pool", params={"meaning": "cat", "prefix": "cat"})
        refused(both, 422, "invalid_request")
        refused(asked.get("/v1/pool", params={"prefix": "!"}), 422, "no_hashtag")


def test_uses_are_counted_and_trends_shown(started: Started, living: LivingPool) -> None:
    client, _ = started(pool=living)
    now = datetime.now(UTC).isoformat()
    posts = [{"hashtags": ["snow", "brandnew"], "created_at": now, "author": f"a{n}"} for n in range(4)]
    wanted = {"observe": [*posts, {"hashtags": ["snow"], "created_at": "yesterday"}], "min_sources": 3}
    answer = client.post("/v1/pool", json=wanted).json()
    assert answer["observed"]["posts"] == 4
    assert answer["observed"]["uses"] == 8
    assert answer["observed"]["added"] == ["brandnew"]
    assert len(answer["observed"]["skipped"]) == 1
    assert living.uses("snow").num_uses == 4
    usual = [
        {
            "hashtags": ["cat"],
            "created_at": (datetime.now(UTC) - timedelta(days=day)).isoformat(),
            "id": f"{day}",
        }
        for day in range(60)
    ]
    assert client.post("/v1/pool", json={"observe": usual * 10}).json()["observed"]["posts"] == 600
    rising = client.get("/v1/pool/trends").json()["rising"]
    assert all(item["rise"] > 1 for item in rising)
    assert "snow" in [item["hashtag"] for item in rising]


def test_changes_from_many_at_once_are_all_there(
    started: Started, living: LivingPool, clips: list[Path]
) -> None:
    client, _ = started(pool=living, compact_bytes=2000)
    names = [f"name{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        videos = [threads.submit(send, client, clips[0]) for _ in range(4)]
        answers = list(threads.map(lambda name: client.post("/v1/pool", json={"add": [name]}), names))
        assert {one.result().status_code for one in videos} == {200}
    assert {answer.status_code for answer in answers} == {200}
    for thread in threading.enumerate():
        if thread.name == "ggm-serve-compact":
            thread.join()
    with LivingPool.open(living.folder, read_only=True) as followed:
        assert set(names) <= set(followed)
        assert followed.info().snapshot_records > 0, "it was compacted beside all this"


def test_a_hashtag_coined_now_is_recommended_within_a_second(tmp_path: Path) -> None:
    """By the shipped bundle; in seconds of this process's CPU, which a busy machine doesn't change."""
    bundle = load_bundle("compact")
    with (
        LivingPool.create(tmp_path / "pool", bundle.pool, embed=bundle.embed_hashtags) as pool,
        Recommender(bundle.with_pool(pool)) as recommender,
        TestClient(create_app(recommender).asgi, base_url="http://localhost") as client,
    ):
        options = '{"max_hashtags": 10}'
        before = send(client, EXAMPLES / "cat.mp4", options=options).json()
        seconds = []
        for new in ("tabbycat", "fluffycat", "kittycat"):
            assert new not in [item["hashtag"] for item in before["hashtags"]]
            started = time.process_time()
            assert client.post("/v1/pool", json={"add": [new]}).status_code == 200
            answer = send(client, EXAMPLES / "cat.mp4", options=options).json()
            seconds.append(time.process_time() - started)
            assert new in [item["hashtag"] for item in answer["hashtags"]]
        assert min(seconds) < 1
