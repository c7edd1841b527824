"""Recipes: a TOML file that holds every setting of a training run.

One table a stage; an unknown key is an error. The recipe is saved beside what it trained.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ggm.errors import ConfigError
from ggm.features.profiles import Profile
from ggm.generator.config import GeneratorInputs
from ggm.generator.decoding import DecodingConfig
from ggm.ranking import RankingConfig
from ggm.retriever.classifier import ClassifierInputs, ClassifierLoss
from ggm.settings import from_dict, override

_SHIPPED: Final = Path(__file__).parents[1] / "recipes"


def _positive(values: dict[str, float]) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ConfigError(f"{name} must be positive, got {value}")


def _share(values: dict[str, float]) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} must be within 0 and 1, got {value}")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with linear warm-up and decay (paper, appendix A: Adam, 6e-5, batches of 32).

    Args:
        learning_rate: Peak learning rate.
        batch_size: Posts a step and device.
        max_steps: Optimiser steps.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Decoupled weight decay.
        max_gradient_norm: Gradients are clipped to this norm.
        gradient_accumulation_steps: Batches whose gradients are added up for one step. (The
            retriever's negatives are those of one batch, so that there a larger batch is not the same.)
        epochs: Passes over the training posts, instead of ``max_steps``; 0 counts steps.
        schedule: Of the learning rate after warm-up.
        precision: ``bf16`` computes in bfloat16 where that is safe, weights stay in float32.
        activation_checkpointing: Recompute activations in the backward pass: less memory, more time.
        compile: Use ``torch.compile``; needs a compiler.
        data_workers: Processes that prepare batches beside the training; 0 prepares them in between.
            Worth it where videos are decoded on the way (end-to-end training).
    """

    learning_rate: float = 6e-5
    batch_size: int = 32
    max_steps: int = 1000
    warmup_steps: int = 20
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    gradient_accumulation_steps: int = 1
    epochs: float = 0.0
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    precision: Literal["fp32", "bf16"] = "fp32"
    activation_checkpointing: bool = False
    compile: bool = False
    data_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "data_workers"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")
        _positive(
            {
                "learning_rate": self.learning_rate,
                "batch_size": self.batch_size,
                "max_steps": self.max_steps,
                "max_gradient_norm": self.max_gradient_norm,
                "gradient_accumulation_steps": self.gradient_accumulation_steps,
            }
        )


@dataclass(frozen=True)
class CheckpointSettings:
    """How often a run is saved and validated; 0 is never.

    Args:
        checkpoint_every: Steps between two checkpoints. A run that is started again goes on from the
            last one, to the weights of an unbroken run.
        validate_every: Steps between two validations: of the generator by its best beam's ROUGE-1, of the
            classifier by that of its first five hashtags.
        validation_posts: Number of posts, from the start of the validation split, that are scored.
        keep_best: How many of the best weights are kept (paper, appendix A: three).
        patience: Stop after so many validations without a better one.
    """

    checkpoint_every: int = 0
    validate_every: int = 0
    validation_posts: int = 500
    keep_best: int = 3
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "validate_every", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")
        _positive({"validation_posts": self.validation_posts, "keep_best": self.keep_best})
        if self.patience and not self.validate_every:
            raise ConfigError("patience counts validations: set validate_every as well")


@dataclass(frozen=True)
class RetrieverRecipe:
    """Contrastive training of the retriever (paper, section 3.2).

    Args:
        optimiser: See `OptimiserSettings`.
        trained: What learns: residual ``heads`` on frozen towers, or both ``towers`` from end to end, as
            in the paper; then there are no heads, and their settings play no part.
        hidden_dim: Width of the residual video head.
        dropout: Within the head, 0 to 1.
        head_weight: How much of the trained head is blended with the pretrained similarity once
            training is over, 0 to 1 (training itself uses 1).
        initial_temperature: Reciprocal of the softmax temperature that training starts with.
        mask_false_negatives: Whether pairs that share a hashtag are kept out of the negatives.
        rare_hashtag_power: A post's hashtag is drawn with probability proportional to its
            frequency to the power of minus this; 0 draws evenly.
    """

    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    trained: Literal["heads", "towers"] = "heads"
    hidden_dim: int = 512
    dropout: float = 0.4
    head_weight: float = 1.0
    initial_temperature: float = 20.0
    mask_false_negatives: bool = True
    rare_hashtag_power: float = 0.5

    def __post_init__(self) -> None:
        _positive({"hidden_dim": self.hidden_dim, "initial_temperature": self.initial_temperature})
        _share({"dropout": self.dropout, "head_weight": self.head_weight})


