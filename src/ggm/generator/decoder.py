"""The decoder of BART and of BERT, one step at a time, with nothing computed twice.

Keys and values of the memory are projected once a post and serve all of its beams and candidates;
`transformers` copies the memory for each. The weights are those of the text model, not copies, so
that training may go on in between. Other families have no such decoder here: see `fast_decoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ggm.generator.memory import Memory

Project = Callable[[Tensor], Tensor]
"""A linear map over the last dimension, or a norm; of a module, or of packed weights."""


@dataclass(frozen=True, eq=False)
class Attention:
    """The parts of one attention with its residual: projections, and the norm that follows."""

    query: Project
    key: Project
    value: Project
    output: Project
    norm: Project
    num_heads: int
    scaling: float
    joined: Project | None = None
    """Query, key and value side by side, (N, L, 3 d), where they are one product."""

    def project(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the same states (N, L, d): (N, H, L, d / H) each."""
        if self.joined is None:
            return (
                self.heads(self.query(states)),
                self.heads(self.key(states)),
                self.heads(self.value(states)),
            )
        query, key, value = self.joined(states).chunk(3, dim=-1)
        return self.heads(query), self.heads(key), self.heads(value)

    def heads(self, projected: Tensor) -> Tensor:
        """(N, L, d) to (N, H, L, d / H)."""
        return projected.view(*projected.shape[:2], self.num_heads, -1).transpose(1, 2)

    def close(self, attended: Tensor, residual: Tensor) -> Tensor:
        """Heads (N, H, L, d / H) joined, projected, added to the residual (N, L, d), normalised."""
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        closed: Tensor = self.norm(joined + residual)
        return closed


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: attention to what was written, attention to the memory, and a network for each token."""

    own: Attention
    cross: Attention
    widen: Project
    activation: Callable[[Tensor], Tensor]
    narrow: Project
    norm: Project

    def feed(self, states: Tensor) -> Tensor:
        """The network, its residual and norm: (N, L, d)."""
        fed: Tensor = self.norm(self.narrow(self.activation(self.widen(states))) + states)
        return fed


@dataclass(frozen=True, eq=False)
class Head:
    """An output layer: weight (vocabulary, d) and bias (vocabulary,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., d) to logits (..., vocabulary)."""
        return F.linear(hidden, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class MemoryKeys:
    """Keys and values of B posts' memories, for each layer.

    Args:
        keys: (B, H, M, d / H) a layer.
        values: The same shape.
        mask: bool (B, 1, 1, M), true where a state is real; None when all are.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    mask: Tensor | None

    def of(self, posts: Tensor | slice) -> MemoryKeys:
        """Those of some of the posts: int64 (n,), or a slice, which copies nothing."""
        mask = None if self.mask is None else self.mask[posts]
        return MemoryKeys(
            [keys[posts] for keys in self.keys], [values[posts] for values in self.values], mask
        )


class Written(Protocol):
    """What was written so far, as keys and values that grow in place.

    Attributes:
        length: Tokens a row.
    """

    length: int

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
        """Put in L more tokens of one layer, and attend from them to all that their row has.

        Args:
            layer: Which.
            query: (R, H, L, D); R rows.
            keys: The same shape.
            values: The same shape.
            scale: Of the scores.

        Returns:
            (R, H, L, D).
        """


class Sequences:
    """Rows that have nothing to do with each other.

    Args:
        layers: How many layers.
        longest: Tokens for which there is room.
    """

    def __init__(self, layers: int, longest: int) -> None:
        self._room: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._longest = longest
        self.length = 0

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
        """See `Written.attend`."""
        keys, values = self._add(layer, keys, values)
        mask = _causal(query.shape[2], keys.shape[2], query.device)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)

    def spread(self, row: int, rows: int, longest: int) -> Sequences:
        """Copies of one row, with room for more tokens."""
        copy = Sequences(len(self._room), longest)
        for layer, room in enumerate(self._room):
            if room is not None:
                keys, values = (
                    part[row : row + 1, :, : self.length].expand(rows, -1, -1, -1) for part in room
                )
                copy._add(layer, keys, values)
        copy.length = self.length
        return copy

    def _add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        room = self._room[layer]
        if room is None:
            rows, heads, _, width = keys.shape
            room = (
                keys.new_empty(rows, heads, self._longest, width),
                values.new_empty(rows, heads, self._longest, width),
            )
            self._room[layer] = room
        stop = self.length + keys.shape[2]
        for whole, part in zip(room, (keys, values), strict=True):
            whole[:, :, self.length : stop] = part
        return room[0][:, :, :stop], room[1][:, :, :stop]


