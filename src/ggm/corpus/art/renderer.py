"""Rendering in processes of their own, so that no drawing can crash, hang or exhaust this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Any, Final

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[3]
# The process sees no other variables: it reads drawings from strangers.
_KEPT_VARIABLES: Final = (
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONUTF8",
    "SYSTEMROOT", "TEMP", "TMP", "TMPDIR",
)  # fmt: skip
_END_SECONDS: Final = 5.0
_AHEAD: Final = 8  # requests that wait for each process


class Renderer:
    """Several rendering processes; each starts when it is first needed, and is replaced when it dies.

    Use it as a context manager.

    Args:
        workers: How many, at least 1.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._processes = [_RenderProcess() for _ in range(workers)]
        self._free: LifoQueue[_RenderProcess] = LifoQueue()
        for process in self._processes:
            self._free.put(process)

    def render(
        self, requests: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Renders pictures, see `ggm.corpus.art.render_worker.render_item`.

        Args:
            requests: With ids, taken as they are needed.

        Yields:
            Id and answer as they are finished: ``hash``, or the ``error`` that there was.
        """
        with ThreadPoolExecutor(self._workers) as threads:
            waiting: dict[Future[dict[str, str]], str] = {}
            try:
                for id_, request in requests:
                    waiting[threads.submit(self._render_one, request)] = id_
                    while len(waiting) >= self._workers * _AHEAD:
                        yield from _finished(waiting)
                while waiting:
                    yield from _finished(waiting)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise

    def _render_one(self, request: Mapping[str, Any]) -> dict[str, str]:
        process = self._free.get()
        try:
            return process.ask(request)
        finally:
            self._free.put(process)

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _finished(waiting: dict[Future[dict[str, str]], str]) -> Iterator[tuple[str, dict[str, str]]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


class _RenderProcess:
    """`ggm.corpus.art.render_worker`, started anew whenever it is needed and isn't there."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (a pipe that nobody reads may block)

    def ask(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The answer, or that the process died of the request."""
        process = self._start()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if line.endswith("\n"):
                answer: dict[str, str] = json.loads(line)
                return answer
        except OSError:
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        self.end()
        return {"error": f"the renderer died of it, with exit status {process.returncode}"}

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ggm.corpus.art.render_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                env=_environment(),
            )
        return self._process

    def end(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what it didn't read any more
                        pipe.close()
            process.wait()

    def close(self) -> None:
        """Ends the process, for good."""
        self.end()
        self._errors.close()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    search = [str(_PACKAGE_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # Idle threads of the linear algebra library would only take address space.
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(search),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