@dataclass(frozen=True)
class GeneratorRecipe:
    """Training of the generator (paper, section 3.2 and appendix A).

    Args:
        optimiser: See `OptimiserSettings`.
        inputs: What is read: ``both``, or one side alone (see `GeneratorConfig`); frames alone leave no
            place for guidance.
        hears: Whether sound is read, where the profile has an encoder of it.
        guidance: Where a training post's guidance comes from: ``retriever`` (the trained one, which
            saw this very post), ``cross_fitted`` (for each fold a retriever that did not see it),
            ``classifier`` (one of videos, trained first; the paper's GGM-ViT),
            ``cross_fitted_classifier`` (for each fold one that did not see it), or ``none``.
        folds: Number of folds of cross-fitting.
        top_k: Guidance hashtags a post (the paper's best is 50).
        pointer: Whether the decoder can also copy a guidance hashtag as a whole; not in the paper.
        description_weight: What the description's vector counts beside the video's where the retriever
            looks for guidance, 0 or more; 0 is the paper's, which asks with the video alone.
        gold_drop: Probability that a gold hashtag is dropped from a training post's guidance.
        description_drop: Probability that a training post's description is left out, so that the
            model also learns to live on the video alone.
        label_smoothing: 0 is the paper's plain cross-entropy.
        decoder_layers: Layers of the compact decoder.
        audio_fusion: Reading of equation 3.
        trained_encoder_layers: How many of the text encoder's top layers are trained; -1 for all of
            it, embeddings included.
        train_vision: Train the vision transformer too, from end to end, as the paper does. Frames are
            then encoded anew in each step; otherwise features are computed once and cached.
        train_sound: The same for the audio encoder.
        max_description_tokens: Longer descriptions are cut.
        max_input_tokens: Description and guidance together.
        max_target_tokens: Hashtags to write.
        dropout: Of what the generator adds to its text model, whose own layers keep theirs.
        head_width: Width of one head of the cross-modal attentions.
        normalise_tokens: Whether frame tokens pass a layer norm first (for convolutional features).
        place_embeddings: Whether each place in the frame gets a learned embedding.
    """

    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    inputs: GeneratorInputs = "both"
    hears: bool = True
    guidance: Literal["retriever", "cross_fitted", "classifier", "cross_fitted_classifier", "none"] = (
        "retriever"
    )
    folds: int = 4
    top_k: int = 50
    pointer: bool = False
    description_weight: float = 0.0
    gold_drop: float = 1 / 3
    description_drop: float = 0.0
    label_smoothing: float = 0.0
    decoder_layers: int = 3
    audio_fusion: Literal["frame_query", "audio_query"] = "frame_query"
    trained_encoder_layers: int = 0
    train_vision: bool = False
    train_sound: bool = False
    max_description_tokens: int = 48
    max_input_tokens: int = 256
    max_target_tokens: int = 32
    dropout: float = 0.1
    head_width: int = 64
    normalise_tokens: bool = False
    place_embeddings: bool = False

    def __post_init__(self) -> None:
        _positive(
            {
                "top_k": self.top_k,
                "decoder_layers": self.decoder_layers,
                "max_target_tokens": self.max_target_tokens,
                "head_width": self.head_width,
            }
        )
        _share(
            {
                "gold_drop": self.gold_drop,
                "description_drop": self.description_drop,
                "label_smoothing": self.label_smoothing,
                "dropout": self.dropout,
            }
        )
        if not (math.isfinite(self.description_weight) and self.description_weight >= 0):
            raise ConfigError(f"description_weight must be 0 or more, got {self.description_weight}")
        if self.folds < 2:
            raise ConfigError(f"folds must be at least 2, got {self.folds}")
        if self.trained_encoder_layers < -1:
            raise ConfigError(f"trained_encoder_layers must be -1 or more, got {self.trained_encoder_layers}")

    @property
    def guided(self) -> bool:
        """Whether guidance is read."""
        return self.guidance != "none" and self.inputs != "video"

    @property
    def guided_by_class(self) -> bool:
        """Whether guidance comes from a classifier instead of the retriever."""
        return self.guidance in ("classifier", "cross_fitted_classifier")

    @property
    def end_to_end(self) -> bool:
        """Whether an encoder of frames or sound is trained, so that no features can be cached."""
        return self.train_vision or self.train_sound


