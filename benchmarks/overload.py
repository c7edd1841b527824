"""Sends a service ten times what it can do, and looks at who was answered when.

    python benchmarks/overload.py --seconds 60 --alone 100 --max-wait 0.2 --check

First the service is asked by one client (unloaded), then by as many as it takes at once (its rate),
then requests come evenly at a multiple of that rate, whatever becomes of them, and then by one client
again (recovery). Accepted ones must not wait long, others must be refused quickly, and afterwards all
must be as before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
_PAUSE = 0.02
"""Seconds after a refusal, while the rate is measured."""


@dataclass(frozen=True)
class Asked:
    """One request.

    Args:
        status: Of the answer; 0 for none.
        seconds: From the moment at which it was to be sent.
        retry_after: What the refusal said.
    """

    status: int
    seconds: float
    retry_after: str | None = None


@dataclass(frozen=True)
class Measured:
    """What came out.

    Args:
        unloaded: Seconds of accepted requests of one client.
        rate: Videos a second at most.
        asked: Of the overload.
        recovered: Seconds of accepted requests of one client afterwards.
        seconds: How long the overload lasted.
    """

    unloaded: list[float]
    rate: float
    asked: list[Asked]
    recovered: list[float]
    seconds: float

    @property
    def accepted(self) -> list[float]:
        """Seconds of those that were answered."""
        return [one.seconds for one in self.asked if one.status == 200]

    @property
    def refused(self) -> list[float]:
        """Seconds of those that were refused."""
        return [one.seconds for one in self.asked if one.status in (429, 503)]


def judged(found: Measured, *, most_times: float = 2.0) -> list[tuple[str, bool]]:
    """What is expected of a service that can't do all, in words, and whether it held.

    Args:
        found: What came out.
        most_times: How much longer accepted requests may take than those of one client alone.
    """
    alone, accepted = quantile(found.unloaded, 0.99), quantile(found.accepted, 0.99)
    usual, refused = quantile(found.unloaded, 0.5), quantile(found.refused, 0.99)
    again = quantile(found.recovered, 0.5)
    strange = sorted({one.status for one in found.asked} - {200, 429, 503})
    waits = [one.retry_after for one in found.asked if one.status in (429, 503)]
    return [
        (f"accepted p99 is {accepted / alone:.2f} times the unloaded p99, at most {most_times:g}",
         accepted <= most_times * alone),
        (f"refused p99 {refused:.3f} s, below the unloaded median {usual:.3f} s", refused < usual),
        (f"recovered median {again:.3f} s, at most 1.25 times the unloaded one", again <= 1.25 * usual),
        (f"nothing but 200, 429 and 503; others: {strange}", not strange),
        ("every refusal has a Retry-After of 1 s or more", all(int(one or 0) >= 1 for one in waits)),
    ]  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; nan for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def ask(client: httpx2.AsyncClient, video: bytes) -> Asked:
    """One request."""
    started = time.perf_counter()
    try:
        answer = await client.post("/v1/recommend", files={"video": ("a.mp4", video)})
    except httpx2.TransportError:
        return Asked(0, time.perf_counter() - started)
    return Asked(answer.status_code, time.perf_counter() - started, answer.headers.get("retry-after"))


async def measure(
    url: str, video: bytes, *, times: float, seconds: float, alone: int, at_once: int
) -> Measured:
    """The whole of it.

    Args:
        url: Of the service.
        video: That is sent.
        times: The overload, as a multiple of the service's rate.
        seconds: How long.
        alone: Requests of the one client, before and after.
        at_once: Clients for the rate.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    async with httpx2.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
        await ask(client, video)
        unloaded = [(await ask(client, video)).seconds for _ in range(alone)]

        async def keep_asking(count: int) -> None:
            while count:  # refused ones are no work that was done
                if (await ask(client, video)).status == 200:
                    count -= 1
                else:
                    await asyncio.sleep(_PAUSE)

        started = time.perf_counter()
        each = max(1, alone // 2)
        await asyncio.gather(*(keep_asking(each) for _ in range(at_once)))
        rate = at_once * each / (time.perf_counter() - started)

        async def later(after: float) -> Asked:
            await asyncio.sleep(after)
            return await ask(client, video)

        count = max(1, int(times * rate * seconds))
        asked = await asyncio.gather(*(later(number / (times * rate)) for number in range(count)))
        recovered = [(await ask(client, video)).seconds for _ in range(alone)]
    return Measured(unloaded, rate, list(asked), recovered, seconds)


@contextmanager
def running(model: str, *options: str) -> Iterator[str]:
    """A service without limits of requests: its address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TOKENIZERS_PARALLELISM": "false"}
    command = [
        sys.executable,
        "-m",
        "ggm",
        "serve",
        "--model",
        model,
        "--port",
        "0",
        "--per-minute",
        "1e7",
        *options,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[2].rstrip("/;")
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--video", type=Path, default=ROOT / "examples" / "cat.mp4")
    parser.add_argument("--times", type=float, default=10.0, help="of the rate that the service can do")
    parser.add_argument("--seconds", type=float, default=20.0, help="of overload")
    parser.add_argument("--alone", type=int, default=20, help="requests of one client, before and after")
    parser.add_argument("--max-wait", type=float, default=None, help="as of `ggm serve`")
    parser.add_argument("--check", action="store_true", help="status 1 if something isn't as it should be")
    wanted = parser.parse_args()
    options = [] if wanted.max_wait is None else ["--max-wait", str(wanted.max_wait)]
    with running(wanted.model, *options) as url:
        found = asyncio.run(
            measure(
                url,
                wanted.video.read_bytes(),
                times=wanted.times,
                seconds=wanted.seconds,
                alone=wanted.alone,
                at_once=4,
            )
        )
    print(f"rate: {found.rate:.2f} videos a second")
    for name, values in (
        ("unloaded", found.unloaded),
        ("accepted", found.accepted),
        ("refused", found.refused),
        ("recovered", found.recovered),
    ):
        shown = ", ".join(f"p{share * 100:g} {quantile(values, share):.3f} s" for share in (0.5, 0.95, 0.99))
        print(f"{name}: {len(values)} requests, {shown}")
    print(f"statuses: {json.dumps(Counter(one.status for one in found.asked))}")
    waits = [int(one.retry_after) for one in found.asked if one.retry_after]
    if waits:
        print(f"Retry-After: {min(waits)} to {max(waits)} s")
    verdicts = judged(found)
    for words, held in verdicts:
        print(f"{'held' if held else 'NOT HELD'}: {words}")
    if wanted.check and not all(held for _, held in verdicts):
        sys.exit(1)


if __name__ == "__main__":
    main()
