"""What goes over the wire: slow and broken requests, refusals while a body still comes, clients that go."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ggm.serving.service import server as serving
from ggm.serving.service.server import ServiceServer
from services import Serving


@contextmanager
def connection(server: ServiceServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as wire:
        yield wire


def read_all(wire: socket.socket) -> bytes:
    received = b""
    while piece := wire.recv(65536):
        received += piece
    return received


def read_answer(wire: socket.socket) -> tuple[int, dict[str, str], Any]:
    """One answer that says how long it is."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = wire.recv(65536)
        assert piece, received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += wire.recv(65536)
    return int(first.split()[1]), headers, json.loads(body)


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def form(video: bytes) -> tuple[bytes, str]:
    start = b'--abc\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
    return start + video + b"\r\n--abc--\r\n", "multipart/form-data; boundary=abc"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 30 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_our_shape(serve: Serving, sent: bytes) -> None:
    server = serve()
    with connection(server) as wire:
        wire.sendall(sent)
        status, headers, body = read_answer(wire)
        assert status == 400
        assert headers["connection"] == "close"
        assert body["error"]["code"] == "bad_request"
    with connection(server) as wire:
        wire.sendall(head("GET", "/healthz"))
        assert read_answer(wire)[0] == 200


def test_slow_heads_are_cut_off(serve: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_HEADER_SECONDS", 0.3)
    server = serve()
    for sent in (b"", b"GET /healthz HTTP/1.1\r\nHo", head("GET", "/healthz") + b"GET /hea"):
        with connection(server) as wire:
            wire.sendall(sent)
            started = time.monotonic()
            read_all(wire)
            assert time.monotonic() - started < 30


def test_slow_bodies_are_cut_off(serve: Serving) -> None:
    server = serve(upload_grace_seconds=0.3, upload_bytes_per_second=1e6)
    body, kind = form(b"x" * 100_000)
    with connection(server) as wire:
        wire.sendall(head("POST", "/v1/recommend", Content_Type=kind, Content_Length=str(len(body))))
        wire.sendall(body[:1000])
        status, headers, answer = read_answer(wire)
        assert status == 408
        assert headers["connection"] == "close"
        assert answer["error"]["code"] == "upload_too_slow"
        assert read_all(wire) == b""
    assert server.app.service.queue.num_taken == 0
    assert list(server.app.service.folder.iterdir()) == []


def test_too_large_is_said_while_the_body_still_comes(serve: Serving) -> None:
    server = serve(max_upload_bytes=100_000)
    _, kind = form(b"")
    with connection(server) as wire:
        wire.sendall(head("POST", "/v1/recommend", Content_Type=kind, Transfer_Encoding="chunked"))
        start = b'--abc\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
        for piece in (start, *[b"x" * 50_000] * 3):
            wire.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        status, _, answer = read_answer(wire)
        assert status == 413
        assert answer["error"]["code"] == "too_large"
    with connection(server) as wire:  # a client that asks first needs not send it
        length = str(100 * 1024**2)
        wire.sendall(
            head("POST", "/v1/recommend", Content_Type=kind, Content_Length=length, Expect="100-continue")
        )
        assert read_answer(wire)[0] == 413


@pytest.mark.parametrize("path", ["/v1/pool", "/v1/recommend/batch"])
def test_json_is_refused_where_it_grows_too_large(serve: Serving, path: str) -> None:
    """It is read into memory, so that it may be smaller than videos; the rest of it isn't waited for."""
    server = serve()
    with connection(server) as wire:
        wire.sendall(head("POST", path, Content_Type="Application/JSON", Transfer_Encoding="chunked"))
        piece = b" " * 1024**2
        for _ in range(5):
            wire.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        status, _, answer = read_answer(wire)
        assert status == 413
        assert answer["error"]["code"] == "too_large"
    assert server.app.service.queue.num_taken == 0


def test_what_comes_after_a_refusal_is_read_for_a_moment(
    serve: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that clients get to read the refusal, but nobody can send for ever."""
    monkeypatch.setattr(serving, "_LINGER_SECONDS", 0.5)
    server = serve()
    with connection(server) as wire:
        wire.sendall(head("POST", "/nothing", Content_Type="text/plain", Content_Length="1000000000"))
        assert read_answer(wire)[0] == 413
        deadline = time.monotonic() + 60
        with suppress(ConnectionError):
            while time.monotonic() < deadline:
                wire.sendall(b"x" * 1000)
                time.sleep(0.01)
        assert time.monotonic() < deadline


def test_a_client_that_goes_gives_its_place_back(serve: Serving, clips: list[Path]) -> None:
    server = serve()
    body, kind = form(clips[0].read_bytes())
    for query in ("", "?stream=1"):
        for sent in (body, body[:500]):
            with connection(server) as wire:
                asked = head(
                    "POST", f"/v1/recommend{query}", Content_Type=kind, Content_Length=str(len(body))
                )
                wire.sendall(asked + sent)
    deadline = time.monotonic() + 60
    service = server.app.service
    while service.queue.num_taken or list(service.folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with connection(server) as wire:
        wire.sendall(head("POST", "/v1/recommend", Content_Type=kind, Content_Length=str(len(body))) + body)
        assert read_answer(wire)[0] == 200


def test_whoever_left_is_logged_as_gone(
    serve: Serving, clips: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "ggm.serve")
    server = serve(roots=(clips[0].parent,))
    working, left = threading.Event(), threading.Event()
    real = server.app.service.recommender.recommend_decoded

    def slowly(*given: Any, **options: Any) -> Any:
        working.set()
        assert left.wait(60)
        return real(*given, **options)

    monkeypatch.setattr(server.app.service.recommender, "recommend_decoded", slowly)
    video, kind = form(clips[0].read_bytes())
    batch = json.dumps({"items": [{"path": clips[0].name}] * 2}).encode()
    for number, (path, body, content_type) in enumerate(
        (
            ("/v1/recommend", video, kind),
            ("/v1/recommend?stream=1", video, kind),
            ("/v1/recommend/batch", batch, "application/json"),
        ),
        start=1,
    ):
        working.clear()
        left.clear()
        with connection(server) as wire:
            wire.sendall(head("POST", path, Content_Type=content_type, Content_Length=str(len(body))) + body)
            assert working.wait(60)
        deadline = time.monotonic() + 60
        while len(rows := [one for one in caplog.records if one.getMessage() == "request"]) < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        left.set()
        fields: dict[str, Any] = rows[-1].fields  # type: ignore[attr-defined]
        assert (fields["status"], fields["code"]) == (408, "client_gone"), path
    # An error among events has its own status there, and what is answered has 200.
    bad, kind = form(b"no video" * 100)
    for body in (bad, video):
        with connection(server) as wire:
            wire.sendall(
                head(
                    "POST",
                    "/v1/recommend?stream=1",
                    Content_Type=kind,
                    Content_Length=str(len(body)),
                    Connection="close",
                )
                + body
            )
            read_all(wire)
    deadline = time.monotonic() + 60
    while len(rows := [one for one in caplog.records if one.getMessage() == "request"]) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [one.fields["status"] for one in rows[3:]] == [422, 200]  # type: ignore[attr-defined]


def test_probes_may_ask_for_the_head_alone(serve: Serving) -> None:
    server = serve()
    with connection(server) as wire:
        for path in ("/", "/healthz", "/readyz"):
            wire.sendall(head("HEAD", path))
        wire.sendall(head("HEAD", "/v1/limits", Connection="close"))
        received = read_all(wire)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"HTTP/1.1 405") == 1
    assert b"{" not in received
    assert b"<html" not in received


def test_connections_are_kept_and_piped(serve: Serving) -> None:
    server = serve()
    with connection(server) as wire:
        for _ in range(3):
            wire.sendall(head("GET", "/healthz"))
            assert read_answer(wire)[0] == 200
        wire.sendall(head("GET", "/healthz") * 2 + head("GET", "/healthz", Connection="close"))
        assert read_all(wire).count(b'{"status":"ok"}') == 3


def test_too_many_connections(serve: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MAX_CONNECTIONS", 2)
    server = serve()
    with connection(server) as first, connection(server) as second:
        for wire in (first, second):
            wire.sendall(head("GET", "/healthz"))
            assert read_answer(wire)[0] == 200
        with connection(server) as third:
            status, headers, answer = read_answer(third)
            assert status == 503
            assert headers["retry-after"] == "2"
            assert answer["error"]["code"] == "too_many_connections"
