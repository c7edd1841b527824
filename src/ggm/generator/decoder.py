"""The decoder of BART and of BERT, one step at a time, with nothing computed twice.

Keys and values of the memory are projected once a post and serve all of its beams and candidates;
`transformers` copies the memory for each. The weights are those of the text model, not copies, so
that training may go on in between. Other families have no such decoder here: see `fast_decoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ggm.generator.memory import Memory


@dataclass(frozen=True, eq=False)
class Attention:
    """The parts of one attention with its residual: projections, and the norm that follows."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    output: nn.Module
    norm: nn.Module
    num_heads: int
    scaling: float

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
    widen: nn.Module
    activation: Callable[[Tensor], Tensor]
    narrow: nn.Module
    norm: nn.Module

    def feed(self, states: Tensor) -> Tensor:
        """The network, its residual and norm: (N, L, d)."""
        fed: Tensor = self.norm(self.narrow(self.activation(self.widen(states))) + states)
        return fed


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


class Written:
    """Keys and values of what was written so far, in R rows; grows in place.

    Args:
        layers: How many layers.
        longest: Tokens for which there is room.
    """

    def __init__(self, layers: int, longest: int) -> None:
        self._room: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._longest = longest
        self.length = 0

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put in the keys and values (R, H, L, D) of L more tokens; gives all so far, for one layer."""
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

    def select(self, rows: Tensor) -> None:
        """Keep these rows, which may repeat, in place of all."""
        for layer, room in enumerate(self._room):
            if room is not None:
                self._room[layer] = (room[0][rows], room[1][rows])

    def spread(self, row: int, rows: int, longest: int) -> Written:
        """Copies of one row, with room for more tokens."""
        copy = Written(len(self._room), longest)
        for layer, room in enumerate(self._room):
            if room is not None:
                keys, values = (
                    part[row : row + 1, :, : self.length].expand(rows, -1, -1, -1) for part in room
                )
                copy.add(layer, keys, values)
        copy.length = self.length
        return copy


@dataclass(frozen=True, eq=False)
class FastDecoder:
    """A decoder taken apart.

    Args:
        layers: From the lowest on.
        embed: Token ids (N, L) and the position of the first of them to states (N, L, d).
        head: States (..., d) to logits (..., vocabulary).
    """

    layers: Sequence[Layer]
    embed: Callable[[Tensor, int], Tensor]
    head: Callable[[Tensor], Tensor]

    def remember(self, memory: Memory) -> MemoryKeys:
        """Project the memories of B posts, once for all that will be written about them."""
        real = memory.mask.bool()
        return MemoryKeys(
            [layer.cross.heads(layer.cross.key(memory.states)) for layer in self.layers],
            [layer.cross.heads(layer.cross.value(memory.states)) for layer in self.layers],
            None if bool(real.all()) else real[:, None, None, :],
        )

    def begin(self, longest: int) -> Written:
        """Nothing written yet, with room for some tokens a row."""
        return Written(len(self.layers), longest)

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
            keys, values = written.add(place, own.heads(own.key(states)), own.heads(own.value(states)))
            attended = F.scaled_dot_product_attention(
                own.heads(own.query(states)),  # (R, H, L, D)
                keys,
                values,
                attn_mask=_causal(length, keys.shape[2], states.device),
                scale=own.scaling,
            )
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

    def head(states: Tensor) -> Tensor:
        logits: Tensor = model.lm_head(states) + model.final_logits_bias[0]
        return logits

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
    return FastDecoder(layers, embed, head)


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
    return FastDecoder(layers, embed, model.cls)
