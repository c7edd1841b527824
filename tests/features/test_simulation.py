from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ggm.errors import ConfigError, DataError
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.placeholders import SimulatedSoundEncoder
from ggm.features.simulation import SimulatedPosts, VideoSimulator, prototypes
from ggm.records import Frames, Post, Sound, Video
from ggm.scenes import Scene, SceneSettings, Topic, World

TOPICS = (
    Topic("thing"), Topic("animal", 0), Topic("dog", 1), Topic("cat", 1), Topic("food", 0), Topic("tea", 4),
)  # fmt: skip
DOG, CAT, TEA = 2, 3, 5
WORLD = World(TOPICS, SceneSettings(min_frames=1, max_frames=5), seed=0)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return load_extractor("tiny")


@pytest.fixture(scope="module")
def simulator(extractor: FeatureExtractor) -> VideoSimulator:
    return VideoSimulator(WORLD, extractor)


def post(number: int, scene: Scene) -> Post:
    return Post(f"{number}", Path("scenes") / scene.name, "", ("x",))


def quiet(extractor: FeatureExtractor, **settings: float) -> VideoSimulator:
    """Without noise, so that what is shown can be told exactly."""
    noises = dict.fromkeys(("video_noise", "frame_noise", "token_noise", "sound_noise"), 0.0)
    changed = replace(WORLD.settings, **{**noises, "background": 0.0, "pretrained_noise": 0.0, **settings})  # type: ignore[arg-type]
    return VideoSimulator(replace(WORLD, settings=changed), extractor)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_features_have_the_shapes_of_the_extractor(simulator: VideoSimulator) -> None:
    counts = set()
    for number in range(30):
        features = simulator.features(post(number, Scene((DOG, TEA), heard=CAT)))
        frames = len(features.frame_tokens)
        counts.add(frames)
        assert features.frame_embeddings.shape == (frames, 16)
        assert features.frame_pooled.shape == (frames, 24)
        assert features.frame_tokens.shape == (frames, 8, 24)
        assert features.sound_tokens is not None
        assert features.sound_tokens.shape == (4, 12)
        assert {array.dtype for array in (features.frame_pooled, features.frame_tokens)} == {
            np.dtype("float32")
        }
        assert features.frame_embeddings.dtype == features.sound_tokens.dtype == np.float32
        assert np.allclose(np.linalg.norm(features.frame_embeddings, axis=1), 1, atol=1e-5)
    assert counts == {1, 2, 3, 4, 5}


def test_features_depend_on_the_post_alone_whatever_the_order(
    simulator: VideoSimulator, extractor: FeatureExtractor
) -> None:
    posts = tuple(post(number, Scene((DOG,), heard=DOG)) for number in range(6))
    data = SimulatedPosts(posts, simulator)
    first = [data.features(index) for index in range(6)]
    again = SimulatedPosts(posts[::-1], VideoSimulator(WORLD, extractor))
    assert len(data) == 6
    for index in range(6):
        features = again.features(5 - index)
        pooled = again.pooled(5 - index)
        for name in ("frame_embeddings", "frame_pooled", "frame_tokens", "sound_tokens"):
            assert np.array_equal(getattr(first[index], name), getattr(features, name))
        assert np.array_equal(first[index].frame_embeddings, pooled.frame_embeddings)
        assert np.array_equal(first[index].frame_pooled, pooled.frame_pooled)
    assert not np.array_equal(first[0].frame_pooled[0], first[1].frame_pooled[0])
    assert [one.id for one in data.subset([4, 1]).posts] == ["4", "1"]
    other = VideoSimulator(replace(WORLD, seed=1), extractor).features(posts[0])
    assert not np.array_equal(first[0].frame_pooled[0], other.frame_pooled[0])


@pytest.mark.parametrize("distinctness", [0.3, 0.5, 1.0])
def test_kinds_of_one_thing_are_close(distinctness: float) -> None:
    topics = (
        *TOPICS,
        *(Topic(f"kind {n}", 1) for n in range(200)),
        *(Topic(f"dish {n}", 4) for n in range(200)),
    )
    settings = replace(WORLD.settings, distinctness=distinctness, width=256)
    vectors = prototypes(World(topics, settings, 0), "seen")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    animals, dishes = vectors[6:206], vectors[206:]
    siblings = (animals @ animals.T)[np.triu_indices(200, 1)].mean()
    cousins = (animals @ dishes.T).mean()
    assert siblings == pytest.approx(1 - distinctness, abs=0.06)
    assert cousins == pytest.approx((1 - distinctness) ** 2, abs=0.08)
    assert not np.allclose(vectors, prototypes(World(topics, settings, 0), "heard"))


