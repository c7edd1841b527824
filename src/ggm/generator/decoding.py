"""From a trained generator to ranked hashtags: beam search, and scores of given hashtags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import ConfigError
from ggm.generator.batch import GeneratorBatch, pad_ids
from ggm.generator.constraint import HashtagTrie, TrieConstraint
from ggm.generator.layout import ParsedHashtag
from ggm.generator.model import Generator, Memory, before_output
from ggm.generator.pointer import PointerProcessor
from ggm.hashtags import Vocabulary, key
from ggm.records import GeneratedHashtag
from ggm.settings import from_dict

_FILLER_SCORE = -1e8
"""Beam search fills up with sequences of about -1e9 when too few were finished."""


@dataclass(frozen=True)
class DecodingConfig:
    """How hashtags are written (paper, appendix A).

    Args:
        num_beams: Beams, 1 for greedy search.
        no_repeat_ngram_size: No sequence of this many tokens is written twice; 0 allows it.
        max_new_tokens: Longest output (the paper's 32 for short hashtags, 64 otherwise).
        length_penalty: Power of the length that a beam's log-probability is divided by; above 0
            favours longer outputs.

    Raises:
        ConfigError: If a value is out of range.
    """

    num_beams: int = 5
    no_repeat_ngram_size: int = 3
    max_new_tokens: int = 32
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, least in {"num_beams": 1, "no_repeat_ngram_size": 0, "max_new_tokens": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"decoding: {name} must be at least {least}, got {getattr(self, name)}")
        if not math.isfinite(self.length_penalty):
            raise ConfigError(f"decoding: length_penalty must be finite, got {self.length_penalty}")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON or TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DecodingConfig:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: If a key is unknown, or a value is of another type or out of range.
        """
        return from_dict(cls, values, where="decoding")


def generate(
    generator: Generator,
    batch: GeneratorBatch,
    *,
    decoding: DecodingConfig | None = None,
    vocabulary: Vocabulary | None = None,
    only: HashtagTrie | None = None,
) -> list[list[GeneratedHashtag]]:
    """Write hashtags for each post, ranked by score.

    With several beams a hashtag's score is its share of their probability: that of the beams that
    contain it over that of all. With one beam (greedy search) it is the geometric mean of the
    probabilities of its own tokens. Equal scores keep the order of the best beam.

    Args:
        generator: Is used in evaluation mode, whatever its mode.
        batch: The posts.
        decoding: How; beam search with five beams by default.
        vocabulary: Gives known hashtags their usual form.
        only: Hashtags beside which none is written; they come out in the form that they have
            there. Likelihoods are those of the free model, so that scores stay comparable.

    Returns:
        For each post its hashtags, best first; may be empty.

    Raises:
        ConfigError: If ``max_new_tokens`` is more than the text model can write.
    """
    decoding = decoding or DecodingConfig()
    generator.check_target_length(decoding.max_new_tokens, "max_new_tokens")
    if only is not None and not len(only):
        return [[] for _ in range(len(batch))]  # nothing can be spelled
    with _evaluation(generator):
        memory = generator.encode(batch)
        processed = only is not None or memory.pointer is not None
        with before_output(generator.text_model) as hidden:
            output = generator.text_model.generate(
                # A new object each time: generate expands it in place to the number of beams.
                encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
                attention_mask=memory.mask,
                generation_config=_generation_config(generator, decoding, banned=not processed),
                logits_processor=LogitsProcessorList(
                    [
                        *_pointing(generator, decoding, memory, hidden, banned=only is None),
                        *_processors(generator, decoding, only),
                    ]
                ),
            )
        if decoding.num_beams == 1:
            log_probs = _token_log_probs(generator, memory, output.sequences)
            return [
                _rank_greedy(_read(generator, ids, vocabulary, only), scores)
                for ids, scores in zip(output.sequences[:, 1:].tolist(), log_probs.tolist(), strict=True)
            ]
    sequences: list[list[int]] = output.sequences[:, 1:].tolist()  # (B * beams, L) without the start token
    scores: list[float] = output.sequences_scores.tolist()
    ranked = []
    for first in range(0, len(sequences), decoding.num_beams):
        beams = range(first, first + decoding.num_beams)
        real = [beam for beam in beams if scores[beam] > _FILLER_SCORE]
        parsed = [
            [item.text for item in _read(generator, sequences[beam], vocabulary, only)] for beam in real
        ]
        # Undo the length penalty: a share of probability needs the sum of log-probabilities.
        totals = [
            scores[beam] * _num_written(sequences[beam], generator.eos_token_id) ** decoding.length_penalty
            for beam in real
        ]
        ranked.append(_rank_beams(parsed, totals))
    return ranked


def score_hashtags(
    generator: Generator,
    batch: GeneratorBatch,
    candidates: Sequence[Sequence[str]],
    *,
    max_rows: int = 128,
) -> list[list[float]]:
    """Log-probability that the generator writes each given hashtag first.

    That is the sum over its tokens plus that of a separator or the end after it. Since targets
    are shuffled in training, each hashtag of a post is equally often the first, so these are
    comparable between hashtags of any number of words.

    Memory is encoded once, and its keys and values are projected once a post, whatever the number
    of candidates.

    Args:
        generator: Is used in evaluation mode, whatever its mode.
        batch: The posts.
        candidates: Hashtags for each post; may differ in number and be empty.
        max_rows: Candidates that are decoded at once.

    Returns:
        For each post a score, at most 0, for each candidate; -inf for a hashtag that the output
        tokenizer can't spell.

    Raises:
        ValueError: If there isn't one list of candidates a post.
    """
    if len(candidates) != len(batch):
        raise ValueError(f"{len(candidates)} lists of candidates don't fit a batch of {len(batch)}")
    scores = [[-math.inf] * len(hashtags) for hashtags in candidates]
    rows = [
        _Candidate(post, place, written)
        for post, hashtags in enumerate(candidates)
        for place, hashtag in enumerate(hashtags)
        if (written := generator.layout.hashtag_ids(hashtag))
    ]
    if not rows:
        return scores
    # Candidates of one length side by side, so that few steps are spent on padding.
    rows.sort(key=lambda row: len(row.ids))
    with _evaluation(generator):
        memory = generator.encode(batch)
        device = memory.states.device
        start = torch.full((len(batch), 1), generator.decoder_start_token_id, device=device)
        with before_output(generator.text_model) as hidden:
            output = generator.text_model(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
                attention_mask=memory.mask,
                decoder_input_ids=start,
                use_cache=True,
            )
        first = generator.next_log_probs(
            output.logits, hidden, memory, posts=range(len(batch)), ids=[()] * len(batch)
        )[:, -1]  # (B, vocabulary)
        for offset in range(0, len(rows), max_rows):
            chunk = rows[offset : offset + max_rows]
            posts = torch.tensor([row.post for row in chunk], device=device)
            ids, mask = pad_ids([row.ids for row in chunk], padding=generator.pad_token_id)
            ids, mask = ids.to(device), mask.to(device)  # (R, L), the candidates of one chunk
            with before_output(generator.text_model) as hidden:
                logits = generator.text_model(
                    encoder_outputs=BaseModelOutput(last_hidden_state=memory.states[posts]),
                    attention_mask=memory.mask[posts],
                    decoder_input_ids=ids,
                    cache=_select(output.cache, posts),
                    use_cache=True,
                ).logits
            log_probs = generator.next_log_probs(
                logits, hidden, memory, posts=posts.tolist(), ids=ids.tolist(), skip=1
            )
            values: list[float] = _candidate_log_probs(generator, first[posts], log_probs, ids, mask).tolist()
            for row, value in zip(chunk, values, strict=True):
                scores[row.post][row.place] = value
    return scores


@dataclass(frozen=True)
class _Candidate:
    """One hashtag to score: of which post, where in its list, and how it is written."""

    post: int
    place: int
    ids: tuple[int, ...]


def _candidate_log_probs(
    generator: Generator, first: Tensor, log_probs: Tensor, ids: Tensor, mask: Tensor
) -> Tensor:
    """Sum of token log-probabilities and that of an ending: (R,).

    Args:
        generator: For its separator and end.
        first: (R, vocabulary), log-probabilities of the first token.
        log_probs: (R, L, vocabulary), after each token of the candidate.
        ids: (R, L), its tokens.
        mask: bool (R, L), true for its real tokens.
    """
    inner = log_probs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]  # (R, L - 1)
    total = first.gather(1, ids[:, :1])[:, 0] + (inner * mask[:, 1:]).sum(dim=1)
    last = log_probs[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]  # (R, vocabulary)
    endings = last[:, [generator.layout.output_separator_id, generator.eos_token_id]]
    return total + endings.logsumexp(dim=-1)


