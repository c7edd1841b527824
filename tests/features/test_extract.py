from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import ConfigError, HashtagError
from ggm.features.encoders import FrameOutputs, Inputs
from ggm.features.extract import FeatureExtractor, distinct_frames, load_extractor
from ggm.features.tiny import TinyFrameEncoder, TinyHashtagEncoder, tiny_backbones
from ggm.records import Frames, Video, VideoFeatures

from .conftest import make_video


def assert_equal(one: VideoFeatures, other: VideoFeatures, *, tolerance: float = 1e-5) -> None:
    for name in ("frame_embeddings", "frame_pooled", "frame_tokens", "sound_tokens"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            assert first.dtype == np.float32
            np.testing.assert_allclose(first, second, atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["tiny", "compact", "base"])
def test_a_batch_of_n_equals_n_singles(name: str, request: pytest.FixtureRequest) -> None:
    extractor: FeatureExtractor = request.getfixturevalue(name)
    rate_hz = extractor.sound_rate_hz or 8000
    videos = [
        make_video(0, frames=5, sound_samples=3000, rate_hz=rate_hz),
        make_video(1, frames=1, height=64, width=48),
        make_video(2, frames=9, sound_samples=9000, rate_hz=rate_hz),
        make_video(3, frames=2, sound_samples=3000, rate_hz=rate_hz),
    ]
    batch = extractor.extract_batch(videos)
    assert [len(features.frame_tokens) for features in batch] == [5, 1, 9, 2]
    for video, features in zip(videos, batch, strict=True):
        assert_equal(features, extractor.extract(video))


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(
            st.integers(1, 12), st.integers(8, 70), st.integers(8, 70), st.sampled_from([0, 1, 400, 5000])
        ),
        max_size=5,
    ),
    frames_per_chunk=st.integers(1, 9),
)
def test_chunks_never_show(shapes: list[tuple[int, int, int, int]], frames_per_chunk: int) -> None:
    encoders = tiny_backbones()
    extractor = FeatureExtractor(
        encoders.frames, encoders.hashtags, sound=encoders.sound, frames_per_chunk=frames_per_chunk
    )
    videos = [
        make_video(seed, frames=frames, height=height, width=width, sound_samples=samples)
        for seed, (frames, height, width, samples) in enumerate(shapes)
    ]
    batch = extractor.extract_batch(videos)
    assert len(batch) == len(videos)
    for video, features in zip(videos, batch, strict=True):
        outputs = encoders.frames(encoders.frames.prepare(video.frames.pixels))
        np.testing.assert_allclose(features.frame_tokens, outputs.tokens.detach().numpy(), atol=1e-5)
        assert (features.sound_tokens is None) == (video.sound is None)


def test_no_chunk_is_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = tiny_backbones()
    extractor = FeatureExtractor(encoders.frames, encoders.hashtags, frames_per_chunk=4)
    seen: list[int] = []
    encoders.frames.register_forward_hook(lambda module, args, output: seen.append(len(output.tokens)))
    extractor.extract_batch([make_video(0, frames=3), make_video(1, frames=7)])
    assert seen == [4, 4, 2]


def test_widths_are_what_the_features_have(base: FeatureExtractor) -> None:
    video = make_video(sound_samples=4000)
    features = base.extract(video)
    assert features.frame_embeddings.shape == (3, base.embedding_dim)
    assert features.frame_pooled.shape == (3, base.pooled_dim)
    assert features.frame_tokens.shape == (3, base.tokens_per_frame, base.token_dim)
    assert features.sound_tokens is not None
    assert features.sound_tokens.shape[1] == base.sound_dim
    np.testing.assert_allclose(np.linalg.norm(features.frame_embeddings, axis=1), 1, atol=1e-5)


def test_an_extractor_without_sound_hears_nothing(compact: FeatureExtractor) -> None:
    assert compact.sound_dim is compact.sound_rate_hz is compact.sound_seconds is None
    assert compact.extract(make_video(sound_samples=4000)).sound_tokens is None


def test_sound_of_another_rate_is_refused(tiny: FeatureExtractor) -> None:
    with pytest.raises(ConfigError, match=r"44100 samples a second.*decode with sound_rate_hz=8000"):
        tiny.extract(make_video(sound_samples=4000, rate_hz=44100))
    with pytest.raises(ConfigError):
        tiny.extract_batch([make_video(), make_video(sound_samples=4000, rate_hz=44100)])


def test_no_videos_no_features(tiny: FeatureExtractor) -> None:
    assert tiny.extract_batch([]) == []


def test_hashtags_are_split_into_words(compact: FeatureExtractor) -> None:
    one, two = compact.embed_hashtags(["ColdWeather"]), compact.embed_descriptions(["cold weather"])
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_texts_keep_their_order(tiny: FeatureExtractor) -> None:
    """They are encoded in order of length, in chunks of 256."""
    texts = [f"{'word ' * (place % 7)}{place}" for place in range(300)]
    together = tiny.embed_descriptions(texts)
    assert together.shape == (300, tiny.embedding_dim)
    for place in (0, 1, 13, 255, 256, 299):
        np.testing.assert_allclose(together[place], tiny.embed_descriptions([texts[place]])[0], atol=1e-6)


