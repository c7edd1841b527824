from __future__ import annotations

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data
from transformers import BertTokenizer

from ggm.errors import CheckpointError
from ggm.features.compact import (
    EfficientNetEncoder,
    MiniLMEncoder,
    check_class_embeddings,
    class_names,
    compute_class_embeddings,
)
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.wheels import EFFICIENTNET_LITE0, MINILM
from ggm.records import Frames, Video

WORDS = ["cat", "kitten", "car", "coffee", "espresso", "rocket", "guitar", "beach", "wedding", "football"]


def frames_encoder(extractor: FeatureExtractor) -> EfficientNetEncoder:
    assert isinstance(extractor.frames, EfficientNetEncoder)
    return extractor.frames


def text_encoder(extractor: FeatureExtractor) -> MiniLMEncoder:
    assert isinstance(extractor.hashtags, MiniLMEncoder)
    return extractor.hashtags


@pytest.mark.parametrize(
    ("photograph", "best"),
    [("chelsea", {"cat", "kitten"}), ("coffee", {"coffee", "espresso"}), ("rocket", {"rocket"})],
)
def test_photographs_find_their_words_without_training(
    compact: FeatureExtractor, photograph: str, best: set[str]
) -> None:
    pixels = np.ascontiguousarray(getattr(data, photograph)()[None, ..., :3])
    features = compact.extract(Video(Frames(pixels, np.zeros(1)), None, 1.0))
    similarities = features.frame_embeddings[0] @ compact.embed_hashtags(WORDS).T
    assert {WORDS[place] for place in np.argsort(-similarities)[: len(best)]} == best


def test_conse_is_the_weighted_mean_of_the_likeliest_names(compact: FeatureExtractor) -> None:
    encoder = frames_encoder(compact)
    inputs = encoder.prepare(data.chelsea()[None])
    with torch.inference_mode():
        probabilities = encoder.class_probabilities(inputs)[0].numpy()
        embedding = encoder(inputs).embeddings[0].numpy()
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    rows = encoder.class_embeddings.numpy()
    slow = np.zeros(384)
    for place in sorted(range(1000), key=lambda place: -probabilities[place])[:10]:
        slow += probabilities[place] * rows[place]
    np.testing.assert_allclose(embedding, slow / np.linalg.norm(slow), atol=1e-5)


def test_pooled_is_the_mean_of_the_tokens(compact: FeatureExtractor) -> None:
    encoder = frames_encoder(compact)
    with torch.inference_mode():
        outputs = encoder(encoder.prepare(data.coffee()[None]))
    assert outputs.tokens.shape == (1, 49, 1280)
    torch.testing.assert_close(outputs.pooled, outputs.tokens.mean(1), atol=1e-5, rtol=0)


def test_tokens_are_in_reading_order(compact: FeatureExtractor) -> None:
    """White on the upper left of black: the token that changes most is of that corner."""
    pixels = np.zeros((2, 256, 256, 3), np.uint8)
    pixels[1, 16:60, 16:60] = 255
    encoder = frames_encoder(compact)
    with torch.inference_mode():
        tokens = encoder(encoder.prepare(pixels)).tokens
    change = (tokens[1] - tokens[0]).norm(dim=-1).reshape(7, 7)
    row, column = divmod(int(change.argmax()), 7)
    assert row <= 2
    assert column <= 2


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 455), (512, 300), (40, 64), (1, 300)])
def test_crop_takes_the_central_square(compact: FeatureExtractor, height: int, width: int) -> None:
    pixels = np.full((2, height, width, 3), 255, np.uint8)
    prepared = frames_encoder(compact).prepare(pixels)["pixels"]
    assert prepared.shape == (2, 3, 224, 224)
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(prepared, torch.ones_like(prepared))  # (255 - 127) / 128


def test_crop_of_a_frame_of_the_right_size_is_exact(compact: FeatureExtractor) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 256, 300, 3), dtype=np.uint8)
    prepared = frames_encoder(compact).prepare(pixels)["pixels"]
    expected = (pixels[0, 16:240, 38:262].astype(np.float64) - 127) / 128
    np.testing.assert_array_equal(prepared[0].permute(1, 2, 0).numpy(), expected.astype(np.float32))


def test_whole_framing_keeps_the_sides(compact: FeatureExtractor) -> None:
    whole = EfficientNetEncoder(frames_encoder(compact).class_embeddings.numpy(), framing="whole")
    pixels = np.full((1, 100, 200, 3), 255, np.uint8)
    prepared = whole.prepare(pixels)["pixels"][0, 0]
    assert prepared[:56].abs().max() == 0  # grey, the network's own padding
    torch.testing.assert_close(prepared[56:168], torch.ones(112, 224))
    assert whole.preprocessing() != frames_encoder(compact).preprocessing()


