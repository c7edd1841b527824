from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from checkpoints import byte_tokenizer, write_bart, write_bert, write_vit
from ggm.errors import CheckpointError, ConfigError
from ggm.features.descriptions import DescriptionEncoder, load_description_encoder
from ggm.features.tiny import tiny_description_model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("checkpoints") / "bert")


def test_a_description_is_what_the_model_pools(bert: Path) -> None:
    encoder = load_description_encoder("base", checkpoint=str(bert))
    model, tokenizer = AutoModel.from_pretrained(bert).eval(), AutoTokenizer.from_pretrained(bert)
    with torch.inference_mode():
        found = encoder(encoder.prepare(["first snow", "a cat"]))
        expected = model(**tokenizer(["first snow"], return_tensors="pt")).pooler_output
    assert found.shape == (2, encoder.description_dim) == (2, 16)
    torch.testing.assert_close(found[:1], expected)


def test_without_pooler_it_is_the_mean_over_tokens(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "pooler" not in name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    encoder = load_description_encoder("base", checkpoint=str(folder))
    assert encoder.model.pooler is None
    with torch.inference_mode():
        inputs = encoder.prepare(["first snow"])
        expected = encoder.model(**inputs).last_hidden_state.mean(1)
        torch.testing.assert_close(encoder(inputs), expected)
        padded = encoder(encoder.prepare(["first snow", "a longer description"]))
        torch.testing.assert_close(padded[:1], expected)


@pytest.mark.parametrize("name", ["tiny", "compact", "synthetic"])
def test_some_profiles_bring_their_own(name: str) -> None:
    before = torch.get_rng_state()
    first, second = (load_description_encoder(name) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.inference_mode():
        inputs = first.prepare(["", "a cat", "Ελλάδα"])
        assert torch.equal(first(inputs), second(inputs))
        assert first(inputs).isfinite().all()
        torch.testing.assert_close(first(first.prepare([""])), first(inputs)[:1])


def test_any_profile_may_read_with_another(bert: Path) -> None:
    assert load_description_encoder("tiny", checkpoint=str(bert)).preprocessing() == {
        "max_tokens": 48,
        "vocabulary_size": len(byte_tokenizer()),
    }


def test_long_descriptions_are_cut(bert: Path) -> None:
    encoder = load_description_encoder("base", checkpoint=str(bert))
    assert encoder.prepare(["x" * 500, "y"])["input_ids"].shape == (2, 48)


def test_what_is_no_encoder_of_descriptions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it has a decoder"):
        load_description_encoder("base", checkpoint=str(write_bart(tmp_path / "bart")))
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_description_encoder("base", checkpoint=str(write_vit(tmp_path / "vit")))
    with pytest.raises(CheckpointError, match=r"absent: cannot load a text encoder such as BERT"):
        load_description_encoder("base", checkpoint=str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="no profile 'large'"):
        load_description_encoder("large")


def test_a_tokenizer_for_which_nothing_is_no_token_is_refused() -> None:
    model, tokenizer = tiny_description_model()
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(CheckpointError, match="no token stands for an empty text"):
        DescriptionEncoder(model, tokenizer)
