from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import DataError, MediaFormatError, MediaNotFoundError
from ggm.features.cache import FeatureCache, extract_all
from ggm.features.extract import FeatureExtractor
from ggm.records import Video, VideoFeatures

from .conftest import make_video


def decode(path: Path) -> Video:
    """Stands for media.decode: the file's content is the seed of the video."""
    return make_video(int(path.read_bytes()), sound_samples=1000)


@pytest.fixture
def cache(tmp_path: Path, tiny: FeatureExtractor) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", tiny.fingerprint)


@pytest.fixture
def clip(video_files: list[Path]) -> Path:
    return video_files[0]


@pytest.fixture
def features(tiny: FeatureExtractor, clip: Path) -> VideoFeatures:
    return tiny.extract(decode(clip))


def test_what_was_put_is_got(cache: FeatureCache, clip: Path, features: VideoFeatures) -> None:
    assert cache.get(clip) is None
    assert clip not in cache
    cache.put(clip, features)
    found = cache.get(clip)
    assert found is not None
    assert clip in cache
    assert np.array_equal(found.frame_embeddings, features.frame_embeddings)
    assert np.array_equal(found.frame_pooled, features.frame_pooled)
    assert np.array_equal(found.frame_tokens, features.frame_tokens.astype(np.float16))
    assert found.frame_embeddings.dtype == np.float32
    assert found.frame_tokens.dtype == np.float16
    assert found.sound_tokens is not None
    assert features.sound_tokens is not None
    assert np.array_equal(found.sound_tokens, features.sound_tokens.astype(np.float16))


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(1, 4),
    width=st.integers(1, 5),
    steps=st.none() | st.integers(1, 3),
    scale=st.floats(0, 1e6),
)
def test_any_shape_survives(
    tmp_path_factory: pytest.TempPathFactory, frames: int, width: int, steps: int | None, scale: float
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    clip = folder / "clip"
    clip.write_bytes(b"0")
    random = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) * scale).astype(np.float32)

    given_features = VideoFeatures(
        rows(frames, width),
        rows(frames, 2),
        rows(frames, 3, width),
        None if steps is None else rows(steps, width),
    )
    cache = FeatureCache(folder, "f" * 32)
    cache.put(clip, given_features)
    found = cache.get(clip)
    assert found is not None
    assert np.array_equal(found.frame_pooled, given_features.frame_pooled)
    assert np.isfinite(found.frame_tokens).all()  # what float16 can't hold is clipped, not infinite
    assert (found.sound_tokens is None) == (steps is None)


def test_a_video_is_known_by_its_content(
    cache: FeatureCache, clip: Path, features: VideoFeatures, tmp_path: Path
) -> None:
    cache.put(clip, features)
    renamed = clip.rename(tmp_path / "renamed.mp4")
    assert renamed in cache
    renamed.write_bytes(b"another video")
    assert renamed not in cache


def test_a_video_that_changed_in_place_is_not_mistaken(
    cache: FeatureCache, clip: Path, features: VideoFeatures
) -> None:
    """The content's hash is remembered only as long as size and time stay the same."""
    cache.put(clip, features)
    time.sleep(0.02)
    clip.write_bytes(b"7")  # the same size
    assert clip not in cache


def test_another_encoder_has_its_own_features(
    cache: FeatureCache, clip: Path, features: VideoFeatures
) -> None:
    cache.put(clip, features)
    assert clip not in FeatureCache(cache.folder, "another fingerprint")


def test_files_lie_in_folders_of_two_letters(
    cache: FeatureCache, clip: Path, features: VideoFeatures
) -> None:
    cache.put(clip, features)
    (file,) = (path for path in cache.folder.rglob("*") if path.is_file())
    assert file == cache.file_of(clip)
    assert file.parent.name == file.name[:2]
    assert file.suffix == ".safetensors"


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "one bit", "another format", "directory"])
def test_a_damaged_file_is_computed_anew(
    cache: FeatureCache, clip: Path, features: VideoFeatures, tiny: FeatureExtractor, damage: str
) -> None:
    cache.put(clip, features)
    file = cache.file_of(clip)
    content = file.read_bytes()
    match damage:
        case "truncated":
            file.write_bytes(content[:-10])
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_bytes(b"not a tensor in sight")
        case "one bit":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "another format":
            file.write_bytes(content.replace(b'"format":"1"', b'"format":"0"'))
        case "directory":
            file.unlink()
            file.mkdir()
    assert cache.get(clip) is None
    if damage != "directory":
        assert extract_all([clip], tiny, cache, decode=decode) == {}
        assert clip in cache


def test_a_missing_video_is_named(cache: FeatureCache, tmp_path: Path, features: VideoFeatures) -> None:
    for use in (cache.get, cache.file_of, lambda path: cache.put(path, features)):
        with pytest.raises(MediaNotFoundError, match=r"absent\.mp4: cannot read the video"):
            use(tmp_path / "absent.mp4")


def test_a_full_disk_is_said(
    cache: FeatureCache, clip: Path, features: VideoFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"No space left on device; free some space"):
        cache.put(clip, features)
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []  # nothing half-written


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

    with pytest.raises(DataError, match="cannot write the feature cache"):
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
