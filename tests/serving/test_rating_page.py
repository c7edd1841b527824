"""The rating page's server, over real connections: what it answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ggm
import human_studies
from ggm.errors import ConfigError
from ggm.evaluation.human.ratings import Rating, RatingLog, read_ratings
from ggm.evaluation.human.study import open_study
from ggm.serving.rating_page import MAX_BODY_BYTES, RatingServer

ROOT = Path(ggm.__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that runs, and how to ask it."""

    log: RatingLog
    port: int
    token: str

    def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask for a path below the token; a path that begins with / is taken as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            target = path if path.startswith("/") else f"/{self.token}/{path}"
            connection.putrequest(
                method, target, skip_host="Host" in (headers or {}), skip_accept_encoding=True
            )
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, values: object, **changed: str) -> Answer:
        headers = {"Origin": f"http://127.0.0.1:{self.port}", "Content-Type": "application/json"}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        return self.ask("POST", "ratings", headers={k: v for k, v in headers.items() if v}, body=body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    study, _ = human_studies.small_study(tmp_path / "study")
    log = RatingLog(study, "ann")
    with RatingServer(log) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Site(log, server.port, server.url.rstrip("/").rpartition("/")[2])
        finally:
            server.stop()
            thread.join(10)
            assert not thread.is_alive()


def test_the_page_and_its_rules(site: Site) -> None:
    for name, media_type in [
        ("", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("script.js", "text/javascript; charset=utf-8"),
    ]:
        answer = site.ask("GET", name)
        assert (answer.status, answer.headers["content-type"]) == (200, media_type)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not re.search(
            rb"(?:https?:)?//[a-z]", answer.body.replace(b"// ", b"")
        )  # nothing from outside
    page = site.ask("GET", "").body
    assert not re.search(rb"<script>|<style|\son[a-z]+=|style=", page)  # as the policy wants it


def test_the_items_are_in_the_raters_order_and_tell_no_kinds(site: Site) -> None:
    answer = site.ask("GET", "items").json
    assert set(answer) == {"rater", "items"}
    assert [row["id"] for row in answer["items"]] == [item.id for item in site.log.study.order("ann")]
    by_id = {item.id: item for item in site.log.study.items}
    for row in answer["items"]:
        assert set(row) == {"id", "hashtag", "description", "video", "rating"}
        assert (row["hashtag"], row["description"]) == (
            by_id[row["id"]].hashtag,
            by_id[row["id"]].description,
        )
        assert site.ask("GET", row["video"]).body == by_id[row["id"]].video.read_bytes()


def test_nothing_that_is_sent_depends_on_the_kinds(tmp_path: Path) -> None:
    """The page's modules can't know: they never name the key."""
    code = (
        "import sys, ggm.serving.rating_page\n"
        "assert 'ggm.evaluation.human.study' in sys.modules\n"
        "print([name for name in sys.modules if 'answers' in name or 'human.sheet' in name])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.strip() == "[]"


def test_a_rating_is_kept_corrected_and_shown_again(site: Site) -> None:
    assert site.post({"item": "n0", "understandability": 4, "relevancy": 1}).json == {"done": 1}
    assert site.post({"item": "g1", "skipped": True}).json == {"done": 2}
    assert site.post({"item": "n0", "understandability": 4, "relevancy": 2}).json == {"done": 2}
    wanted = {"n0": Rating("n0", 4, 2), "g1": Rating("g1", None, None)}
    assert read_ratings(site.log.path, site.log.study) == wanted
    shown = {row["id"]: row["rating"] for row in site.ask("GET", "items").json["items"]}
    assert shown["n0"] == {"item": "n0", "understandability": 4, "relevancy": 2}
    assert shown["g1"] == {"item": "g1", "skipped": True}
    assert [shown[item] for item in ("g0", "n1", "n2", "g2")] == [None] * 4


GOOD = {"item": "n0", "understandability": 4, "relevancy": 1}


@pytest.mark.parametrize(
    ("ask", "status", "reason"),
    [
        (lambda s: s.post(GOOD, Origin="http://evil.example"), 403, "only taken from the page itself"),
        (lambda s: s.post(GOOD, Origin="null"), 403, "only taken from the page"),
        (lambda s: s.post(GOOD, Origin=""), 403, "only taken from the page"),
        (lambda s: s.post(GOOD, Origin="http://127.0.0.1:1"), 403, "only taken from the page"),
        (lambda s: s.post(GOOD, Origin=f"http://localhost:{s.port}"), 403, "only taken from the page"),
        (lambda s: s.post(GOOD, Sec_Fetch_Site="same-site"), 403, "only taken from the page"),
        (lambda s: s.post(GOOD, Content_Type="text/plain"), 415, "a rating is JSON"),
        (lambda s: s.post(GOOD, Content_Type=""), 415, "a rating is JSON"),
        (lambda s: s.post(b"{" + b" " * MAX_BODY_BYTES), 413, "isn't that long"),
        (lambda s: s.post(b"{"), 400, "JSON"),
        (lambda s: s.post(b"\xff"), 400, "JSON"),
        (lambda s: s.post(b"[" * 4000), 400, "JSON"),
        (lambda s: s.post([]), 400, "a rating is a JSON object"),
        (lambda s: s.post(GOOD | {"relevancy": 6}), 400, "whole numbers from 1 to 5"),
        (lambda s: s.post(GOOD | {"kind": "novel"}), 400, "a rating has item"),
        (lambda s: s.post(GOOD | {"item": "zz"}), 404, "the study has no item 'zz'"),
        (lambda s: s.ask("GET", "videos/99"), 404, "the study has no such video"),
        (lambda s: s.ask("GET", "videos/"), 404, None),
        (lambda s: s.ask("GET", "videos/../items.jsonl"), 404, None),
        (lambda s: s.ask("GET", "videos/..%2f..%2fstudy.key.json"), 404, None),
        (lambda s: s.ask("GET", "videos/%2Fetc%2Fpasswd"), 404, None),
        (lambda s: s.ask("GET", "videos//etc/passwd"), 404, None),
        (lambda s: s.ask("GET", "../../../../etc/passwd"), 404, None),
        (lambda s: s.ask("GET", "items.jsonl"), 404, None),
        (lambda s: s.ask("GET", "/"), 404, None),
        (lambda s: s.ask("GET", "/items"), 404, None),
        (lambda s: s.ask("GET", f"/{s.token[:-1]}/items"), 404, None),
        (lambda s: s.ask("GET", "ratings"), 405, None),
        (lambda s: s.ask("DELETE", "ratings"), 403, "only taken from the page"),
    ],
)
def test_what_is_refused_changes_nothing(
    site: Site, ask: Callable[[Site], Answer], status: int, reason: str | None
) -> None:
    answer = ask(site)
    assert answer.status == status, answer.body
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert reason is None or reason in answer.json["error"]
    assert b"root:" not in answer.body
    assert site.log.path.read_bytes() == b""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_a_name_that_was_made_to_point_here_is_refused(site: Site, host: str) -> None:
    host = host.format(port=site.port)
    for method, path in (("GET", ""), ("GET", "items"), ("GET", "videos/0"), ("POST", "ratings")):
        headers = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
        answer = site.ask(method, path, headers=headers, body=json.dumps(GOOD).encode())
        assert (answer.status, answer.json) == (421, {"error": "this server only answers for itself"})
    assert site.log.path.read_bytes() == b""


def test_localhost_is_itself_too(site: Site) -> None:
    name = f"localhost:{site.port}"
    assert site.ask("GET", "items", headers={"Host": name}).status == 200
    assert site.post(GOOD, Host=name, Origin=f"http://{name}").status == 200


def test_parts_of_a_video_can_be_asked_for(site: Site) -> None:
    content = (site.log.study.folder / "0.mp4").read_bytes()
    path = next(r["video"] for r in site.ask("GET", "items").json["items"] if r["id"] == "n0")
    whole = site.ask("GET", path)
    assert (whole.status, whole.body) == (200, content)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "video/mp4"
    for asked, start, end in [("bytes=0-1", 0, 2), ("bytes=5-", 5, len(content)), ("bytes=-3", -3, None)]:
        part = site.ask("GET", path, headers={"Range": asked})
        assert (part.status, part.body) == (206, content[start:end])
        assert part.headers["content-range"].endswith(f"/{len(content)}")
    assert site.ask("GET", path, headers={"Range": "bytes=9999-"}).status == 416
    head = site.ask("HEAD", path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(content)))
    (site.log.study.folder / "0.mp4").unlink()
    gone = site.ask("GET", path)
    assert (gone.status, gone.json) == (404, {"error": "0.mp4 isn't where the study says"})


def test_what_is_called_like_no_video_is_sent_as_bytes(tmp_path: Path) -> None:
    """A study's folder comes from somebody else; its files must not become pages of this server."""
    study, _ = human_studies.small_study(tmp_path / "study", posts=1)
    page = study.folder / "0.html"
    (study.folder / "0.mp4").rename(page)
    items = [type(item)(item.id, item.hashtag, item.description, page) for item in study.items]
    from ggm.evaluation.human.study import write_study

    write_study(study.folder, items, raters=1)
    with RatingServer(RatingLog(open_study(study.folder), "ann")) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        site = Site(RatingLog(open_study(study.folder), "ann"), server.port, server.url.split("/")[3])
        assert site.ask("GET", "videos/0").headers["content-type"] == "application/octet-stream"
        server.stop()
        thread.join(10)


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_a_missing_library_says_what_to_install(library: str) -> None:
    code = (
        f"import sys; sys.modules['{library}'] = None\n"
        "from ggm.errors import MissingDependencyError\n"
        "try: import ggm.serving.rating_page\n"
        "except MissingDependencyError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout == "rating needs the packages starlette and uvicorn: pip install 'ggm[human]'\n"


def test_a_full_disk_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ggm.evaluation.human.ratings._append", full)
    answer = site.post(GOOD)
    assert answer.status == 507
    assert "No space left" in answer.json["error"]
    assert site.log.latest == {}


def test_it_listens_on_the_loopback_interface_alone(site: Site) -> None:
    listening = socket.create_connection(("127.0.0.1", site.port))
    assert listening.getpeername()[0] == "127.0.0.1"
    listening.close()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if Path("/proc/net/tcp").exists() else []:
        address, port = line.split()[1].split(":")
        if int(port, 16) == site.port and line.split()[3] == "0A":
            assert address == "0100007F"


def test_two_servers_have_two_tokens_and_a_port_is_opened_once(site: Site) -> None:
    with RatingServer(site.log) as other:
        assert site.token not in other.url
        assert len(site.token) >= 32
    with pytest.raises(ConfigError, match=f"port {site.port} can't be opened: .*choose another one, or 0"):
        RatingServer(site.log, port=site.port)


def test_a_kill_in_the_middle_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Rate as fast as it goes, kill -9 meanwhile, start again: all that was answered is there."""
    study, _ = human_studies.small_study(tmp_path / "study")
    acknowledged: dict[str, int] = {}
    for round_number in range(2):
        command = [sys.executable, "-m", "ggm", "human", "rate", str(study.folder), "--rater", "ann"]
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        port, token = re.search(r"http://127\.0\.0\.1:(\d+)/(\S+)/ ", process.stdout.readline()).groups()  # type: ignore[union-attr]
        site = Site(RatingLog(study, "other"), int(port), token)
        shown = {row["id"]: row["rating"] for row in site.ask("GET", "items").json["items"]}
        assert {item: rating["relevancy"] for item, rating in shown.items() if rating} == acknowledged
        killer = threading.Timer(0.3, process.send_signal, [signal.SIGKILL])
        killer.start()
        sent = 0
        while True:
            item, value = study.items[sent % 6].id, 1 + (sent + round_number) % 5
            try:
                answer = site.post({"item": item, "understandability": 1, "relevancy": value})
            except (OSError, http.client.HTTPException):
                break
            assert answer.status == 200
            acknowledged[item] = value
            sent += 1
        process.wait(10)
        process.stdout.close()
        assert sent > 5
        kept = read_ratings(study.folder / "ratings" / "ann.jsonl", study)
        last = study.items[sent % 6].id  # was sent, and may or may not have come through
        found = {item: rating.relevancy for item, rating in kept.items()}
        for name in acknowledged:
            assert found[name] == acknowledged[name] or name == last
        acknowledged = {item: value for item, value in found.items() if value is not None}
