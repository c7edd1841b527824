from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModel
from transformers.utils import logging

from checkpoints import SIDE, write_bart, write_clip, write_siglip, write_vit
from ggm.errors import CheckpointError
from ggm.features.backbones import PretrainedFrameEncoder, load_backbones, load_seq2seq
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.profiles import Profile

from .conftest import make_video


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 50, 90, 3), dtype=np.uint8)


def test_widths_come_from_the_checkpoints(base: FeatureExtractor) -> None:
    assert (base.embedding_dim, base.pooled_dim) == (12, 16)
    assert (base.tokens_per_frame, base.token_dim) == (17, 16)  # 4 x 4 patches and the class token
    assert base.short_side == SIDE


def test_embeddings_are_the_models_own_image_features(
    base: FeatureExtractor, base_profile: Profile, pixels: np.ndarray
) -> None:
    inputs = base.frames.prepare(pixels)
    model = AutoModel.from_pretrained(base_profile.retriever).eval()
    with torch.inference_mode():
        outputs = base.frames(inputs)
        features = model.get_image_features(pixel_values=inputs["retriever_pixels"]).pooler_output
        pooled = model.vision_model(pixel_values=inputs["retriever_pixels"]).pooler_output
    torch.testing.assert_close(outputs.embeddings, F.normalize(features, dim=-1))
    torch.testing.assert_close(outputs.pooled, pooled)


def test_hashtags_are_the_models_own_text_features(base: FeatureExtractor, base_profile: Profile) -> None:
    inputs = base.hashtags.prepare(["cold weather", "snow"])
    model = AutoModel.from_pretrained(base_profile.retriever).eval()
    with torch.inference_mode():
        ours = base.hashtags(inputs)
        theirs = model.get_text_features(**inputs).pooler_output
    torch.testing.assert_close(ours, F.normalize(theirs, dim=-1))


def test_tokens_are_the_vision_transformers_last_hidden_state(
    base: FeatureExtractor, base_profile: Profile, pixels: np.ndarray
) -> None:
    """Its own preprocessing as well: squashed to a square by Pillow, scaled to -1 .. 1."""
    squares = [Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for frame in pixels]
    scaled = torch.from_numpy(np.stack([np.asarray(square) for square in squares])).float() / 127.5 - 1
    model = AutoModel.from_pretrained(base_profile.vision).eval()
    with torch.inference_mode():
        tokens = base.frames(base.frames.prepare(pixels)).tokens
        expected = model(pixel_values=scaled.permute(0, 3, 1, 2)).last_hidden_state
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)


def test_two_loads_agree_bit_for_bit(base: FeatureExtractor, base_profile: Profile) -> None:
    """Nothing that a checkpoint lacks, such as positional buffers, is left as it was in memory."""
    again = load_extractor(base_profile)
    assert again.fingerprint == base.fingerprint
    one, other = base.extract(make_video(sound_samples=9000)), again.extract(make_video(sound_samples=9000))
    assert np.array_equal(one.frame_tokens, other.frame_tokens)
    assert np.array_equal(one.frame_embeddings, other.frame_embeddings)
    assert one.sound_tokens is not None
    assert other.sound_tokens is not None
    assert np.array_equal(one.sound_tokens, other.sound_tokens)


def test_siglip_is_read_with_full_padding_and_without_mask(base_profile: Profile, tmp_path: Path) -> None:
    folder = str(write_siglip(tmp_path / "siglip"))
    encoders = load_backbones(replace(base_profile, retriever=folder, audio=None))
    assert encoders.sound is None
    inputs = encoders.hashtags.prepare(["snow", "a much longer hashtag than that, much longer"])
    assert set(inputs) == {"input_ids"}
    assert inputs["input_ids"].shape == (2, 24)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        ours = encoders.hashtags(inputs)
        theirs = model.get_text_features(**inputs).pooler_output
    torch.testing.assert_close(ours, F.normalize(theirs, dim=-1))
    assert encoders.frames.embedding_dim == encoders.frames.pooled_dim == 16


def test_clip_may_be_the_vision_transformer_too(base_profile: Profile, pixels: np.ndarray) -> None:
    frames = load_backbones(replace(base_profile, vision=base_profile.retriever, audio=None)).frames
    assert frames.tokens_per_frame == 5
    assert frames(frames.prepare(pixels)).tokens.shape == (3, 5, 16)


