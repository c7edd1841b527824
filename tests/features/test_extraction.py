from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import DataError, MediaFormatError, MediaNotFoundError
from ggm.features.cache import FeatureCache
from ggm.features.extract import FeatureExtractor
from ggm.features.extraction import extract_all
from ggm.records import Video

from .conftest import make_video


def decode(path: Path) -> Video:
    """Stands for media.decode: the file's content is the seed of the video."""
    return make_video(int(path.read_bytes()), sound_samples=1000)


@pytest.fixture
def cache(tmp_path: Path, tiny: FeatureExtractor) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", tiny.fingerprint)


def test_extract_all_decodes_each_new_video_once(
    cache: FeatureCache, video_files: list[Path], tiny: FeatureExtractor
) -> None:
    decoded: list[Path] = []
    progress: list[tuple[int, int]] = []

    def counting(path: Path) -> Video:
        decoded.append(path)
        assert threading.current_thread() is not threading.main_thread()
        return decode(path)

    cache.put(video_files[1], tiny.extract(decode(video_files[1])))
    paths = [*video_files, video_files[0]]
    errors = extract_all(paths, tiny, cache, decode=counting, progress=lambda *step: progress.append(step))
    assert errors == {}
    assert decoded == [video_files[0], video_files[2], video_files[3]]
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for path in video_files:
        found = cache.get(path)
        assert found is not None
        np.testing.assert_allclose(found.frame_pooled, tiny.extract(decode(path)).frame_pooled, atol=1e-5)


def test_one_bad_video_does_not_stop_the_rest(
    cache: FeatureCache, video_files: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.mp4"
    broken = video_files[1]

    def failing(path: Path) -> Video:
        if path == broken:
            raise MediaFormatError(f"{path}: not a video")
        return decode(path)

    errors = extract_all([absent, *video_files], tiny, cache, decode=failing)
    assert {path: type(error) for path, error in errors.items()} == {
        absent: MediaNotFoundError,
        broken: MediaFormatError,
    }
    assert [path in cache for path in video_files] == [True, False, True, True]


def test_a_bug_is_no_bad_video(cache: FeatureCache, video_files: list[Path], tiny: FeatureExtractor) -> None:
    def buggy(path: Path) -> Video:
        raise NameError("a bug")

    with pytest.raises(NameError):
        extract_all(video_files, tiny, cache, decode=buggy)


def test_a_cache_that_cannot_be_written_stops_the_run(
    video_files: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    decoded: list[Path] = []

    def counting(path: Path) -> Video:
        decoded.append(path)
        return decode(path)

    with pytest.raises(DataError, match="cannot write the cache"):
        extract_all(video_files, tiny, FeatureCache(tmp_path / "cache", "f"), decode=counting)
    assert len(decoded) <= 3  # what was under way, not all


def test_decoding_stays_a_bounded_number_ahead(
    cache: FeatureCache, tmp_path: Path, tiny: FeatureExtractor
) -> None:
    paths = []
    for seed in range(12):
        paths.append(tmp_path / f"{seed}.mp4")
        paths[-1].write_bytes(f"{seed}".encode())
    decoded = 0
    ahead: list[int] = []

    def counting(path: Path) -> Video:
        nonlocal decoded
        decoded += 1
        return decode(path)

    def watch(done: int, total: int) -> None:
        time.sleep(0.01)
        ahead.append(decoded - done)

    assert extract_all(paths, tiny, cache, decode=counting, progress=watch) == {}
    assert max(ahead) <= 3


def test_nothing_to_do(cache: FeatureCache, tiny: FeatureExtractor) -> None:
    assert extract_all([], tiny, cache, decode=decode) == {}


def many_files(folder: Path, count: int) -> list[Path]:
    paths = []
    for seed in range(count):
        paths.append(folder / f"{seed}.mp4")
        paths[-1].write_bytes(f"{seed}".encode())
    return paths


def test_several_are_decoded_at_once(cache: FeatureCache, tmp_path: Path, tiny: FeatureExtractor) -> None:
    together = threading.Barrier(3, timeout=20)

    def meeting(path: Path) -> Video:
        together.wait()
        return decode(path)

    assert extract_all(many_files(tmp_path, 9), tiny, cache, decode=meeting, at_once=3) == {}


def test_one_that_takes_long_does_not_hold_up_the_others(
    cache: FeatureCache, tmp_path: Path, tiny: FeatureExtractor
) -> None:
    paths = many_files(tmp_path, 9)
    nearly_done = threading.Event()

    def hanging(path: Path) -> Video:
        if path == paths[0]:
            assert nearly_done.wait(20)
        return decode(path)

    def watch(done: int, total: int) -> None:
        if done == total - 1:
            nearly_done.set()

    assert extract_all(paths, tiny, cache, decode=hanging, at_once=2, progress=watch) == {}


def test_all_is_on_the_disk_at_the_end(
    cache: FeatureCache, video_files: list[Path], tiny: FeatureExtractor
) -> None:
    extract_all(video_files, tiny, cache, decode=decode)
    with FeatureCache(cache.folder, tiny.fingerprint) as other:
        assert all(other.get(path) is not None for path in video_files)


def test_known_failures_are_not_tried_again(
    cache: FeatureCache, video_files: list[Path], tiny: FeatureExtractor
) -> None:
    tried: list[Path] = []

    def failing(path: Path) -> Video:
        tried.append(path)
        if path == video_files[1]:
            raise MediaFormatError(f"{path}: not a video")
        return decode(path)

    failures: dict[Path, Exception] = {}
    first = extract_all(video_files[:2], tiny, cache, decode=failing, failures=failures)
    assert list(failures) == list(first) == [video_files[1]]
    assert extract_all(video_files[2:], tiny, cache, decode=failing, failures=failures) == {}
    assert extract_all(video_files, tiny, cache, decode=failing, failures=failures) == first
    assert tried == video_files
    extract_all(video_files, tiny, cache, decode=failing)  # another run tries again
    assert tried[4:] == [video_files[1]]


def test_what_was_lost_is_the_same_when_it_is_computed_again(
    cache: FeatureCache, tmp_path: Path, tiny: FeatureExtractor
) -> None:
    """Whatever else is computed with it: to the last bit, so that a resumed run learns the same."""
    paths = many_files(tmp_path, 5)
    extract_all(paths, tiny, cache, decode=decode, at_once=2)
    with FeatureCache(tmp_path / "other", tiny.fingerprint) as other:
        extract_all([paths[3]], tiny, other, decode=decode)
        first, second = cache.get(paths[3]), other.get(paths[3])
    assert first is not None
    assert second is not None
    assert np.array_equal(first.frame_tokens, second.frame_tokens)
    assert np.array_equal(first.frame_pooled, second.frame_pooled)
    assert np.array_equal(first.frame_embeddings, second.frame_embeddings)
