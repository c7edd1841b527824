"""The video-grounded text encoder and the decoder, around a pretrained text model (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import CheckpointError, ConfigError
from ggm.generator.attention import CrossModalAttention
from ggm.generator.batch import IGNORED_LABEL, GeneratorBatch
from ggm.generator.config import GeneratorConfig
from ggm.generator.decoder import FastDecoder
from ggm.generator.layout import TextLayout
from ggm.generator.memory import Memory
from ggm.generator.pointer import GuidancePointer, written_before
from ggm.generator.video_encoder import AudioGroundedVideoEncoder, token_counts

__all__ = ["Generator", "GeneratorBatch", "GeneratorConfig", "Memory"]


class Generator(nn.Module):
    """Writes hashtags for a video, its description and guidance.

    Works around any sequence-to-sequence text model of transformers: BART, mBART, T5, or an
    `EncoderDecoderModel`. It is a plain module, not a `PreTrainedModel`, since the latter's
    loading leaves weights that a checkpoint lacks uninitialised.

    The text model becomes part of the generator: its generation settings are replaced by its
    special tokens alone, since anything else that a checkpoint brings (``forced_bos_token_id`` of
    BART) would be merged into every call of `generate`, and an unused pooling layer is frozen.

    Args:
        config: Sizes and choices.
        text_model: The pretrained sequence-to-sequence model.
        input_tokenizer: Tokenizer of its encoder.
        output_tokenizer: Tokenizer of its decoder; the same one for most models.

    Raises:
        ConfigError: If heads don't divide the text model's width, texts are longer than it can
            read or write, or a special token is missing (see `TextLayout`).

    Attributes:
        layout: How texts become token ids for this text model, and back.
        text_reader: What reads texts in the text encoder's place when not in training: token ids and mask
            (B, T) to states (B, T, d), such as an exported graph. None for the text encoder itself.
        writer: What writes and scores in the text decoder's place, such as one of packed weights. None for
            the text decoder itself.
        reading_dtype: What matrix products of `encode` are computed in when not in training, such as
            bfloat16; what comes out is of the weights' kind. None for the weights' own.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        text_model: PreTrainedModel,
        input_tokenizer: PreTrainedTokenizerBase,
        output_tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        super().__init__()
        self.config = config
        self.text_model = cast(Any, text_model)
        self.text_reader: Callable[[Tensor, Tensor], Tensor] | None = None
        self.writer: FastDecoder | None = None
        self.reading_dtype: torch.dtype | None = None
        self.input_tokenizer = input_tokenizer
        self.output_tokenizer = output_tokenizer
        self.layout = TextLayout(config, input_tokenizer=input_tokenizer, output_tokenizer=output_tokenizer)
        encoder, decoder = self.text_model.get_encoder(), self.text_model.get_decoder()
        _check_length(encoder, config.max_input_tokens, "max_input_tokens")
        _check_length(decoder, config.max_target_tokens, "max_target_tokens")
        self.decoder_start_token_id = _decoder_start(self.text_model, output_tokenizer)
        self.eos_token_id = self.layout.eos_token_id
        self.pad_token_id = _pad_token_id(output_tokenizer)
        self.text_model.generation_config = cast(Any, GenerationConfig)(
            decoder_start_token_id=self.decoder_start_token_id,
            bos_token_id=output_tokenizer.bos_token_id,
            eos_token_id=self.eos_token_id,
            pad_token_id=self.pad_token_id,
        )

        width = int(encoder.config.hidden_size)
        if width % config.num_heads:
            raise ConfigError(
                f"generator: num_heads={config.num_heads} doesn't divide the text model's width of {width}"
            )
        self.video_encoder: AudioGroundedVideoEncoder | None = None
        self.text_attention: CrossModalAttention | None = None
        self.video_projection: nn.Module = nn.Identity()
        if config.inputs != "description":
            self.video_encoder = AudioGroundedVideoEncoder(
                config.token_dim,
                sound_dim=config.sound_dim,
                num_heads=config.num_heads,
                attention_dim=width,
                audio_fusion=config.audio_fusion,
                normalise_tokens=config.normalise_tokens,
                tokens_per_frame=config.tokens_per_frame,
                dropout=config.dropout,
            )
        if config.inputs == "both":
            self.text_attention = CrossModalAttention(
                width, memory_dim=config.token_dim, num_heads=config.num_heads, dropout=config.dropout
            )
        if config.inputs == "video" and config.token_dim != width:
            self.video_projection = nn.Linear(config.token_dim, width)
        self.pointer: GuidancePointer | None = None
        if config.pointer:
            output = self.text_model.get_output_embeddings()
            if output is None:
                raise ConfigError("generator: a pointer needs a text model with an output layer of its own")
            self.pointer = GuidancePointer(
                width,
                hidden_dim=output.weight.shape[1],
                top_k=config.top_k,
                separator_id=self.layout.output_separator_id,
                eos_token_id=self.eos_token_id,
            )
        written_with = {id(parameter) for parameter in decoder.parameters()}
        for name, parameter in encoder.named_parameters():
            unread = config.inputs == "video" and id(parameter) not in written_with
            if unread or name.startswith("pooler."):
                parameter.requires_grad_(False)

    def encode(self, batch: GeneratorBatch) -> Memory:
        """What the decoder attends to: t̂ = CAM(query=t, key=v, value=v) + t (equation 4).

        Where only one side is read, that is t alone, or v alone: the tokens of all frames, side by side
        (fusion in the decoder).
        """
        if self.reading_dtype is None or self.training:
            return self._encode(batch)
        with torch.autocast(batch.input_ids.device.type, self.reading_dtype):
            memory = self._encode(batch)
        pointer = memory.pointer
        if pointer is not None:
            pointer = replace(pointer, keys=pointer.keys.to(self.text_model.dtype))
        return replace(memory, states=memory.states.to(self.text_model.dtype), pointer=pointer)

    def _encode(self, batch: GeneratorBatch) -> Memory:
        if self.video_encoder is None:
            return self._remember(self._read(batch), batch)
        dtype = self.text_model.dtype
        sound_tokens = None if batch.sound_tokens is None else batch.sound_tokens.to(dtype)
        video, video_mask = self.video_encoder(
            batch.frame_tokens.to(dtype),
            batch.frame_mask,
            sound_tokens,
            batch.sound_mask,
            batch.frame_counts,
        )  # (B, F * P, token_dim), (B, F * P)
        if self.text_attention is None:
            return Memory(self.video_projection(video), video_mask.long())
        text = self._read(batch)  # (B, T, d)
        attended: Tensor = self.text_attention(
            text,
            video,
            memory_mask=video_mask,
            memory_counts=token_counts(batch.frame_counts, batch.frame_tokens.shape[2]),
        )
        return self._remember(attended + text, batch)

    def _remember(self, text: Tensor, batch: GeneratorBatch) -> Memory:
        """A memory of text, with what a pointer needs of it."""
        pointed = None
        if self.pointer is not None and batch.guidance_at is not None and batch.guidance_ids is not None:
            pointed = self.pointer.remember(
                text, guidance_at=batch.guidance_at, guidance_ids=batch.guidance_ids
            )
        return Memory(text, batch.attention_mask, pointed)

    def _read(self, batch: GeneratorBatch) -> Tensor:
        """The text encoder's t, (B, T, d)."""
        if self.text_reader is not None and not self.training:
            return self.text_reader(batch.input_ids, batch.attention_mask)
        text: Tensor = self.text_model.get_encoder()(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).last_hidden_state
        return text

    def forward(
        self,
        batch: GeneratorBatch,
        *,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Logits of each next token, given the true tokens before it; with a pointer log-probabilities.

        Args:
            batch: The posts.
            decoder_input_ids: int64 (B, L), from the decoder's start token on.
            labels: int64 (B, L), instead; padded with -100.

        Returns:
            (B, L, vocabulary).

        Raises:
            ValueError: If not exactly one of the two is given.
        """
        if (decoder_input_ids is None) == (labels is None):
            raise ValueError("give either decoder_input_ids or labels")
        if labels is not None:
            decoder_input_ids = self.shift_right(labels)
        assert decoder_input_ids is not None
        return self.decode(self.encode(batch), decoder_input_ids)

    def decode(self, memory: Memory, decoder_input_ids: Tensor, *, positions: Tensor | None = None) -> Tensor:
        """The same from an encoded batch.

        Args:
            memory: What `encode` gave.
            decoder_input_ids: int64 (B, L), from the decoder's start token on.
            positions: bool (B, L), those that are of interest (N); all by default.

        Returns:
            (B, L, vocabulary), or with positions (N, vocabulary).
        """
        chosen = torch.ones_like(decoder_input_ids, dtype=torch.bool) if positions is None else positions
        with before_output(self.text_model, chosen) as hidden:
            logits: Tensor = self.text_model(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory.states),
                attention_mask=memory.mask,
                decoder_input_ids=decoder_input_ids,
                use_cache=False,
            ).logits
        if logits.dim() == 3:  # of a text model without an output layer of its own
            logits = logits[chosen]  # (N, vocabulary)
        if self.pointer is not None and memory.pointer is not None:
            separator = self.layout.output_separator_id
            before = [
                list(written_before(row, separator_id=separator)) for row in decoder_input_ids[:, 1:].tolist()
            ]
            places = chosen.nonzero().tolist()
            logits = self.pointer(
                logits,
                hidden=hidden[0],
                memory=memory.pointer,
                posts=[row for row, _ in places],
                written=[before[row][place] for row, place in places],
            )
        return logits.view(*decoder_input_ids.shape, -1) if positions is None else logits

    def loss(self, batch: GeneratorBatch, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of the target tokens.

        Args:
            batch: The posts.
            labels: int64 (B, L), padded with -100.
            label_smoothing: Share of the target spread over the vocabulary, 0 to 1.
        """
        written = labels != IGNORED_LABEL
        logits = self.decode(self.encode(batch), self.shift_right(labels), positions=written)
        return F.cross_entropy(logits.float(), labels[written], label_smoothing=label_smoothing)

    def shift_right(self, labels: Tensor) -> Tensor:
        """The decoder's input for these labels: its start token, then all but the last label."""
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = self.decoder_start_token_id
        return shifted.masked_fill(shifted == IGNORED_LABEL, self.pad_token_id)

    def check_target_length(self, num_tokens: int, name: str) -> None:
        """See to it that the decoder can write this many tokens.

        Raises:
            ConfigError: If it ends before; the message has `name`.
        """
        _check_length(self.text_model.get_decoder(), num_tokens, name)

    def freeze_text_encoder(self, layers: int | None = None) -> None:
        """Exclude the lower part of the text encoder from training.

        Embeddings that the decoder shares (BART, T5) are frozen for it too.

        Args:
            layers: Freeze the embeddings and this many of the lowest layers; None for all of it.

        Raises:
            ConfigError: If the encoder hasn't that many layers.
        """
        encoder = self.text_model.get_encoder()
        if layers is None:
            encoder.requires_grad_(False)
            return
        stack_name, stack = _layer_stack(encoder)
        if not 0 <= layers <= len(stack):
            raise ConfigError(f"the text encoder has {len(stack)} layers, {layers} can't be frozen")
        for name, parameter in encoder.named_parameters():
            if not name.startswith(f"{stack_name}.") and "embed" in name:
                parameter.requires_grad_(False)
        for layer in stack[:layers]:
            layer.requires_grad_(False)

    def trainable_state_dict(self) -> dict[str, Tensor]:
        """What the pretrained text model can't give back: all weights outside it, and those of it that train.

        Weights that share memory (tied embeddings) stand there once.
        """
        state = {name: value.detach() for name, value in self.state_dict().items() if _is_own(name)}
        return state | {
            f"text_model.{name}": parameter.detach()
            for name, parameter in self.text_model.named_parameters()
            if parameter.requires_grad
        }

    def load_trainable_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `trainable_state_dict` gave, over the same pretrained text model, frozen alike.

        Raises:
            CheckpointError: If weights are missing, unknown or of another shape.
        """
        try:
            result = self.load_state_dict(state, strict=False)
        except RuntimeError as error:
            raise CheckpointError(f"the weights don't fit this generator: {error}") from error
        # Tied weights are missing under their other names, so what trains is asked for instead.
        missing = [name for name in self.trainable_state_dict() if name not in state]
        wrong = [*result.unexpected_keys, *missing]
        if wrong:
            raise CheckpointError(
                f"missing or unknown weights for this generator: {', '.join(sorted(wrong))}"
            )

    def num_parameters(self, *, trainable_only: bool = False) -> int:
        """Number of parameters, shared ones counted once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not trainable_only)

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        """Recompute the text model's activations in the backward pass, to save memory."""
        self.text_model.activation_checkpointing_enable(activation_checkpointing_kwargs, **settings)

    def activation_checkpointing_disable(self) -> None:
        """Keep the text model's activations for the backward pass."""
        self.text_model.activation_checkpointing_disable()


