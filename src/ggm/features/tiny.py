"""Random encoders and a random text model of a few thousand weights: for tests, never a default.

They have the interfaces of the real ones and answer at once; what they say means nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from ggm.features.encoders import Encoders, FrameEncoder, FrameOutputs, HashtagEncoder, Inputs, SoundEncoder
from ggm.records import Sound

if TYPE_CHECKING:
    from transformers import BertModel, EncoderDecoderModel, PreTrainedTokenizerFast

_EMBEDDING_DIM: Final = 16
_SIDE: Final = 32
_BUCKETS: Final = 128
_MAX_TEXT_HASHES: Final = 32
_WINDOW: Final = 400
_RATE_HZ: Final = 8000


class TinyFrameEncoder(FrameEncoder):
    """One convolution with a stride of 8 over 32 by 32 pixels: 16 tokens of width 24."""

    embedding_dim = _EMBEDDING_DIM
    pooled_dim = 24
    token_dim = 24
    tokens_per_frame = 16
    short_side = _SIDE

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, self.token_dim, kernel_size=8, stride=8)
        self.projection = nn.Linear(self.pooled_dim, self.embedding_dim)

    def preprocessing(self) -> dict[str, Any]:
        """Its few constants."""
        return {"encoder": "tiny", "side": _SIDE}

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Frames squashed to (N, 3, 32, 32), 0 to 1."""
        squares = np.stack([np.asarray(Image.fromarray(frame).resize((_SIDE, _SIDE))) for frame in pixels])
        return {"pixels": torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255}

    def forward(self, inputs: Inputs) -> FrameOutputs:
        """Patches as tokens, their mean, and that projected."""
        tokens = self.patches(inputs["pixels"]).flatten(2).transpose(1, 2).tanh()  # (N, 16, 24)
        pooled = tokens.mean(1)
        return FrameOutputs(F.normalize(self.projection(pooled), dim=-1), pooled, tokens)


class TinyHashtagEncoder(HashtagEncoder):
    """The mean embedding of the words, each found by its hash."""

    embedding_dim = _EMBEDDING_DIM

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_BUCKETS, self.embedding_dim)

    def preprocessing(self) -> dict[str, Any]:
        """Its few constants."""
        return {"encoder": "tiny", "buckets": _BUCKETS}

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Hashes of at most 32 words (N, 32)."""
        hashes = torch.zeros(len(texts), _MAX_TEXT_HASHES, dtype=torch.long)  # 0 is padding
        for row, text in enumerate(texts):
            for column, word in enumerate((text.casefold().split() or [""])[:_MAX_TEXT_HASHES]):
                hashes[row, column] = 1 + zlib.crc32(word.encode()) % (_BUCKETS - 1)
        return {"hashes": hashes}

    def forward(self, inputs: Inputs) -> Tensor:
        """Hashes to (N, 16), unit length."""
        hashes = inputs["hashes"]
        mask = (hashes > 0).unsqueeze(-1)  # (N, T, 1)
        return F.normalize((self.words(hashes) * mask).sum(1), dim=-1)


class TinySoundEncoder(SoundEncoder):
    """One linear layer over windows of 50 ms."""

    sound_dim = 12
    sample_rate_hz = _RATE_HZ
    seconds = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.windows = nn.Linear(_WINDOW, self.sound_dim)

    def preprocessing(self) -> dict[str, Any]:
        """Its few constants."""
        return {"encoder": "tiny", "seconds": self.seconds}

    def prepare(self, sound: Sound) -> dict[str, Tensor]:
        """The first two seconds as windows (1, M, 400)."""
        samples = torch.tensor(sound.samples[: int(self.seconds * self.sample_rate_hz)])
        samples = F.pad(samples, (0, -len(samples) % _WINDOW))
        return {"windows": samples.reshape(1, -1, _WINDOW)}  # (1, M, 400)

    def forward(self, inputs: Inputs) -> Tensor:
        """Windows to tokens (N, M, 12)."""
        tokens: Tensor = self.windows(inputs["windows"])
        return tokens.tanh()


def tiny_backbones(seed: int = 0) -> Encoders:
    """Random encoders with about 9,000 weights. For tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoders(TinyFrameEncoder(), TinyHashtagEncoder(), TinySoundEncoder())


def tiny_text_model(
    seed: int = 0,
) -> tuple[EncoderDecoderModel, PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """A random text model that reads and spells ASCII words by character. For tests.

    Returns:
        The model, the tokenizer of its input, and that of its output: see `compact_text_model`.
    """
    from transformers import BertConfig, BertLMHeadModel, BertModel

    from ggm.features.compact_text import encoder_decoder, output_tokenizer

    vocabulary = _text_vocabulary()
    size = _text_size(vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = BertModel(BertConfig(**size), add_pooling_layer=False)
        decoder = BertLMHeadModel(BertConfig(**size, is_decoder=True, add_cross_attention=True))
    return encoder_decoder(encoder, decoder), output_tokenizer(vocabulary), output_tokenizer(vocabulary)


def tiny_description_model(seed: int = 0) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """A random BERT that reads ASCII words by character, and its tokenizer. For tests."""
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel

    from ggm.features.compact_text import output_tokenizer

    vocabulary = _text_vocabulary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(BertConfig(**_text_size(vocabulary)))
    tokenizer = output_tokenizer(vocabulary)
    ends = [(piece, vocabulary.index(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return model, tokenizer


def _text_vocabulary() -> list[str]:
    from ggm.features.compact_text import SPECIAL_PIECES, ascii_pieces

    return [*SPECIAL_PIECES, *ascii_pieces()]


def _text_size(vocabulary: Sequence[str]) -> dict[str, Any]:
    return {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 512,
    }
