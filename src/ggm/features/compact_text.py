"""The compact text model: MiniLM reads, and a shallow copy of it learns to write.

The decoder is initialised from three of MiniLM's six layers; its vocabulary is cut to the pieces
that hashtags need, and it can still spell any other ASCII word letter by letter.
"""

from __future__ import annotations

import gzip
import importlib.util
import string
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BertModel,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    PreTrainedTokenizerFast,
)

from ggm.errors import CheckpointError, ConfigError
from ggm.features.compact import MiniLMEncoder, class_names, load_minilm

if TYPE_CHECKING:
    from transformers import BertTokenizer

SPECIAL_PIECES: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[EOS]")
"""The first pieces of every cut vocabulary, in this order. MiniLM has all but the last."""

_PREFIX: Final = "##"  # of a piece that continues a word
_MAX_TARGET_TOKENS: Final = 128
_SOURCE_LAYERS: Final = {
    1: (3,),
    2: (1, 4),
    3: (1, 3, 5),
    4: (0, 2, 3, 5),
    5: (0, 1, 2, 3, 5),
    6: (0, 1, 2, 3, 4, 5),
}


def cut_vocabulary(texts: Iterable[str], *, num_frequent_words: int = 8000) -> list[str]:
    """Choose the pieces that the decoder may write.

    They are those of the given texts, of the ImageNet class names and of the most frequent English
    words, and besides them all single ASCII letters, digits and punctuation.

    Args:
        texts: Training hashtags as words, such as ``cold weather``.
        num_frequent_words: How many of the most frequent English words are covered.

    Returns:
        The pieces: special ones first, then in the order of MiniLM's vocabulary.

    Raises:
        CheckpointError: If a package that holds the words is absent or changed.
    """
    tokenizer = load_minilm()[1]
    places = tokenizer.get_vocab()
    chosen = {piece for piece in ascii_pieces() if piece in places}
    for text in (*texts, *class_names(), *_frequent_words(num_frequent_words)):
        chosen.update(tokenizer.tokenize(text))
    return [*SPECIAL_PIECES, *sorted(chosen.difference(SPECIAL_PIECES), key=places.__getitem__)]


def compact_text_model(
    vocabulary: Sequence[str],
    *,
    num_decoder_layers: int = 3,
    shared: MiniLMEncoder | None = None,
    seed: int = 0,
) -> tuple[EncoderDecoderModel, BertTokenizer, PreTrainedTokenizerFast]:
    """Build the text model of the profile ``compact`` as training starts from it.

    The decoder's self-attention, feed-forward layers, norms and embeddings are MiniLM's; its
    cross-attention and the transformation before the output are new. The output layer is tied to
    the embeddings of the cut vocabulary.

    Args:
        vocabulary: What `cut_vocabulary` returned.
        num_decoder_layers: 1 to 6; three are taken from MiniLM's layers 1, 3 and 5.
        shared: A MiniLM that is loaded already and will stay as it is, to be the encoder here too;
            another one is loaded when None.
        seed: Of the new weights.

    Returns:
        The model, the tokenizer of its input, and the tokenizer of its output, which begins with
        ``[CLS]``, separates with ``[SEP]`` and ends with ``[EOS]``.

    Raises:
        ConfigError: If the vocabulary doesn't begin with `SPECIAL_PIECES`, or holds a piece twice
            or one that MiniLM hasn't; or there is no such number of layers.
        CheckpointError: If the package with the weights is absent or changed.
    """
    if num_decoder_layers not in _SOURCE_LAYERS:
        raise ConfigError(f"num_decoder_layers must be within 1 and 6, got {num_decoder_layers}")
    minilm, input_tokenizer = (shared.model, shared.tokenizer) if shared else load_minilm()
    rows = _minilm_rows(vocabulary, input_tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = BertLMHeadModel(decoder_config(minilm.config, len(vocabulary), num_decoder_layers))
    _initialise(decoder, minilm, rows, layers=_SOURCE_LAYERS[num_decoder_layers])
    model = encoder_decoder(minilm, decoder)
    return model, input_tokenizer, output_tokenizer(vocabulary)


def output_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer over the vocabulary, which adds no special tokens.

    Raises:
        ConfigError: If the vocabulary doesn't begin with `SPECIAL_PIECES` or holds a piece twice.
    """
    _check_vocabulary(vocabulary)
    places = {piece: place for place, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(places, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token="[CLS]",
        eos_token="[EOS]",
        sep_token="[SEP]",
        cls_token="[CLS]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_max_length=_MAX_TARGET_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def encoder_decoder(encoder: BertModel, decoder: BertLMHeadModel) -> EncoderDecoderModel:
    """Join two BERTs, with the special tokens of `SPECIAL_PIECES` for the output."""
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder.config, decoder.config)
    config.decoder_start_token_id = SPECIAL_PIECES.index("[CLS]")
    config.bos_token_id = SPECIAL_PIECES.index("[CLS]")
    config.eos_token_id = SPECIAL_PIECES.index("[EOS]")
    config.pad_token_id = SPECIAL_PIECES.index("[PAD]")
    model = EncoderDecoderModel(config=config, encoder=encoder, decoder=decoder)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def decoder_config(source: BertConfig, vocabulary_size: int, num_layers: int) -> BertConfig:
    """A decoder with cross-attention, of the encoder's width."""
    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=source.hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=source.num_attention_heads,
        intermediate_size=source.intermediate_size,
        hidden_act=source.hidden_act,
        layer_norm_eps=source.layer_norm_eps,
        type_vocab_size=source.type_vocab_size,
        max_position_embeddings=_MAX_TARGET_TOKENS,
        is_decoder=True,
        add_cross_attention=True,
        tie_word_embeddings=True,
        bos_token_id=SPECIAL_PIECES.index("[CLS]"),
        eos_token_id=SPECIAL_PIECES.index("[EOS]"),
        pad_token_id=SPECIAL_PIECES.index("[PAD]"),
    )


