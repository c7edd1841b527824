"""Several systems at once, each in a process of its own, with an equal share of the processor's cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import torch

from ggm.errors import GgmError
from ggm.reproduce.systems import System
from ggm.reproduce.work import Runner, Work
from ggm.training.dataset import Warn

_SHARED = "all systems"
_DIED = "a process ended at once, perhaps for want of memory: run it again, with fewer jobs"


@dataclass(frozen=True)
class _Told:
    """What a process has to say when it is done."""

    name: str
    seed: int
    failure: str = ""
    warnings: list[str] = field(default_factory=list)


def run_in_processes(
    work: Work,
    systems: Sequence[System],
    seeds: Sequence[int],
    *,
    jobs: int,
    progress: Callable[[int, int], None],
    warn: Warn,
) -> dict[str, str]:
    """Train and predict everything; what several systems of a seed share comes first.

    Args:
        work: What is to be done.
        systems: All of them are run for each seed.
        seeds: Of draws.
        jobs: How many at once.
        progress: Called as progress(done, total).
        warn: Told of what was left out, and of failures.

    Returns:
        Why something wasn't done, by ``SYSTEM, seed N``.
    """
    failures: dict[str, str] = {}
    total, done, warned = len(seeds) * (len(systems) + 1), 0, set()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_share_cores, initargs=(jobs,))
    try:
        waiting: dict[Future[_Told], tuple[str, int]] = {
            pool.submit(_prepare, work, tuple(systems), seed): (_SHARED, seed) for seed in seeds
        }
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                name, seed = waiting.pop(future)
                told = _result(future, name, seed)
                done += 1
                for line in told.warnings:
                    if line not in warned:
                        warned.add(line)
                        warn(line)
                if told.failure:
                    failures[f"{name}, seed {seed}"] = told.failure
                    warn(f"{name}, seed {seed}: {told.failure}")
                    done += len(systems) if name == _SHARED else 0
                elif name == _SHARED:
                    for system in systems:
                        waiting[_submit(pool, work, system, seed)] = (system.name, seed)
                progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return failures


def _submit(pool: ProcessPoolExecutor, work: Work, system: System, seed: int) -> Future[_Told]:
    try:
        return pool.submit(_run, work, system, seed)
    except BrokenProcessPool as error:
        broken: Future[_Told] = Future()
        broken.set_exception(error)
        return broken


def _result(future: Future[_Told], name: str, seed: int) -> _Told:
    try:
        return future.result()
    except BrokenProcessPool:
        return _Told(
            name, seed, "a process ended at once, perhaps for want of memory: run it again with fewer jobs"
        )


def _share_cores(jobs: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _prepare(work: Work, systems: tuple[System, ...], seed: int) -> _Told:
    warnings: list[str] = []
    try:
        Runner(work, seed=seed, warn=warnings.append).prepare(systems)
    except GgmError as error:
        return _Told(_SHARED, seed, str(error), warnings)
    return _Told(_SHARED, seed, warnings=warnings)


def _run(work: Work, system: System, seed: int) -> _Told:
    warnings: list[str] = []
    try:
        Runner(work, seed=seed, warn=warnings.append).run(system)
    except GgmError as error:
        return _Told(system.name, seed, str(error), warnings)
    return _Told(system.name, seed, warnings=warnings)