def _select(cache: EncoderDecoderCache, rows: Tensor) -> EncoderDecoderCache:
    """A new cache with these rows, which may repeat, of another."""
    parts = []
    for part in (cache.self_attention_cache, cache.cross_attention_cache):
        selected = DynamicCache()
        layers: list[Any] = part.layers
        for index, layer in enumerate(layers):
            selected.update(layer.keys[rows], layer.values[rows], index)
        parts.append(selected)
    return EncoderDecoderCache(*parts)


def _pointing(
    generator: Generator, decoding: DecodingConfig, memory: Memory, hidden: list[Tensor], *, banned: bool
) -> list[LogitsProcessor]:
    """The pointer comes first, since it replaces the distribution; then what takes away from it."""
    if generator.pointer is None or memory.pointer is None:
        return []
    pointer = PointerProcessor(
        generator.pointer, memory.pointer, hidden=lambda: hidden[0][:, -1], num_beams=decoding.num_beams
    )
    if not (banned and decoding.no_repeat_ngram_size):
        return [pointer]
    return [pointer, NoRepeatNGramLogitsProcessor(decoding.no_repeat_ngram_size)]


def _processors(
    generator: Generator, decoding: DecodingConfig, only: HashtagTrie | None
) -> LogitsProcessorList:
    if only is None:
        return LogitsProcessorList()
    return LogitsProcessorList(
        [
            TrieConstraint(
                only,
                separator_id=generator.layout.output_separator_id,
                eos_token_id=generator.eos_token_id,
                no_repeat_ngram_size=decoding.no_repeat_ngram_size,
            )
        ]
    )