def test_no_texts(tiny: FeatureExtractor) -> None:
    assert tiny.embed_hashtags([]).shape == (0, tiny.embedding_dim)


def test_what_holds_no_hashtag_is_refused(tiny: FeatureExtractor) -> None:
    with pytest.raises(HashtagError):
        tiny.embed_hashtags(["snow", "#"])


def test_the_fingerprint_is_of_weights_and_preprocessing(
    tiny: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_extractor("tiny").fingerprint == tiny.fingerprint

    def fingerprint(seed: int = 0, *, sound: bool = True) -> str:
        encoders = tiny_backbones(seed)
        return FeatureExtractor(
            encoders.frames, encoders.hashtags, sound=encoders.sound if sound else None
        ).fingerprint

    assert fingerprint() == tiny.fingerprint
    nudged = tiny_backbones()
    with torch.no_grad():
        next(nudged.frames.parameters()).flatten()[0] += 1e-3
    others = {
        fingerprint(seed=1),
        fingerprint(sound=False),
        FeatureExtractor(nudged.frames, nudged.hashtags, sound=nudged.sound).fingerprint,
    }
    monkeypatch.setattr(TinyFrameEncoder, "preprocessing", lambda self: {"side": 31})
    others.add(fingerprint())
    assert len(others) == 4
    assert tiny.fingerprint not in others


def test_towers_must_share_a_space() -> None:
    text = TinyHashtagEncoder()
    text.embedding_dim = 8
    with pytest.raises(ConfigError, match="don't share a space"):
        FeatureExtractor(TinyFrameEncoder(), text)


def test_a_chunk_has_a_frame() -> None:
    with pytest.raises(ConfigError, match="frames_per_chunk must be at least 1"):
        FeatureExtractor(TinyFrameEncoder(), TinyHashtagEncoder(), frames_per_chunk=0)


def test_unknown_profile() -> None:
    with pytest.raises(ConfigError, match="no profile"):
        load_extractor("huge")


def test_encoders_are_evaluated_without_gradients(tiny: FeatureExtractor) -> None:
    assert not tiny.frames.training
    assert not tiny.hashtags.training
    first = tiny.extract(make_video())
    assert_equal(first, tiny.extract(make_video()), tolerance=0)


class CountingEncoder(TinyFrameEncoder):
    """Counts the frames that it encodes."""

    encoded = 0

    def forward(self, inputs: Inputs) -> FrameOutputs:
        outputs = super().forward(inputs)
        self.encoded += len(outputs.tokens)
        return outputs


def still_video(*, noise: int = 0) -> Video:
    """Nine frames: one picture four times, another twice, the first one again, two of their own."""
    video = make_video(3, frames=5)
    pixels = video.frames.pixels[[0, 0, 0, 0, 1, 1, 0, 2, 3]]
    if noise:
        rng = np.random.default_rng(0)
        noisy = pixels.astype(np.int16) + rng.integers(-noise, noise + 1, pixels.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return replace(video, frames=Frames(pixels, np.arange(9.0)))


@pytest.mark.parametrize("name", ["tiny", "compact"])
def test_frames_that_stand_still_are_encoded_once_and_come_out_as_often(
    name: str, request: pytest.FixtureRequest
) -> None:
    extractor: FeatureExtractor = request.getfixturevalue(name)
    video = still_video()
    features = extractor.extract(video)
    for index, pixels in enumerate(video.frames.pixels):
        single = replace(video, frames=Frames(pixels[None], np.zeros(1)), sound=None)
        alone = extractor.extract(single)
        np.testing.assert_allclose(features.frame_tokens[index], alone.frame_tokens[0], atol=1e-4)
        np.testing.assert_allclose(features.frame_embeddings[index], alone.frame_embeddings[0], atol=1e-5)
    assert (features.frame_tokens[1:4] == features.frame_tokens[0]).all()  # to the last bit


@pytest.mark.parametrize(("noise", "tolerance", "encoded"), [(0, 0.0, 5), (2, 0.0, 9), (2, 4.0, 5)])
def test_how_many_frames_are_encoded(noise: int, tolerance: float, encoded: int) -> None:
    encoder = CountingEncoder()
    extractor = FeatureExtractor(encoder, TinyHashtagEncoder())
    encoder.encoded = 0
    features = extractor.extract_batch(
        [still_video(noise=noise), make_video(1, frames=2)], tolerance=tolerance
    )
    assert encoder.encoded == encoded + 2
    assert [len(item.frame_tokens) for item in features] == [9, 2]


def test_frames_that_stand_still_by_hand() -> None:
    pixels = np.zeros((5, 2, 2, 3), np.uint8)
    pixels[2:4] = 10
    pixels[3, 0, 0, 0] = 16  # 0.5 steps a pixel on average
    for tolerance, kept, places in ((0.0, [0, 2, 3, 4], [0, 0, 1, 2, 3]), (0.5, [0, 2, 4], [0, 0, 1, 1, 2])):
        found = distinct_frames(pixels, tolerance=tolerance)
        assert [item.tolist() for item in found] == [kept, places]
