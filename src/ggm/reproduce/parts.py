"""What each system is made of, for table 7: kept beside its predictions, so that no model is needed again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ggm.corpus.jsonlines import write_json
from ggm.errors import DataError
from ggm.features.descriptions import load_description_encoder
from ggm.features.extract import FeatureExtractor
from ggm.features.parameter_counts import PartCount, number_of_parameters
from ggm.retriever.classifier import ClassifierConfig, HashtagClassifier
from ggm.training.classifier_encoders import untrained_classifier
from ggm.training.recipes import ClassifierRecipe, Recipe


def classifier_counts(extractor: FeatureExtractor, recipe: Recipe, *, num_hashtags: int) -> list[PartCount]:
    """Count the parameters of a classifier: what it reads through, and itself.

    Args:
        extractor: Of the recipe's profile.
        recipe: Of the classifier: what it reads, how wide it is, and whether encoders learn.
        num_hashtags: Size of the training vocabulary.

    Raises:
        CheckpointError: If encoders learn, and that of descriptions can't be loaded.
    """
    settings = recipe.classifier
    if settings.trained == "encoders":
        return _encoder_counts(extractor, recipe, num_hashtags=num_hashtags)
    counts = []
    if settings.inputs != "description":
        size = number_of_parameters(extractor.frames)
        counts.append(PartCount("frames", "frozen", size, 0, size))
    if settings.inputs != "video":
        size = number_of_parameters(extractor.hashtags)
        counts.append(PartCount("description", "frozen", size, 0, size))
    with torch.device("meta"):
        size = number_of_parameters(new_classifier(extractor, settings, num_hashtags=num_hashtags))
    return [*counts, PartCount("classifier", "new", size, size, 0)]


def _encoder_counts(extractor: FeatureExtractor, recipe: Recipe, *, num_hashtags: int) -> list[PartCount]:
    settings = recipe.classifier
    descriptions = None
    if settings.inputs != "video":
        descriptions = load_description_encoder(recipe.profile, checkpoint=settings.text_encoder)
    step = untrained_classifier(extractor, descriptions, settings, num_hashtags=num_hashtags, seed=0)
    parts = {"frames": step.vision, "description": step.descriptions, "classifier": step.classifier}
    sizes = {name: number_of_parameters(part) for name, part in parts.items() if part is not None}
    return [PartCount(name, "trained", size, size, size) for name, size in sizes.items()]


def new_classifier(
    extractor: FeatureExtractor, recipe: ClassifierRecipe, *, num_hashtags: int
) -> HashtagClassifier:
    """A classifier that has learned nothing.

    Args:
        extractor: The frozen encoders.
        recipe: What it reads and how wide it is.
        num_hashtags: Size of the training vocabulary.
    """
    widths = {"video": extractor.pooled_dim, "description": extractor.embedding_dim}
    input_dim = sum(width for name, width in widths.items() if recipe.inputs in (name, "both"))
    config = ClassifierConfig(input_dim, num_hashtags, recipe.inputs, recipe.loss, recipe.hidden_dim)
    return HashtagClassifier(config)


def read_parts(path: Path) -> list[PartCount]:
    """What a system is made of.

    Raises:
        DataError: If the file can't be read.
    """
    try:
        return [PartCount(**part) for part in json.loads(path.read_text("utf-8"))["parts"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a readable list of parts: {error}") from error


def write_parts(path: Path, parts: Sequence[PartCount]) -> None:
    """Keep what a system is made of.

    Raises:
        DataError: If the file can't be written.
    """
    write_json({"parts": [asdict(part) for part in parts]}, path)
