"""From a trained generator to ranked hashtags: beam search, and scores of given hashtags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import NoRepeatNGramLogitsProcessor

from ggm.generator.batch import GeneratorBatch, pad_ids
from ggm.generator.beam_search import Beams, Processor, beam_search
from ggm.generator.config import DecodingConfig
from ggm.generator.constraint import HashtagTrie, TrieConstraint
from ggm.generator.decoder import FastDecoder, fast_decoder
from ggm.generator.layout import ParsedHashtag
from ggm.generator.memory import Memory
from ggm.generator.model import Generator
from ggm.generator.pointer import Pointing
from ggm.generator.reference import greedy_sequences, reference_beams, reference_scores
from ggm.hashtags import Vocabulary, key
from ggm.records import GeneratedHashtag

__all__ = ["DecodingConfig", "generate", "remember", "score_hashtags"]


def generate(
    generator: Generator,
    batch: GeneratorBatch,
    *,
    decoding: DecodingConfig | None = None,
    vocabulary: Vocabulary | None = None,
    only: HashtagTrie | None = None,
    memory: Memory | None = None,
    reference: bool = False,
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
        memory: What `remember` gave for this batch, to save encoding it again.
        reference: Search with transformers' own `generate`, as it is done for text models whose
            decoder `ggm.generator.decoder` doesn't know: the same beams, several times slower.

    Returns:
        For each post its hashtags, best first; may be empty.

    Raises:
        ConfigError: If ``max_new_tokens`` is more than the text model can write.
    """
    decoding = decoding or DecodingConfig()
    generator.check_target_length(decoding.max_new_tokens, "max_new_tokens")
    if only is not None and not len(only):
        return [[] for _ in range(len(batch))]  # nothing can be spelled
    processors = _processors(generator, decoding, only)
    decoder = _fast_decoder(generator, reference=reference)
    with _evaluation(generator):
        memory = generator.encode(batch) if memory is None else memory
        if decoding.num_beams == 1:
            written = greedy_sequences(generator, memory, decoding=decoding, processors=processors)
            return [
                _rank_greedy(_read(generator, ids, vocabulary, only), scores)
                for ids, scores in zip(*written, strict=True)
            ]
        if decoder is None:
            found = reference_beams(generator, memory, decoding=decoding, processors=processors)
        else:
            found = beam_search(
                decoder,
                memory,
                start_id=generator.decoder_start_token_id,
                eos_id=generator.eos_token_id,
                decoding=decoding,
                processors=processors,
                pointing=_pointing(generator, memory),
            )
    return [_rank(generator, beams, decoding, vocabulary, only) for beams in found]


def remember(generator: Generator, batch: GeneratorBatch) -> Memory:
    """Encode posts once for both `generate` and `score_hashtags`; the generator is evaluated, not trained."""
    with _evaluation(generator):
        return generator.encode(batch)


