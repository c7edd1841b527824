"""How tests ask a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from starlette.testclient import TestClient

import ggm
from ggm.serving.service.app import App
from ggm.serving.service.server import ServiceServer

Started = Callable[..., tuple[TestClient, App]]
Serving = Callable[..., ServiceServer]


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
    found = []
    for block in text.strip().split("\n\n"):
        if block.startswith(":"):
            continue  # a comment, by which a slow answer shows that it is alive
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], json.loads(fields["data"])))
    return found


class ServiceProcess:
    """`ggm serve` as a process of its own, on a free port.

    Args:
        model: Folder of a bundle.
        log: File of its log.
        options: More of the command's.
    """

    def __init__(self, model: Path | str, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ggm", "serve", "--model", str(model), "--port", "0", *options]
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(ggm.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("serving at http"):
            self.__exit__()
            raise AssertionError(f"{line}\n{log.read_text()}")
        self.url = line.split()[2].rstrip(";/")
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def decoders(self) -> list[int]:
        """Processes that decode for it."""
        children = [
            int(child)
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return [pid for pid in children if is_decoder(pid)]


def is_decoder(pid: int) -> bool:
    """Whether a process lives and decodes."""
    return b"ggm.media.worker" in _command(pid)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""
