from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ggm.errors import DataError
from ggm.features import posts as posts_module
from ggm.features.cache import FeatureCache
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts, StoredPooled, featured_posts, pooled_chunks, stack_pooled
from ggm.media.decode import decode_video
from ggm.media.guard import DecodingWorker
from ggm.media.workers import DecodingWorkers
from ggm.records import Post, Video, VideoFeatures

from .conftest import make_video


def as_posts(paths: list[Path]) -> list[Post]:
    return [Post(path.stem, path, "", ("cat",)) for path in paths]


def test_features_are_those_of_the_extractor(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    """Read at the size and the rate that it wants; the cache keeps tokens in float16."""
    told: list[tuple[int, int]] = []
    data, errors = featured_posts(as_posts(clips), tiny, tmp_path, progress=lambda *done: told.append(done))
    assert errors == {}
    assert len(data) == len(clips)
    assert told == [(done, 4) for done in range(1, 5)]
    for index, clip in enumerate(clips):
        video = decode_video(clip, short_side=tiny.short_side, sound_rate_hz=tiny.sound_rate_hz)
        expected, found = tiny.extract(video), data.features(index)
        assert np.array_equal(found.frame_pooled, expected.frame_pooled)
        assert np.array_equal(found.frame_tokens, expected.frame_tokens.astype(np.float16))
        assert (found.sound_tokens is None) == (expected.sound_tokens is None)
    assert [data.features(index).sound_tokens is None for index in range(2)] == [False, True]


def test_a_bad_video_is_set_aside_with_its_reason(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    bad, missing = tmp_path / "bad.mp4", tmp_path / "missing.mp4"
    bad.write_bytes(clips[0].read_bytes()[:300])
    posts = as_posts([clips[0], bad, clips[1], missing])
    posts.append(Post("copy", bad, "", ("dog",)))
    data, errors = featured_posts(posts, tiny, tmp_path / "cache")
    assert [post.id for post in data.posts] == ["sound", "silent"]
    assert list(errors) == ["bad", "missing", "copy"]
    assert "bad.mp4" in errors["bad"]
    assert errors["copy"] == errors["bad"]
    assert "missing.mp4" in errors["missing"]


class Spy:
    """Watches the decoding processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: list[str] = []
        self.real = DecodingWorkers.decode
        monkeypatch.setattr(DecodingWorkers, "decode", lambda *args, **named: self(*args, **named))

    def __call__(self, workers: DecodingWorkers, path: Path, **settings: Any) -> Video:
        self.decoded.append(path.name)
        return self.real(workers, path, **settings)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def test_each_video_is_decoded_once(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, spy: Spy
) -> None:
    posts = as_posts([clips[0], clips[2]])
    posts.append(Post("again", clips[0], "", ("dog",)))
    featured_posts(posts, tiny, tmp_path)
    assert sorted(spy.decoded) == ["short.mp4", "sound.mp4"]
    renamed = shutil.copy(clips[0], tmp_path / "renamed.mp4")
    data, _ = featured_posts([Post("renamed", Path(renamed), "", ("cat",))], tiny, tmp_path)
    assert sorted(spy.decoded) == ["short.mp4", "sound.mp4"]
    assert data.features(0).frame_pooled.shape[1] == tiny.pooled_dim


def test_no_process_is_left_and_none_is_started_for_nothing(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crews: list[DecodingWorkers] = []
    real = posts_module.DecodingWorkers

    def crew(count: int | None) -> DecodingWorkers:
        crews.append(real(count))
        return crews[-1]

    monkeypatch.setattr(posts_module, "DecodingWorkers", crew)
    monkeypatch.setattr(DecodingWorker, "close", watching(DecodingWorker.close, closed := []))
    featured_posts(as_posts(clips), tiny, tmp_path, num_workers=2)
    assert crews[0].count == len(closed) == 2
    monkeypatch.setattr(DecodingWorker, "decode", lambda *_, **__: pytest.fail("it was decoded"))
    featured_posts(as_posts(clips), tiny, tmp_path, num_workers=3)
    assert crews[1].count == 3
    with pytest.raises(ValueError, match="count must be positive, got 0"):
        featured_posts(as_posts(clips), tiny, tmp_path, num_workers=0)


def watching(real: Callable[[Any], None], called: list[Any]) -> Callable[[Any], None]:
    def watched(self: Any) -> None:
        called.append(self)
        real(self)

    return watched


def test_a_video_that_ends_its_process_is_set_aside(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hostile file does to its decoder, it does to a process of its own."""
    real = DecodingWorker.decode

    def killing(self: DecodingWorker, path: Path, **settings: Any) -> Video:
        if path == clips[1]:
            self.start()
            assert self._process is not None
            self._process.await_start()
            self._process._popen.kill()
            self._process._popen.wait()
            monkeypatch.setattr(type(self._process), "is_usable", lambda _: True)
        return real(self, path, **settings)

    monkeypatch.setattr(DecodingWorker, "decode", killing)
    data, errors = featured_posts(as_posts(clips), tiny, tmp_path, num_workers=1)
    assert [post.id for post in data.posts] == ["sound", "short", "long"]
    assert "the decoding process was ended by SIGKILL" in errors["silent"]


def test_no_post_gives_no_post(tiny: FeatureExtractor, tmp_path: Path) -> None:
    data, errors = featured_posts([], tiny, tmp_path)
    assert (len(data), errors) == (0, {})
    with pytest.raises(DataError, match="no post to take features of"):
        list(pooled_chunks(data))


def lose(data: FeaturedPosts) -> FeaturedPosts:
    """The posts with a cache that was emptied."""
    shutil.rmtree(data.cache.folder)
    data.cache.close()  # what is open could still be read
    return data


def test_features_that_were_lost_are_computed_again(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, spy: Spy
) -> None:
    data, _ = featured_posts(as_posts(clips), tiny, tmp_path / "cache")
    before = [data.features(index) for index in range(4)]
    spy.decoded.clear()
    lose(data)
    found = data.subset([2, 0])
    for _ in range(2):
        for index, post in enumerate((2, 0)):
            features, pooled = found.features(index), found.pooled(index)
            assert np.array_equal(features.frame_tokens, before[post].frame_tokens)
            assert np.array_equal(features.frame_pooled, before[post].frame_pooled)
            assert np.array_equal(pooled.frame_embeddings, before[post].frame_embeddings)
    assert spy.decoded == ["short.mp4", "sound.mp4"]  # once each: they are in the cache again
    lose(data)
    assert np.array_equal(data.pooled(1).frame_pooled, before[1].frame_pooled)
    assert spy.decoded[2:] == ["silent.mp4"]


@pytest.mark.parametrize("damage", ["text", "gone"])
def test_features_that_can_not_be_computed_again_are_named(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, damage: str
) -> None:
    clip = Path(shutil.copy(clips[0], tmp_path / "mine.mp4"))
    data, _ = featured_posts(as_posts([clip]), tiny, tmp_path / "cache")
    if damage == "text":
        clip.write_text("no video any more")
    else:
        clip.unlink()
    lose(data)
    for use in (data.features, data.pooled):
        with pytest.raises(
            DataError,
            match=r"post 'mine': its features are not in the cache .* any more, and its video can't be used "
            r"now: .*mine\.mp4: .*; restore it",
        ):
            use(0)


def test_without_an_extractor_they_are_missed(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips[:1]), tiny, tmp_path / "cache")
    alone = lose(FeaturedPosts(data.posts, data.cache))
    for use in (alone.features, alone.pooled):
        with pytest.raises(
            DataError,
            match=r"post 'sound': the features of .*sound\.mp4 are not in the cache .*extract them first",
        ):
            use(0)


def test_encoders_that_learned_since_are_not_mistaken(clips: list[Path], tmp_path: Path) -> None:
    extractor = load_extractor("tiny")
    data, _ = featured_posts(as_posts(clips[:1]), extractor, tmp_path / "cache")
    with torch.no_grad():
        next(extractor.frames.parameters()).add_(1)
    extractor.weights_changed()
    assert data.features(0) is not None
    lose(data)
    with pytest.raises(DataError, match=r"sound\.mp4: .*the encoders that made them have learned since"):
        data.features(0)


def test_a_bounded_cache_gives_all_features(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    """However small it is; what doesn't fit is computed when it is wanted."""
    cache = FeatureCache(tmp_path / "cache", tiny.fingerprint, max_bytes=12_000)
    data, errors = featured_posts(as_posts(clips), tiny, cache)
    assert errors == {}
    assert any(cache.get(clip) is None for clip in clips)
    for index, clip in enumerate(clips):
        video = decode_video(clip, short_side=tiny.short_side, sound_rate_hz=tiny.sound_rate_hz)
        assert np.array_equal(data.features(index).frame_pooled, tiny.extract(video).frame_pooled)


def test_a_cache_that_can_not_be_written_stops_the_run(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot write the cache: .*; free some space, or choose another"):
        featured_posts(as_posts(clips), tiny, tmp_path / "cache")


def test_a_failure_is_remembered_where_it_is_said_so(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, spy: Spy
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    failures: dict[Path, Exception] = {}
    for _ in range(2):
        _, errors = featured_posts(as_posts([bad]), tiny, tmp_path / "cache", failures=failures)
        assert list(errors) == ["bad"]
    assert spy.decoded == ["bad.mp4"]


def test_a_subset_has_the_order_of_its_indices(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips), tiny, tmp_path)
    part = data.subset([3, 0])
    assert isinstance(part, FeaturedPosts)
    assert [post.id for post in part.posts] == ["long", "sound"]
    assert np.array_equal(part.features(0).frame_pooled, data.features(3).frame_pooled)
    assert len(data.subset([])) == 0


def test_pooled_features_are_padded_to_the_most_frames(tiny: FeatureExtractor) -> None:
    features: list[VideoFeatures] = [
        tiny.extract(make_video(seed, frames=frames)) for seed, frames in enumerate((2, 4, 1))
    ]
    pooled = stack_pooled(features)
    assert pooled.frame_mask.tolist() == [
        [True, True, False, False],
        [True, True, True, True],
        [True, False, False, False],
    ]
    assert pooled.frame_embeddings.shape == (3, 4, tiny.embedding_dim)
    for row, item in enumerate(features):
        mask = pooled.frame_mask[row]
        assert np.array_equal(pooled.frame_embeddings[row][mask], item.frame_embeddings)
        assert np.array_equal(pooled.frame_pooled[row][mask], item.frame_pooled)
        assert not pooled.frame_pooled[row][~mask].any()
        assert not pooled.frame_embeddings[row][~mask].any()


def test_pooled_features_come_in_chunks_in_the_order_of_posts(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips), tiny, tmp_path)
    chunks = list(pooled_chunks(data, chunk=3))
    counts = [len(data.features(index).frame_pooled) for index in range(4)]
    assert [chunk.frame_mask.sum(1).tolist() for chunk in chunks] == [counts[:3], counts[3:]]
    assert [chunk.frame_mask.shape[1] for chunk in chunks] == [max(counts[:3]), counts[3]]
    assert np.array_equal(chunks[0].frame_pooled[2, 0], data.features(2).frame_pooled[0])


def test_pooled_features_are_read_when_they_are_wanted(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips), tiny, tmp_path)
    (everything,) = pooled_chunks(data)
    stored = StoredPooled(data, everything.frame_mask.shape[1])
    for rows in ([3, 1], [0], [2, 2, 0]):
        found, expected = stored.rows(rows), everything.rows(rows)
        for name in ("frame_embeddings", "frame_pooled", "frame_mask"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))
    with pytest.raises(DataError, match="no post to take features of"):
        stored.rows([])