@contextmanager
def before_output(text_model: Any, positions: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Look at what reaches the output layer, and spare its width where nothing is of interest.

    Half of a training step may go into logits of padding.

    Args:
        text_model: If it has no output layer of its own, nothing is seen and all logits come out as ever.
        positions: bool (B, L), those that count; their logits come out as (positions, vocabulary).

    Yields:
        A list whose one item is the decoder's last states: (B, L, d), or (positions, d).
    """
    output = text_model.get_output_embeddings()
    seen: list[Tensor] = []
    if output is None:
        yield seen
        return

    def look(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (hidden,) = inputs
        if positions is not None and hidden.shape[:2] == positions.shape:
            hidden = hidden[positions]
        seen[:] = [hidden]
        return (hidden,)

    hook = output.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


def _is_own(name: str) -> bool:
    return not name.startswith("text_model.")


def _check_length(part: Any, length: int, name: str) -> None:
    longest = getattr(part.config, "max_position_embeddings", None)  # T5 has none
    if longest is not None and length > longest:
        raise ConfigError(f"generator: {name}={length}, but the text model ends at {longest} tokens")


def _pad_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    value: int | None = tokenizer.pad_token_id
    if value is None:
        raise ConfigError("generator: the output tokenizer has no pad_token")
    return value


def _decoder_start(text_model: Any, output_tokenizer: PreTrainedTokenizerBase) -> int:
    for holder, name in (
        (text_model.generation_config, "decoder_start_token_id"),
        (text_model.config, "decoder_start_token_id"),
        (output_tokenizer, "bos_token_id"),
    ):
        value: int | None = getattr(holder, name, None)
        if value is not None:
            return value
    raise ConfigError("generator: neither the text model nor its tokenizer says how the decoder starts")


def _layer_stack(encoder: Any) -> tuple[str, nn.ModuleList]:
    """The encoder's list of layers, by what it is called there."""
    depth = getattr(encoder.config, "num_hidden_layers", None)
    for name, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return name, module
    raise ConfigError(f"no list of layers was found in the text encoder {type(encoder).__name__}")
