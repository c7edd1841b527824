"""Breaks videos and requests at random and sends them to a running service.

    python benchmarks/fuzz_service.py --model random --media 10000 --requests 10000

Nothing may crash it, hang beyond its limits, or be answered by a 5xx but a 503 that says what is busy;
every refusal must have the one shape; and memory must not grow. What fails is kept, with the seed. Each
case depends on its own number alone, so that `--first` goes on where a run was stopped.

The videos that are broken are short ones in many containers and codecs, or those of `--seeds`. What a
model says doesn't matter here: the one of random weights (`--model random`) answers whole videos soonest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # how small videos and a system of random weights are made
BOUNDARY = b"ggm-fuzz"
LONGEST_SECONDS = 120.0
GROWTH_BYTES = 96 * 1024**2
BUSY = {
    "queue_full",
    "waited_too_long",
    "too_many_connections",
    "stopping",
    "no_room",
    "decoding_unavailable",
}
KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "turned.mov": {"rotation": 90, "sound": False},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.mkv": {"codec": "libvpx", "sound_codec": "libopus"},
    "mpeg4.avi": {"codec": "mpeg4", "sound": False},
    "mjpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "sound": False},
    "h264.ts": {"container_format": "mpegts"},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "a.gif": {"codec": "gif", "sound": False},
}
OPTIONS = ("max_hashtags", "min_score", "platform", "novel", "beams", "fitting", "policy", "x")
HOSTILE = (
    "", " ", "\0", "\ud800", "\u202e", "#", "a" * 100_000, "\U0001f600" * 500, "0", "-1", "1e999", "NaN",
    "null", "true", "[]", "{}", '{"a":' * 500, "../../etc/passwd", "%00", "'; DROP TABLE",
    "\r\n\r\nGET / HTTP/1.1",
)  # fmt: skip


@dataclass
class Findings:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    kept: Path | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, name: str, sent: bytes, received: bytes, seconds: float, *, cut: bool) -> None:
        """Count one answer, and keep what is wrong."""
        reason = None
        status = "none"
        if match := re.match(rb"HTTP/1\.1 (\d{3})", received):
            status = match[1].decode()
            _, _, body = received.partition(b"\r\n\r\n")
            if int(status) >= 400 and b"\r\n\r\n" in received:
                reason = self._judge_refusal(int(status), received, body)
        elif received:
            reason = "the answer isn't HTTP"
        elif not cut:
            reason = "no answer"
        if seconds > LONGEST_SECONDS:
            reason = f"took {seconds:.0f} s"
        with self.lock:
            self.statuses[status] += 1
            self.kinds[f"{name.partition('-')[0]} {status}"] += 1
            self.slowest = max(self.slowest, seconds)
            if reason is not None:
                self.wrong.append(f"{name}: {reason}")
                if self.kept is not None:
                    self.kept.mkdir(parents=True, exist_ok=True)
                    (self.kept / f"{name}.bin").write_bytes(sent)

    def _judge_refusal(self, status: int, received: bytes, body: bytes) -> str | None:
        head = received.partition(b"\r\n\r\n")[0].lower()
        if b"transfer-encoding: chunked" in head:
            return None  # events
        if received.startswith(b"HTTP/1.1 405") and not body:
            return None  # of HEAD
        try:
            error = json.loads(body[: int(re.search(rb"content-length: (\d+)", head)[1])])["error"]  # type: ignore[index]
            code = error["code"]
            assert set(error) == {"code", "message", "request_id"}
        except (ValueError, KeyError, TypeError, AssertionError) as wrong:
            return None if b"HTTP/1.1" in body else f"{status} of another shape: {wrong!r}"
        with self.lock:
            self.codes[code] += 1
        if status >= 500 and (status != 503 or code not in BUSY or b"retry-after" not in head):
            return f"{status} {code}"
        return None


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A content with one to eight things done to it."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5, 8))):
        if not data:
            break
        place = draw.randrange(len(data))
        # Headers are what decoders read first.
        place = draw.randrange(min(len(data), 4096)) if draw.random() < 0.4 else place
        size = draw.choice((1, 2, 4, 16, 256, 4096))
        kind = draw.randrange(9)
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[place : place + size] = draw.randbytes(min(size, len(data) - place))
        elif kind == 2:
            del data[place : place + size]
        elif kind == 3:
            data[place:place] = draw.randbytes(size)
        elif kind == 4:
            del data[place:]
        elif kind == 5:
            data[place:place] = data[place : place + size]
        elif kind == 6:
            data[place : place + size] = bytes(min(size, len(data) - place))
        elif kind == 7:
            other = draw.randrange(len(data))
            data[place : place + size], data[other : other + size] = (
                data[other : other + size],
                data[place : place + size],
            )
        else:  # a length or a count
            value = draw.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, draw.randrange(2**32)))
            data[place : place + 4] = value.to_bytes(4, draw.choice(("big", "little")))
    return bytes(data)


def part(name: bytes, content: bytes, *, file: bool = False) -> bytes:
    """One part of a form."""
    extra = b'; filename="a.mp4"' if file else b""
    return (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + name + b'"' + extra + b"\r\n\r\n"
        + content + b"\r\n"
    )  # fmt: skip


def request(method: str, path: str, body: bytes, kind: str, *, length: bool = True) -> bytes:
    """A whole request, after which the connection ends."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def video_request(video: bytes, *, query: str = "", fields: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A video, as browsers send it."""
    body = part(b"video", video, file=True) + b"".join(part(name, text) for name, text in fields)
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return request("POST", f"/v1/recommend{query}", body + b"--" + BOUNDARY + b"--\r\n", kind)


