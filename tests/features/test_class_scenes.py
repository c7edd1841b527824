from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggm.errors import DataError
from ggm.features.class_scenes import topic_classes
from ggm.features.compact import class_names, class_synsets
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.simulation import SimulatedPosts, VideoSimulator
from ggm.records import Post
from ggm.scenes import Scene, SceneSettings, Topic, World

GOLDFISH = class_names().index("goldfish")

TOPICS = (
    Topic("thing"),
    Topic("fish", 0, "02512053-n"),
    Topic("goldfish", 1, class_synsets()[GOLDFISH]),
    Topic("comet goldfish", 2, "00000001-n"),
    Topic("justice", 0, "00000002-n"),
)
FISH, OWN, BELOW, ABSTRACT = 1, 2, 3, 4
WORLD = World(TOPICS, SceneSettings(prototypes="classes", min_frames=2, max_frames=4), seed=0)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return load_extractor("compact")


@pytest.fixture(scope="module")
def simulator(extractor: FeatureExtractor) -> VideoSimulator:
    return VideoSimulator(WORLD, extractor)


def post(number: int, row: int) -> Post:
    return Post(f"{number}", Path("scenes") / Scene((row,), silent=True).name, "", ("x",))


def test_topics_look_like_the_classes_below_or_above_them() -> None:
    synsets = ("02512053-n", *class_synsets()[GOLDFISH : GOLDFISH + 1])
    assert topic_classes(TOPICS, synsets) == ((0, 1), (0, 1), (1,), (1,), ())
    assert topic_classes(TOPICS, synsets[1:]) == ((0,), (0,), (0,), (0,), ())
    assert topic_classes(TOPICS, ()) == ((), (), (), (), ())


def test_a_wide_topic_has_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ggm.features.class_scenes.MAX_CLASSES", 1)
    synsets = ("02512053-n", class_synsets()[GOLDFISH])
    assert topic_classes(TOPICS, synsets) == ((), (), (1,), (1,), ())


def test_the_classifier_recognises_what_is_shown(
    simulator: VideoSimulator, extractor: FeatureExtractor
) -> None:
    class_embeddings = extractor.frames.class_embeddings.numpy()  # type: ignore[operator,union-attr]
    for row in (FISH, OWN, BELOW):
        features = simulator.features(post(row, row))
        nearest = (features.frame_embeddings.mean(0) @ class_embeddings.T).argsort()[-3:]
        assert GOLDFISH in nearest
    nothing = simulator.features(post(9, ABSTRACT)).frame_embeddings.mean(0) @ class_embeddings.T
    assert GOLDFISH not in nothing.argsort()[-3:]


def test_features_are_like_real_ones(simulator: VideoSimulator) -> None:
    features = [simulator.features(post(number, OWN)) for number in range(8)]
    for one in features:
        frames = len(one.frame_tokens)
        assert 2 <= frames <= 4
        assert one.frame_tokens.shape == (frames, 49, 1280)
        assert one.frame_pooled.shape == (frames, 1280)
        assert one.frame_embeddings.shape == (frames, 384)
        assert one.sound_tokens is None
        assert np.allclose(one.frame_tokens.mean(1), one.frame_pooled, atol=1e-5)
        assert one.frame_tokens.dtype == np.float32
    # Of the drawings of the clip-art corpus these are 0.18, 0.90 and 16.
    tokens = np.concatenate([one.frame_tokens for one in features])
    assert tokens.mean() == pytest.approx(0.18, abs=0.03)
    assert (tokens == 0).mean() == pytest.approx(0.9, abs=0.03)
    lengths = np.linalg.norm(np.concatenate([one.frame_pooled for one in features]), axis=1)
    assert lengths.mean() == pytest.approx(16, rel=0.2)


def test_features_depend_on_the_post_alone(simulator: VideoSimulator, extractor: FeatureExtractor) -> None:
    posts = (post(1, OWN), post(2, OWN))
    first, second = (simulator.features(one) for one in posts)
    again = SimulatedPosts(posts[::-1], VideoSimulator(WORLD, extractor))
    assert np.array_equal(again.features(1).frame_tokens, first.frame_tokens)
    assert np.array_equal(again.pooled(1).frame_pooled, first.frame_pooled)
    assert np.array_equal(again.pooled(1).frame_embeddings, first.frame_embeddings)
    assert not np.array_equal(first.frame_pooled[0], second.frame_pooled[0])


def test_only_a_classifier_will_do_and_scenes_are_checked(simulator: VideoSimulator) -> None:
    with pytest.raises(DataError, match="which only the profile 'compact' has"):
        VideoSimulator(WORLD, load_extractor("tiny"))
    with pytest.raises(DataError, match="shows a topic beyond the 5"):
        simulator.features(post(1, 5))
