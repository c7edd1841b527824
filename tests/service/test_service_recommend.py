"""Videos are sent and answered: alone, with events, in batches, by path; and what is refused."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from ggm.bundle import Bundle
from ggm.errors import PoolError
from ggm.recommend import Recommender
from ggm.scorer import MEASURES, Scorer, Weights
from ggm.serving.service.app import create_app
from services import Started, events, refused, send


def test_an_answer_is_what_the_library_says(client: TestClient, bundle: Bundle, clips: list[Path]) -> None:
    answer = send(client, clips[0], description="first snow", options='{"max_hashtags": 3}')
    assert answer.status_code == 200, answer.text
    body = answer.json()
    with Recommender(bundle) as recommender:
        expected = recommender.recommend(clips[0], "first snow", top=3)
    assert [item["hashtag"] for item in body["hashtags"]] == [item.text for item in expected.hashtags]
    for item, wanted in zip(body["hashtags"], expected.hashtags, strict=True):
        assert item["score"] == pytest.approx(wanted.score, abs=1e-4)
        assert (item["display"], item["source"], item["flagged"]) == (wanted.display, wanted.source, False)
        assert item["novel"] == (wanted.source == "novel") != item["known"]
        near = [one["similarity"] for one in item["why"]]
        assert near == sorted(near, reverse=True)
        assert {one["hashtag"] for one in item["why"]} <= {hit.text for hit in expected.guidance.hits}
    assert [hit["hashtag"] for hit in body["guidance"]] == list(expected.guidance.texts)
    assert body["notices"] == []
    assert set(body["seconds"]) == {"queue", "decode", "encode", "write", "total"}
    assert body["bundle"]["name"] == "random"
    assert body["id"] == answer.headers["x-request-id"]
    assert "frames" not in body


def test_frames_come_as_small_pictures_if_asked_for(client: TestClient, clips: list[Path]) -> None:
    frames = send(client, clips[1], query="?frames=1").json()["frames"]
    moments = [frame["seconds"] for frame in frames]
    assert moments == sorted(moments)
    for frame in frames:
        content = base64.b64decode(frame["image"].removeprefix("data:image/jpeg;base64,"), validate=True)
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= 160


@pytest.mark.parametrize("way", ["query", "header"])
def test_events_tell_the_progress_then_the_result(client: TestClient, clips: list[Path], way: str) -> None:
    headers = {"accept": "text/event-stream"} if way == "header" else {}
    with clips[0].open("rb") as file:
        answer = client.post(
            "/v1/recommend" + ("?stream=1" if way == "query" else ""), files={"video": file}, headers=headers
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    *progress, (name, result) = events(answer.text)
    assert name == "result"
    assert result["hashtags"]
    stages = [value["stage"] for kind, value in progress if kind == "progress"]
    assert len(stages) == len(progress)
    assert list(dict.fromkeys(stages)) == ["received", "queued", "decoding", "encoding", "writing"]


def test_an_error_among_events_has_all_that_a_status_would_say(client: TestClient, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    *_, (name, value) = events(send(client, bad, query="?stream=1").text)
    assert name == "error"
    assert value["error"]["code"] == "not_a_video"
    assert value["error"]["status"] == 422


def test_what_the_creator_used_before_counts(client: TestClient, bundle: Bundle, clips: list[Path]) -> None:
    history = ["#OwnWord #cat", "#OwnWord"]
    answer = send(client, clips[0], history=history, options='{"max_hashtags": 50}').json()
    with Recommender(bundle) as recommender:
        expected = recommender.recommend(clips[0], top=50, history=history)
    found = [(item["hashtag"], item["source"]) for item in answer["hashtags"]]
    assert found == [(item.text, item.source) for item in expected.hashtags]
    assert ("OwnWord", "history") in found
    (own,) = [item for item in answer["hashtags"] if item["hashtag"] == "OwnWord"]
    assert (own["known"], own["novel"]) == (False, False), "it is in neither the pool nor the vocabulary"
    refused(send(client, clips[0], history=["!"]), 422, "no_hashtag")
    post = " ".join(f"#longhashtag{letter * 20}" for letter in "abcdefghijklmnopqrstuvwxyz")
    assert send(client, clips[0], history=["", *[post] * 199]).status_code == 200
    assert client.get("/v1/limits").json()["max_history"] == 200
    assert "at most 200" in refused(send(client, clips[0], history=[post] * 201), 422, "invalid_request")


def test_frames_are_those_that_the_recommender_looks_at(bundle: Bundle, clips: list[Path]) -> None:
    moments = {}
    for frames in ("exact", "nearest-keyframe"):
        with (
            Recommender(bundle, frames=frames) as recommender,
            TestClient(create_app(recommender).asgi, base_url="http://localhost") as client,
        ):
            shown = send(client, clips[0], query="?frames=1").json()["frames"]
            moments[frames] = [frame["seconds"] for frame in shown]
            expected = recommender.decode(clips[0]).frames.timestamps_seconds
            assert moments[frames] == pytest.approx(expected, abs=1e-3)
    assert moments["exact"] != moments["nearest-keyframe"]


def test_options_narrow_the_policy_down(started: Started, clips: list[Path]) -> None:
    from ggm.policy import Policy

    client, _ = started(policy=Policy(block=("cat*",), max_count=4, novel="forbid"))
    options = {"max_hashtags": 50, "novel": "allow", "policy": {"block": ["dog"], "max_count": 9}}
    body = send(client, clips[0], options=json.dumps(options)).json()
    texts = {item["hashtag"].lower() for item in body["hashtags"]}
    assert 0 < len(texts) <= 4
    assert not {"cat", "dog"} & texts
    assert not any(item["novel"] for item in body["hashtags"])
    reasons = {(change["hashtag"].lower(), change["rule"]) for change in body["changes"]}
    assert reasons <= {("cat", "block"), ("dog", "block")} | {one for one in reasons if one[1] != "block"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("{", "JSON"),
        ('{"colour": 1}', "colour: isn't known here"),
        ('{"max_hashtags": 0}', "max_hashtags"),
        ('{"min_score": 2}', "min_score"),
        ('{"platform": "nowhere"}', "no preset"),
        ('{"beams": 1000}', "beams"),
        ('{"fitting": true}', "no scorer"),
        ('{"policy": {"allow": ["x"]}}', "allow can't be asked for"),
        ('{"policy": {"block": ["*a*b*c*d*e*f"]}}', "wildcards"),
        ('{"novel": "flag", "policy": {"novel": "allow"}}', "given twice"),
        ('{"policy": {"max_count": "many"}}', "max_count"),
    ],
)
def test_options_that_cant_be_had(client: TestClient, clips: list[Path], options: str, words: str) -> None:
    assert words in refused(send(client, clips[0], options=options), 422, "invalid_request")


def test_what_is_no_video(client: TestClient, clips: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "secret-name.mp4"
    bad.write_bytes(b"no video" * 100)
    message = refused(send(client, bad), 422, "not_a_video")
    assert "the video" in message
    assert "secret-name" not in message
    assert "/tmp" not in message
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "is empty" in refused(send(client, empty), 422, "no_video")
    # A file under another name is told from a text, whether it is short or long.
    for content in (clips[0].read_bytes(), b"x" * 1_000_000):
        answer = client.post("/v1/recommend", files={"clip": ("a.mp4", content)})
        message = refused(answer, 422, "no_video")
        assert message == "clip: videos are taken from the part `video` alone; send the file as that"
    picture = tmp_path / "picture.jpg"
    Image.new("RGB", (64, 48)).save(picture)
    refused(send(client, picture), 422, "not_a_video")
    refused(
        client.post("/v1/recommend", data={"description": "x"}, files={"other": b"x"}), 422, "invalid_request"
    )
    refused(client.post("/v1/recommend", content=b"x"), 415, "unsupported_media_type")
    refused(client.post("/v1/recommend", json={}), 415, "unsupported_media_type")
    form = {"Content-Type": "multipart/form-data; boundary=abc"}
    refused(client.post("/v1/recommend", content=b"--abc\r\n", headers=form), 400, "bad_form")
    refused(client.post("/v1/recommend", content=b"nothing", headers=form), 400, "bad_form")
    twice = [("video", ("a.mp4", clips[0].read_bytes())), ("video", ("b.mp4", b"x"))]
    refused(client.post("/v1/recommend", files=twice), 422, "too_many_videos")


def test_limits_of_size_and_length(started: Started, clips: list[Path]) -> None:
    client, app = started(max_upload_bytes=clips[0].stat().st_size - 1, max_duration_seconds=1.2)
    refused(send(client, clips[0]), 413, "too_large")
    assert clips[1].stat().st_size < clips[0].stat().st_size
    assert "at most 1 s" in refused(send(client, clips[1]), 413, "video_over_limit")
    declared = {"Content-Length": "99999999", "Content-Type": "multipart/form-data; boundary=abc"}
    refused(client.post("/v1/recommend", content=b"--abc", headers=declared), 413, "too_large")
    assert list(app.service.folder.iterdir()) == []


def test_uploads_leave_nothing_behind(started: Started, clips: list[Path], tmp_path: Path) -> None:
    client, app = started()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    for query in ("", "?stream=1"):
        send(client, clips[0], query=query)
        send(client, bad, query=query)
    assert list(app.service.folder.iterdir()) == []
    assert app.service.queue.num_taken == 0


def test_paths_below_the_roots_alone(started: Started, clips: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    (root / "clip.mp4").write_bytes(clips[0].read_bytes())
    (tmp_path / "outside.mp4").write_bytes(clips[0].read_bytes())
    (root / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    client, _ = started(roots=(root,))

    def ask(path: str) -> Any:
        return client.post("/v1/recommend", files={"path": (None, path)})

    assert ask("clip.mp4").status_code == 200
    assert ask(str(root / "clip.mp4")).status_code == 200
    for path in (
        "../outside.mp4",
        str(tmp_path / "outside.mp4"),
        "link.mp4",
        "nothing.mp4",
        ".",
        "a\0b",
        "/etc/passwd",
    ):
        refused(ask(path), 404, "video_not_found")
    both = {"path": (None, "clip.mp4"), "video": ("a.mp4", clips[0].read_bytes())}
    refused(client.post("/v1/recommend", files=both), 422, "no_video")
    without, _ = started()
    refused(without.post("/v1/recommend", files={"path": (None, "clip.mp4")}), 403, "paths_not_allowed")
    assert client.get("/v1/limits").json()["paths"] is True


def test_a_batch_of_files(client: TestClient, clips: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    files = [("video", (path.name, path.read_bytes())) for path in (clips[0], bad, clips[1])]
    items = [{"description": "first snow"}, {}, {"options": {"max_hashtags": 1}}]
    answer = client.post("/v1/recommend/batch", files=files, data={"items": json.dumps(items)})
    assert answer.status_code == 200, answer.text
    first, second, third = answer.json()["items"]
    alone = send(client, clips[0], description="first snow").json()
    assert [one["hashtag"] for one in first["result"]["hashtags"]] == [
        one["hashtag"] for one in alone["hashtags"]
    ]
    assert second["error"]["code"] == "not_a_video"
    assert set(second) == {"error"}
    assert set(second["error"]) == {"code", "message", "request_id", "status"}
    assert second["error"]["status"] == 422
    assert len(third["result"]["hashtags"]) == 1
    few = client.post("/v1/recommend/batch", files=files, data={"items": "[{}]"})
    assert "3 videos" in refused(few, 422, "invalid_request")


def test_an_item_that_may_be_tried_again_says_when(
    started: Started, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, app = started(roots=(clips[0].parent,))

    def emptied(*_: object, **__: object) -> None:
        raise PoolError("the pool is empty")

    monkeypatch.setattr(app.service.recommender, "recommend_decoded", emptied)
    body = {"items": [{"path": clips[0].name}, {"path": "nothing.mp4"}]}
    busy, wrong = client.post("/v1/recommend/batch", json=body).json()["items"]
    assert (busy["error"]["code"], busy["error"]["status"]) == ("pool_unavailable", 503)
    assert busy["error"]["retry_after"] == 5
    assert "retry_after" not in wrong["error"]


def test_a_hashtag_of_the_description_is_said_to_be_one(bundle: Bundle, clips: list[Path]) -> None:
    weight = tuple({"named": 5.0}.get(name, 0.0) for name in MEASURES)
    own = Weights((0.0,) * len(MEASURES), (1.0,) * len(MEASURES), weight, 0.0)
    with (
        Recommender(replace(bundle, scorer=Scorer(own, own))) as recommender,
        TestClient(create_app(recommender).asgi, base_url="http://localhost") as client,
    ):
        first = send(client, clips[0], description="so cold #zzyzx").json()["hashtags"][0]
    assert (first["hashtag"], first["source"]) == ("zzyzx", "description")
    assert (first["known"], first["novel"], first["flagged"]) == (False, False, False)


def test_a_batch_of_paths(started: Started, clips: list[Path]) -> None:
    client, _ = started(roots=(clips[0].parent,), max_items=3)
    items = [{"path": clips[0].name}, {"path": "nothing.mp4"}, {}]
    first, second, third = client.post("/v1/recommend/batch", json={"items": items}).json()["items"]
    assert first["result"]["hashtags"]
    assert second["error"]["code"] == "video_not_found"
    assert third["error"]["code"] == "no_video"
    refused(client.post("/v1/recommend/batch", json={"items": items * 2}), 422, "too_many_videos")
    refused(client.post("/v1/recommend/batch", json={"items": []}), 422, "invalid_request")
    refused(client.post("/v1/recommend/batch", json={"items": [{"colour": 1}]}), 422, "invalid_request")


def test_who_would_wait_too_long_is_refused(started: Started, clips: list[Path]) -> None:
    # A video counts as a second as long as none was measured: the second may wait for one, no more.
    client, app = started(wait_seconds=1.5)
    queue = app.service.queue
    with queue.take(), queue.take():
        assert "2 videos are here already" in refused(send(client, clips[0]), 503, "queue_full")
    assert send(client, clips[0]).status_code == 200
    # However little may be waited, whoever comes alone has nobody to wait for.
    impatient, app = started(wait_seconds=0.001)
    with app.service.queue.take():
        refused(send(impatient, clips[0]), 503, "queue_full")
    assert send(impatient, clips[0]).status_code == 200


def test_what_waits_is_recommended_together(started: Started, clips: list[Path]) -> None:
    client, app = started(max_batch=4, decoders=2)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: send(client, clips[0], description="first snow"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({str([one["hashtag"] for one in answer.json()["hashtags"]]) for answer in answers}) == 1
    text = client.get("/metrics").text
    (alone,) = [line for line in text.splitlines() if line.startswith('ggm_batch_size_bucket{le="1.0"}')]
    (passes,) = [line for line in text.splitlines() if line.startswith("ggm_batch_size_count")]
    (videos,) = [line for line in text.splitlines() if line.startswith("ggm_batch_size_sum")]
    assert float(videos.split()[1]) == 16
    assert float(passes.split()[1]) < 16
    assert float(alone.split()[1]) < float(passes.split()[1])
    assert app.service.queue.num_taken == 0


def test_more_than_there_is_room_for_is_refused_unread(started: Started, clips: list[Path]) -> None:
    client, app = started(max_waiting=2, max_items=2)
    with app.service.queue.take(2):
        message = refused(send(client, clips[0]), 503, "queue_full")
        assert "2 videos" in message
    assert send(client, clips[0]).status_code == 200


def test_a_batch_takes_its_places_before_it_is_read(started: Started, clips: list[Path]) -> None:
    """As many as its body may hold videos of the largest size, which is what the disk must have room for."""
    client, app = started(max_waiting=8, max_items=8)
    files = [("video", ("a.mp4", clips[0].read_bytes()))]
    with app.service.queue.take(5):
        refused(client.post("/v1/recommend/batch", files=files), 503, "queue_full")
        refused(client.post("/v1/recommend/batch", json={"items": []}), 422, "invalid_request")
    with app.service.queue.take(4):
        assert client.post("/v1/recommend/batch", files=files).status_code == 200
    with app.service.queue.take(8):
        refused(client.post("/v1/recommend/batch", json={"items": []}), 503, "queue_full")
    assert app.service.queue.num_taken == 0


def test_what_waited_too_long_is_refused(started: Started, clips: list[Path]) -> None:
    client, _ = started(request_seconds=1e-6)
    refused(send(client, clips[0]), 503, "waited_too_long")


def test_a_killed_decoding_process_is_replaced(started: Started, clips: list[Path]) -> None:
    client, app = started()
    for _ in range(3):
        (worker,) = app.service.queue._decoding.workers._workers
        worker.ensure_started()
        assert worker._process is not None
        os.kill(worker._process._popen.pid, signal.SIGKILL)
        assert send(client, clips[0]).status_code == 200


def test_an_empty_pool_passes(started: Started, clips: list[Path], bundle: Bundle, tmp_path: Path) -> None:
    from ggm.pool import LivingPool
    from ggm.retriever.pool import HashtagPool

    empty = HashtagPool(
        embedding_dim=bundle.pool.embedding_dim, retriever_fingerprint=bundle.pool.retriever_fingerprint
    )
    with LivingPool.create(tmp_path / "pool", empty, embed=bundle.embed_hashtags) as pool:
        client, _ = started(pool=pool)
        refused(send(client, clips[0]), 503, "pool_unavailable")
        assert client.post("/v1/pool", json={"add": ["cat"]}).status_code == 200
        assert send(client, clips[0]).status_code == 200


def test_folders_of_killed_services_go_others_stay(tmp_path: Path) -> None:
    from ggm.serving.service.folder import upload_folder

    left = tmp_path / "ggm-serve-left"
    (left / "uploads").mkdir(parents=True)
    (left / ".lock").touch()
    (left / "uploads" / "video").write_bytes(b"x")
    (tmp_path / "ggm-serve-other").mkdir()  # not one of ours: no lock
    with upload_folder(tmp_path) as first, upload_folder(tmp_path) as second:
        assert not left.exists()
        assert first.is_dir()
        assert second.is_dir()
        assert first.parent.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ggm-serve-other"]