def test_frames_can_be_fine_tuned(base_profile: Profile, pixels: np.ndarray) -> None:
    frames = load_backbones(replace(base_profile, audio=None)).frames
    assert isinstance(frames, PretrainedFrameEncoder)
    frames(frames.prepare(pixels)).embeddings.sum().backward()
    assert frames.tower.visual_projection.weight.grad.abs().sum() > 0


def test_the_text_model_and_its_tokenizer(base_profile: Profile) -> None:
    model, tokenizer = load_seq2seq(base_profile.text)
    assert model.config.is_encoder_decoder
    assert tokenizer.tokenize(" winter")[0] != tokenizer.tokenize("winter")[0]


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("retriever", "a CLIP or SigLIP style model"),
        ("vision", "a vision transformer"),
        ("audio", "an audio encoder"),
        ("text", "a sequence-to-sequence text model"),
    ],
)
@pytest.mark.parametrize("checkpoint", ["nobody/no-such-model", "/no/such/folder"])
def test_a_missing_checkpoint_is_named(
    base_profile: Profile, part: str, wanted: str, checkpoint: str
) -> None:
    profile = replace(base_profile, **{part: checkpoint})

    def load() -> object:
        if part == "text":
            return load_seq2seq(profile.text, local_files_only=True)
        return load_backbones(profile, local_files_only=True)

    with pytest.raises(CheckpointError, match=f"{checkpoint}: cannot load {wanted}") as caught:
        load()
    advice = "hf download nobody/no-such-model" if checkpoint.startswith("nobody") else "Name a folder"
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("retriever", "vision"),
        ("retriever", "text"),
        ("vision", "text"),
        ("audio", "vision"),
        ("audio", "text"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(base_profile: Profile, part: str, instead: str) -> None:
    wrong = replace(base_profile, **{part: getattr(base_profile, instead)})
    with pytest.raises(CheckpointError, match=getattr(base_profile, instead)):
        load_backbones(wrong)


def test_a_vision_model_writes_no_text(base_profile: Profile) -> None:
    with pytest.raises(CheckpointError, match="this is not a sequence-to-sequence text model"):
        load_seq2seq(base_profile.vision)


def test_a_checkpoint_that_lacks_weights_is_refused(base_profile: Profile, tmp_path: Path) -> None:
    """Left to itself the library fills them with noise and only warns."""
    folder = write_vit(tmp_path / "vit")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if "encoder" in name or "layers" in name)
    save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="1 weights are absent"):
        load_backbones(replace(base_profile, vision=str(folder)))


def test_a_checkpoint_without_pooler_will_do(base_profile: Profile, tmp_path: Path) -> None:
    """Classifiers are published without it, and no token depends on it."""
    folder = write_vit(tmp_path / "vit", seed=1)  # the weights of base_profile.vision
    weights = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "pooler" not in key}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors")
    whole, less = (
        load_backbones(replace(base_profile, vision=name)).frames
        for name in (base_profile.vision, str(folder))
    )
    inputs = whole.prepare(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    torch.testing.assert_close(whole(inputs).tokens, less(inputs).tokens)
    assert whole.vision.pooler is not None
    assert less.vision.pooler is None  # random weights would differ from run to run
    torch.testing.assert_close(less.pool_tokens(inputs), less(inputs).tokens[:, 0])


def test_tokens_are_pooled_as_the_vision_model_does_it(base_profile: Profile) -> None:
    frames = load_backbones(base_profile).frames
    inputs = frames.prepare_for_tokens(np.full((2, SIDE, SIDE, 3), 99, np.uint8))
    with torch.inference_mode():
        theirs = frames.vision(pixel_values=inputs["vision_pixels"]).pooler_output
        assert torch.equal(frames.pool_tokens(inputs), theirs)


def test_damaged_weights_are_refused(base_profile: Profile, tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_backbones(replace(base_profile, retriever=str(folder)))


def test_remote_code_never_runs(tmp_path: Path) -> None:
    folder = write_bart(tmp_path / "bart")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config = (folder / "config.json").read_text()
    custom = config.replace(
        '"model_type": "bart"',
        '"model_type": "evil", "auto_map": '
        '{"AutoConfig": "evil.Config", "AutoModelForSeq2SeqLM": "evil.Model"}',
    )
    assert custom != config
    (folder / "config.json").write_text(custom)
    with pytest.raises(CheckpointError):
        load_seq2seq(str(folder))


def test_loading_is_silent_and_leaves_the_process_as_it_was(
    base_profile: Profile, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.set_verbosity_info()
    try:
        load_backbones(base_profile)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()
    assert capfd.readouterr() == ("", "")
