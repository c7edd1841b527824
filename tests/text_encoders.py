"""Tiny random text encoders of several kinds, each with a tokenizer of its own kind, on disk."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    DebertaConfig,
    DebertaModel,
    DebertaTokenizer,
    DebertaV2Config,
    DebertaV2Model,
    DebertaV2Tokenizer,
    GPT2Config,
    GPT2Model,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
    T5Config,
    T5Model,
    T5Tokenizer,
)

from ggm.features.loading import quiet_transformers

LAYERS = 3

SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
}
LETTERS = string.ascii_lowercase + string.digits
WORDS = ("cat", "cold", "day", "dog", "new", "snow", "weather", "winter", "york")


def write_bert(folder: Path) -> Path:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *("##" + c for c in LETTERS)]
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, model_max_length=64)
    config = BertConfig(**SHAPE, vocab_size=len(pieces), max_position_embeddings=64)
    return _write(folder, BertModel(config), tokenizer)


def write_roberta(folder: Path, *, add_prefix_space: bool = False) -> Path:
    """With 66 positions, of which two are before the first token's, and no longest input."""
    tokenizer = RobertaTokenizer(*_byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
                                 add_prefix_space=add_prefix_space)  # fmt: skip
    config = RobertaConfig(**SHAPE, vocab_size=len(tokenizer), max_position_embeddings=66, pad_token_id=1)
    return _write(folder, RobertaModel(config, add_pooling_layer=False), tokenizer)


def write_bart_encoder(folder: Path) -> Path:
    tokenizer = RobertaTokenizer(*_byte_level("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=LAYERS,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=64,
    )
    return _write(folder, BartModel(config), tokenizer)


def write_deberta(folder: Path, *, model: Any = DebertaModel) -> Path:
    """As on the hub, its tokenizer names no longest input."""
    tokenizer = DebertaTokenizer(*_byte_level("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"))
    config = DebertaConfig(
        **SHAPE, vocab_size=len(tokenizer), max_position_embeddings=64, relative_attention=True,
        pos_att_type=["c2p", "p2c"], position_biased_input=False, type_vocab_size=0,
    )  # fmt: skip
    return _write(folder, model(config), tokenizer)


def write_deberta_v2(folder: Path) -> Path:
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *("▁" + word for word in WORDS), "▁", *LETTERS, "[MASK]"]
    tokenizer = DebertaV2Tokenizer(
        vocab=[(piece, -1.0 - i / 100) for i, piece in enumerate(pieces)], unk_id=3
    )
    config = DebertaV2Config(
        **SHAPE, vocab_size=len(tokenizer), max_position_embeddings=64, relative_attention=True,
        pos_att_type=["c2p", "p2c"], position_biased_input=False, type_vocab_size=0, position_buckets=16,
        share_att_key=True, norm_rel_ebd="layer_norm",
    )  # fmt: skip
    return _write(folder, DebertaV2Model(config), tokenizer)


def write_t5(folder: Path) -> Path:
    """No position limit, no [CLS], and a layer norm after the last layer."""
    pieces = ["<pad>", "</s>", "<unk>", *("▁" + word for word in WORDS), "▁", *LETTERS]
    tokenizer = T5Tokenizer(vocab=[(piece, -1.0 - i / 100) for i, piece in enumerate(pieces)], extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=24, num_layers=LAYERS, num_heads=2,
        num_decoder_layers=1, pad_token_id=0, decoder_start_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return _write(folder, T5Model(config), tokenizer)


def write_gpt2(folder: Path) -> Path:
    """Its tokenizer pads nothing."""
    tokenizer = GPT2Tokenizer(*_byte_level("<|endoftext|>"))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return _write(folder, GPT2Model(config), tokenizer)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": write_bert,
    "roberta": write_roberta,
    "bart": write_bart_encoder,
    "deberta": write_deberta,
    "deberta-v2": write_deberta_v2,
    "t5": write_t5,
}


def _byte_level(*special: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges: bytes as letters, a space belongs to the letter after it."""
    merges = [("Ġ", letter) for letter in string.ascii_lowercase]
    pieces = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def _write(folder: Path, model: Any, tokenizer: PreTrainedTokenizerBase) -> Path:
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # with the library's initial weights, layers and tokens hardly differ
                parameter.normal_(std=0.5, generator=random)
    with quiet_transformers():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
