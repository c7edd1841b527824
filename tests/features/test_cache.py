from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import DataError, MediaNotFoundError
from ggm.features.cache import FeatureCache
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
    assert cache.get(renamed) is not None
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


def shards(cache: FeatureCache, part: str) -> list[Path]:
    return sorted((cache.folder / cache.extractor_fingerprint[:16] / part).glob("*.safetensors"))


def test_what_was_put_is_what_will_be_got(cache: FeatureCache, clip: Path, features: VideoFeatures) -> None:
    """Token by token, before it is written and afterwards."""
    kept = cache.put(clip, features)
    for _ in range(2):
        found = cache.get(clip)
        assert found is not None
        for name in ("frame_embeddings", "frame_pooled", "frame_tokens", "sound_tokens"):
            assert getattr(found, name).dtype == getattr(kept, name).dtype
            assert np.array_equal(getattr(found, name), getattr(kept, name))
        cache.flush()
    assert len(shards(cache, "pooled")) == len(shards(cache, "tokens")) == 1


def test_the_pooled_part_is_read_alone(cache: FeatureCache, clip: Path, features: VideoFeatures) -> None:
    assert cache.pooled(clip) is None
    with cache:
        cache.put(clip, features)
    for shard in shards(cache, "tokens"):
        shard.unlink()
    found = cache.pooled(clip)
    assert found is not None
    assert np.array_equal(found.frame_embeddings, features.frame_embeddings)
    assert np.array_equal(found.frame_pooled, features.frame_pooled)
    assert FeatureCache(cache.folder, cache.extractor_fingerprint).get(clip) is None


@pytest.mark.parametrize("part", ["pooled", "tokens"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "one bit"])
def test_damaged_features_are_missed(
    cache: FeatureCache, clip: Path, features: VideoFeatures, part: str, damage: str
) -> None:
    with cache:
        cache.put(clip, features)
    (file,) = shards(cache, part)
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
    with FeatureCache(cache.folder, cache.extractor_fingerprint) as other:
        assert other.get(clip) is None
        assert clip not in other
        assert (other.pooled(clip) is None) is (part == "pooled")
        other.put(clip, features)
        assert other.get(clip) is not None


def test_a_file_for_each_video_as_there_used_to_be_is_passed_over(
    cache: FeatureCache, clip: Path, features: VideoFeatures
) -> None:
    old = cache.folder / cache.extractor_fingerprint[:16] / "ab" / f"ab{'0' * 38}.safetensors"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of an earlier version")
    with cache:
        assert cache.get(clip) is None
        cache.put(clip, features)
        assert cache.get(clip) is not None
    assert old.read_bytes() == b"of an earlier version"


def test_a_missing_video_is_named(cache: FeatureCache, tmp_path: Path, features: VideoFeatures) -> None:
    for use in (cache.get, cache.pooled, cache.__contains__, lambda path: cache.put(path, features)):
        with pytest.raises(MediaNotFoundError, match=r"absent\.mp4: cannot read the video"):
            use(tmp_path / "absent.mp4")
    assert 7 not in cache


def test_a_full_disk_is_said(
    cache: FeatureCache, clip: Path, features: VideoFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    for finish in (cache.flush, cache.close):
        cache.put(clip, features)
        with pytest.raises(DataError, match=r"No space left on device; free some space"):
            finish()
    assert [path for path in cache.folder.rglob("*.*") if path.is_file()] == []  # nothing half-written


def test_a_bounded_cache_loses_tokens_first(
    tmp_path: Path, tiny: FeatureExtractor, features: VideoFeatures
) -> None:
    """Pooled features are a small part: whoever bounds the cache can still train a retriever quickly."""
    clips = []
    for number in range(200):
        clips.append(tmp_path / f"{number}.mp4")
        clips[-1].write_bytes(f"{number}".encode())
    with FeatureCache(tmp_path / "cache", tiny.fingerprint, max_bytes=200_000) as cache:
        for clip in clips:
            cache.put(clip, features)
    with FeatureCache(tmp_path / "cache", tiny.fingerprint, max_bytes=200_000) as cache:
        files = [file for part in ("pooled", "tokens") for file in shards(cache, part)]
        assert 100_000 < sum(file.stat().st_size for file in files) <= 200_000
        pooled = [cache.pooled(clip) is not None for clip in clips]
        complete = [cache.get(clip) is not None for clip in clips]
        assert sum(pooled) > 150
        assert 20 < sum(complete) < 60
        assert [clip in cache for clip in clips] == pooled  # no reason to decode them all again
    with FeatureCache(tmp_path / "cache", tiny.fingerprint) as unbounded:
        assert [clip in unbounded for clip in clips] == complete


def test_a_cache_that_was_larger_is_cut_down(
    tmp_path: Path, tiny: FeatureExtractor, features: VideoFeatures, video_files: list[Path]
) -> None:
    for clip in video_files:
        with FeatureCache(tmp_path / "cache", tiny.fingerprint) as unbounded:
            unbounded.put(clip, features)
    with FeatureCache(tmp_path / "cache", tiny.fingerprint, max_bytes=12_000) as cache:
        assert all(clip in cache for clip in video_files)
        cache.flush()
        files = [file for part in ("pooled", "tokens") for file in shards(cache, part)]
        assert sum(file.stat().st_size for file in files) <= 12_000
        assert [cache.pooled(clip) is None for clip in video_files] == [False] * 4
        assert cache.get(video_files[0]) is None


def test_a_bound_is_positive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_bytes must be positive, got 0"):
        FeatureCache(tmp_path, "f", max_bytes=0)
