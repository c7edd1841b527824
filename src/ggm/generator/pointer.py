"""A pointer over guidance: the decoder may copy a guidance hashtag as a whole, besides spelling any other.

The paper's decoder spells what it copies token by token. This is an option beside it: a pointer with
a sentinel (Merity et al., 2017) whose choices are whole hashtags. At each token the candidates that go
on from what of a hashtag is written so far share the probability that isn't the sentinel's, which
goes to the decoder's own distribution. So a copied hashtag is always one of the guidance, to its end, and
the model learns from its first step on which of the candidates people chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from ggm.generator.batch import IGNORED_LABEL

_END: Final = -1  # in place of a token: the hashtag is complete
_LEAST: Final = 1e-30


@dataclass(frozen=True)
class Written:
    """What stands before a token.

    Args:
        piece: Tokens of the hashtag that is being written.
        finished: All hashtags before it.
    """

    piece: tuple[int, ...] = ()
    finished: frozenset[tuple[int, ...]] = frozenset()

    def then(self, token: int, *, separator_id: int) -> Written:
        """What stands there after one more token."""
        if token == separator_id:
            return Written((), self.finished | {self.piece})
        return Written((*self.piece, token), self.finished)


def written_before(ids: Sequence[int], *, separator_id: int) -> Iterator[Written]:
    """What stands before each of these tokens, and at last after all of them.

    Args:
        ids: From the first token after the decoder's start on.
        separator_id: Between hashtags.
    """
    state = Written()
    yield state
    for token in ids:
        state = state.then(token, separator_id=separator_id)
        yield state


class Continuations:
    """How the guidance hashtags of one post go on from what is written.

    Args:
        spelled: Token ids of each, in the order of guidance; empty for one that can't be spelled.
    """

    def __init__(self, spelled: Iterable[Sequence[int]]) -> None:
        self._spelled = [tuple(ids) for ids in spelled]
        self._after: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for place, ids in enumerate(self._spelled):
            for length in range(len(ids)):
                self._after.setdefault(ids[:length], []).append((place, ids[length]))
            if ids:
                self._after.setdefault(ids, []).append((place, _END))

    def after(self, written: Written) -> list[tuple[int, int]]:
        """Places of the hashtags that go on, and with which token (-1: it is complete), each once."""
        return [
            (place, token)
            for place, token in self._after.get(written.piece, ())
            if self._spelled[place] not in written.finished
        ]


@dataclass(frozen=True, eq=False)
class PointerMemory:
    """What there is to point at, for B posts with K guidance hashtags at most.

    Args:
        keys: (B, K, w).
        continuations: Of each post.
    """

    keys: Tensor
    continuations: tuple[Continuations, ...]


class GuidancePointer(nn.Module):
    """Chooses among guidance hashtags by their states, by their rank and by the decoder's state.

    Args:
        width: Of the memory's states.
        hidden_dim: Of the decoder's states before the output layer.
        top_k: Most guidance hashtags.
        pointer_dim: Of keys and queries.
        separator_id: Of the output.
        eos_token_id: Of the output.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden_dim: int,
        top_k: int,
        separator_id: int,
        eos_token_id: int,
        pointer_dim: int = 128,
    ) -> None:
        super().__init__()
        self.separator_id = separator_id
        self.eos_token_id = eos_token_id
        self.key = nn.Linear(width, pointer_dim)
        self.rank = nn.Embedding(top_k, pointer_dim)
        self.query = nn.Linear(hidden_dim, pointer_dim)
        self.sentinel = nn.Linear(hidden_dim, 1)
        nn.init.normal_(self.rank.weight, std=0.1)

    def remember(self, states: Tensor, *, guidance_at: Tensor, guidance_ids: Tensor) -> PointerMemory:
        """Prepare the guidance of a batch.

        Args:
            states: (B, T, d), of the text with its guidance.
            guidance_at: int64 (B, T), which guidance hashtag a token belongs to, -1 for none.
            guidance_ids: int64 (B, K, C), how the decoder writes them; padded with -100.
        """
        places = torch.arange(guidance_ids.shape[1], device=states.device)
        belongs = (guidance_at[:, None, :] == places[None, :, None]).to(states.dtype)  # (B, K, T)
        means = belongs @ states / belongs.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, K, d)
        keys = self.key(means) + self.rank(places)
        return PointerMemory(
            keys,
            tuple(
                Continuations([token for token in ids if token != IGNORED_LABEL] for ids in post)
                for post in guidance_ids.tolist()
            ),
        )

    def forward(
        self,
        logits: Tensor,
        *,
        hidden: Tensor,
        memory: PointerMemory,
        posts: Sequence[int],
        written: Sequence[Written],
    ) -> Tensor:
        """Mix the decoder's own distribution of N next tokens with what may be copied.

        Args:
            logits: (N, V), of the decoder.
            hidden: (N, d), its states before the output layer.
            memory: Of B posts.
            posts: Which of them each row belongs to.
            written: What stands before each.

        Returns:
            float32 (N, V), log-probabilities.
        """
        own = logits.float().softmax(dim=-1)
        found = [
            (row, place, token)
            for row, (post, before) in enumerate(zip(posts, written, strict=True))
            for place, token in memory.continuations[post].after(before)
        ]
        if not found:
            return own.clamp(min=_LEAST).log()
        rows, places, tokens = torch.tensor(found, device=logits.device).unbind(dim=1)
        keys = memory.keys[torch.as_tensor(posts, device=logits.device)]  # (N, K, w)
        scores = torch.einsum("nw,nkw->nk", self.query(hidden).float(), keys.float()) / keys.shape[-1] ** 0.5
        scores = scores + torch.full_like(scores, -torch.inf).index_put(
            (rows, places), torch.zeros(()).to(scores)
        )
        # Less the logarithm of their number, so that one candidate or fifty start out with the same share.
        count = torch.zeros(len(own), device=own.device).index_add(
            0, rows, torch.ones_like(rows, dtype=own.dtype)
        )
        scores = scores - count.clamp(min=1).log()[:, None]
        shares = torch.cat([self.sentinel(hidden).float(), scores], dim=1).softmax(dim=-1)  # (N, 1 + K)
        copied = shares[:, 1:][rows, places]
        ends = tokens == _END
        endings = [self.separator_id, self.eos_token_id]
        split = logits[:, endings].float().softmax(dim=-1)  # (N, 2): how the decoder would end a hashtag
        mixed = own * shares[:, :1]
        mixed = mixed.index_put((rows[~ends], tokens[~ends]), copied[~ends], accumulate=True)
        for place, token in enumerate(endings):
            at = torch.full_like(rows[ends], token)
            mixed = mixed.index_put(
                (rows[ends], at), copied[ends] * split[rows[ends], place], accumulate=True
            )
        return mixed.clamp(min=_LEAST).log()


