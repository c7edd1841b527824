"""The service's queues, event by event: who waits how long at which load, and how many replicas it takes.

    python benchmarks/queueing.py                 # tables, from measured.toml and scale.toml
    python benchmarks/queueing.py --validate 30   # beside a real `ggm serve`, 30 s at each of two loads

Requests come by a Poisson process, or in bursts (two of them in turn, one much faster), and pass stages
one after another. A stage has replicas; each takes all that waits for it, up to a batch, and never waits
for more. The places are bounded: who finds none is refused at once, as the service does (503, and 429 for
a key that asks too often, which isn't simulated). What the simulation says of single queues is held against
theory by `tests/test_queueing.py`: M/M/1, M/D/1 and Erlang's C.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import simpy

HERE = Path(__file__).parent
Draw = Callable[[random.Random, int], float]
"""draw(random, batch) gives the seconds of one pass."""


def exponential(mean: float) -> Draw:
    """Seconds without memory, whatever the batch."""
    return lambda draw, _: draw.expovariate(1 / mean)


def constant(mean: float) -> Draw:
    """Always as many seconds."""
    return lambda _draw, _batch: mean


def spread(mean: float, *, variation: float, batched: float | None = None) -> Draw:
    """Lognormal seconds of a pass.

    Args:
        mean: Of a pass of one.
        variation: Standard deviation over mean.
        batched: Seconds a video in a large batch; by default as many as alone. A pass of n takes
            a fixed part and n times the rest.
    """
    rest = mean if batched is None else min(mean, batched)
    sigma = math.sqrt(math.log(1 + variation**2))

    def draw_seconds(draw: random.Random, batch: int) -> float:
        chance = draw.lognormvariate(-sigma * sigma / 2, sigma) if sigma else 1.0
        return ((mean - rest) + rest * batch) * chance

    return draw_seconds


@dataclass(frozen=True)
class Stage:
    """One stage.

    Args:
        name: Of it.
        seconds: Of one pass.
        replicas: How many work side by side.
        max_batch: Requests that one takes in a pass.
        ahead: How many may wait for it before the stage before stops; None for any number.
        routing: ``shared``: one queue for all; ``two``: a queue each, the shorter one of two drawn at
            random (as Ray Serve's router chooses).
    """

    name: str
    seconds: Draw
    replicas: int = 1
    max_batch: int = 1
    ahead: int | None = None
    routing: Literal["shared", "two"] = "shared"


@dataclass(frozen=True)
class Admission:
    """Who is let in; see `ggm.serving.service.back_end`.

    Args:
        places: Requests that are here at once.
        wait_seconds: How long one may have to wait by what others took.
        at_work: That many are let in whatever they would wait.
    """

    places: float = math.inf
    wait_seconds: float = math.inf
    at_work: float = math.inf


@dataclass
class Outcome:
    """What came of a simulation.

    Args:
        latencies: Seconds of those that were let in, in order of arrival, the first tenth left out.
        waits: Seconds of them that they waited, the same.
        refused: Share that wasn't let in.
        busy: Share of the time that a replica worked, by stage.
        batches: Mean size of a pass, by stage.
    """

    latencies: list[float]
    waits: list[float]
    refused: float
    busy: dict[str, float]
    batches: dict[str, float]

    def quantile(self, share: float) -> float:
        """Of the latencies; nan for none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan

    def mean_wait(self, groups: int = 20) -> tuple[float, float]:
        """Mean wait, and half its 99 % interval, by batch means: waits in a row resemble each other."""
        size = len(self.waits) // groups
        means = [statistics.fmean(self.waits[i * size : (i + 1) * size]) for i in range(groups)]
        return statistics.fmean(means), 2.861 * statistics.stdev(means) / math.sqrt(groups)


@dataclass
class _Request:
    arrived: float
    worked: float = 0.0
    ended: float = math.nan


@dataclass
class _Desk:
    """The queue of one or all replicas of a stage."""

    store: simpy.Store
    load: int = 0


@dataclass
class _Running:
    stage: Stage
    desks: list[_Desk]
    busy: float = 0.0
    passes: int = 0
    taken: int = 0


def poisson(rate: float) -> Callable[[random.Random], Iterator[float]]:
    """Gaps between arrivals without memory."""

    def gaps(draw: random.Random) -> Iterator[float]:
        while True:
            yield draw.expovariate(rate)

    return gaps


def bursty(
    rate: float, *, factor: float = 4.0, share: float = 0.1, seconds: float = 5.0
) -> Callable[[random.Random], Iterator[float]]:
    """Gaps of two Poisson processes in turn, as many a second on average as `rate`.

    Args:
        rate: Requests a second.
        factor: How many times as many come in a burst.
        share: Of the time that bursts take.
        seconds: Mean length of a burst.
    """
    calm_rate = rate * (1 - factor * share) / (1 - share)

    def gaps(draw: random.Random) -> Iterator[float]:
        is_burst, left, passed = False, draw.expovariate(share / (seconds * (1 - share))), 0.0
        while True:
            gap = draw.expovariate(rate * factor if is_burst else calm_rate)
            if gap < left:
                left -= gap
                yield passed + gap
                passed = 0.0
            else:  # what is left of a gap is drawn anew: it has no memory
                passed += left
                is_burst = not is_burst
                left = draw.expovariate(1 / seconds if is_burst else share / (seconds * (1 - share)))

    return gaps


def simulate(
    stages: Sequence[Stage],
    arrivals: Callable[[random.Random], Iterator[float]],
    *,
    requests: int,
    admission: Admission | None = None,
    seed: int = 0,
) -> Outcome:
    """Let requests pass the stages.

    Args:
        stages: In order.
        arrivals: Gives gaps.
        requests: How many come.
        admission: Who is let in; all by default.
        seed: Of all that is drawn.
    """
    rules = admission or Admission()
    env, draw = simpy.Environment(), random.Random(seed)
    done: list[_Request] = []
    state = {"here": 0, "refused": 0}
    usual = [sum(stage.seconds(random.Random(1), 1) for stage in stages)]
    running = []
    for stage in stages:
        desks = stage.replicas if stage.routing == "two" else 1
        capacity = math.inf if stage.ahead is None else stage.ahead
        running.append(_Running(stage, [_Desk(simpy.Store(env, capacity)) for _ in range(desks)]))

    def send(request: _Request, at: int) -> Any:
        if at == len(running):
            request.ended = env.now
            state["here"] -= 1
            done.append(request)
            return None
        desks = running[at].desks
        desk = desks[0]
        if len(desks) > 1:
            desk = min(draw.sample(desks, 2), key=lambda one: one.load)
        desk.load += 1
        return desk.store.put(request)

    def work(at: int, desk: _Desk) -> Any:
        mine = running[at]
        while True:
            batch = [(yield desk.store.get())]
            while len(batch) < mine.stage.max_batch and desk.store.items:
                batch.append((yield desk.store.get()))
            seconds = mine.stage.seconds(draw, len(batch))
            yield env.timeout(seconds)
            mine.busy += seconds
            mine.passes += 1
            mine.taken += len(batch)
            if at == len(running) - 1:
                usual[0] += 0.2 * (seconds / len(batch) / mine.stage.replicas - usual[0])
            for request in batch:
                request.worked += seconds
                desk.load -= 1
                put = send(request, at + 1)
                if put is not None:
                    yield put

    def arrive() -> Any:
        gaps = arrivals(draw)
        for _ in range(requests):
            yield env.timeout(next(gaps))
            here = state["here"]
            too_long = here >= rules.at_work and here * usual[0] > rules.wait_seconds
            if here >= rules.places or too_long:
                state["refused"] += 1
                continue
            state["here"] += 1
            send(_Request(env.now), 0)  # whoever comes doesn't wait until another one has room

    for at, one in enumerate(running):
        for number in range(one.stage.replicas):
            env.process(work(at, one.desks[number % len(one.desks)]))
    env.process(arrive())
    env.run()
    kept = sorted(done, key=lambda one: one.arrived)[len(done) // 10 :]
    return Outcome(
        [one.ended - one.arrived for one in kept],
        [one.ended - one.arrived - one.worked for one in kept],
        state["refused"] / requests,
        {one.stage.name: one.busy / one.stage.replicas / env.now for one in running},
        {one.stage.name: one.taken / max(1, one.passes) for one in running},
    )


def mm1_wait(rate: float, seconds: float) -> float:
    """Mean wait of M/M/1."""
    load = rate * seconds
    return load * seconds / (1 - load)


def md1_wait(rate: float, seconds: float) -> float:
    """Mean wait of M/D/1 (Pollaczek and Khinchine): half as long."""
    return mm1_wait(rate, seconds) / 2


def erlang_c(servers: int, offered: float) -> float:
    """How probable it is that one must wait, in M/M/c.

    Args:
        servers: c.
        offered: Load in erlangs, below c.
    """
    blocked = 1.0  # Erlang's B by its recursion
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    load = offered / servers
    return blocked / (1 - load * (1 - blocked))


def mmc_wait(rate: float, seconds: float, servers: int) -> float:
    """Mean wait of M/M/c."""
    offered = rate * seconds
    return erlang_c(servers, offered) * seconds / (servers - offered)


@dataclass(frozen=True)
class Times:
    """Seconds of a video in each stage of the service.

    Args:
        alone: By stage, in a pass of one.
        batched: By stage, a video of a larger pass.
        variation: Standard deviation over mean.
    """

    alone: dict[str, float]
    batched: dict[str, float] = field(default_factory=dict)
    variation: float = 0.2


def read_times(path: Path, *, variation: float) -> Times:
    """What `stages.py` measured, in the stages of the service: writing and scoring are one."""
    read = tomllib.loads(path.read_text("utf-8"))["measured"]
    alone, together = read["seconds"], read["batched_seconds"]
    return Times(
        {
            "decode": alone["decode"],
            "features": alone["frames"] + alone["sound"],
            "retrieve": alone["retrieve"],
            "generate": alone["generate"] + alone["score"],
        },
        {
            "features": together["frames"],
            "retrieve": together["retrieve"],
            "generate": together["generate"] + together["score"],
        },
        variation,
    )


def one_process(times: Times, *, decoders: int = 2, max_batch: int = 4) -> list[Stage]:
    """`ggm serve`: decoding processes, then one model; decoding goes no further ahead than a batch."""
    model = ("features", "retrieve", "generate")
    alone = sum(times.alone[name] for name in model)
    batched = sum(times.batched.get(name, times.alone[name]) for name in model)
    return [
        Stage("decode", spread(times.alone["decode"], variation=times.variation), decoders),
        Stage(
            "model",
            spread(alone, variation=times.variation, batched=batched),
            max_batch=max_batch,
            ahead=max_batch,
        ),
    ]


def replicated(times: Times, replicas: dict[str, int], max_batch: dict[str, int]) -> list[Stage]:
    """`ggm serve --ray`: four stages with a queue a replica."""
    return [
        Stage(
            name,
            spread(seconds, variation=times.variation, batched=times.batched.get(name)),
            replicas[name],
            max_batch[name],
            routing="two",
        )
        for name, seconds in times.alone.items()
    ]


def capacity(stages: Sequence[Stage]) -> float:
    """Requests a second that the narrowest stage can do with full batches."""
    draw = random.Random(0)
    rates = []
    for stage in stages:
        mean = statistics.fmean(stage.seconds(draw, stage.max_batch) for _ in range(2000))
        rates.append(stage.replicas * stage.max_batch / mean)
    return min(rates)


def fewest_replicas(
    times: Times, rate: float, settings: dict[str, Any], *, bursts: bool = False
) -> tuple[dict[str, int], Outcome]:
    """The smallest numbers of replicas, all stages alike in load, by which 99 of 100 are answered in time.

    Args:
        times: Of the stages.
        rate: Requests a second.
        settings: The table `queueing` of scale.toml.
        bursts: Whether they come in bursts.
    """
    arrivals = poisson(rate)
    if bursts:
        arrivals = bursty(rate, factor=settings["burst_factor"], seconds=settings["burst_seconds"])
    p99, max_batch = settings["p99_seconds"], settings["max_batch"]
    load = 0.95
    while True:
        replicas = {
            name: max(2, math.ceil(rate * _full(times, name, max_batch) / load)) for name in times.alone
        }
        found = simulate(
            replicated(times, replicas, max_batch), arrivals, requests=settings["replicated_requests"]
        )
        if found.quantile(0.99) <= p99:
            return replicas, found
        if load < 0.2:
            raise SystemExit(
                f"p99 of {p99} s can't be had: one alone takes {sum(times.alone.values()):.2f} s"
            )
        load -= 0.05


def _full(times: Times, name: str, max_batch: dict[str, int]) -> float:
    """Seconds a video where passes are full."""
    alone = times.alone[name]
    return alone if max_batch[name] == 1 else min(alone, times.batched.get(name, alone))


def show(times: Times, settings: dict[str, Any]) -> None:
    """Print the tables."""
    stages = one_process(times)
    most = capacity(stages)
    print(f"One process, 2 decoders, batches of 4: at most {most:.2f} videos a second\n")
    print("| arrivals | load | a second | p50 s | p99 s | refused | videos a pass |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rules = Admission(32, 10.0, 6)
    for name, arrivals in (("Poisson", poisson), ("bursty", bursty)):
        for load in (0.2, 0.5, 0.7, 0.9, 1.2, 2.0):
            rate = load * most
            found = simulate(stages, arrivals(rate), requests=settings["requests"], admission=rules)
            print(
                f"| {name} | {load:.0%} | {rate:.2f} | {found.quantile(0.5):.2f} "
                f"| {found.quantile(0.99):.2f} | {found.refused:.1%} | {found.batches['model']:.2f} |"
            )
    rate, p99 = settings["rate"], settings["p99_seconds"]
    print(f"\nReplicas for {rate:g} requests a second with p99 of at most {p99:g} s, one core each\n")
    print("| arrivals | " + " | ".join(times.alone) + " | all | load | p50 s | p99 s |")
    print("| --- |" + " --- |" * (len(times.alone) + 4))
    for name, bursts in (("Poisson", False), ("bursty", True)):
        replicas, found = fewest_replicas(times, rate, settings, bursts=bursts)
        print(
            f"| {name} | "
            + " | ".join(f"{number:,}" for number in replicas.values())
            + f" | {sum(replicas.values()):,} | {max(found.busy.values()):.0%} | {found.quantile(0.5):.2f} "
            f"| {found.quantile(0.99):.2f} |"
        )


async def _asked(
    url: str, video: bytes, rate: float, seconds: float, seed: int, *, count: int | None = None
) -> list[Any]:
    """Requests by a Poisson process; statuses, latencies, and the answers' own stages."""
    import httpx2

    moments, now = [0.0] * (count or 0), 0.0
    for gap in poisson(rate)(random.Random(seed)):
        now += gap
        if count is not None or now > seconds:
            break
        moments.append(now)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=300, limits=limits) as client:

        async def ask(after: float) -> tuple[int, float, dict[str, float]]:
            await asyncio.sleep(after)
            started = time.perf_counter()
            answer = await client.post("/v1/recommend", files={"video": ("a.mp4", video)})
            passed = time.perf_counter() - started
            return answer.status_code, passed, answer.json().get("seconds", {})

        return await asyncio.gather(*(ask(moment) for moment in moments))


async def _one_by_one(url: str, video: bytes, count: int) -> list[Any]:
    """Requests of one client, as `_asked` gives them."""
    found = []
    for _ in range(count):
        found += await _asked(url, video, math.inf, 0.0, 0, count=1)
    return found


def _times_of(rows: list[Any], batched: float) -> tuple[Times, float]:
    """What unhurried requests took in each stage, and beside all stages."""
    decode = [found["decode"] for _, _, found in rows]
    model = [found["encode"] + found["write"] for _, _, found in rows]
    rest = statistics.median(passed - found["total"] for _, passed, found in rows)
    alone = {"decode": statistics.fmean(decode), "features": statistics.fmean(model), "retrieve": 0.0}
    variation = statistics.stdev(model) / statistics.fmean(model)
    times = Times(alone | {"generate": 0.0}, {"features": alone["features"] * min(1.0, batched)}, variation)
    return times, rest


def validate(seconds: float, video: Path, times: Times) -> None:
    """Ask a real service at a low and a middle load, and simulate what it should have done.

    Its stages are timed by requests one after another before and after each, as the machine may be shared.
    """
    from overload import running

    content = video.read_bytes()
    batched = sum(times.batched.values()) / sum(times.alone[name] for name in times.batched)
    print("| load | a second | requests | decode, model s | mean s, 95 % | simulated | p90 s | simulated |")
    print("|" + " --- |" * 8)
    with running("compact") as url:
        before = asyncio.run(_one_by_one(url, content, 12))[2:]
        for load in (0.2, 0.5):
            rate = load * capacity(one_process(_times_of(before, batched)[0]))
            real = asyncio.run(_asked(url, content, rate, seconds, 3))
            after = asyncio.run(_one_by_one(url, content, 10))
            measured, rest = _times_of(before + after, batched)
            found = simulate(
                one_process(measured), poisson(rate), requests=20_000, admission=Admission(32, 10.0, 6)
            )
            own = Outcome([row[1] for row in real if row[0] == 200], [], 0, {}, {})
            half = 1.96 * statistics.stdev(own.latencies) / math.sqrt(len(own.latencies))
            print(
                f"| {load:.0%} | {rate:.2f} | {len(own.latencies)} "
                f"| {measured.alone['decode']:.2f}, {measured.alone['features']:.2f} "
                f"| {statistics.fmean(own.latencies):.2f} ± {half:.2f} "
                f"| {statistics.fmean(found.latencies) + rest:.2f} "
                f"| {own.quantile(0.9):.2f} | {found.quantile(0.9) + rest:.2f} |"
            )
            before = after


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, default=HERE / "measured.toml")
    parser.add_argument("--settings", type=Path, default=HERE / "scale.toml")
    parser.add_argument("--validate", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--video", type=Path, default=HERE.parent / "examples" / "cat.mp4")
    wanted = parser.parse_args()
    settings = tomllib.loads(wanted.settings.read_text("utf-8"))["queueing"]
    times = read_times(wanted.measured, variation=settings["variation"])
    if wanted.validate:
        validate(wanted.validate, wanted.video, times)
    else:
        show(times, settings)


if __name__ == "__main__":
    main()
