"""Beam search over a `FastDecoder`: the beams of `transformers.generate`, without its detours.

The rules are those of transformers with ``early_stopping=False``: of each post the best ``2 K``
continuations are looked at, those that end among the best ``K`` are kept, and a post is finished when
its best open beam can't overtake the worst kept one any more. A finished post costs nothing further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ggm.generator.config import DecodingConfig
from ggm.generator.decoder import FastDecoder
from ggm.generator.memory import Memory
from ggm.generator.pointer import Pointing

Processor = Callable[[Tensor, Tensor], Tensor]
"""Ids so far (R, L), from the start token on, and scores of next tokens (R, vocabulary) to changed ones.

Scores are log-probabilities, or less than these by the same number for all tokens of a row.
"""

_NEVER = -1e9


@dataclass(frozen=True)
class Beams:
    """What was written about one post, best first.

    Args:
        sequences: Token ids of each beam, without the start token; the end token is the last one,
            unless the length limit cut it off.
        scores: Log-probability over length to the power of the length penalty.
    """

    sequences: list[list[int]]
    scores: list[float]


def beam_search(
    decoder: FastDecoder,
    memory: Memory,
    *,
    start_id: int,
    eos_id: int,
    decoding: DecodingConfig,
    processors: Sequence[Processor],
    pointing: Pointing | None = None,
) -> list[Beams]:
    """Search for B posts at once.

    Args:
        decoder: Writes.
        memory: Of the posts.
        start_id: Token that all begins with.
        eos_id: Token that ends a sequence.
        decoding: K beams, 2 or more, their longest length, and its penalty. Repeated n-grams are left to
            the processors.
        processors: Change scores, such as by forbidding tokens.
        pointing: At the guidance of these posts, where the model has a pointer.

    Returns:
        For each post up to K beams: as many as were finished.
    """
    device = memory.states.device
    num_beams, max_new_tokens = decoding.num_beams, decoding.max_new_tokens
    keys = decoder.remember(memory)
    written = decoder.branch(memory, num_beams=num_beams, longest=max_new_tokens)
    posts = list(range(len(memory)))  # those that are still open, in the order of the rows
    searches = [_Search(num_beams, decoding.length_penalty) for _ in posts]
    ids = torch.full((len(posts) * num_beams, 1), start_id, device=device)
    sums = torch.full((len(posts), num_beams), _NEVER, device=device)
    sums[:, 0] = 0  # all beams are the same at first: continue only one of them
    for length in range(1, max_new_tokens + 1):
        hidden = decoder.hidden(decoder.states(ids[:, -1:], written, keys)[:, -1])
        scores, less = decoder.head(hidden).float(), torch.zeros((), device=device)
        if pointing is None:
            less = scores.logsumexp(dim=-1, keepdim=True)  # (R, 1), instead of a second (R, vocabulary)
        else:
            rows_of = [post for post in posts for _ in range(num_beams)]
            scores = pointing.log_probs(scores, hidden, posts=rows_of, ids=ids[:, 1:].tolist())
        for processor in processors:
            scores = processor(ids, scores)
        # A post's best 2 K are among the best 2 K of each of its beams.
        best, tokens = scores.topk(min(2 * num_beams, scores.shape[-1]))
        totals = (best - less).view(len(posts), num_beams, -1) + sums[..., None]
        values, places = totals.flatten(1).topk(2 * num_beams)  # (B, 2 K), best first
        beams = places // best.shape[-1]
        tokens = tokens.view(len(posts), -1).gather(1, places)
        ends = (tokens == eos_id) | (length == max_new_tokens)
        rows = torch.arange(len(posts), device=device)[:, None] * num_beams + beams
        _keep_finished(searches, posts, ids, rows, tokens, ends, values, num_beams, length)
        sums, chosen = (values + ends * _NEVER).topk(num_beams)
        likeliest = sums[:, 0].tolist()
        open_rows = [
            row for row, post in enumerate(posts) if searches[post].may_improve(likeliest[row], length)
        ]
        if length == max_new_tokens or not open_rows:
            break
        ids = torch.cat([ids[rows.gather(1, chosen).flatten()], tokens.gather(1, chosen).view(-1, 1)], dim=1)
        written.follow(beams.gather(1, chosen))
        if len(open_rows) < len(posts):
            still = torch.tensor(open_rows, device=device)
            ids = ids.view(len(posts), num_beams, -1)[still].flatten(0, 1)
            sums, keys = sums[still], keys.of(still)
            written.keep(still)
            posts = [posts[row] for row in open_rows]
    return [search.beams() for search in searches]


def _keep_finished(
    searches: list[_Search],
    posts: list[int],
    ids: Tensor,
    rows: Tensor,
    tokens: Tensor,
    ends: Tensor,
    values: Tensor,
    num_beams: int,
    length: int,
) -> None:
    """Hand each post those of its best K continuations that end here."""
    if not bool(ends[:, :num_beams].any()):
        return
    for index, post in enumerate(posts):
        for place in torch.nonzero(ends[index, :num_beams])[:, 0].tolist():
            sequence = [*ids[int(rows[index, place]), 1:].tolist(), int(tokens[index, place])]
            searches[post].add(sequence, float(values[index, place]), length)


class _Search:
    """The finished beams of one post."""

    def __init__(self, num_beams: int, length_penalty: float) -> None:
        self._num_beams = num_beams
        self._length_penalty = length_penalty
        self._kept: list[tuple[float, list[int]]] = []

    def add(self, sequence: list[int], total: float, length: int) -> None:
        """Keep a finished sequence, if it is among the best K."""
        if total <= _NEVER / 2:
            return  # goes on from a beam that isn't one
        self._kept.append((total / length**self._length_penalty, sequence))
        self._kept.sort(key=lambda item: -item[0])  # stable: of equal ones the earlier stays ahead
        del self._kept[self._num_beams :]

    def may_improve(self, best_total: float, length: int) -> bool:
        """Whether an open beam could still come among the kept ones."""
        if len(self._kept) < self._num_beams:
            return True
        return bool(best_total / length**self._length_penalty > self._kept[-1][0])

    def beams(self) -> Beams:
        return Beams([sequence for _, sequence in self._kept], [score for score, _ in self._kept])
