"""The decoding process: `python -m ggm.media.worker MEMORY_BYTES`, started by `ggm.media.guard`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from ggm.errors import MediaError
from ggm.media.decode import decode_video
from ggm.media.protocol import (
    ClosedError,
    ProtocolError,
    Request,
    read_header,
    write_error,
    write_header,
    write_video,
)

try:
    import resource
except ImportError:  # not on Windows, where only the owner's clock limits this process
    resource = None  # type: ignore[assignment]

_MAX_STDERR_BYTES = 1024**2
_GUESSED_IDLE_BYTES = 1024**3


def main(arguments: list[str]) -> None:
    """Answer requests until the owner hangs up."""
    # An interrupt in a terminal reaches the whole group; the owner decides what happens to us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _claim_pipes()
    _limit_process(int(arguments[0]))
    with contextlib.suppress(ClosedError):
        write_header(answers, {"ready": True})
        while True:
            request = Request.from_header(read_header(requests))
            _limit_computing(request.cpu_seconds)
            _answer(answers, request)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the owner's pipes to ourselves: whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, answers


def _limit_process(memory_bytes: int) -> None:
    if resource is None:
        return
    _set_limit(resource.RLIMIT_AS, _idle_bytes() + memory_bytes)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_FSIZE, _MAX_STDERR_BYTES)


def _limit_computing(seconds: float) -> None:
    """A second line of defence, should the owner be stopped or dead."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 2, soft_only=True)


def _set_limit(kind: int, value: int, *, soft_only: bool = False) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    # Some systems know a limit but refuse to set it (address space on macOS).
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, hard if soft_only else value))


def _idle_bytes() -> int:
    """Address space of this process before it decodes anything."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _GUESSED_IDLE_BYTES
    return pages * resource.getpagesize()


def _answer(answers: BinaryIO, request: Request) -> None:
    try:
        video = decode_video(
            request.path,
            limits=request.limits,
            short_side=request.short_side,
            sound_rate_hz=request.sound_rate_hz,
            sound_seconds=request.sound_seconds,
            frames=request.frames,
        )
    except MediaError as error:
        write_error(answers, error)
    except Exception as error:  # a bug of ours or of a decoder must not end a bulk run
        write_error(answers, MediaError(f"{request.path}: decoding failed: {type(error).__name__}: {error}"))
    else:
        write_video(answers, video)


if __name__ == "__main__":
    with contextlib.suppress(ProtocolError):
        main(sys.argv[1:])
