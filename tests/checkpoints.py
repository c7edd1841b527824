"""Tiny random checkpoints of the kinds that the profile ``base`` is made of, written to disk.

They have the real layout (weights, preprocessing, tokenizer), so that the code that loads the
published checkpoints runs unchanged, in a second and without a hub.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertModel,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from ggm.features.profiles import Profile

SIDE = 32
"""Height and width, in pixels, of what all vision models here read."""

CLAP_RATE_HZ = 8000

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def write_base_checkpoints(folder: Path, *, seed: int = 0) -> Profile:
    """Write CLIP, ViT, CLAP and BART below a folder and return the profile that names them."""
    return Profile(
        "tiny-base",
        retriever=str(write_clip(folder / "clip", seed=seed)),
        vision=str(write_vit(folder / "vit", seed=seed + 1)),
        audio=str(write_clap(folder / "clap", seed=seed + 2)),
        text=str(write_bart(folder / "bart", seed=seed + 3)),
    )


def byte_tokenizer(*, max_length: int = 64) -> PreTrainedTokenizerFast:
    """BART's kind of tokenizer: bytes as letters, a space belongs to the word after it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = string.ascii_lowercase
    merges = [("Ġ", letter) for letter in letters]  # so that " winter" and "winter" differ
    pieces = [*_SPECIAL, *alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=max_length,
    )


def write_clip(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer(max_length=24)
    config = CLIPConfig(
        text_config={**_text(tokenizer), "max_position_embeddings": 24, "eos_token_id": 2, "bos_token_id": 0},
        vision_config=_vision(patch_size=16),
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_siglip(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer(max_length=24)
    config = SiglipConfig(
        text_config={
            **_text(tokenizer),
            "max_position_embeddings": 24,
            "projection_size": 16,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        vision_config=_vision(patch_size=16),
    )
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_vit(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    ViTModel(ViTConfig(**_vision(patch_size=8))).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def write_bert(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer(max_length=48)
    BertModel(BertConfig(**_text(tokenizer), max_position_embeddings=48)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_clap(folder: Path, *, seed: int = 0, enable_fusion: bool = False) -> Path:
    torch.manual_seed(seed)
    audio = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "window_size": 4,
        "patch_embeds_hidden_size": 8,
        "hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "enable_fusion": enable_fusion,
    }
    text = {**_text(byte_tokenizer()), "max_position_embeddings": 32}
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=CLAP_RATE_HZ,
        hop_length=40,
        max_length_s=1,
        fft_window_size=512,
        frequency_max=4000,
        truncation="fusion" if enable_fusion else "rand_trunc",
    ).save_pretrained(folder)
    return folder


def write_ast(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    shape = {"num_mel_bins": 16, "max_length": 64}
    ASTModel(
        ASTConfig(**_layers(), **shape, patch_size=8, frequency_stride=8, time_stride=8)
    ).save_pretrained(folder)
    ASTFeatureExtractor(**shape, sampling_rate=8000).save_pretrained(folder)
    return folder


def write_whisper(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=64,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_mel_bins=8,
        max_source_positions=100,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(
        feature_size=8, sampling_rate=16000, hop_length=160, chunk_length=2, n_fft=400
    ).save_pretrained(folder)
    return folder


def write_bart(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _layers() -> dict[str, int]:
    return {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def _text(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {**_layers(), "vocab_size": len(tokenizer), "pad_token_id": 1}


def _vision(*, patch_size: int) -> dict[str, int]:
    return {**_layers(), "image_size": SIDE, "patch_size": patch_size}