@dataclass(frozen=True)
class ClassifierRecipe:
    """The classifier over the training vocabulary (paper, appendix A).

    Args:
        optimiser: See `OptimiserSettings`.
        trained: What learns: a ``heads`` network on frozen features, or the ``encoders`` from end to end
            with an output layer on their pooled outputs, as in the paper (its BERT, ViT and ViT-BERT);
            then there is no hidden layer, and its width plays no part.
        inputs: What it sees.
        loss: One softmax over all hashtags, or a sigmoid for each.
        text_encoder: Reads descriptions where encoders learn, a hub id or a folder; by default the
            profile's own (see `load_description_encoder`), which is the paper's BERT for ``base``.
        hidden_dim: Width of its hidden layer.
        dropout: Before each layer.
    """

    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    trained: Literal["heads", "encoders"] = "heads"
    inputs: ClassifierInputs = "both"
    loss: ClassifierLoss = "softmax"
    text_encoder: str | None = None
    hidden_dim: int = 512
    dropout: float = 0.3

    def __post_init__(self) -> None:
        _positive({"hidden_dim": self.hidden_dim})
        _share({"dropout": self.dropout})
        if self.text_encoder == "":
            raise ConfigError("text_encoder is empty; name a checkpoint, or leave it out")


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on, but the data.

    Args:
        name: For the model card.
        seed: Of every random draw.
        profile: Which pretrained parts: the name of a profile, or a table of checkpoints
            (``name``, ``retriever``, ``vision``, ``audio``, ``text``; hub ids or folders).
        retriever: First stage.
        generator: Second stage.
        classifier: The baseline beside them.
        decoding: How the trained generator writes.
        ranking: How its hashtags and the guidance become one list.
        checkpoints: How often each stage is saved, and generator and classifier validated.

    Raises:
        ConfigError: If guidance shall come from a classifier whose encoders learn.
    """

    name: str
    seed: int = 0
    profile: str | Profile = "compact"
    retriever: RetrieverRecipe = field(default_factory=RetrieverRecipe)
    generator: GeneratorRecipe = field(default_factory=GeneratorRecipe)
    classifier: ClassifierRecipe = field(default_factory=ClassifierRecipe)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)

    def __post_init__(self) -> None:
        guided_by_class = self.generator.guided and self.generator.guided_by_class
        if guided_by_class and self.classifier.trained == "encoders":
            raise ConfigError(
                "the classifier that guides a generator is a network on frozen features: set "
                'classifier.trained = "heads", and a learning rate that suits it'
            )


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load_recipe(path: Path | str, *, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: TOML file, or the name of a recipe that comes with the package (see `shipped_recipes`).
        overrides: ``table.key=value`` settings, values in TOML, such as ``generator.guidance="none"``;
            a value that isn't TOML is taken as text.

    Raises:
        ConfigError: If the file is missing or not TOML, or holds an unknown key or a bad value.
    """
    path = Path(path)
    if path.name == str(path) and path.name in shipped_recipes() and not path.is_file():
        path = _SHIPPED / f"{path.name}.toml"
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(shipped_recipes())
        raise ConfigError(f"{path}: no such recipe; name a TOML file, or one of {names}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from error
    for change in overrides or []:
        override(values, change)
    return from_dict(Recipe, values, where=str(path))