def score_hashtags(
    generator: Generator,
    batch: GeneratorBatch,
    candidates: Sequence[Sequence[str]],
    *,
    max_rows: int = 128,
    memory: Memory | None = None,
    reference: bool = False,
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
        memory: What `remember` gave for this batch, to save encoding it again.
        reference: See `generate`.

    Returns:
        For each post a score, at most 0, for each candidate; -inf for a hashtag that the output
        tokenizer can't spell.

    Raises:
        ValueError: If there isn't one list of candidates a post.
    """
    if len(candidates) != len(batch):
        raise ValueError(f"{len(candidates)} lists of candidates don't fit a batch of {len(batch)}")
    scores = [[-math.inf] * len(hashtags) for hashtags in candidates]
    places = [
        (post, place, written)
        for post, hashtags in enumerate(candidates)
        for place, hashtag in enumerate(hashtags)
        if (written := generator.layout.hashtag_ids(hashtag))
    ]
    if not places:
        return scores
    # Candidates of one length side by side, so that few steps are spent on padding.
    places.sort(key=lambda row: len(row[2]))
    rows = [(post, ids) for post, _, ids in places]
    decoder = _fast_decoder(generator, reference=reference)
    with _evaluation(generator):
        memory = generator.encode(batch) if memory is None else memory
        if decoder is None:
            values = reference_scores(generator, memory, rows, max_rows=max_rows)
        else:
            values = _Scoring(generator, decoder, memory).values(rows, max_rows=max_rows)
    for (post, place, _), value in zip(places, values, strict=True):
        scores[post][place] = value
    return scores


def _fast_decoder(generator: Generator, *, reference: bool) -> FastDecoder | None:
    """What writes and scores for a generator; None where that is left to `ggm.generator.reference`."""
    if reference:
        return None
    return generator.writer or fast_decoder(generator.text_model)


def _pointing(generator: Generator, memory: Memory) -> Pointing | None:
    """At the guidance of a batch; None without a pointer, and for posts without any guidance."""
    if generator.pointer is None or memory.pointer is None:
        return None
    return Pointing(generator.pointer, memory.pointer)


class _Scoring:
    """Scores token sequences of posts, by a `FastDecoder`."""

    def __init__(self, generator: Generator, decoder: FastDecoder, memory: Memory) -> None:
        self._decoder = decoder
        self._endings = [generator.layout.output_separator_id, generator.eos_token_id]
        self._padding = generator.pad_token_id
        self._device = memory.states.device
        self._keys = decoder.remember(memory)
        self._begun = decoder.begin(1)
        start = torch.full((len(memory), 1), generator.decoder_start_token_id, device=self._device)
        self._pointing = _pointing(generator, memory)
        states = decoder.states(start, self._begun, self._keys)
        nothing: list[tuple[int, ...]] = [()] * len(memory)
        self._first = self._log_probs(states[:, 0], posts=range(len(memory)), before=nothing)

    def values(self, rows: Sequence[tuple[int, tuple[int, ...]]], *, max_rows: int) -> list[float]:
        """Log-probability of each row's tokens and of an ending, in the order of the rows."""
        scores = [0.0] * len(rows)
        for post in sorted({post for post, _ in rows}):
            mine = [place for place, row in enumerate(rows) if row[0] == post]
            for offset in range(0, len(mine), max_rows):
                chunk = mine[offset : offset + max_rows]
                values = self._chunk(post, [rows[place][1] for place in chunk]).tolist()
                for place, value in zip(chunk, values, strict=True):
                    scores[place] = value
        return scores

    def _chunk(self, post: int, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Scores (R,) of token sequences for one post."""
        ids, mask = pad_ids(sequences, padding=self._padding)  # (R, L)
        ids, mask = ids.to(self._device), mask.to(self._device)
        written = self._begun.spread(post, len(ids), 1 + ids.shape[1])
        states = self._decoder.states(ids, written, self._keys.of(slice(post, post + 1)))
        # What is padding needs no distribution over the vocabulary: (n, vocabulary) of n real tokens.
        before = [tuple(row[: place + 1]) for row in sequences for place in range(len(row))]
        log_probs = self._log_probs(states[mask], posts=[post] * len(before), before=before)
        last = mask.sum(dim=1).cumsum(dim=0) - 1  # (R,), where each row's last token is among the n
        following = ids.roll(-1, dims=1)[mask]  # (n,), wrong behind each last token
        inner = log_probs.gather(1, following[:, None])[:, 0]
        inner[last] = log_probs[last][:, self._endings].logsumexp(dim=-1)
        row_of = torch.arange(len(ids), device=self._device)[:, None].expand_as(mask)[mask]
        total = torch.zeros(len(ids), dtype=inner.dtype, device=self._device).index_add(0, row_of, inner)
        return total + self._first[post][ids[:, 0]]

    def _log_probs(
        self, states: Tensor, *, posts: Sequence[int], before: Sequence[tuple[int, ...]]
    ) -> Tensor:
        """Log-probabilities (N, vocabulary) after the last layer's states (N, d) and tokens before them."""
        hidden = self._decoder.hidden(states)
        logits = self._decoder.head(hidden)
        if self._pointing is None:
            return logits.float().log_softmax(dim=-1)
        return self._pointing.log_probs(logits, hidden, posts=posts, ids=before)


def _processors(generator: Generator, decoding: DecodingConfig, only: HashtagTrie | None) -> list[Processor]:
    size = decoding.no_repeat_ngram_size
    if only is None:
        return [NoRepeatNGramLogitsProcessor(size)] if size else []
    separator_id, eos_token_id = generator.layout.output_separator_id, generator.eos_token_id
    return [
        TrieConstraint(only, separator_id=separator_id, eos_token_id=eos_token_id, no_repeat_ngram_size=size)
    ]


def _rank(
    generator: Generator,
    beams: Beams,
    decoding: DecodingConfig,
    vocabulary: Vocabulary | None,
    only: HashtagTrie | None,
) -> list[GeneratedHashtag]:
    parsed = [[item.text for item in _read(generator, ids, vocabulary, only)] for ids in beams.sequences]
    # Undo the length penalty: a share of probability needs the sum of log-probabilities.
    totals = [
        score * len(ids) ** decoding.length_penalty
        for ids, score in zip(beams.sequences, beams.scores, strict=True)
    ]
    return _rank_beams(parsed, totals)


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


def _whole(generator: Generator, ids: Sequence[int]) -> Sequence[int]:
    """Without the last hashtag where the length limit cut it off."""
    if generator.eos_token_id in ids:
        return ids
    separators = [place for place, token in enumerate(ids) if token == generator.layout.output_separator_id]
    return ids[: separators[-1]] if separators else []


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
