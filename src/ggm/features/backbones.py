"""Encoders and text models from `transformers` checkpoints: hub ids or local directories.

The paper's are CLIP, ViT, an audio transformer and BART (sections 3.1 and 3.2); each can be
replaced by naming another checkpoint. Preprocessing is the checkpoint's own. Remote code never runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModelForSeq2SeqLM, AutoTokenizer

from ggm.errors import CheckpointError
from ggm.features.encoders import Encoders, FrameEncoder, FrameOutputs, HashtagEncoder, Inputs
from ggm.features.loading import checkpoint_errors, load_model, quiet_transformers
from ggm.features.profiles import Profile
from ggm.features.sound import load_sound_encoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.image_processing_utils import BaseImageProcessor

_VISION: Final = "a vision transformer"
_TOWER_PIXELS: Final = "retriever_pixels"
_VISION_PIXELS: Final = "vision_pixels"

_IMAGE_SETTINGS: Final = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
)


def load_backbones(profile: Profile, *, local_files_only: bool = False) -> Encoders:
    """Load the encoders of a profile.

    Args:
        profile: Whose parts are checkpoints.
        local_files_only: Take hub checkpoints from the local hub cache, never fetch.

    Raises:
        CheckpointError: If one is missing, damaged or of the wrong kind.
    """
    retriever = load_model(
        profile.retriever, wanted="a CLIP or SigLIP style model", local_files_only=local_files_only
    )
    _check_two_towers(retriever, profile.retriever)
    vision = load_model(profile.vision, wanted=_VISION, local_files_only=local_files_only)
    retriever_processor = load_image_processor(profile.retriever, local_files_only=local_files_only)
    vision_processor = load_image_processor(profile.vision, local_files_only=local_files_only)
    with checkpoint_errors(profile.vision, wanted=_VISION):
        frames = PretrainedFrameEncoder(
            retriever, retriever_processor, vision=vision, vision_processor=vision_processor
        )
    tokenizer = load_tokenizer(profile.retriever, local_files_only=local_files_only)
    sound = None
    if profile.audio is not None:
        sound = load_sound_encoder(profile.audio, local_files_only=local_files_only)
    return Encoders(frames, PretrainedHashtagEncoder(retriever, tokenizer), sound)


def load_seq2seq(
    checkpoint: str, *, local_files_only: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a sequence-to-sequence text model, such as BART, mBART or T5, and its tokenizer.

    Raises:
        CheckpointError: If it is missing, damaged or of another kind.
    """
    wanted = "a sequence-to-sequence text model"
    model = load_model(
        checkpoint, wanted=wanted, local_files_only=local_files_only, auto_class=AutoModelForSeq2SeqLM
    )
    return model, load_tokenizer(checkpoint, local_files_only=local_files_only)


def load_image_processor(checkpoint: str, *, local_files_only: bool = False) -> BaseImageProcessor:
    """Load the preprocessing of frames, on Pillow and numpy: torchvision isn't needed.

    Raises:
        CheckpointError: If the checkpoint has none.
    """
    with quiet_transformers(), checkpoint_errors(checkpoint, wanted="an image processor"):
        processor: BaseImageProcessor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            checkpoint, backend="pil", trust_remote_code=False, local_files_only=local_files_only
        )
    return processor


def load_tokenizer(checkpoint: str, *, local_files_only: bool = False) -> PreTrainedTokenizerBase:
    """Load a tokenizer.

    Raises:
        CheckpointError: If the checkpoint has none.
    """
    with quiet_transformers(), checkpoint_errors(checkpoint, wanted="a tokenizer"):
        return AutoTokenizer.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=local_files_only
        )


class VisionTower(nn.Module):
    """The vision half of a CLIP or SigLIP style model.

    Args:
        model: The whole model; the text half is dropped.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.vision_model: Any = model.vision_model
        self.visual_projection: Any = getattr(model, "visual_projection", nn.Identity())  # SigLIP has none

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (N, 3, H, W) to embeddings (N, E) and pooled activations (N, C)."""
        pooled = self.vision_model(pixel_values=pixels).pooler_output
        return self.visual_projection(pooled), pooled


