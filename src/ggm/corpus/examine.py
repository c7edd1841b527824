"""Which videos can be used, found out in parallel by processes that a bad file can't harm.

What was found out is kept in a file, so that a video is examined once: a run that is killed goes
on where it was, and a later one looks only at what is new or changed.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, NamedTuple

from ggm.corpus.atomic import lock_file
from ggm.corpus.jsonlines import read_rows
from ggm.errors import DataError, MediaError
from ggm.media.guard import DecodingWorker
from ggm.records import Post

VIDEOS_NAME = "videos.jsonl"
"""The records of a dataset folder."""

# Small, since the pictures and the sound are thrown away; what counts is that they can be had.
_SHORT_SIDE = 32
_SOUND_RATE_HZ = 8000
_SOUND_SECONDS = 1.0
_AHEAD = 4  # files that wait for each worker


class VideoFile(NamedTuple):
    """A file as it is now; another size or time of change makes it another.

    Args:
        path: Absolute, in the real folder, whatever links led there.
        size_bytes: Its size.
        mtime_ns: When it was changed last.
    """

    path: str
    size_bytes: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path) -> VideoFile | None:
        """The file at a path; None if there is none that is regular."""
        try:
            status = os.stat(path)  # noqa: PTH116 (a Path would keep its text, of each post)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        folder = _real_folder(os.path.join(os.getcwd(), path.parent))  # noqa: PTH109, PTH118 (likewise)
        return cls(os.path.join(folder, path.name), status.st_size, status.st_mtime_ns)  # noqa: PTH118

    @property
    def identity(self) -> bytes:
        """Stands for the file in memory."""
        text = f"{self.size_bytes}\0{self.mtime_ns}\0{self.path}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@lru_cache(maxsize=1 << 12)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What was found out about a video.

    Args:
        problem: Why it can't be used; None if it can.
        duration_seconds: Its measured length, if it can be used.
        has_sound: Whether it has sound that can be decoded, if it can be used.
    """

    problem: str | None = None
    duration_seconds: float | None = None
    has_sound: bool | None = None


class VideoRecords:
    """The facts of many videos, in memory.

    Args:
        paths: JSON Lines, read where they exist; lines that aren't records are passed over.

    Raises:
        DataError: If one can't be read.
    """

    def __init__(self, *paths: Path) -> None:
        self._facts: dict[bytes, VideoFacts] = {}
        for path in paths:
            if path.exists():
                for row in read_rows(path):
                    record = _parse_record(row.value)
                    if record is not None:
                        self._facts[record[0].identity] = record[1]

    def __len__(self) -> int:
        return len(self._facts)

    def get(self, file: VideoFile) -> VideoFacts | None:
        """The facts of a file; None if it wasn't examined, or has changed since."""
        return self._facts.get(file.identity)

    def add(self, file: VideoFile, facts: VideoFacts) -> None:
        """Keep the facts of a file in memory."""
        self._facts[file.identity] = facts


class Journal:
    """A file that a run adds a line to for each video, so that a killed one loses nothing.

    Only one run at a time may hold it.

    Args:
        path: Made if it doesn't exist.

    Raises:
        DataError: If another run holds it, or it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: IO[bytes] = path.open("ab")
            if not lock_file(self._file):
                self._file.close()
                raise DataError(f"{path}: another run is writing it; wait for it, or name another folder")
            # A line that a kill cut off must not spoil the next.
            self._file.write(b"\n" if self._file.tell() else b"")
        except OSError as error:
            raise DataError(f"{path}: can't be written: {error.strerror or error}") from error

    def add(self, file: VideoFile, facts: VideoFacts) -> None:
        """Keep the facts of a file, even if this process is killed next.

        Raises:
            DataError: If they can't be written.
        """
        try:
            self._file.write(json.dumps(to_record(file, facts)).encode("ascii") + b"\n")
            self._file.flush()
        except OSError as error:
            raise DataError(f"{self._path}: can't be written: {error.strerror or error}") from error

    def discard(self) -> None:
        """Remove it: what it holds is kept elsewhere by now."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def examine(files: Iterable[VideoFile], *, workers: int) -> Iterator[tuple[VideoFile, VideoFacts]]:
    """Decodes a little of each file, as training would.

    Args:
        files: Any number; taken as they are needed.
        workers: Processes, at least 1.

    Yields:
        Files and facts, as they become known.

    Raises:
        DataError: If `workers` is less than 1.
        MediaError: If no decoding process can be started.
    """
    if workers < 1:
        raise DataError(f"workers must be at least 1, got {workers}")
    idle: SimpleQueue[DecodingWorker] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(workers):
            idle.put(stack.enter_context(DecodingWorker()))
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        pending: set[Future[tuple[VideoFile, VideoFacts]]] = set()
        try:
            for file in files:
                pending.add(pool.submit(_examine_one, file, idle))
                if len(pending) >= _AHEAD * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def unknown_files(posts: Iterable[Post], records: VideoRecords) -> Iterator[VideoFile]:
    """The video files of posts, each once, without those that are known or aren't there."""
    named: set[bytes] = set()
    for post in posts:
        file = VideoFile.at(post.video)
        if file is not None and records.get(file) is None and file.identity not in named:
            named.add(file.identity)
            yield file


def _examine_one(file: VideoFile, idle: SimpleQueue[DecodingWorker]) -> tuple[VideoFile, VideoFacts]:
    worker = idle.get()
    try:
        worker.ensure_started()
        try:
            video = worker.decode(
                file.path, short_side=_SHORT_SIDE, sound_rate_hz=_SOUND_RATE_HZ, sound_seconds=_SOUND_SECONDS
            )
        except MediaError as error:
            return file, VideoFacts(problem=str(error).removeprefix(f"{file.path}: "))
        return file, VideoFacts(
            duration_seconds=round(video.duration_seconds, 3), has_sound=video.sound is not None
        )
    finally:
        idle.put(worker)


def to_record(file: VideoFile, facts: VideoFacts) -> dict[str, Any]:
    """The JSON of a file and its facts."""
    return {
        "video": file.path,
        "size_bytes": file.size_bytes,
        "mtime_ns": file.mtime_ns,
        "duration_seconds": facts.duration_seconds,
        "has_sound": facts.has_sound,
        "problem": facts.problem,
    }


def _parse_record(value: object) -> tuple[VideoFile, VideoFacts] | None:
    """The file and facts of a line; None if it is anything else."""
    if not isinstance(value, dict):
        return None
    path, size, mtime = (value.get(name) for name in ("video", "size_bytes", "mtime_ns"))
    duration, has_sound, problem = (value.get(name) for name in ("duration_seconds", "has_sound", "problem"))
    if not (isinstance(path, str) and type(size) is int and type(mtime) is int):
        return None
    if isinstance(problem, str):
        return VideoFile(path, size, mtime), VideoFacts(problem)
    if type(duration) is not float or not math.isfinite(duration) or type(has_sound) is not bool:
        return None
    return VideoFile(path, size, mtime), VideoFacts(None, duration, has_sound)
