"""Decoding in a process of its own, so that no file can crash, hang or exhaust this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, cast

from ggm.errors import MediaError, MediaTimeoutError
from ggm.media.limits import DEFAULT_LIMITS, MediaLimits, check_options
from ggm.media.protocol import ProtocolError, Request, read_header, read_video, write_header
from ggm.media.sample import FrameChoice
from ggm.records import Video

_START_SECONDS = 60.0
_END_SECONDS = 1.0
_STDERR_TAIL = 500
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# The process sees no other variables: they may hold secrets, and it reads files from strangers.
_KEPT_VARIABLES = (
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONUTF8",
    "SYSTEMROOT", "TEMP", "TMP", "TMPDIR",
)  # fmt: skip


class DecodingWorker:
    """A process that decodes videos one at a time, with limits of time and memory.

    It starts with the first video, serves any number, and is replaced after a crash or timeout.
    Calls from several threads queue up. Use it as a context manager, or `close` it; otherwise it
    ends with this object or this program.

    Args:
        timeout_seconds: Longest time for one video, more than 0.
        memory_bytes: Address space that decoding may take beyond that of the idle process. Where
            the system can't limit it (Windows, macOS) only the time is limited.

    Raises:
        ValueError: If a limit isn't positive.
    """

    def __init__(self, *, timeout_seconds: float = 30.0, memory_bytes: int = 2 * 1024**3) -> None:
        if not 0 < timeout_seconds < threading.TIMEOUT_MAX:
            raise ValueError(f"timeout_seconds must be positive and finite, got {timeout_seconds}")
        if memory_bytes < 1:
            raise ValueError(f"memory_bytes must be positive, got {memory_bytes}")
        self.timeout_seconds = timeout_seconds
        self.memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def decode(
        self,
        path: str | os.PathLike[str],
        *,
        limits: MediaLimits = DEFAULT_LIMITS,
        short_side: int | None = None,
        sound_rate_hz: int | None = None,
        sound_seconds: float = 10.0,
        frames: FrameChoice = "exact",
    ) -> Video:
        """Do what `ggm.media.decode_video` does, in the other process.

        Args:
            path: The video file.
            limits: What is refused.
            short_side: Length that the short side of the frames is reduced to; None keeps it.
            sound_rate_hz: Sample rate of the sound; None reads no sound.
            sound_seconds: How much of the sound is read, more than 0.
            frames: ``exact``, or ``nearest-keyframe``; see `ggm.media.decode_video`.

        Returns:
            The same video as `decode_video`.

        Raises:
            MediaNotFoundError: If there is no such file, or it can't be read.
            MediaFormatError: If it isn't a video, is damaged beyond use, or has no frame.
            MediaLimitError: If it exceeds a limit.
            MediaTimeoutError: If decoding took too long or too much memory, or crashed.
            MediaError: If the process can't be started, or decoding failed in another way.
            ValueError: If an option is out of range.
        """
        check_options(
            short_side=short_side, sound_rate_hz=sound_rate_hz, sound_seconds=sound_seconds, frames=frames
        )
        request = Request(
            path=os.path.abspath(path),  # noqa: PTH100 (as given: links are left to the process)
            limits=limits,
            short_side=short_side,
            sound_rate_hz=sound_rate_hz,
            sound_seconds=sound_seconds,
            frames=frames,
            cpu_seconds=self.timeout_seconds,
        )
        with self._lock:
            process = self._running()
            try:
                return process.decode(
                    request, timeout_seconds=self.timeout_seconds, max_bytes=self.memory_bytes
                )
            except MediaError as error:
                if isinstance(error, MediaTimeoutError):
                    self._end()  # its memory is full, or it is dead
                # The process only knows the absolute path; name the file as the caller did.
                raise type(error)(str(error).replace(request.path, os.fspath(path), 1)) from None
            except BaseException:
                self._end()  # such as an interrupt: half an answer may be left in the pipe
                raise

    def start(self) -> None:
        """Begin to start the process, so that it is ready sooner; `decode` would do it otherwise.

        Raises:
            MediaError: If it can't be started.
        """
        with self._lock:
            if self._process is None:
                self._process = _Process(memory_bytes=self.memory_bytes)

    def ensure_started(self) -> None:
        """Wait until the process takes requests; start it, or another for a dead one, if need be.

        `decode` does so by itself. Whoever decodes in bulk calls this before, to tell a file that
        can't be used from a machine on which nothing can.

        Raises:
            MediaError: If it can't be started.
        """
        with self._lock:
            try:
                self._running()
            except OSError as error:
                raise MediaError(
                    f"the decoding process can't be started: {error.strerror or error}"
                ) from error

    def close(self) -> None:
        """End the process. A later call of `decode` starts another."""
        with self._lock:
            self._end()

    def __enter__(self) -> DecodingWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> _Process:
        if self._process is not None and not self._process.is_usable():
            self._end()
        if self._process is None:
            self._process = _Process(memory_bytes=self.memory_bytes)
        self._process.await_start()
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    """One run of `ggm.media.worker`."""

    def __init__(self, *, memory_bytes: int) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (a file never blocks the process, as a pipe may)
        try:
            self._popen = subprocess.Popen(
                # -P: no module is taken from the current folder, where the strangers' files may be.
                [sys.executable, "-P", "-m", "ggm.media.worker", str(memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment(),
            )
        except OSError:
            self._stderr.close()
            raise
        self._owner = os.getpid()
        self._answers = cast("BinaryIO", self._popen.stdout)
        self._has_started = False
        self._requests = cast("BinaryIO", self._popen.stdin)
        self._finalizer = weakref.finalize(self, _end_process, self._popen, self._stderr, self._owner)

    def is_usable(self) -> bool:
        """Whether it lives, and is ours: after a fork the pipes belong to the parent."""
        return self._owner == os.getpid() and self._popen.poll() is None

    def await_start(self) -> None:
        """Wait until it can take requests, which is once.

        Raises:
            MediaError: If it doesn't start.
        """
        if self._has_started:
            return
        with self._killed_after(_START_SECONDS):
            try:
                read_header(self._answers)
            except ProtocolError:
                reason = self._last_words()
                self.end()
                raise MediaError(f"the decoding process didn't start{reason}") from None
        self._has_started = True

    def decode(self, request: Request, *, timeout_seconds: float, max_bytes: int) -> Video:
        """Send a request and wait for the answer.

        Raises:
            MediaError: The error that was answered.
            MediaTimeoutError: If none came in time, or the process died or broke the protocol.
        """
        with self._killed_after(timeout_seconds) as killed:
            try:
                write_header(self._requests, request.to_header())
                return read_video(self._answers, request, max_bytes=max_bytes)
            except ProtocolError as error:
                if str(error):
                    reason = f"the decoding process answered with {error}"
                else:
                    reason = self._cause_of_death(killed.is_set(), timeout_seconds)
        raise MediaTimeoutError(f"{request.path}: {reason}")

    def end(self) -> None:
        """End it now, and leave nothing of it behind."""
        self._finalizer()

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            self._popen.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield killed
        finally:
            timer.cancel()
            timer.join()

    def _cause_of_death(self, was_killed: bool, timeout_seconds: float) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END_SECONDS)
        status = self._popen.poll()
        if was_killed or status == -getattr(signal, "SIGXCPU", 0):
            return f"decoding took more than {timeout_seconds:g} s and was ended"
        if status is not None and status < 0:
            return f"the decoding process was ended by {_signal_name(-status)}{self._last_words()}"
        return f"the decoding process ended with status {status}{self._last_words()}"

    def _last_words(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL))
        text = self._stderr.read().decode("utf-8", "replace").strip()
        return f": {text}" if text else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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


def _end_process(popen: subprocess.Popen[bytes], stderr: IO[bytes], owner: int) -> None:
    for stream in (popen.stdin, popen.stdout, stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    if owner == os.getpid():
        popen.kill()
        popen.wait()
