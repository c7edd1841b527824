"""A system of the paper's sizes with random weights: what the profile `base` costs, without a hub."""

from __future__ import annotations

import string
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from ggm.bundle import Bundle, build_generator
from ggm.features.backbones import PretrainedFrameEncoder, PretrainedHashtagEncoder
from ggm.features.extract import FeatureExtractor
from ggm.features.profiles import profile
from ggm.features.text import TextModel
from ggm.generator.config import DecodingConfig, GeneratorConfig
from ggm.hashtags import Vocabulary
from ggm.retriever.model import Retriever, RetrieverConfig
from ggm.retriever.pool import HashtagPool

POOL_SIZE = 43_282
"""As many hashtags as the paper's pool has."""


def base_system(*, seed: int = 0) -> Bundle:
    """CLIP ViT-B/32, ViT-B/16 and BART-base, a pool of 43,282 hashtags, beams of 64 tokens; no sound."""
    torch.manual_seed(seed)
    clip = CLIPModel(CLIPConfig()).eval()
    vision = ViTModel(ViTConfig(), add_pooling_layer=False).eval()
    tokenizer = _tokenizer()
    extractor = FeatureExtractor(
        PretrainedFrameEncoder(
            clip, CLIPImageProcessorPil(), vision=vision, vision_processor=ViTImageProcessorPil()
        ),
        PretrainedHashtagEncoder(clip, tokenizer),
    )
    retriever = Retriever(RetrieverConfig(extractor.embedding_dim, extractor.pooled_dim)).eval()
    bart = BartForConditionalGeneration(
        BartConfig(
            vocab_size=50_265, d_model=768, encoder_layers=6, decoder_layers=6, encoder_attention_heads=12,
            decoder_attention_heads=12, encoder_ffn_dim=3072, decoder_ffn_dim=3072,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in bart.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2)  # or all tokens would be equally likely
    generator = build_generator(
        GeneratorConfig(token_dim=extractor.token_dim, max_target_tokens=64),
        TextModel(bart, tokenizer, tokenizer, trained_encoder_layers=None),
    )
    hashtags = [f"tag{_letters(number)}" for number in range(POOL_SIZE)]
    bundle = Bundle(
        name="base of random weights",
        profile=profile("base"),
        extractor=extractor,
        retriever=retriever,
        pool=HashtagPool(embedding_dim=extractor.embedding_dim, retriever_fingerprint=""),
        vocabulary=Vocabulary(dict.fromkeys(hashtags, 1)),
        generator=generator,
        decoding=DecodingConfig(max_new_tokens=64),
    )
    fingerprint = retriever.fingerprint(extractor.fingerprint)
    return replace(bundle, pool=HashtagPool.build(hashtags, _vectors, retriever_fingerprint=fingerprint))


def _letters(number: int) -> str:
    text = ""
    while number or not text:
        number, digit = divmod(number, 26)
        text = string.ascii_lowercase[digit] + text
    return text


def _vectors(hashtags: list[str]) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((len(hashtags), 512)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte by byte, so that texts are longer than BART's own would be."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {
        piece: place for place, piece in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=77,
    )  # fmt: skip
