"""From many video files to features in the cache: decoded ahead at once, encoded one by one.

Videos are encoded singly: frames of several videos in one batch are no faster on a processor, and
features that were computed again because the cache lost them are then the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, TypeVar

from ggm.errors import GgmError
from ggm.features.cache import FeatureCache
from ggm.features.extract import FeatureExtractor
from ggm.records import Video

_DECODED_AHEAD: Final = 2
T = TypeVar("T")


def extract_all(
    paths: Sequence[Path],
    extractor: FeatureExtractor,
    cache: FeatureCache,
    *,
    decode: Callable[[Path], Video],
    at_once: int = 1,
    failures: dict[Path, Exception] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Path, Exception]:
    """Put the features of all videos into the cache; those that are there already are left alone.

    The next videos are decoded in threads while one is encoded. A bad video doesn't stop the rest.

    Args:
        paths: Videos, in any order; a path that comes again is skipped.
        extractor: Whose fingerprint the cache has.
        cache: Where the features go; all of them are on the disk when this returns.
        decode: Called from other threads.
        at_once: How many videos are decoded at once, 1 or more.
        failures: What was wrong with videos that were tried before; grows. They are not tried again.
        progress: Called as progress(done, total) after each video.

    Returns:
        What was wrong with each video that has no features now, by path.

    Raises:
        DataError: If the cache can't be written: then no other video could be kept either.
    """
    failures = {} if failures is None else failures
    unique = list(dict.fromkeys(paths))

    def decode_if_new(path: Path) -> Video | None:
        return None if path in failures or path in cache else decode(path)

    for done, (path, decoded) in enumerate(decode_ahead(unique, decode_if_new, at_once=at_once), start=1):
        if (error := _extract_one(path, decoded, extractor, cache)) is not None:
            failures[path] = error
        if progress is not None:
            progress(done, len(unique))
    cache.flush()
    return {path: failures[path] for path in unique if path in failures}


def decode_ahead(
    paths: Sequence[Path], work: Callable[[Path], T], *, at_once: int
) -> Iterator[tuple[Path, Future[T]]]:
    """Work on the next videos in threads while the caller looks at one; few wait, however many there are.

    Args:
        paths: Videos.
        work: Called from other threads; what it raises waits in the future.
        at_once: How many are worked on at once, 1 or more.

    Yields:
        Each video and its finished future, whichever is ready: others need not wait for one that
        takes its whole time limit.
    """
    todo = iter(paths)
    ahead: dict[Future[T], Path] = {}
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="decode") as pool:
        try:
            while True:
                while len(ahead) < at_once + _DECODED_AHEAD and (path := next(todo, None)) is not None:
                    ahead[pool.submit(work, path)] = path
                if not ahead:
                    return
                for finished in wait(ahead, return_when=FIRST_COMPLETED).done:
                    yield ahead.pop(finished), finished
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _extract_one(
    path: Path, decoded: Future[Video | None], extractor: FeatureExtractor, cache: FeatureCache
) -> Exception | None:
    """Encode and keep one video; what is wrong with it is returned, what is wrong with the cache raised."""
    try:
        video = decoded.result()
        features = None if video is None else extractor.extract(video)
    except (GgmError, OSError, ValueError) as error:  # what bad media raises; a bug is none of these
        return error
    if features is not None:
        cache.put(path, features)
    return None
