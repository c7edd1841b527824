"""The generator's pretrained text model, by profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggm.errors import ConfigError
from ggm.features.profiles import Profile
from ggm.hashtags import split_words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ggm.features.extract import FeatureExtractor


@dataclass(frozen=True)
class TextModelConfig:
    """What there is to choose about a text model.

    Args:
        decoder_layers: Layers of the compact decoder; other profiles' checkpoints bring their own.
        trained_encoder_layers: How many of the encoder's top layers training may change; None for
            all of them and the embeddings.
        output_vocabulary: WordPieces that the compact decoder writes with.

    Raises:
        ConfigError: If a number is out of range.
    """

    decoder_layers: int = 3
    trained_encoder_layers: int | None = 0
    output_vocabulary: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.decoder_layers < 1:
            raise ConfigError(f"decoder_layers must be at least 1, got {self.decoder_layers}")
        if self.trained_encoder_layers is not None and self.trained_encoder_layers < 0:
            raise ConfigError(
                f"trained_encoder_layers must not be negative, got {self.trained_encoder_layers}"
            )


@dataclass(frozen=True)
class TextModel:
    """A sequence-to-sequence model with the tokenizers of both its sides.

    Args:
        model: Of any kind that `AutoModelForSeq2SeqLM` knows.
        input_tokenizer: Of its encoder.
        output_tokenizer: Of its decoder.
        trained_encoder_layers: See `TextModelConfig`.
    """

    model: PreTrainedModel
    input_tokenizer: PreTrainedTokenizerBase
    output_tokenizer: PreTrainedTokenizerBase
    trained_encoder_layers: int | None


def load_text_model(
    profile: Profile, config: TextModelConfig, *, extractor: FeatureExtractor | None = None
) -> TextModel:
    """Load the text model of a profile.

    Args:
        profile: Names it.
        config: See `TextModelConfig`.
        extractor: Of the same profile: a frozen text encoder that it holds already is shared.

    Raises:
        CheckpointError: If the checkpoint is missing, damaged or of the wrong kind.
        ConfigError: If the compact profile gets no output vocabulary, or more layers are to be
            trained than there are.
    """
    if profile.has_compact_text:
        from ggm.features.compact import MiniLMEncoder
        from ggm.features.compact_text import compact_text_model

        if config.output_vocabulary is None:
            raise ConfigError("the compact text model needs an output vocabulary; see cut_vocabulary")
        frozen = config.trained_encoder_layers == 0
        shared = extractor.hashtags if extractor is not None and frozen else None
        parts = compact_text_model(
            config.output_vocabulary,
            num_decoder_layers=config.decoder_layers,
            shared=shared if isinstance(shared, MiniLMEncoder) else None,
        )
        return _text_model(*parts, config)
    if profile.name == "tiny":
        from ggm.features.tiny import tiny_text_model

        return _text_model(*tiny_text_model(), config)
    from ggm.features.backbones import load_seq2seq

    model, tokenizer = load_seq2seq(profile.text)
    return _text_model(model, tokenizer, tokenizer, config)


def compact_output_vocabulary(hashtags: Sequence[str]) -> tuple[str, ...]:
    """The pieces that the compact decoder needs for some hashtags and for everyday English.

    Raises:
        CheckpointError: If a package that holds the words is absent or changed.
    """
    from ggm.features.compact_text import cut_vocabulary

    return tuple(cut_vocabulary(" ".join(split_words(hashtag)) for hashtag in hashtags))


def _text_model(
    model: PreTrainedModel,
    input_tokenizer: PreTrainedTokenizerBase,
    output_tokenizer: PreTrainedTokenizerBase,
    config: TextModelConfig,
) -> TextModel:
    layers = int(model.get_encoder().config.num_hidden_layers)
    if (config.trained_encoder_layers or 0) > layers:
        raise ConfigError(
            f"the text encoder has {layers} layers, {config.trained_encoder_layers} can't be trained"
        )
    return TextModel(model, input_tokenizer, output_tokenizer, config.trained_encoder_layers)
