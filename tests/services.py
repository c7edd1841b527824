"""How tests ask a service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ggm.serving.service.app import App

Started = Callable[..., tuple[TestClient, App]]


def send(client: TestClient, path: Path, *, query: str = "", **fields: Any) -> Any:
    """A video, as browsers send it."""
    with path.open("rb") as file:
        return client.post(f"/v1/recommend{query}", files={"video": file}, data=fields)


def refused(answer: Any, status: int, code: str) -> str:
    """Check a refusal, and give its message."""
    assert answer.status_code == status, answer.text
    (error,) = answer.json().values()
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    message: str = error["message"]
    return message


def events(text: str) -> list[tuple[str, Any]]:
    """Server-sent events: their names and values."""
    import json

    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], json.loads(fields["data"])))
    return found