class Branches:
    """K beams of each of B posts, of which some go on from the same beam; one token at a time.

    Keys and values never move: all beams of a post share one room, and each looks at those tokens
    alone that it goes on from. A beam that changes places takes its mask along, and nothing else.

    Args:
        layers: How many layers.
        posts: B.
        num_beams: K.
        longest: Tokens a beam for which there is room.
        like: A tensor of the device and kind of number that is wanted.
    """

    def __init__(self, layers: int, *, posts: int, num_beams: int, longest: int, like: Tensor) -> None:
        self._room: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._num_beams, self._longest = num_beams, longest
        # What is added to scores, (B, 1, K, longest * K): 0 where a beam goes on from a token.
        self._mask = like.new_full((posts, 1, num_beams, longest * num_beams), -torch.inf)
        self._own = torch.arange(num_beams, device=like.device)
        self.length = 0

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
        """See `Written.attend`; one token a row."""
        room = self._room[layer]
        posts, num_beams = self._mask.shape[0], self._num_beams
        _, heads, _, width = keys.shape
        if room is None:
            shape = (posts, heads, self._longest * num_beams, width)
            room = self._room[layer] = keys.new_empty(shape), values.new_empty(shape)
        start, stop = self.length * num_beams, (self.length + 1) * num_beams
        if layer == 0:
            self._mask[:, 0, self._own, start + self._own] = 0
        for whole, part in zip(room, (keys, values), strict=True):
            whole[:, :, start:stop] = self._together(part)
        attended = F.scaled_dot_product_attention(
            self._together(query),  # (B, H, K, D)
            room[0][:, :, :stop],
            room[1][:, :, :stop],
            attn_mask=self._mask[..., :stop],
            scale=scale,
        )
        return attended.transpose(1, 2).reshape(posts * num_beams, heads, 1, width)

    def follow(self, parents: Tensor) -> None:
        """Say which beam of its post each goes on from now: int64 (B, K)."""
        posts = torch.arange(len(parents), device=parents.device)[:, None]
        self._mask = self._mask[posts, 0, parents][:, None]

    def keep(self, posts: Tensor) -> None:
        """Leave all posts but these: int64 (n,)."""
        self._mask = self._mask[posts]
        stop = self.length * self._num_beams
        for layer, room in enumerate(self._room):
            if room is None:
                continue
            fresh = tuple(part.new_empty(len(posts), *part.shape[1:]) for part in room)
            for new, old in zip(fresh, room, strict=True):
                new[:, :, :stop] = old[posts, :, :stop]
            self._room[layer] = fresh[0], fresh[1]

    def _together(self, part: Tensor) -> Tensor:
        """(B K, H, 1, D) to (B, H, K, D)."""
        return part.view(-1, self._num_beams, part.shape[1], part.shape[3]).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class FastDecoder:
    """A decoder taken apart.

    Args:
        layers: From the lowest on.
        embed: Token ids (N, L) and the position of the first of them to states (N, L, d).
        hidden: The last layer's states (..., d) to what the output layer reads (..., d).
        head: What `hidden` gave to logits (..., vocabulary).
    """

    layers: Sequence[Layer]
    embed: Callable[[Tensor, int], Tensor]
    hidden: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]

    def remember(self, memory: Memory) -> MemoryKeys:
        """Project the memories of B posts, once for all that will be written about them."""
        real = memory.mask.bool()
        return MemoryKeys(
            [layer.cross.heads(layer.cross.key(memory.states)) for layer in self.layers],
            [layer.cross.heads(layer.cross.value(memory.states)) for layer in self.layers],
            None if bool(real.all()) else real[:, None, None, :],
        )

    def begin(self, longest: int) -> Sequences:
        """Nothing written yet, with room for some tokens a row."""
        return Sequences(len(self.layers), longest)

    def branch(self, memory: Memory, *, num_beams: int, longest: int) -> Branches:
        """The same for some beams of each of B posts."""
        return Branches(
            len(self.layers), posts=len(memory), num_beams=num_beams, longest=longest, like=memory.states
        )

    def states(self, ids: Tensor, written: Written, memory: MemoryKeys) -> Tensor:
        """Write more tokens.

        Args:
            ids: int64 (R, L); the R rows belong to the B posts in order, as many to each.
            written: What the rows hold so far; grows by these tokens.
            memory: Of the B posts.

        Returns:
            The last layer's states of these tokens, (R, L, d).
        """
        rows, length = ids.shape
        states = self.embed(ids, written.length)
        for place, layer in enumerate(self.layers):
            own, cross = layer.own, layer.cross
            query, keys, values = own.project(states)
            attended = written.attend(place, query, keys, values, scale=own.scaling)  # (R, H, L, D)
            states = own.close(attended, states)
            posts = memory.keys[place].shape[0]
            # All rows of a post ask its memory together: (B, R / B * L, d).
            asking = cross.heads(cross.query(states).view(posts, rows // posts * length, -1))
            heard = F.scaled_dot_product_attention(
                asking, memory.keys[place], memory.values[place], attn_mask=memory.mask, scale=cross.scaling
            )
            together = states.reshape(posts, rows // posts * length, -1)
            states = cross.close(heard, together).view(rows, length, -1)
            states = layer.feed(states)
        written.length += length
        return states


def fast_decoder(text_model: nn.Module) -> FastDecoder | None:
    """The decoder of a text model taken apart; None for a family that isn't known here.

    Known are BART, and an encoder-decoder with a BERT that has a language modelling head.
    """
    model: Any = text_model
    kind = type(text_model).__name__
    if kind == "BartForConditionalGeneration":
        return _bart(model)
    if kind == "EncoderDecoderModel" and type(model.decoder).__name__ == "BertLMHeadModel":
        return None if hasattr(model, "enc_to_dec_proj") else _bert(model.decoder)
    return None


def _causal(length: int, all_length: int, device: torch.device) -> Tensor | None:
    """Which tokens may look at which, bool (L, all); None where the only new one may look at all."""
    if length == 1:
        return None
    return torch.ones(length, all_length, dtype=torch.bool, device=device).tril(all_length - length)


def _as_it_is(states: Tensor) -> Tensor:
    return states


def _bart(model: Any) -> FastDecoder:
    decoder = model.model.decoder

    def attention(part: Any, norm: nn.Module) -> Attention:
        return Attention(
            part.q_proj, part.k_proj, part.v_proj, part.out_proj, norm, part.num_heads, part.scaling
        )

    def embed(ids: Tensor, start: int) -> Tensor:
        places = torch.arange(start, start + ids.shape[1], device=ids.device)
        positions = decoder.embed_positions(ids, start, position_ids=places)
        embedded: Tensor = decoder.layernorm_embedding(decoder.embed_tokens(ids) + positions)
        return embedded

    layers = [
        Layer(
            attention(layer.self_attn, layer.self_attn_layer_norm),
            attention(layer.encoder_attn, layer.encoder_attn_layer_norm),
            layer.fc1,
            layer.activation_fn,
            layer.fc2,
            layer.final_layer_norm,
        )
        for layer in decoder.layers
    ]
    return FastDecoder(layers, embed, _as_it_is, Head(model.lm_head.weight, model.final_logits_bias[0]))


def _bert(model: Any) -> FastDecoder:
    def attention(part: Any) -> Attention:
        inner = part.self
        return Attention(
            inner.query,
            inner.key,
            inner.value,
            part.output.dense,
            part.output.LayerNorm,
            inner.num_attention_heads,
            inner.scaling,
        )

    def embed(ids: Tensor, start: int) -> Tensor:
        embedded: Tensor = model.bert.embeddings(input_ids=ids, cache_length=start)
        return embedded

    layers = [
        Layer(
            attention(layer.attention),
            attention(layer.crossattention),
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
            layer.output.dense,
            layer.output.LayerNorm,
        )
        for layer in model.bert.encoder.layer
    ]
    predictions = model.cls.predictions
    return FastDecoder(layers, embed, predictions.transform, predictions.decoder)