def media_case(seeds: Sequence[bytes], draw: random.Random) -> bytes:
    """A request that is right but for its video."""
    query = draw.choice(("", "", "?stream=1", "?frames=1"))
    return video_request(mutated(draw.choice(seeds), draw), query=query)


def request_case(small: bytes, draw: random.Random) -> bytes:
    """A request that is broken, or right and strange."""
    if draw.random() < 0.5:
        return _strange(small, draw)
    return mutated(_strange(small, draw), draw)


def _strange(small: bytes, draw: random.Random) -> bytes:
    kind = draw.randrange(6)
    if kind == 0:
        names = (b"description", b"history", b"options", b"path", b"colour", b"video", b"")
        fields = [(draw.choice(names), _text(draw)) for _ in range(draw.randrange(6))]
        return video_request(small if draw.random() < 0.7 else b"", query=_query(draw), fields=fields)
    if kind == 1:
        options = {draw.choice(OPTIONS): _value(draw, 0) for _ in range(3)}
        return video_request(small, fields=[(b"options", json.dumps(options).encode())])
    body = json.dumps(_value(draw, 0)).encode()
    if kind == 2:
        names = ("add", "alias", "observe", "min_sources", "x")
        body = json.dumps({draw.choice(names): _value(draw, 0) for _ in range(2)}).encode()
        return request("POST", "/v1/pool", body, "application/json")
    if kind == 3:
        return request(
            "DELETE", "/v1/pool", json.dumps({"hashtags": _value(draw, 0)}).encode(), "application/json"
        )
    if kind == 4:
        items = {"items": [_value(draw, 0), {"path": draw.choice(HOSTILE)}]}
        body = json.dumps(items).encode()
        return request("POST", "/v1/recommend/batch", body, "application/json")
    path = draw.choice(("/v1/pool", "/v1/pool/trends", "/", "/v1/limits", "/openapi.json", "/x"))
    method = draw.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
    return request(method, path + _query(draw), body, draw.choice(("application/json", "text/plain", "")))


def _text(draw: random.Random) -> bytes:
    return draw.choice(HOSTILE).encode("utf-8", "surrogatepass")


def _value(draw: random.Random, depth: int) -> object:
    kind = draw.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return draw.choice((0, -1, 10**30, 1.5, float("inf"), float("nan"), True, None))
    if kind < 5:
        return draw.choice((*HOSTILE, "cat", "novel", "forbid"))
    if kind < 7:
        return [_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(HOSTILE): _value(draw, depth + 1) for _ in range(draw.randrange(3))}


def _query(draw: random.Random) -> str:
    if draw.random() < 0.4:
        return ""
    names = ("stream", "frames", "prefix", "meaning", "limit", "offset", "smoothing", "x")
    pairs = (
        f"{draw.choice(names)}={quote(draw.choice(HOSTILE)[:300].encode('utf-8', 'replace'))}"
        for _ in range(draw.randrange(1, 4))
    )
    return "?" + "&".join(pairs)


def send(port: int, sent: bytes) -> tuple[bytes, float, bool]:
    """Send bytes, say that no more come, and read until the end: the answer, and how long it took.

    The last value says whether the connection was cut while sending, so that an answer may be lost.
    """
    started = time.monotonic()
    received, cut = bytearray(), False
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_SECONDS) as wire:
            try:
                wire.sendall(sent)
            except OSError:
                cut = True
            if b"\r\n\r\n" not in sent or not _is_whole(sent):
                # More is expected that won't come: the service learns it by the end of the line.
                cut = True
                wire.shutdown(socket.SHUT_WR)
            while piece := wire.recv(65536):
                received += piece
    except TimeoutError:
        return bytes(received), LONGEST_SECONDS + 1, cut
    except OSError:
        cut = True
    return bytes(received), time.monotonic() - started, cut


