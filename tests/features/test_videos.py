from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import DataError, MediaError
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.videos import DecodedPosts, LivePosts, VideoCache, decoded_posts
from ggm.media.decode import decode_video
from ggm.media.workers import DecodingWorkers
from ggm.records import Post
from videos import write_video


@pytest.fixture
def extractor() -> FeatureExtractor:
    return load_extractor("tiny")


@pytest.fixture
def cache(tmp_path: Path, extractor: FeatureExtractor) -> VideoCache:
    return VideoCache(tmp_path / "cache", extractor)


@pytest.fixture
def posts(tmp_path: Path) -> list[Post]:
    """One with sound and one without; the third is no video."""
    loud = write_video(tmp_path / "loud.mp4", seconds=1.0)
    silent = write_video(tmp_path / "silent.mp4", seconds=0.6, sound=False)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    return [Post(path.stem, path, "", ("cat",)) for path in (loud, silent, text)]


def test_what_is_kept_is_what_was_decoded(
    cache: VideoCache, posts: list[Post], extractor: FeatureExtractor
) -> None:
    for post in posts[:2]:
        expected = decode_video(
            post.video, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz
        )
        for found in (cache.get(post.video), cache.get(post.video)):  # decoded, and read back
            assert np.array_equal(found.frames.pixels, expected.frames.pixels)
            assert np.array_equal(found.frames.timestamps_seconds, expected.frames.timestamps_seconds)
            assert found.duration_seconds == expected.duration_seconds
            assert (found.sound is None) == (expected.sound is None) == (post.id == "silent")
            if found.sound is not None and expected.sound is not None:
                heard = min(found.sound.samples.size, expected.sound.samples.size)
                assert np.array_equal(found.sound.samples[:heard], expected.sound.samples[:heard])


def test_a_video_is_decoded_once(
    cache: VideoCache, posts: list[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded_posts(posts[:2], cache)
    renamed = posts[0].video.rename(tmp_path / "renamed.mp4")  # known by its content
    monkeypatch.setattr(DecodingWorkers, "decode", lambda *_a, **_n: pytest.fail("it was decoded again"))
    assert len(cache.get(renamed).frames) == 2


def test_bad_videos_are_reported_and_not_tried_twice(cache: VideoCache, posts: list[Post]) -> None:
    failures: dict[Path, Exception] = {}
    done: list[tuple[int, int]] = []
    data, errors = decoded_posts(
        [*posts, replace(posts[0], id="again")],
        cache,
        failures=failures,
        progress=lambda now, total: done.append((now, total)),
    )
    assert [post.id for post in data.posts] == ["loud", "silent", "again"]
    assert list(errors) == ["text"]
    assert "text.mp4: not a video" in errors["text"]
    assert done == [(1, 3), (2, 3), (3, 3)]  # one file for two posts
    assert isinstance(failures[posts[2].video], MediaError)
    data, errors = decoded_posts(posts[2:], cache, failures=failures)
    assert len(data) == 0
    assert list(errors) == ["text"]


def test_a_video_that_changed_since_is_named(
    cache: VideoCache, posts: list[Post], extractor: FeatureExtractor
) -> None:
    data, _ = decoded_posts(posts, cache)
    live = LivePosts(data, extractor)
    assert live.features(0).frame_tokens.shape[0] == 2
    assert np.array_equal(live.pooled(0).frame_embeddings, live.features(0).frame_embeddings)
    assert live.subset([1]).posts == (posts[1],)
    posts[0].video.write_text("overwritten")
    for ask in (lambda: DecodedPosts(data.posts, cache).video(0), lambda: live.pooled(0)):
        with pytest.raises(DataError, match="post 'loud': its video changed since the run began"):
            ask()
