from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import DataError
from ggm.features import posts as posts_module
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts, featured_posts, pooled_features, stack_pooled
from ggm.media.decode import decode_video
from ggm.records import Post, VideoFeatures

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


def test_each_video_is_decoded_once(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def spy(path: Path, **settings: object) -> object:
        decoded.append(path.name)
        return decode_video(path, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(posts_module, "decode_video", spy)
    posts = as_posts([clips[0], clips[2]])
    posts.append(Post("again", clips[0], "", ("dog",)))
    featured_posts(posts, tiny, tmp_path)
    assert sorted(decoded) == ["short.mp4", "sound.mp4"]
    renamed = shutil.copy(clips[0], tmp_path / "renamed.mp4")
    data, _ = featured_posts([Post("renamed", Path(renamed), "", ("cat",))], tiny, tmp_path)
    assert sorted(decoded) == ["short.mp4", "sound.mp4"]
    assert data.features(0).frame_pooled.shape[1] == tiny.pooled_dim


def test_no_post_gives_no_post(tiny: FeatureExtractor, tmp_path: Path) -> None:
    data, errors = featured_posts([], tiny, tmp_path)
    assert (len(data), errors) == (0, {})
    with pytest.raises(DataError, match="no post to take features of"):
        pooled_features(data)


def test_features_that_were_taken_away_are_named(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips[:1]), tiny, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"sound\.mp4: its features are not in the cache .*extract them first"
    ):
        data.features(0)


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


def test_pooled_features_of_posts_are_stacked_in_their_order(
    clips: list[Path], tiny: FeatureExtractor, tmp_path: Path
) -> None:
    data, _ = featured_posts(as_posts(clips), tiny, tmp_path)
    pooled = pooled_features(data)
    assert pooled.frame_mask.sum(1).tolist() == [len(data.features(index).frame_pooled) for index in range(4)]
    assert np.array_equal(pooled.frame_pooled[2, 0], data.features(2).frame_pooled[0])
