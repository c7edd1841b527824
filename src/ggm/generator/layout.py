"""How description, guidance and hashtags line up as token ids, and back (paper, section 3.2).

Input: ``description [sep] hashtag [sep] hashtag ...``; target: ``hashtag [sep] hashtag ... [eos]``.
Texts are tokenised piece by piece and joined as ids, since tokenizers treat white space around
special tokens in their own ways, and decoding across them glues words together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import torch
from transformers import PreTrainedTokenizerBase

from ggm.errors import ConfigError, HashtagError
from ggm.generator.batch import GeneratorBatch, collate, collate_labels
from ggm.generator.config import GeneratorConfig
from ggm.hashtags import Vocabulary, key, normalise, split_words

__all__ = [
    "EncodedText",
    "GeneratorBatch",
    "ParsedHashtag",
    "TextLayout",
    "choose_separator",
    "collate",
    "collate_labels",
    "drop_gold",
    "ensure_separator",
]

_ADDED_SEPARATOR: Final = "<sep>"
_CACHED_HASHTAGS: Final = 1 << 17


@dataclass(frozen=True)
class EncodedText:
    """One post's input text.

    Args:
        input_ids: Special tokens included.
        num_guidance: How many guidance hashtags found room.
        description_truncated: Whether the description was cut to its budget.
        guidance_at: For a model with a pointer: which guidance hashtag each input id belongs to, -1 for
            none; as long as `input_ids`.
        guidance_ids: For a model with a pointer: how the decoder writes each guidance hashtag that
            found room; empty for one that it can't.
    """

    input_ids: tuple[int, ...]
    num_guidance: int
    description_truncated: bool
    guidance_at: tuple[int, ...] = ()
    guidance_ids: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class ParsedHashtag:
    """A hashtag read from generated ids, which it takes from `start` to before `stop`."""

    text: str
    start: int
    stop: int


class TextLayout:
    """Lines texts up for one pair of tokenizers.

    Args:
        config: Limits, and whether hashtags are written as words.
        input_tokenizer: Of the encoder.
        output_tokenizer: Of the decoder; may be the same.

    Raises:
        ConfigError: If a tokenizer has no separator (see `ensure_separator`), no end token, or
            puts its special tokens elsewhere than around the text.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        input_tokenizer: PreTrainedTokenizerBase,
        output_tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self.config = config
        self._input = _PieceTokenizer(input_tokenizer)
        self._output = _PieceTokenizer(output_tokenizer)
        self._prefix, self._suffix = _surrounding_ids(input_tokenizer)
        if output_tokenizer.eos_token_id is None:
            raise ConfigError("the output tokenizer has no eos_token")
        self.eos_token_id = int(output_tokenizer.eos_token_id)
        self.input_separator_id = self._input.separator_id
        self.output_separator_id = self._output.separator_id

    def encode(self, description: str, guidance: Sequence[str] = ()) -> EncodedText:
        """Line up a description and its guidance.

        The description is cut to its own budget, so that guidance survives a long one. Of
        guidance the tail is dropped where the room ends, never a part of a hashtag.

        Args:
            description: Any text; may be empty.
            guidance: Hashtags, the most similar first.
        """
        room = self.config.max_input_tokens - len(self._prefix) - len(self._suffix)
        budget = min(room, self.config.max_description_tokens)
        pieces = self._input.tokenise(description)
        ids = pieces[:budget]
        at = [-1] * (len(self._prefix) + len(ids))
        num_guidance = 0
        for hashtag in guidance[: self.config.top_k]:
            piece = self._input.hashtag(self._written(hashtag), cache_as=hashtag)
            if len(ids) + 1 + len(piece) > room:
                break
            ids += (self.input_separator_id, *piece)
            at += [-1, *[num_guidance] * len(piece)]
            num_guidance += 1
        encoded = EncodedText((*self._prefix, *ids, *self._suffix), num_guidance, len(pieces) > budget)
        if not self.config.pointer:
            return encoded
        return replace(
            encoded,
            guidance_at=(*at, *[-1] * len(self._suffix)),
            guidance_ids=tuple(map(self.hashtag_ids, guidance[:num_guidance])),
        )

    def labels(self, hashtags: Sequence[str], *, rng: random.Random | None = None) -> tuple[int, ...]:
        """Target ids: each hashtag once, separated, with the end token last.

        Hashtags that don't fit into the limit as a whole, or that the output tokenizer can't
        spell, are left out.

        Args:
            hashtags: Of one post.
            rng: Shuffles them anew, so that no order is learned; None keeps their order.
        """
        distinct = list({key(hashtag): hashtag for hashtag in hashtags}.values())
        if rng is not None:
            rng.shuffle(distinct)
        ids: tuple[int, ...] = ()
        for hashtag in distinct:
            piece = self.hashtag_ids(hashtag)
            separator = (self.output_separator_id,) if ids else ()
            if piece and len(ids) + len(separator) + len(piece) < self.config.max_target_tokens:
                ids += (*separator, *piece)
        return (*ids, self.eos_token_id)

    def hashtag_ids(self, hashtag: str) -> tuple[int, ...]:
        """How the decoder writes a hashtag; empty when it holds letters that the tokenizer lacks."""
        piece = self._output.hashtag(self._written(hashtag), cache_as=hashtag)
        return () if self._output.tokenizer.unk_token_id in piece else piece

    def parse(self, ids: Sequence[int], *, vocabulary: Vocabulary | None = None) -> list[str]:
        """Generated ids to hashtags, each once; see `parse_spans`."""
        return [parsed.text for parsed in self.parse_spans(ids, vocabulary=vocabulary)]

    def parse_spans(self, ids: Sequence[int], *, vocabulary: Vocabulary | None = None) -> list[ParsedHashtag]:
        """Generated ids to hashtags and where they stand.

        Pieces that hold no hashtag, a broken character or an unknown token are dropped.

        Args:
            ids: Without the decoder's start token; all from the end token on is ignored.
            vocabulary: Gives known hashtags their usual form; otherwise words are joined.
        """
        found: dict[str, ParsedHashtag] = {}
        for start, stop in self.pieces(ids):
            text = self._output.decode(ids[start:stop])
            if text is None:
                continue
            words = text.split()
            try:
                hashtag = normalise("".join(words)) if vocabulary is None else vocabulary.resolve(words)
                found.setdefault(key(hashtag), ParsedHashtag(hashtag, start, stop))
            except HashtagError:
                continue
        return list(found.values())

    def pieces(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Where the pieces between separators start and stop; nothing is read from the end token on."""
        start = 0
        for index, token in enumerate(ids):
            if token == self.eos_token_id:
                yield start, index
                return
            if token == self.output_separator_id:
                yield start, index
                start = index + 1
        yield start, len(ids)

    def _written(self, hashtag: str) -> str:
        return " ".join(split_words(hashtag)) if self.config.split_words else normalise(hashtag)


class _PieceTokenizer:
    """Tokenises pieces of text without special tokens, each as if it stood inside a sentence.

    Byte-level tokenizers such as BART's have two forms of each word, with and without a space
    before it. The first word of a piece always gets the one inside a sentence.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = cast(Any, tokenizer)
        self.separator_id: int = self.tokenizer.convert_tokens_to_ids(choose_separator(tokenizer))
        self._control = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self._lead = ""
        self._cache: dict[str, tuple[int, ...]] = {}
        inside, spaced, bare = (self._ids(text) for text in ("a winter", " winter", "winter"))
        if spaced != bare and inside[-len(spaced) :] == spaced:
            self._lead = " "

    def tokenise(self, text: str) -> tuple[int, ...]:
        """Ids of a text with normalised spacing; special tokens that it spells out are removed."""
        text = " ".join(text.split())
        return (
            tuple(token for token in self._ids(self._lead + text) if token not in self._control)
            if text
            else ()
        )

    def hashtag(self, written: str, *, cache_as: str) -> tuple[int, ...]:
        ids = self._cache.get(cache_as)
        if ids is None:
            if len(self._cache) >= _CACHED_HASHTAGS:
                self._cache.clear()
            ids = self._cache[cache_as] = self.tokenise(written)
        return ids

    def decode(self, ids: Sequence[int]) -> str | None:
        """The text of a piece, or None when it holds an unknown token or half a character."""
        ids = [token for token in ids if token not in self._control]
        if self.tokenizer.unk_token_id in ids:
            return None
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return None if "\ufffd" in text else text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def choose_separator(tokenizer: PreTrainedTokenizerBase) -> str:
    """The special token that separates hashtags.

    That is the tokenizer's own separator (BERT), or where that is its end token, its begin token
    (BART, as in the paper's released code).

    Raises:
        ConfigError: If it has neither, as T5; see `ensure_separator`.
    """
    taken = (None, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
    for token in (tokenizer.sep_token, tokenizer.bos_token):
        if token not in taken:
            return str(token)
    raise ConfigError("the tokenizer has no token to separate hashtags with; add one by ensure_separator")


def ensure_separator(tokenizer: PreTrainedTokenizerBase, *, text_model: Any) -> str:
    """Give a tokenizer a separator if it has none (T5), and its text model an embedding for it.

    The new embedding is the mean of all others, so that it comes out the same each time.

    Args:
        tokenizer: Gets the special token ``<sep>`` if needed.
        text_model: Its embeddings grow if needed; T5's have spare rows.

    Returns:
        The separator.
    """
    try:
        return choose_separator(tokenizer)
    except ConfigError:
        tokenizer.add_special_tokens({"sep_token": _ADDED_SEPARATOR})
    rows = text_model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        text_model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for embeddings in (text_model.get_input_embeddings(), text_model.get_output_embeddings()):
            with torch.no_grad():
                embeddings.weight[rows:] = embeddings.weight[:rows].mean(dim=0)
    return _ADDED_SEPARATOR


def drop_gold(
    guidance: Sequence[str], hashtags: Sequence[str], *, probability: float = 1 / 3, rng: random.Random
) -> list[str]:
    """Guidance without some of the post's own hashtags; for training alone.

    The retriever was trained on these very posts. If all that it finds stayed, the generator
    would learn to copy; the paper's released code drops each with probability 1/3.

    Args:
        guidance: Hashtags, in order.
        hashtags: The post's own.
        probability: Of each of these to be dropped, 0 to 1.
        rng: Draws.
    """
    gold = {key(hashtag) for hashtag in hashtags}
    return [hashtag for hashtag in guidance if key(hashtag) not in gold or rng.random() >= probability]


def _surrounding_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before and after a text."""
    whole, bare = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    raise ConfigError("the input tokenizer doesn't put its special tokens around the text")