def _is_whole(sent: bytes) -> bool:
    head, _, body = sent.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+) *(?:\r\n|$)", head)
    close = re.search(rb"(?i)\r\nconnection: close", head)
    return close is not None and length is not None and len(body) >= int(length[1])


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fuzz(
    port: int,
    pid: int,
    cases: Iterator[tuple[str, bytes]],
    total: int,
    *,
    threads: int = 4,
    kept: Path | None = None,
    steps: int = 10,
    say: Callable[[str], object] = lambda _: None,
) -> tuple[Findings, list[int]]:
    """Send cases from several threads.

    Args:
        port: Of the service on this computer.
        pid: Its process.
        cases: Names and requests.
        total: How many there are.
        threads: How many are sent at once.
        kept: Where requests go that found something.
        steps: How often the memory is read.
        say: Is told how it goes, as often.

    Returns:
        What was found, and the memory of the process before and after each step.
    """
    findings, memory = Findings(kept=kept), [memory_bytes(pid)]
    taking = threading.Lock()
    done = 0

    def work() -> None:
        nonlocal done
        while True:
            with taking:
                case = next(cases, None)
            if case is None:
                return
            name, sent = case
            received, seconds, cut = send(port, sent)
            findings.judge(name, sent, received, seconds, cut=cut)
            with taking:
                done += 1
                if done % max(1, total // steps) == 0:
                    memory.append(memory_bytes(pid))
                    say(
                        f"{done:,} of {total:,}, to {name}; memory {memory[-1] / 1e6:,.0f} MB; "
                        f"{dict(findings.statuses)}; {len(findings.wrong)} wrong; "
                        f"slowest {findings.slowest:.1f} s"
                    )

    with ThreadPoolExecutor(threads) as pool:
        for one in [pool.submit(work) for _ in range(threads)]:
            one.result()
    return findings, memory


def grown(memory: Sequence[int]) -> int:
    """By how many bytes the memory grew after the first fifth, in which caches fill."""
    settled = memory[min(max(2, (len(memory) - 1) // 5), len(memory) - 1)]
    return memory[-1] - settled


def cases(
    seeds: Sequence[bytes], small: bytes, *, media: int, requests: int, seed: int, first: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Videos and requests in turns; each depends on its own number alone."""
    for number in range(first, max(media, requests)):
        if number < media:
            yield f"media-{seed}-{number}", media_case(seeds, random.Random(f"media {seed} {number}"))
        if number < requests:
            yield f"request-{seed}-{number}", request_case(small, random.Random(f"request {seed} {number}"))


@contextmanager
def running(model: str, folder: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A service with a pool of its own and no limit of requests: its port and process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TOKENIZERS_PARALLELISM": "false"}
    ggm = [sys.executable, "-m", "ggm"]
    subprocess.run(
        [*ggm, "pool", "init", str(folder / "pool"), "--model", model], env=environment, check=True
    )
    command = [
        *ggm,
        "serve",
        "--model",
        model,
        "--pool",
        str(folder / "pool"),
        "--port",
        "0",
        "--per-minute",
        "1e7",
        "--max-wait",  # a video that is refused for the queue's length tests nothing
        "1e6",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield int(line.split()[2].rstrip("/;").rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait(60)


def made_seeds(folder: Path) -> list[bytes]:
    """Videos of half a second in several containers and codecs."""
    from videos import write_video

    return [
        write_video(folder / name, seconds=0.5, **options).read_bytes() for name, options in KINDS.items()
    ]


def random_model(folder: Path) -> str:
    """A bundle whose parts are all there, but small and of random weights: its folder."""
    from ggm.bundle import save_bundle
    from systems import random_bundle

    save_bundle(random_bundle("tiny"), folder)
    return str(folder)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=int, default=200, help="broken videos")
    parser.add_argument("--requests", type=int, default=200, help="broken requests")
    parser.add_argument("--first", type=int, default=0, help="number of the first video and request")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="compact", help="name, folder, or `random`")
    parser.add_argument("--seeds", type=Path, help="folder of whole videos; by default they are made")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100, help="lines about how it goes")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is ended, too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = made_seeds(folder) if wanted.seeds is None else given_seeds(wanted.seeds)
        small = min(seeds, key=len)
        model = random_model(folder / "random") if wanted.model == "random" else wanted.model
        with running(model, folder) as (port, process):
            made = cases(
                seeds,
                small,
                media=wanted.media,
                requests=wanted.requests,
                seed=wanted.seed,
                first=wanted.first,
            )
            total = max(0, wanted.media - wanted.first) + max(0, wanted.requests - wanted.first)
            findings, memory = fuzz(
                port,
                process.pid,
                made,
                total,
                threads=wanted.threads,
                kept=wanted.out,
                steps=wanted.steps,
                say=lambda line: print(line, flush=True),
            )
            alive = process.poll() is None
            received, _, _ = send(port, video_request(small))
            healthy = received.startswith(b"HTTP/1.1 200")
        errors = [line for line in (folder / "log").read_text().splitlines() if '"level": "error"' in line]
    print(f"answers: {dict(sorted(findings.kinds.items()))}")
    print(f"refusals: {dict(findings.codes)}")
    print(f"slowest: {findings.slowest:.1f} s; memory: {[round(one / 1e6) for one in memory]} MB")
    print(f"alive: {alive}; answers a whole video: {healthy}; grown by {grown(memory) / 1e6:.0f} MB")
    for reason in findings.wrong[:50]:
        print(f"WRONG {reason}")
    for line in errors[:50]:
        print(f"LOGGED {line}")
    if findings.wrong or errors or not alive or not healthy or grown(memory) > GROWTH_BYTES:
        sys.exit(1)


def given_seeds(folder: Path) -> list[bytes]:
    """Videos of a folder."""
    return [
        path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".gif")
    ]


if __name__ == "__main__":
    main()