def test_frames_and_tokens_show_the_topics(extractor: FeatureExtractor) -> None:
    simulator = quiet(extractor)
    alone = {topic: simulator.features(post(0, Scene((topic,)))) for topic in (DOG, CAT, TEA)}
    dog, cat, tea = (alone[topic].frame_pooled[0] for topic in (DOG, CAT, TEA))
    assert cosine(dog, simulator.features(post(9, Scene((DOG,)))).frame_pooled[0]) == pytest.approx(1)
    both = simulator.features(post(1, Scene((DOG, TEA))))
    assert max(cosine(frame, dog) for frame in both.frame_pooled) > cosine(dog, tea)
    shown = {
        topic: alone[topic].frame_tokens[0, 0] for topic in (DOG, TEA)
    }  # without noise, all tokens of a topic are alike
    for token in both.frame_tokens.reshape(-1, 24):
        assert max(cosine(token, one) for one in shown.values()) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(cat, dog)


def test_sound_tells_what_is_heard_and_silence_has_none(extractor: FeatureExtractor) -> None:
    simulator = quiet(extractor)
    heard = simulator.features(post(0, Scene((TEA,), heard=DOG))).sound_tokens
    elsewhere = simulator.features(post(7, Scene((CAT,), heard=DOG))).sound_tokens
    other = simulator.features(post(0, Scene((TEA,), heard=CAT))).sound_tokens
    assert heard is not None
    assert elsewhere is not None
    assert other is not None
    assert np.allclose(heard, elsewhere)
    assert not np.allclose(heard, other)
    assert simulator.features(post(0, Scene((TEA,), silent=True))).sound_tokens is None
    noises = [simulator.features(post(number, Scene((TEA,)))).sound_tokens for number in range(40)]
    assert 2 < len({noise.tobytes() for noise in noises if noise is not None}) <= 16


def test_a_pretrained_model_means_the_name_or_what_it_is_a_kind_of(extractor: FeatureExtractor) -> None:
    dog, animal = extractor.embed_descriptions(["dog", "animal"])
    for known, expected in ((1.0, dog), (0.0, animal)):
        embedding = (
            quiet(extractor, pretrained_known=known).pooled(post(0, Scene((DOG,)))).frame_embeddings[0]
        )
        assert cosine(embedding, expected) == pytest.approx(1, abs=1e-3)
    doubtful = quiet(extractor, pretrained_known=1.0, pretrained_noise=0.5)
    embedding = doubtful.pooled(post(0, Scene((DOG,)))).frame_embeddings[0]
    assert 0.3 < cosine(embedding, dog) < 0.99


def test_noise_has_the_length_that_is_set(extractor: FeatureExtractor) -> None:
    still, noisy = quiet(extractor), quiet(extractor, video_noise=2.0)
    distances = [
        np.linalg.norm(noisy.pooled(one).frame_pooled[0] - still.pooled(one).frame_pooled[0]) / 24**0.5
        for one in (post(number, Scene((DOG,))) for number in range(50))
    ]
    assert np.mean(distances) == pytest.approx(2.0, rel=0.1)


def test_an_extractor_without_ears_hears_nothing(extractor: FeatureExtractor) -> None:
    deaf = FeatureExtractor(extractor.frames, extractor.hashtags)
    features = VideoSimulator(WORLD, deaf).features(post(0, Scene((DOG,), heard=DOG)))
    assert features.sound_tokens is None


def test_what_is_no_scene_of_this_world_is_refused(simulator: VideoSimulator) -> None:
    with pytest.raises(DataError, match=r"'cat\.mp4' names no scene"):
        simulator.features(Post("1", Path("cat.mp4"), "", ("x",)))
    for scene in (Scene((6,)), Scene((DOG,), heard=6)):
        with pytest.raises(DataError, match=r"post '1': .* shows a topic beyond the 6 of this dataset"):
            SimulatedPosts((post(1, scene),), simulator).pooled(0)


def test_the_synthetic_profile_refuses_real_videos() -> None:
    extractor = load_extractor("synthetic")
    assert (extractor.embedding_dim, extractor.pooled_dim, extractor.token_dim, extractor.sound_dim) == (
        384, 128, 128, 128,
    )  # fmt: skip
    assert extractor.fingerprint == load_extractor("synthetic").fingerprint
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    video = Video(Frames(pixels, np.zeros(1)), None, 1.0)
    with pytest.raises(ConfigError, match="the profile 'synthetic' is for simulated videos"):
        extractor.extract(video)
    with pytest.raises(ConfigError, match="can't look at real ones"):
        extractor.frames({"pixels": pixels})
    ears = SimulatedSoundEncoder()
    with pytest.raises(ConfigError, match="train with another profile"):
        ears.prepare(Sound(np.zeros(8, np.float32), 8000))
    with pytest.raises(ConfigError, match="train with another profile"):
        ears({})
