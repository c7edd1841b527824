"""Writing and scoring with `transformers` alone: for text models of any family, and to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from ggm.generator.batch import pad_ids
from ggm.generator.beam_search import Beams, Processor
from ggm.generator.config import DecodingConfig
from ggm.generator.memory import Memory
from ggm.generator.model import Generator, before_output
from ggm.generator.pointer import PointerProcessor, written_before

_FILLER_TOTAL = -1e8
"""Beam search fills up with sequences of about -1e9 when too few were finished."""


def reference_beams(
    generator: Generator, memory: Memory, *, decoding: DecodingConfig, processors: Sequence[Processor]
) -> list[Beams]:
    """What `ggm.generator.beam_search.beam_search` finds, by `transformers.generate`."""
    output = _generate(generator, memory, decoding, processors)
    sequences: list[list[int]] = output.sequences[:, 1:].tolist()  # (B * beams, L) without the start token
    scores: list[float] = output.sequences_scores.tolist()
    found = []
    for first in range(0, len(sequences), decoding.num_beams):
        rows = range(first, first + decoding.num_beams)
        written = [_unpadded(sequences[row], generator.eos_token_id) for row in rows]
        real = [
            (ids, scores[row])
            for ids, row in zip(written, rows, strict=True)
            if scores[row] * len(ids) ** decoding.length_penalty > _FILLER_TOTAL
        ]
        found.append(Beams([ids for ids, _ in real], [score for _, score in real]))
    return found


def greedy_sequences(
    generator: Generator, memory: Memory, *, decoding: DecodingConfig, processors: Sequence[Processor]
) -> tuple[list[list[int]], list[list[float]]]:
    """Greedy search: each post's token ids, padded, and their log-probabilities under the free model."""
    sequences = _generate(generator, memory, decoding, processors).sequences
    return sequences[:, 1:].tolist(), _token_log_probs(generator, memory, sequences).tolist()


def reference_scores(
    generator: Generator, memory: Memory, rows: Sequence[tuple[int, tuple[int, ...]]], *, max_rows: int
) -> list[float]:
    """What `ggm.generator.decoding.score_hashtags` asks for: the log-probability of each row's tokens first.

    Args:
        generator: Writes.
        memory: Of B posts.
        rows: The post of each, and its tokens, at least one.
        max_rows: Rows that are decoded at once.
    """
    device = memory.states.device
    start = torch.full((len(memory), 1), generator.decoder_start_token_id, device=device)
    with before_output(generator.text_model) as hidden:
        output = generator.text_model(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
            attention_mask=memory.mask,
            decoder_input_ids=start,
            use_cache=True,
        )
    first = _next_log_probs(
        generator, output.logits, hidden, memory, posts=range(len(memory)), ids=[()] * len(memory)
    )[:, -1]  # (B, vocabulary)
    scores: list[float] = []
    for offset in range(0, len(rows), max_rows):
        chunk = rows[offset : offset + max_rows]
        posts = torch.tensor([post for post, _ in chunk], device=device)
        ids, mask = pad_ids([tokens for _, tokens in chunk], padding=generator.pad_token_id)
        ids, mask = ids.to(device), mask.to(device)  # (R, L), the candidates of one chunk
        with before_output(generator.text_model) as hidden:
            logits = generator.text_model(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory.states[posts]),
                attention_mask=memory.mask[posts],
                decoder_input_ids=ids,
                cache=_select(output.cache, posts),
                use_cache=True,
            ).logits
        log_probs = _next_log_probs(
            generator, logits, hidden, memory, posts=posts.tolist(), ids=ids.tolist(), skip=1
        )
        scores += _candidate_log_probs(generator, first[posts], log_probs, ids, mask).tolist()
    return scores


def _next_log_probs(
    generator: Generator,
    logits: Tensor,
    hidden: Sequence[Tensor],
    memory: Memory,
    *,
    posts: Sequence[int],
    ids: Sequence[Sequence[int]],
    skip: int = 0,
) -> Tensor:
    """Log-probabilities of next tokens, those of a pointer mixed in: float32 (R, L, vocabulary).

    Args:
        generator: Whose they are.
        logits: (R, L, vocabulary), of the text model.
        hidden: What `before_output` saw, one (R, L, d).
        memory: Of B posts.
        posts: Which of them each row belongs to.
        ids: Tokens of each row after the decoder's start.
        skip: How many of them stand before the first of the L positions.
    """
    if generator.pointer is None or memory.pointer is None:
        return logits.float().log_softmax(dim=-1)
    length, separator = logits.shape[1], generator.layout.output_separator_id
    before = [list(written_before(row, separator_id=separator))[skip : skip + length] for row in ids]
    mixed: Tensor = generator.pointer(
        logits.flatten(0, 1),
        hidden=hidden[0].flatten(0, 1),
        memory=memory.pointer,
        posts=[post for post in posts for _ in range(length)],
        written=[state for row in before for state in row],
    )
    return mixed.view_as(logits)


def _generate(
    generator: Generator, memory: Memory, decoding: DecodingConfig, processors: Sequence[Processor]
) -> Any:
    with before_output(generator.text_model) as hidden:
        if generator.pointer is not None and memory.pointer is not None:
            # First, since it replaces the distribution; what follows takes away from it.
            pointing = PointerProcessor(
                generator.pointer,
                memory.pointer,
                hidden=lambda: hidden[0][:, -1],
                num_beams=decoding.num_beams,
            )
            processors = [pointing, *processors]
        return generator.text_model.generate(
            # A new object each time: generate expands it in place to the number of beams.
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
            attention_mask=memory.mask,
            generation_config=_generation_config(generator, decoding),
            logits_processor=LogitsProcessorList(processors),
        )


def _unpadded(ids: list[int], eos_token_id: int) -> list[int]:
    return ids[: ids.index(eos_token_id) + 1] if eos_token_id in ids else ids


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


def _generation_config(generator: Generator, decoding: DecodingConfig) -> Any:
    beams: dict[str, Any] = {}
    if decoding.num_beams > 1:
        beams = {"length_penalty": decoding.length_penalty, "early_stopping": False}
    # Repeated n-grams are left to the processors.
    return cast(Any, GenerationConfig)(
        num_beams=decoding.num_beams,
        num_return_sequences=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens,
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
