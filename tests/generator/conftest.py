"""Tiny random text models of three families, with tokenizers that are trained here."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertLMHeadModel,
    BertModel,
    EncoderDecoderModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from ggm.generator import (
    Generator,
    GeneratorBatch,
    GeneratorConfig,
    collate,
    collate_labels,
    ensure_separator,
)
from ggm.records import VideoFeatures

TOKEN_DIM, SOUND_DIM, TOKENS_PER_FRAME = 12, 10, 3
TEXTS = [
    "first snow in the cold winter weather",
    "a cat and a kitten drink coffee",
    "the best city nights are full of music",
    "cold weather winter snow cat kitten funny dance city music coffee love happy nature",
]
MakeGenerator = Callable[..., Generator]
MakeFeatures = Callable[..., VideoFeatures]


def _on_disk(tokenizer: Tokenizer, folder: Path, **special: str) -> PreTrainedTokenizerFast:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _bart_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Byte-level, with two forms of each word; the separator is the end token, as BART's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(
            vocab_size=360, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return _on_disk(
        tokenizer,
        folder,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def _word_piece_tokenizer(folder: Path, *, decoder: bool) -> PreTrainedTokenizerFast:
    """Uncased WordPiece; the decoder's own has an end token beside its separator."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(["[EOS]"] if decoder else [])]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    words = sorted({word for text in TEXTS for word in text.split()} - set(letters))
    if decoder:  # a smaller vocabulary: these are spelled
        words = [word for word in words if word not in ("dance", "kitten")]
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    if decoder:
        names |= {"bos_token": "[CLS]", "eos_token": "[EOS]"}
    return _on_disk(tokenizer, folder, **names, mask_token="[MASK]")