class Pointing:
    """A pointer during one search or scoring: what was written is read once for each token.

    Args:
        pointer: The module.
        memory: Of the posts that are written about.
    """

    def __init__(self, pointer: GuidancePointer, memory: PointerMemory) -> None:
        self._pointer = pointer
        self._memory = memory
        self._written: dict[tuple[int, ...], Written] = {(): Written()}

    def log_probs(
        self, logits: Tensor, hidden: Tensor, *, posts: Sequence[int], ids: Sequence[Sequence[int]]
    ) -> Tensor:
        """Log-probabilities of N next tokens, float32 (N, V); see `GuidancePointer.forward`.

        Args:
            logits: (N, V), of the decoder.
            hidden: (N, d), what its output layer read.
            posts: Which post each row belongs to.
            ids: What stands before each, from the first token after the decoder's start on.
        """
        mixed: Tensor = self._pointer(
            logits,
            hidden=hidden,
            memory=self._memory,
            posts=posts,
            written=[self._before(tuple(row)) for row in ids],
        )
        return mixed

    def _before(self, ids: tuple[int, ...]) -> Written:
        known = self._written.get(ids)
        if known is None:
            known = self._before(ids[:-1]).then(ids[-1], separator_id=self._pointer.separator_id)
            self._written[ids] = known
        return known


class PointerProcessor(LogitsProcessor):
    """Lets beam search see the mixed distribution.

    Args:
        pointer: The module.
        memory: Of the posts that are searched for.
        hidden: Gives the decoder's states before the output layer of the present step, (rows, d).
        num_beams: Rows a post.
    """

    def __init__(
        self, pointer: GuidancePointer, memory: PointerMemory, *, hidden: Any, num_beams: int
    ) -> None:
        self._pointer = pointer
        self._memory = memory
        self._hidden = hidden
        self._num_beams = num_beams

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-probabilities in place of logits.

        Args:
            input_ids: int64 (rows, L), from the decoder's start token on.
            scores: (rows, V).
        """
        written = [
            list(written_before(ids, separator_id=self._pointer.separator_id))[-1]
            for ids in input_ids[:, 1:].tolist()
        ]
        posts = [row // self._num_beams for row in range(len(scores))]
        mixed: Tensor = self._pointer(
            scores, hidden=self._hidden(), memory=self._memory, posts=posts, written=written
        )
        return mixed