class PretrainedFrameEncoder(FrameEncoder):
    """Frames through the retriever's vision tower and through the generator's vision transformer.

    Args:
        retriever: CLIP or SigLIP style model.
        retriever_processor: Its image processor.
        vision: Any vision model with a last hidden state: its patch tokens are w (paper, section 3.2).
        vision_processor: Its image processor.
    """

    def __init__(
        self,
        retriever: PreTrainedModel,
        retriever_processor: BaseImageProcessor,
        *,
        vision: PreTrainedModel,
        vision_processor: BaseImageProcessor,
    ) -> None:
        super().__init__()
        self.tower = VisionTower(retriever)
        self.vision: Any = getattr(vision, "vision_model", vision)  # CLIP may serve here as well
        self._processors = {_TOWER_PIXELS: retriever_processor, _VISION_PIXELS: vision_processor}
        self.short_side = max(_short_side(processor) for processor in self._processors.values())
        self.eval()
        self.embedding_dim, self.pooled_dim, self.tokens_per_frame, self.token_dim = self._widths()

    def preprocessing(self) -> dict[str, Any]:
        """Settings of both image processors."""
        return {name: _image_settings(processor) for name, processor in self._processors.items()}

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """RGB frames (N, height, width, 3) as each of the two models wants them."""
        return {**self.prepare_to_embed(pixels), **self.prepare_for_tokens(pixels)}

    def prepare_to_embed(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """RGB frames (N, height, width, 3) as the retriever's tower alone wants them."""
        return {_TOWER_PIXELS: self._prepared(_TOWER_PIXELS, pixels)}

    def prepare_for_tokens(self, pixels: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """RGB frames (N, height, width, 3) as the vision transformer alone wants them."""
        return {_VISION_PIXELS: self._prepared(_VISION_PIXELS, pixels)}

    def _prepared(self, name: str, pixels: npt.NDArray[np.uint8]) -> Tensor:
        processor = self._processors[name]
        batch = processor(list(pixels), return_tensors="pt", input_data_format="channels_last")
        prepared: Tensor = batch["pixel_values"]
        return prepared  # (N, 3, H, W)

    def forward(self, inputs: Inputs) -> FrameOutputs:
        """Embeddings and pooled activations of the retriever, tokens of the vision transformer."""
        return FrameOutputs(*self.embed(inputs), self.tokens(inputs))

    def embed(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The retriever's tower alone: embeddings (N, E), unit length, and pooled activations (N, C)."""
        embeddings, pooled = self.tower(inputs[_TOWER_PIXELS])
        return F.normalize(embeddings, dim=-1), pooled

    def tokens(self, inputs: Inputs) -> Tensor:
        """The vision transformer alone: tokens (N, P, D)."""
        tokens: Tensor = self.vision(pixel_values=inputs[_VISION_PIXELS]).last_hidden_state
        if tokens.ndim == 4:  # a convolutional network's map (N, D, H, W)
            tokens = tokens.flatten(2).transpose(1, 2)
        return tokens

    def pool_tokens(self, inputs: Inputs) -> Tensor:
        """The vision transformer's pooled output (N, D), or its first token's where it has none."""
        outputs = self.vision(pixel_values=inputs[_VISION_PIXELS])
        pooled: Tensor | None = getattr(outputs, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)  # a convolutional network's is (N, D, 1, 1)
        hidden: Tensor = outputs.last_hidden_state
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, 0]

    def embedding_part(self) -> nn.Module:
        """The retriever's tower."""
        return self.tower

    def tokens_part(self) -> nn.Module:
        """The vision transformer."""
        vision: nn.Module = self.vision
        return vision

    @torch.inference_mode()
    def _widths(self) -> tuple[int, int, int, int]:
        """Seen on a black frame: configurations name these in too many ways."""
        side = self.short_side
        outputs = self(self.prepare(np.zeros((1, side, side, 3), np.uint8)))
        return outputs.embeddings.shape[1], outputs.pooled.shape[1], *outputs.tokens.shape[1:]


class PretrainedHashtagEncoder(HashtagEncoder):
    """The retriever's text tower.

    Args:
        retriever: CLIP or SigLIP style model; the vision half is dropped.
        tokenizer: Its tokenizer.
    """

    def __init__(self, retriever: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.tower = TextTower(retriever)
        self._tokenizer = tokenizer
        text_config = retriever.config.get_text_config()
        self._max_tokens = int(text_config.max_position_embeddings)
        # SigLIP reads its last position and was trained with padding up to there, without a mask.
        self._pads_fully = str(retriever.config.model_type).startswith("siglip")
        self.eval()
        with torch.inference_mode():
            self.embedding_dim = int(self(self.prepare(["a"])).shape[1])

    def preprocessing(self) -> dict[str, Any]:
        """How texts are tokenised."""
        return {
            "max_tokens": self._max_tokens,
            "pads_fully": self._pads_fully,
            "vocabulary_size": len(self._tokenizer),
        }

    def prepare(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids (N, T), with a mask unless the model was trained without."""
        encoded = self._tokenizer(
            list(texts),
            padding="max_length" if self._pads_fully else True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._pads_fully else ("input_ids", "attention_mask")
        return {name: encoded[name] for name in names}

    def forward(self, inputs: Inputs) -> Tensor:
        """Tokenised texts to (N, E), unit length."""
        embeddings: Tensor = self.tower(inputs)
        return F.normalize(embeddings, dim=-1)


class TextTower(nn.Module):
    """The text half of a CLIP or SigLIP style model."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.text_model: Any = model.text_model
        self.text_projection: Any = getattr(model, "text_projection", nn.Identity())

    def forward(self, inputs: Inputs) -> Tensor:
        """Token ids (N, T) to embeddings (N, E)."""
        embeddings: Tensor = self.text_projection(self.text_model(**inputs).pooler_output)
        return embeddings


def _check_two_towers(model: PreTrainedModel, checkpoint: str) -> None:
    for part in ("vision_model", "text_model", "get_image_features", "get_text_features"):
        if not hasattr(model, part):
            raise CheckpointError(
                f"{checkpoint}: this is not a CLIP or SigLIP style model but {type(model).__name__}; "
                "the retriever needs both a vision and a text tower"
            )


def _short_side(processor: Any) -> int:
    size = dict(processor.size)
    return int(size.get("shortest_edge") or max(size["height"], size["width"]))


def _image_settings(processor: BaseImageProcessor) -> dict[str, Any]:
    settings = processor.to_dict()
    return {name: _plain(settings[name]) for name in _IMAGE_SETTINGS if settings.get(name) is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