def _t5_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """SentencePiece-like, with neither separator nor begin token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    tokenizer.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(
            vocab_size=120,
            special_tokens=["<pad>", "</s>", "<unk>"],
            initial_alphabet=[*letters, "▁"],
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _on_disk(tokenizer, folder, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreTrainedTokenizerFast]:
    """By name: `bart`, `bert` (of the encoder), `bert_decoder`, `t5` (without separator)."""
    folder = tmp_path_factory.mktemp("tokenizers")
    return {
        "bart": _bart_tokenizer(folder / "bart"),
        "bert": _word_piece_tokenizer(folder / "bert", decoder=False),
        "bert_decoder": _word_piece_tokenizer(folder / "bert_decoder", decoder=True),
        "t5": _t5_tokenizer(folder / "t5"),
    }


def _text_model(family: str, tokenizers: dict[str, PreTrainedTokenizerFast], *, spread: float) -> Any:
    if family == "bart":
        config = BartConfig(
            vocab_size=len(tokenizers["bart"]),
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            max_position_embeddings=128,
            init_std=spread,
        )
        return BartForConditionalGeneration(config)
    if family == "bert":
        sizes = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "max_position_embeddings": 128,
            "initializer_range": spread,
        }
        encoder = BertConfig(vocab_size=len(tokenizers["bert"]), **sizes)
        decoder = BertConfig(
            vocab_size=len(tokenizers["bert_decoder"]), is_decoder=True, add_cross_attention=True, **sizes
        )
        return EncoderDecoderModel(encoder=BertModel(encoder), decoder=BertLMHeadModel(decoder))
    t5 = T5Config(
        vocab_size=len(tokenizers["t5"]),
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        initializer_factor=7 * spread,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(t5)


def fresh_generator(
    family: str,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    *,
    seed: int = 0,
    spread: float = 0.3,
    prepare: Callable[[Any], None] = lambda text_model: None,
    **settings: Any,
) -> Generator:
    torch.manual_seed(seed)
    text_model = _text_model(family, tokenizers, spread=spread)
    prepare(text_model)
    source = tokenizers[family]
    if family == "t5":
        source = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(source.backend_tokenizer.to_str()),
            eos_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
        )
        ensure_separator(source, text_model=text_model)
    values = {
        "token_dim": TOKEN_DIM,
        "sound_dim": SOUND_DIM,
        "num_heads": 2,
        "max_input_tokens": 96,
        "max_description_tokens": 40,
        "max_target_tokens": 40,
    }
    generator = Generator(
        GeneratorConfig(**(values | settings)),
        text_model=text_model,
        input_tokenizer=source,
        output_tokenizer=tokenizers["bert_decoder"] if family == "bert" else source,
    )
    return generator.eval()


def awaken(generator: Generator, *, seed: int = 1) -> Generator:
    """Move the output projections of CAM away from zero, so that video and sound matter."""
    torch.manual_seed(seed)
    for name, parameter in generator.named_parameters():
        if ".output.weight" in name and not name.startswith("text_model."):
            torch.nn.init.normal_(parameter, std=0.5)
    return generator


@pytest.fixture(scope="session")
def make_generator(tokenizers: dict[str, PreTrainedTokenizerFast]) -> MakeGenerator:
    """Makes a generator of a family; `awake` moves CAM away from its zero start, so that video matters."""

    def make(family: str = "bart", *, awake: bool = True, **settings: Any) -> Generator:
        generator = fresh_generator(family, tokenizers, **settings)
        return awaken(generator) if awake else generator

    return make


@pytest.fixture(scope="session")
def make_features() -> MakeFeatures:
    def make(
        seed: int = 0, *, frames: int = 2, steps: int | None = 3, dtype: Any = np.float32
    ) -> VideoFeatures:
        rng = np.random.default_rng(seed)
        return VideoFeatures(
            frame_embeddings=rng.normal(size=(frames, 4)).astype(dtype),
            frame_pooled=rng.normal(size=(frames, 5)).astype(dtype),
            frame_tokens=rng.normal(size=(frames, TOKENS_PER_FRAME, TOKEN_DIM)).astype(dtype),
            sound_tokens=None if steps is None else rng.normal(size=(steps, SOUND_DIM)).astype(dtype),
        )

    return make


def _make_batch(
    generator: Generator, features: list[VideoFeatures], texts: list[tuple[str, list[str]]]
) -> GeneratorBatch:
    rows = [generator.layout.encode(description, guidance).input_ids for description, guidance in texts]
    return collate(features, input_ids=rows, pad_token_id=generator.input_tokenizer.pad_token_id)


POSTS = [
    ("first snow", ["winter", "cat"], ["winter", "coldweather"]),
    ("", ["music"], ["citynights"]),
    ("a cat and a kitten drink coffee", [], ["cat", "kitten", "coffee"]),
    ("the best", ["love", "nature", "dance"], ["happy", "dance"]),
]


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., GeneratorBatch]:
    return _make_batch


@pytest.fixture
def posts() -> list[tuple[str, list[str], list[str]]]:
    """Description, guidance and hashtags."""
    return POSTS


@pytest.fixture
def mixed_batch(
    make_features: MakeFeatures,
) -> Callable[[Generator], tuple[GeneratorBatch, list[GeneratorBatch]]]:
    """Four posts of different lengths, one of them silent: as a batch, and as four batches of one."""

    def build(generator: Generator) -> tuple[GeneratorBatch, list[GeneratorBatch]]:
        features = [
            make_features(1, frames=2, steps=3),
            make_features(2, frames=4, steps=None),
            make_features(3, frames=1, steps=5),
            make_features(4, frames=3, steps=1),
        ]
        texts = [(description, guidance) for description, guidance, _ in POSTS]
        singles = [_make_batch(generator, [item], [text]) for item, text in zip(features, texts, strict=True)]
        return _make_batch(generator, features, texts), singles

    return build


@pytest.fixture(scope="session")
def trained(
    make_generator: MakeGenerator, make_features: MakeFeatures
) -> dict[str, tuple[Generator, GeneratorBatch]]:
    """Generators that learned the four posts by heart, and these posts."""
    learned = {}
    for family in ("bart", "bert"):
        generator = make_generator(family, spread=0.05, dropout=0.0)
        features = [make_features(seed) for seed in range(len(POSTS))]
        batch = _make_batch(generator, features, [(text, guidance) for text, guidance, _ in POSTS])
        rng = random.Random(0)
        optimiser = torch.optim.Adam([p for p in generator.parameters() if p.requires_grad], lr=5e-3)
        for _ in range(80):
            labels = collate_labels([generator.layout.labels(gold, rng=rng) for _, _, gold in POSTS])
            optimiser.zero_grad()
            generator.loss(batch, labels).backward()
            optimiser.step()
        learned[family] = (generator.eval(), batch)
    return learned
