"""New and changed videos of a folder, when they have stopped growing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ggm.errors import DataError, MissingDependencyError
from ggm.tagging.finding import FoundVideo, find_videos


def settled_videos(
    folder: Path,
    *,
    settle_seconds: float = 5.0,
    poll: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[list[FoundVideo]]:
    """Whenever videos come to rest, all of those that have not been given as they are now.

    The system says that something changed (inotify and its like), or the folder is looked through; then
    a video waits until its size and time of change stayed the same for a while.

    Args:
        folder: To watch, with the folders in it.
        settle_seconds: How long a file must rest, above 0.
        poll: Look through the folder instead of waiting for the system, as network shares need it.
        stop: Ends it within a second.

    Yields:
        Videos in the order of their names; never an empty list.

    Raises:
        MissingDependencyError: If watchfiles isn't installed.
        DataError: If there is no such folder, or it can't be watched.
        ValueError: If ``settle_seconds`` isn't above 0.
    """
    if not settle_seconds > 0:
        raise ValueError(f"settle_seconds must be above 0, got {settle_seconds}")
    resting = Resting(settle_seconds)
    ready = resting.look(find_videos(folder), time.monotonic())
    if ready:
        yield ready
    try:
        for changed in _ticks(folder, min(settle_seconds / 2, 1.0), poll=poll, stop=stop):
            if changed or resting.waiting:
                ready = resting.look(find_videos(folder), time.monotonic())
                if ready:
                    yield ready
    except OSError as error:
        raise DataError(f"{folder}: can't be watched: {error.strerror or error}; --poll may help") from error


class Resting:
    """Which files have come to rest.

    Args:
        seconds: How long one must stay the same.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._given: dict[str, tuple[int, int]] = {}
        self.waiting = False
        """Whether some are still being looked at."""

    def look(self, videos: Iterator[FoundVideo], now: float) -> list[FoundVideo]:
        """Those that rest and have not been given as they are.

        Args:
            videos: All that there are now.
            now: Seconds of a clock that never goes back.
        """
        ready, seen = [], {}
        self.waiting = False
        for video in videos:
            if self._given.get(video.name) == video.stamp:
                continue
            stamp, since = self._seen.get(video.name, (None, now))
            since = since if stamp == video.stamp else now
            seen[video.name] = (video.stamp, since)
            if now - since >= self._seconds:
                ready.append(video)
                self._given[video.name] = video.stamp
            else:
                self.waiting = True
        self._seen = seen
        return ready


def _ticks(folder: Path, seconds: float, *, poll: bool, stop: threading.Event | None) -> Iterator[bool]:
    """Every so often, and when something changed: whether it did."""
    try:
        from watchfiles import Change, watch
    except ImportError as error:
        raise MissingDependencyError(
            'watching needs watchfiles; install it with: pip install "ggm[watch]"'
        ) from error

    def matters(_change: Change, path: str) -> bool:
        return not any(part.startswith(".ggm") for part in Path(path).parts)

    changes = watch(
        folder,
        watch_filter=matters,
        stop_event=stop,
        debounce=200,
        rust_timeout=max(50, int(seconds * 1000)),
        yield_on_timeout=True,
        force_polling=True if poll else None,
        raise_interrupt=True,
        ignore_permission_denied=True,
    )
    for found in changes:
        yield bool(found)
