"""Whole systems of random weights, of any profile that loads here."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ggm.bundle import Bundle, build_generator, round_weights
from ggm.features.extract import load_extractor
from ggm.features.profiles import Profile, profile
from ggm.features.text import TextModelConfig, load_text_model
from ggm.generator.config import GeneratorConfig
from ggm.generator.decoding import DecodingConfig
from ggm.generator.model import Generator
from ggm.hashtags import Vocabulary
from ggm.retriever.model import Retriever, RetrieverConfig
from ggm.retriever.pool import HashtagPool

HASHTAGS = ("cat", "Dog", "ColdWeather", "winter", "snow", "fyp", "red", "blue")


def random_bundle(
    name_or_profile: str | Profile, *, text: TextModelConfig | None = None, seed: int = 0
) -> Bundle:
    """A bundle whose trained parts are random but not idle: no weight is left at zero."""
    torch.manual_seed(seed)
    chosen = profile(name_or_profile)
    extractor = load_extractor(chosen)
    retriever = Retriever(RetrieverConfig(extractor.embedding_dim, extractor.pooled_dim, hidden_dim=8)).eval()
    _stir(retriever)
    text = text or TextModelConfig(trained_encoder_layers=None)
    text_model = load_text_model(chosen, text)
    width = int(text_model.model.get_encoder().config.hidden_size)
    generator = build_generator(
        GeneratorConfig(
            token_dim=extractor.token_dim,
            sound_dim=extractor.sound_dim,
            num_heads=2 if width < 64 else width // 32,
            max_input_tokens=48,
            max_description_tokens=16,
            max_target_tokens=24,
            top_k=4,
        ),
        text_model,
    )
    _stir(generator)
    _let_hashtags_end(generator)
    round_weights(retriever, retriever.state_dict())
    round_weights(generator, generator.trainable_state_dict())
    bundle = Bundle(
        name="random",
        profile=chosen,
        extractor=extractor,
        retriever=retriever,
        pool=HashtagPool(embedding_dim=extractor.embedding_dim, retriever_fingerprint=""),
        vocabulary=Vocabulary({hashtag: count for count, hashtag in enumerate(HASHTAGS, start=1)}),
        generator=generator,
        text=text,
        decoding=DecodingConfig(max_new_tokens=12),
        training={},
    )
    return replace(bundle, pool=bundle.rebuilt_pool(HASHTAGS))


@torch.no_grad()
def _stir(module: nn.Module) -> None:
    for parameter in module.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))


@torch.no_grad()
def _let_hashtags_end(generator: Generator) -> None:
    """Without a liking for separators, random weights write one endless word, which is no hashtag."""
    bias = generator.text_model.get_output_embeddings().bias
    if bias is not None:
        bias[generator.layout.output_separator_id] += 5
