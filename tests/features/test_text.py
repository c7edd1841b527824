from __future__ import annotations

import pytest
import torch

from ggm.errors import CheckpointError, ConfigError
from ggm.features.compact import load_minilm
from ggm.features.profiles import Profile, profile
from ggm.features.text import TextModelConfig, compact_output_vocabulary, load_text_model
from ggm.hashtags import split_words


def test_the_tiny_text_model_is_the_same_each_time() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (load_text_model(profile("tiny"), TextModelConfig()) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert first.trained_encoder_layers == 0


def test_base_is_one_model_with_one_tokenizer(base_profile: Profile) -> None:
    text = load_text_model(base_profile, TextModelConfig(trained_encoder_layers=None))
    assert text.model.config.model_type == "bart"
    assert text.input_tokenizer is text.output_tokenizer
    assert text.trained_encoder_layers is None


def test_the_compact_decoder_has_the_layers_and_pieces_of_its_config() -> None:
    pieces = compact_output_vocabulary(["ColdWeather", "日本"])
    text = load_text_model(
        profile("compact"),
        TextModelConfig(decoder_layers=1, trained_encoder_layers=2, output_vocabulary=pieces),
    )
    decoder = text.model.get_decoder()
    assert decoder.config.num_hidden_layers == 1
    assert decoder.config.vocab_size == len(pieces) == len(text.output_tokenizer)
    assert len(text.input_tokenizer) == 30522
    assert text.trained_encoder_layers == 2
    encoder = text.model.get_encoder()
    minilm = load_minilm()[0]
    assert torch.equal(encoder.embeddings.word_embeddings.weight, minilm.embeddings.word_embeddings.weight)


def test_the_compact_vocabulary_spells_its_hashtags_word_by_word() -> None:
    pieces = compact_output_vocabulary(["ColdWeather", "日本", "mexicocity"])
    assert {"cold", "weather", "日", "本", "mexico", "city"} <= {*pieces}
    assert split_words("mexicocity") == ("mexico", "city")
    assert "the" in pieces  # and everyday English


def test_the_compact_text_model_needs_its_vocabulary() -> None:
    with pytest.raises(ConfigError, match="the compact text model needs an output vocabulary"):
        load_text_model(profile("compact"), TextModelConfig())


def test_no_more_layers_are_trained_than_there_are() -> None:
    assert (
        load_text_model(profile("tiny"), TextModelConfig(trained_encoder_layers=1)).trained_encoder_layers
        == 1
    )
    with pytest.raises(ConfigError, match="the text encoder has 1 layers, 2 can't be trained"):
        load_text_model(profile("tiny"), TextModelConfig(trained_encoder_layers=2))


def test_a_missing_checkpoint_is_named() -> None:
    absent = Profile("mine", retriever="r", vision="v", audio=None, text="/no/such/checkpoint")
    with pytest.raises(CheckpointError, match="/no/such/checkpoint"):
        load_text_model(absent, TextModelConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder_layers": 0}, "decoder_layers must be at least 1, got 0"),
        ({"trained_encoder_layers": -1}, "trained_encoder_layers must not be negative, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextModelConfig(**settings)  # type: ignore[arg-type]
