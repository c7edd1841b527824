from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, ClapModel, WhisperModel

from checkpoints import CLAP_RATE_HZ, write_ast, write_clap, write_whisper
from ggm.features.extract import FeatureExtractor
from ggm.features.sound import PretrainedSoundEncoder, load_sound_encoder
from ggm.records import Sound

Write = Callable[[Path], Path]


def noise(seconds: float, *, rate_hz: int, seed: int = 0) -> Sound:
    samples = np.random.default_rng(seed).normal(scale=0.1, size=max(1, int(seconds * rate_hz)))
    return Sound(samples.astype(np.float32), rate_hz)


def write_fusing_clap(folder: Path) -> Path:
    return write_clap(folder, enable_fusion=True)


def encode(encoder: PretrainedSoundEncoder, sound: Sound) -> np.ndarray:
    with torch.inference_mode():
        return encoder(encoder.prepare(sound))[0].numpy()


@pytest.fixture(scope="module", params=[write_clap, write_fusing_clap, write_ast, write_whisper])
def encoder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PretrainedSoundEncoder:
    return load_sound_encoder(str(request.param(tmp_path_factory.mktemp("sound") / "checkpoint")))


@pytest.mark.parametrize("seconds", [0, 0.3, 1, 5, 12])
def test_a_sound_becomes_several_tokens(encoder: PretrainedSoundEncoder, seconds: float) -> None:
    tokens = encode(encoder, noise(seconds, rate_hz=encoder.sample_rate_hz))
    assert tokens.shape[0] > 1
    assert tokens.shape[1] == encoder.sound_dim == 16
    assert np.isfinite(tokens).all()


def test_a_long_sound_is_cut_at_its_start_not_at_random(encoder: PretrainedSoundEncoder) -> None:
    sound = noise(12, rate_hz=encoder.sample_rate_hz)
    start = Sound(sound.samples[: int(encoder.seconds * sound.sample_rate_hz)], sound.sample_rate_hz)
    first = encode(encoder, sound)
    for _ in range(4):
        assert np.array_equal(first, encode(encoder, sound))
    assert np.array_equal(first, encode(encoder, start))


def test_claps_own_truncation_is_random(tmp_path: Path) -> None:
    """Why the sound is cut before: if this fails, the cut may go."""
    extractor = AutoFeatureExtractor.from_pretrained(write_clap(tmp_path / "clap"))
    samples = noise(12, rate_hz=CLAP_RATE_HZ).samples
    drawn = [extractor(samples, sampling_rate=CLAP_RATE_HZ)["input_features"][0] for _ in range(6)]
    assert any(not np.array_equal(drawn[0], other) for other in drawn[1:])


def test_clap_tokens_are_its_time_steps(tmp_path: Path) -> None:
    folder = write_clap(tmp_path / "clap")
    encoder = load_sound_encoder(str(folder))
    model = ClapModel.from_pretrained(folder).eval()
    inputs = encoder.prepare(noise(1, rate_hz=CLAP_RATE_HZ))
    with torch.inference_mode():
        maps = model.audio_model(**inputs).last_hidden_state  # (1, A, frequencies, M)
    expected = np.stack([maps[0, :, :, step].numpy().mean(1) for step in range(maps.shape[3])])
    np.testing.assert_allclose(encode(encoder, noise(1, rate_hz=CLAP_RATE_HZ)), expected, atol=1e-6)


def test_clap_hears_when_something_happens(tmp_path: Path) -> None:
    """A noise in the second half changes the later tokens most."""
    encoder = load_sound_encoder(str(write_clap(tmp_path / "clap")))
    quiet = np.full(CLAP_RATE_HZ, 1e-3, np.float32)
    late = quiet.copy()
    late[CLAP_RATE_HZ * 3 // 4 :] += noise(0.25, rate_hz=CLAP_RATE_HZ).samples
    change = np.abs(
        encode(encoder, Sound(late, CLAP_RATE_HZ)) - encode(encoder, Sound(quiet, CLAP_RATE_HZ))
    ).sum(1)
    half = len(change) // 2
    assert change[half:].sum() > change[:half].sum()


def test_only_the_part_that_hears_is_kept(tmp_path: Path) -> None:
    clap = load_sound_encoder(str(write_clap(tmp_path / "clap")))
    assert not any("text" in name for name, _ in clap.named_parameters())
    folder = write_whisper(tmp_path / "whisper")
    whisper, whole = load_sound_encoder(str(folder)), WhisperModel.from_pretrained(folder)
    ours = sum(parameter.numel() for parameter in whisper.parameters())
    assert ours == sum(parameter.numel() for parameter in whole.encoder.parameters())


def test_much_is_heard_at_most(tmp_path: Path) -> None:
    assert load_sound_encoder(str(write_ast(tmp_path / "ast"))).seconds == 10
    assert load_sound_encoder(str(write_clap(tmp_path / "clap"))).seconds == 1  # its window


def test_preprocessing_counts_in_the_fingerprint(encoder: PretrainedSoundEncoder) -> None:
    settings = encoder.preprocessing()
    assert settings["sampling_rate"] == encoder.sample_rate_hz
    assert settings["seconds"] == encoder.seconds


def test_videos_with_and_without_sound_share_a_batch(base: FeatureExtractor) -> None:
    from .conftest import make_video

    videos = [make_video(0), make_video(1, sound_samples=100), make_video(2, sound_samples=20_000)]
    features = base.extract_batch(videos)
    assert [item.sound_tokens is None for item in features] == [True, False, False]