def test_a_sentence_is_the_mean_over_its_tokens(compact: FeatureExtractor) -> None:
    encoder = text_encoder(compact)
    texts = ["snow", "the first snow on the old town, seen from above", ""]
    together = compact.embed_descriptions(texts)
    for row, text in zip(together, texts, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
            hidden = encoder.model(input_ids=ids).last_hidden_state[0].numpy()
        mean = hidden.mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_long_texts_are_cut(compact: FeatureExtractor) -> None:
    assert text_encoder(compact).prepare(["snow " * 1000])["input_ids"].shape == (1, 256)


def test_the_tokenizer_is_the_one_of_the_checkpoint(compact: FeatureExtractor) -> None:
    theirs = BertTokenizer.from_pretrained(MINILM.verified()["vocab.txt"].parent)
    for text in ["Hello Wörld, 日本 skiing", "a [SEP] b", "", "fyp #ootd", "☃ snowman"]:
        assert text_encoder(compact).tokenizer(text)["input_ids"] == theirs(text)["input_ids"]


def test_no_parameter_is_left_random(compact: FeatureExtractor) -> None:
    """Two loads agree bit for bit, buffers that no checkpoint holds included."""
    first, second = text_encoder(compact), MiniLMEncoder()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    buffers = dict(second.named_buffers())
    assert {name: tensor.tolist() for name, tensor in first.named_buffers()} == {
        name: tensor.tolist() for name, tensor in buffers.items()
    }


def test_stored_class_embeddings_give_the_same_extractor(compact: FeatureExtractor) -> None:
    stored = frames_encoder(compact).class_embeddings.numpy().astype(np.float16)
    again = load_extractor("compact", class_embeddings=stored)
    assert again.fingerprint == compact.fingerprint
    assert torch.equal(frames_encoder(again).class_embeddings, frames_encoder(compact).class_embeddings)


def test_class_embeddings_are_those_of_the_names(compact: FeatureExtractor) -> None:
    rows = frames_encoder(compact).class_embeddings.numpy()
    assert rows.shape == (1000, 384)
    for place in (0, 281, 999):
        np.testing.assert_allclose(
            rows[place], compact.embed_descriptions([class_names()[place]])[0], atol=1e-3
        )


def test_class_embeddings_of_another_encoder_are_refused(compact: FeatureExtractor) -> None:
    others = frames_encoder(compact).class_embeddings.numpy()[::-1]
    with pytest.raises(CheckpointError, match="another text encoder"):
        check_class_embeddings(others, text_encoder(compact))
    with pytest.raises(CheckpointError, match="another text encoder"):
        load_extractor("compact", class_embeddings=others)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [(np.ones((3, 384)), r"must be \(1000, width\)"), (np.ones((1000, 384)), "unit length")],
)
def test_broken_class_embeddings_are_refused(rows: np.ndarray, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        EfficientNetEncoder(rows)


def test_class_names_are_those_of_imagenet() -> None:
    names = class_names()
    assert len(names) == 1000
    assert names[0] == "tench"
    assert names[817] == "sports car"


def test_a_changed_package_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MINILM.sha256, "config.json", "0" * 64)
    with pytest.raises(CheckpointError, match="SHA-256"):
        MiniLMEncoder()


def test_frames_can_be_fine_tuned(compact: FeatureExtractor) -> None:
    encoder = EfficientNetEncoder(frames_encoder(compact).class_embeddings.numpy())
    encoder(encoder.prepare(np.asarray(Image.new("RGB", (64, 64), "red"))[None])).embeddings.sum().backward()
    assert encoder.network._conv_stem.weight.grad.abs().sum() > 0


def test_computed_embeddings_are_rounded_to_half_precision(
    compact: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ggm.features.compact.class_names", lambda: ("cat", "sports car", "a very long name of a thing")
    )
    rows = compute_class_embeddings(text_encoder(compact))
    np.testing.assert_array_equal(rows, rows.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(rows[1], compact.embed_descriptions(["sports car"])[0], atol=1e-3)


def test_crop_is_that_of_the_whole_image_resized(compact: FeatureExtractor) -> None:
    photograph = data.chelsea()[:, :450]  # 450 x 300: resized to 384 x 256, the square begins at (80, 16)
    prepared = frames_encoder(compact).prepare(photograph[None])["pixels"][0].permute(1, 2, 0).numpy()
    resized = Image.fromarray(photograph).resize((384, 256), Image.Resampling.BICUBIC)
    expected = (np.asarray(resized.crop((80, 16, 304, 240)), np.float32) - 127) / 128
    assert np.abs(prepared - expected).mean() < 1 / 128


def test_saved_copies_change_no_bit(compact: FeatureExtractor) -> None:
    """Our padding and activation against the package's own network."""
    plain = EfficientNet.from_name("efficientnet-lite0")
    weights = EFFICIENTNET_LITE0.verified()["efficientnet-lite0-57934424.pth"]
    plain.load_state_dict(torch.load(weights, weights_only=True))
    plain = plain.eval().to(memory_format=torch.channels_last)
    inputs = frames_encoder(compact).prepare(data.chelsea()[None])
    with torch.inference_mode():
        expected = plain.extract_features(inputs["pixels"]).flatten(2).transpose(1, 2)
        assert torch.equal(frames_encoder(compact)(inputs).tokens, expected)
    assert plain.state_dict().keys() == frames_encoder(compact).network.state_dict().keys()