def _read(
    generator: Generator, ids: Sequence[int], vocabulary: Vocabulary | None, only: HashtagTrie | None
) -> list[ParsedHashtag]:
    """The whole hashtags of one sequence, each once."""
    ids = _whole(generator, ids)
    if only is None:
        return generator.layout.parse_spans(ids, vocabulary=vocabulary)
    found: dict[str, ParsedHashtag] = {}
    for start, stop in generator.layout.pieces(ids):
        if text := only.text(ids[start:stop]):
            found.setdefault(key(text), ParsedHashtag(text, start, stop))
    return list(found.values())


def _generation_config(generator: Generator, decoding: DecodingConfig, *, banned: bool) -> Any:
    beams: dict[str, Any] = {}
    if decoding.num_beams > 1:
        beams = {"length_penalty": decoding.length_penalty, "early_stopping": False}

    return cast(Any, GenerationConfig)(
        num_beams=decoding.num_beams,
        num_return_sequences=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size if banned else 0,
        do_sample=False,
        use_cache=True,
        decoder_start_token_id=generator.decoder_start_token_id,
        bos_token_id=generator.output_tokenizer.bos_token_id,
        eos_token_id=generator.eos_token_id,
        pad_token_id=generator.pad_token_id,
        return_dict_in_generate=True,
        output_scores=decoding.num_beams > 1,
        **beams,
    )


def _token_log_probs(generator: Generator, memory: Memory, sequences: Tensor) -> Tensor:
    """Log-probability of each token but the first, given those before it: (B, L - 1)."""
    log_probs: Tensor = generator.decode(memory, sequences[:, :-1]).float().log_softmax(dim=-1)
    return log_probs.gather(2, sequences[:, 1:, None])[:, :, 0]


def _whole(generator: Generator, ids: Sequence[int]) -> Sequence[int]:
    """Without the last hashtag where the length limit cut it off."""
    if generator.eos_token_id in ids:
        return ids
    separators = [place for place, token in enumerate(ids) if token == generator.layout.output_separator_id]
    return ids[: separators[-1]] if separators else []


def _num_written(ids: Sequence[int], eos_token_id: int) -> int:
    """Length of a sequence, its end token included, without padding."""
    return ids.index(eos_token_id) + 1 if eos_token_id in ids else len(ids)


def _rank_greedy(parsed: Sequence[ParsedHashtag], log_probs: Sequence[float]) -> list[GeneratedHashtag]:
    hashtags = []
    for item in parsed:
        own = log_probs[item.start : item.stop]
        hashtags.append(
            GeneratedHashtag(item.text, min(1.0, math.exp(sum(own) / len(own))), in_best_beam=True)
        )
    return sorted(hashtags, key=lambda hashtag: -hashtag.score)


def _rank_beams(parsed: Sequence[Sequence[str]], totals: Sequence[float]) -> list[GeneratedHashtag]:
    """Rank the hashtags of several beams, the best beam first, by their share of the probability."""
    weights = [math.exp(total - max(totals)) for total in totals]
    texts: dict[str, str] = {}
    sums: dict[str, float] = {}
    for hashtags, weight in zip(parsed, weights, strict=True):
        for text in hashtags:
            texts.setdefault(key(text), text)
            sums[key(text)] = sums.get(key(text), 0.0) + weight
    best = {key(text) for text in parsed[0]} if parsed else set()
    return sorted(
        (
            GeneratedHashtag(text, min(1.0, sums[folded] / sum(weights)), in_best_beam=folded in best)
            for folded, text in texts.items()
        ),
        key=lambda hashtag: -hashtag.score,
    )


@contextmanager
def _evaluation(generator: Generator) -> Iterator[None]:
    """Without gradients and dropout; each module's mode is put back afterwards."""
    training = [module for module in generator.modules() if module.training]
    generator.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
