"""Measuring on a machine that others use too: in alternation, medians, ratios."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

Seconds = dict[str, float]


def alternate(tasks: Mapping[str, Callable[[], object]], *, rounds: int, warm: bool = True) -> Seconds:
    """Median seconds of each task; all of them in each round, so that a busy minute hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    if warm:
        for task in tasks.values():
            task()
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_gflops(*, size: int = 1536, rounds: int = 5) -> float:
    """What one large fp32 matrix product reaches with torch's threads: GFLOP a second."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    with torch.inference_mode():
        seconds = alternate({"product": lambda: left @ right}, rounds=rounds)["product"]
    return 2 * size**3 / seconds / 1e9


def gflop(task: Callable[[], object]) -> float:
    """Arithmetic of all of torch's operations in a task, in GFLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        task()
    return counter.get_total_flops() / 1e9


def machine() -> dict[str, Any]:
    """What this ran on."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        flags = set(re.search(r"^flags\s*:\s*(.*)$", text, re.M)[1].split())  # type: ignore[index]
        model = re.search(r"^model name\s*:\s*(.*)$", text, re.M)[1]  # type: ignore[index]
    except (OSError, TypeError):
        flags, model = set(), platform.processor()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "extensions": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "amx_bf16", "amx_int8"}),
        "threads": torch.get_num_threads(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def run_python(*arguments: str) -> tuple[float, str]:
    """Seconds and output of a fresh Python process."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def peak_mib(process: int | str = "self") -> float:
    """The most memory that a process has held, and its children that still live."""
    status = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"VmHWM:\s*(\d+)", status)
    own = int(match[1]) / 1024 if match else 0.0
    children = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    return own + sum(peak_mib(child) for group in children for child in group)