@torch.no_grad()
def _initialise(
    decoder: BertLMHeadModel, source: BertModel, rows: list[int], *, layers: Sequence[int]
) -> None:
    """Copy from the encoder all that it has of the decoder."""
    embeddings, theirs = decoder.bert.embeddings, source.embeddings
    embeddings.word_embeddings.weight.copy_(theirs.word_embeddings.weight[rows])
    embeddings.position_embeddings.weight.copy_(theirs.position_embeddings.weight[:_MAX_TARGET_TOKENS])
    embeddings.token_type_embeddings.weight.copy_(theirs.token_type_embeddings.weight)
    embeddings.LayerNorm.load_state_dict(theirs.LayerNorm.state_dict())
    own: Any = decoder.bert.encoder.layer
    for layer, place in zip(own, layers, strict=True):
        origin: Any = source.encoder.layer[place]
        for part in ("attention", "intermediate", "output"):
            getattr(layer, part).load_state_dict(getattr(origin, part).state_dict())
        # Cross-attention comes between attention and feed-forward, each followed by its norm. With
        # the norm of the former again, the feed-forward layer meets values of the scale it knows.
        norm = origin.attention.output.LayerNorm.state_dict()
        layer.crossattention.output.LayerNorm.load_state_dict(norm)


def _minilm_rows(vocabulary: Sequence[str], tokenizer: BertTokenizer) -> list[int]:
    """Where MiniLM's embedding of each piece is; ``[EOS]`` starts as its end of sequence, ``[SEP]``."""
    _check_vocabulary(vocabulary)
    places = tokenizer.get_vocab() | {"[EOS]": tokenizer.get_vocab()["[SEP]"]}
    if unknown := [piece for piece in vocabulary if piece not in places]:
        raise ConfigError(f"the vocabulary holds {unknown[0]!r}, which is no piece of MiniLM's vocabulary")
    return [places[piece] for piece in vocabulary]


def _check_vocabulary(vocabulary: Sequence[str]) -> None:
    if tuple(vocabulary[: len(SPECIAL_PIECES)]) != SPECIAL_PIECES:
        raise ConfigError(f"the vocabulary must begin with {' '.join(SPECIAL_PIECES)}")
    if len(set(vocabulary)) != len(vocabulary):
        raise ConfigError("the vocabulary holds a piece twice")


def ascii_pieces() -> list[str]:
    """Pieces that spell any ASCII word."""
    alphanumeric = string.ascii_lowercase + string.digits
    return [*alphanumeric, *string.punctuation, *(_PREFIX + character for character in alphanumeric)]


def _frequent_words(count: int) -> list[str]:
    """The most frequent English words, from the list that comes with wordninja."""
    spec = importlib.util.find_spec("wordninja")
    if spec is None or spec.origin is None:
        raise CheckpointError("the package wordninja is not installed; run: pip install wordninja==2.0.0")
    path = Path(spec.origin).parent / "wordninja" / "wordninja_words.txt.gz"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; run: pip install --force-reinstall wordninja==2.0.0")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.strip() for line in islice(lines, count)]
