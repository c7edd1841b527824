"""Who may ask what, how often, from where; and that every refusal looks the same."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ggm.errors import ConfigError
from ggm.pool import LivingPool
from ggm.serving.service.keys import KeyFile
from ggm.serving.service.logs import JsonLines
from ggm.serving.service.rates import RateLimiter, client_of_address
from ggm.serving.service.settings import ServiceSettings, check_reach
from services import Started, refused, send


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# Keys


def test_a_key_is_shown_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "sub" / "keys.json")
    assert file.all() == []
    made, text = file.create("the shop", "recommend")
    other, other_text = file.create("", "manage")
    content = file.path.read_text()
    assert text.rpartition("_")[2] not in content
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir() if path != file.path] == [".keys.json.lock"]
    again = KeyFile(file.path)
    assert again.find(text) == made
    assert again.find(other_text) == other
    for wrong in (
        "",
        text[:-1],
        text + "x",
        text.upper(),
        "ggm__",
        "ggm_" + made.id,
        f"ggm_{other.id}_{text.split('_', 2)[2]}",
    ):
        assert again.find(wrong) is None
    file.revoke(made.id)
    assert again.find(text) is None
    assert again.all() == [other]
    with pytest.raises(ConfigError, match="no key"):
        file.revoke(made.id)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{}]}']
)
def test_another_file_is_no_file_of_keys(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyFile(path).all()
    with pytest.raises(ConfigError, match=r"keys\.json"):
        KeyFile(path).create("", "recommend")
    assert path.read_text() == content


def test_a_role_there_isnt(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="role must be one of recommend, manage"):
        KeyFile(tmp_path / "keys.json").create("", "admin")  # type: ignore[arg-type]


def test_what_each_role_may(started: Started, living: LivingPool, clips: list[Path], tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    low, manage = file.create("", "recommend")[1], file.create("", "manage")[1]
    client, _ = started(pool=living, keys=file)
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200
    answer = client.get("/v1/pool")
    refused(answer, 401, "key_missing")
    assert answer.headers["www-authenticate"] == "Bearer"
    refused(client.get("/v1/pool", headers={"Authorization": "Basic abc"}), 401, "key_missing")
    refused(client.get("/v1/pool", headers=bearer("wrong")), 401, "key_unknown")
    refused(send(client, clips[0]), 401, "key_missing")
    refused(client.get("/metrics", headers=bearer(low)), 403, "role_missing")
    refused(client.post("/v1/pool", headers=bearer(low), json={"add": ["x1"]}), 403, "role_missing")
    refused(
        client.request("DELETE", "/v1/pool", headers=bearer(low), json={"hashtags": ["cat"]}),
        403,
        "role_missing",
    )
    assert client.get("/v1/pool", headers=bearer(low)).status_code == 200
    for path in ("/metrics", "/v1/pool", "/v1/platforms", "/v1/limits"):
        assert client.get(path, headers=bearer(manage)).status_code == 200
    assert client.post("/v1/pool", headers=bearer(manage), json={"add": ["newone"]}).status_code == 200
    file.revoke(low.split("_")[1])
    refused(client.get("/v1/pool", headers=bearer(low)), 401, "key_unknown")


def test_guessing_keys_is_slowed_down(started: Started, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.create("", "recommend")
    client, _ = started(keys=file, failed_keys_per_minute=3.0)
    for _ in range(3):
        refused(client.get("/v1/limits", headers=bearer("wrong")), 401, "key_unknown")
    refused(client.get("/v1/limits", headers=bearer("wrong")), 429, "too_many_wrong_keys")


# How often


def test_buckets_empty_and_fill() -> None:
    now = 0.0
    limiter = RateLimiter(60, 2, timer=lambda: now, most_clients=2)
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 1]
    assert limiter.wait("a") == 1
    assert limiter.take("b") == 0
    now = 0.5
    assert limiter.take("a") == pytest.approx(0.5)
    now = 1.0
    assert limiter.take("a") == 0
    assert limiter.take("a", 2) == pytest.approx(2)
    now = 100.0
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 1]
    limiter.take("c")
    limiter.take("d")
    assert limiter.take("a") == 0, "forgotten"


def test_a_household_is_one_client() -> None:
    assert (
        client_of_address("2001:db8:1:2:3:4:5:6") == client_of_address("2001:db8:1:2::9") == "2001:db8:1:2::"
    )
    assert client_of_address("192.0.2.7") == "192.0.2.7"
    assert client_of_address("testclient") == "testclient"


def test_too_many_videos(started: Started, clips: list[Path]) -> None:
    client, _ = started(recommendations_per_minute=1.0, recommendations_at_once=2, max_items=2)
    assert send(client, clips[2]).status_code == 200
    assert send(client, clips[2]).status_code == 200
    answer = send(client, clips[2])
    refused(answer, 429, "too_many_requests")
    assert 30 <= int(answer.headers["retry-after"]) <= 60
    assert client.get("/v1/limits").status_code == 200


def test_too_many_requests(started: Started) -> None:
    client, _ = started(requests_per_minute=6.0)
    assert client.get("/v1/limits").status_code == 200
    refused(client.get("/v1/limits"), 429, "too_many_requests")
    assert client.get("/healthz").status_code == 200


# From where


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.0.2.7", True),  # a number can't be made to point elsewhere
        ("tags.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example:8000", False),
        ("localhost:8000@evil.example", False),
        ("", False),
    ],
)
def test_the_host_must_be_ours(started: Started, host: str, ours: bool) -> None:
    client, _ = started(hosts=("tags.example",))
    answer = client.get("/healthz", headers={"Host": host})
    if ours:
        assert answer.status_code == 200
    else:
        refused(answer, 421, "wrong_host")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000"},  # another port is another site
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_cant_send(
    client: TestClient, clips: list[Path], headers: dict[str, str]
) -> None:
    with clips[0].open("rb") as file:
        refused(client.post("/v1/recommend", files={"video": file}, headers=headers), 403, "cross_site")
    refused(client.post("/v1/pool", json={"add": ["x"]}, headers=headers), 403, "cross_site")


def test_our_own_page_can(client: TestClient, clips: list[Path]) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    with clips[0].open("rb") as file:
        assert client.post("/v1/recommend", files={"video": file}, headers=headers).status_code == 200


def test_there_is_no_cors(client: TestClient) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.options("/v1/recommend", headers=asked), client.get("/v1/limits", headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_json_that_says_it_is_text_is_refused(client: TestClient) -> None:
    """As a form of another site could send it without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = client.post("/v1/pool", content=b'{"add": ["x"]}', headers={"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type")


# What every answer says


def test_headers_of_every_answer(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/nothing"), client.get("/healthz"), client.post("/v1/pool")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert len(answer.headers["x-request-id"]) == 16
        assert answer.headers["cache-control"] in ("no-store", "no-cache")


def test_refusals_of_the_framework_look_like_all_others(client: TestClient) -> None:
    for path in (
        "/nothing",
        "/docs",
        "/redoc",
        "/v1/",
        "/v1/pool/",
        "/%2e%2e/x",
    ):
        refused(client.get(path), 404, "not_found")
    answer = client.put("/v1/pool")
    assert "DELETE and GET and POST" in refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, POST"
    for method in ("OPTIONS", "TRACE", "PATCH", "HEAD", "BREW"):
        answer = client.request(method, "/v1/recommend")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
    refused(client.get("/v1/pool?limit=0"), 422, "invalid_request")
    assert "limit" in refused(client.get("/v1/pool?limit=many"), 422, "invalid_request")
    kind = {"Content-Type": "application/json"}
    refused(client.post("/v1/pool", content=b"{", headers=kind), 400, "bad_json")
    refused(client.post("/v1/pool", content=b"\xff\xfe", headers=kind), 400, "bad_json")
    refused(client.post("/v1/pool", content=b"[" * 100_000, headers=kind), 400, "bad_json")
    refused(
        client.post("/v1/pool", content=b"1", headers={**kind, "Content-Encoding": "gzip"}),
        415,
        "unsupported_media_type",
    )
    refused(client.post("/v1/pool", content=b" " * (4 * 1024**2 + 1), headers=kind), 413, "too_large")
    secret = "my secret text"
    message = refused(client.post("/v1/pool", json={"add": secret, secret: 1}), 422, "invalid_request")
    assert "add" in message


def test_a_bug_is_a_500_in_our_shape_and_its_words_stay_inside(
    started: Started, clips: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, app = started()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("words of a user")

    with monkeypatch.context() as patch:
        patch.setattr(app.service.recommender, "recommend_decoded", broken)
        message = refused(send(client, clips[0]), 500, "internal_error")
        assert "words of a user" not in message
        patch.setattr(app.service, "access", None)
        refused(client.post("/v1/recommend/batch", json={"items": [{}]}), 500, "internal_error")
    lines = [
        json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "ggm.serve"
    ]
    (first, *_) = [line for line in lines if line["event"] == "failed"]
    assert first["error"] == "RuntimeError"
    assert any("broken" in place for place in first["where"])
    assert "words of a user" not in json.dumps(lines)
    assert send(client, clips[0]).status_code == 200


def test_the_log_holds_nothing_that_a_user_wrote(
    started: Started, living: LivingPool, clips: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ggm.serve")
    root = tmp_path / "folderword"
    root.mkdir()
    (root / "nameword.mp4").write_bytes(b"x")
    client, _ = started(pool=living, roots=(root,))
    with clips[0].open("rb") as file:
        client.post(
            "/v1/recommend",
            files={"video": ("fileword.mp4", file)},
            data={
                "description": "descriptionword",
                "history": ["historyword"],
                "options": '{"policy": {"block": ["blockword"]}}',
            },
        )
    client.post("/v1/recommend", files={"path": (None, "nameword.mp4")})
    client.get("/v1/pool?prefix=prefixword")
    client.get("/urlword?queryword=1")
    client.post("/v1/pool", json={"add": ["addword"], "x": 1})
    client.post("/v1/pool", json={"add": ["addword"]})
    lines = [JsonLines().format(record) for record in caplog.records]
    assert "word" not in " ".join(lines)
    asked = [json.loads(line) for line in lines if json.loads(line)["event"] == "request"]
    assert [line["status"] for line in asked] == [200, 422, 200, 404, 422, 200]
    assert asked[0]["route"] == "/v1/recommend"
    assert set(asked[0]["stages"]) == {"queue", "decode", "features", "retrieve", "generate", "total"}
    assert asked[1]["code"] == "not_a_video"
    metrics = client.get("/metrics").text
    assert "word" not in metrics
    assert 'ggm_requests_total{method="POST",route="/v1/recommend",status="200"} 1.0' in metrics


# Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_others_need_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="keys are needed"):
        check_reach(host, has_keys=False)
    check_reach(host, has_keys=True)
    for own in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        check_reach(own, has_keys=False)


def test_settings_are_checked(tmp_path: Path) -> None:
    for wrong in (
        {"max_batch": 0},
        {"decode_seconds": -1.0},
        {"request_seconds": float("nan")},
        {"max_waiting": 2},
    ):
        with pytest.raises(ConfigError, match="serve: "):
            ServiceSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no such folder"):
        ServiceSettings(roots=(tmp_path / "nothing",))
