"""Whole runs of the retriever and of the classifier: a dataset folder and a recipe in, a folder out.

Beside the folder ``out`` goes ``out.log``, with the TensorBoard log and, in ``rejected.jsonl``, the
posts that could not be used, each with its row of the manifest and the reason.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ggm.bundle import Bundle, round_weights, with_trained_encoders
from ggm.evaluation.predictions import write_predictions
from ggm.features.descriptions import load_description_encoder
from ggm.features.extract import load_extractor
from ggm.features.profiles import profile
from ggm.training.checkpoints import load_weights, remove_checkpoints
from ggm.training.classifier import ClassificationStep, train_classifier
from ggm.training.classifier_encoders import train_classifier_encoders
from ggm.training.dataset import TEST, TRAIN, VALIDATION, Bar, Warn, no_bar, no_warning, open_features
from ggm.training.folder import (
    claim_log,
    finish_folder,
    log_folder,
    record_of,
    without_validation,
    write_bundle,
)
from ggm.training.held_out import HeldOutPosts
from ggm.training.recipes import Recipe
from ggm.training.retriever import build_pool, train_retriever
from ggm.training.targets import vocabulary_of
from ggm.training.towers import train_towers
from ggm.training.trainer import is_main_process, training_device


def run_retriever(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> Bundle:
    """Train the retriever, embed the training hashtags as its pool, and write both.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of the bundle, which holds a retriever only.
        cache: See `open_features`.
        cache_bytes: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Returns:
        The bundle as it was written: loading it gives the same answers.

    Raises:
        DataError: If the dataset can't be used.
        BundleError: If the folder holds something else, or can't be written.
    """
    towers = recipe.retriever.trained == "towers"
    extractor = load_extractor(recipe.profile, device=training_device())
    features = open_features(data, extractor, cache=cache, cache_bytes=cache_bytes, bar=bar, warn=warn)
    train = features.decoded(TRAIN) if towers else features.split(TRAIN)
    vocabulary = vocabulary_of(train.posts)
    fit_retriever: Any = train_towers if towers else train_retriever
    retriever, result = fit_retriever(
        train,
        extractor,
        recipe.retriever,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=claim_log(out, recipe, features),
        checkpoints=without_validation(recipe),
        progress=bar("retriever"),
    )
    round_weights(retriever, retriever.state_dict())
    bundle = Bundle(
        name=recipe.name,
        profile=profile(recipe.profile),
        extractor=extractor,
        retriever=retriever,
        pool=build_pool(list(vocabulary), retriever, extractor),
        vocabulary=vocabulary,
        training={"retriever": record_of(recipe, features, len(train), result)},
    )
    if towers:
        bundle = with_trained_encoders(bundle, ["retriever"])
    return write_bundle(bundle, features, out)


def run_classifier(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> None:
    """Train the softmax classifier and write what it predicts for validation and test.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of ``validation.jsonl`` and ``test.jsonl``. With validation these are of the best
            weights, and ``best-2.test.jsonl`` and so on of the next ones that were kept.
        cache: See `open_features`.
        cache_bytes: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Raises:
        DataError: If the dataset can't be used, or predictions can't be written.
        ConfigError: If encoders shall learn that the profile hasn't.
        CheckpointError: If a checkpoint is missing, damaged or of the wrong kind.
    """
    settings = recipe.classifier
    end_to_end = settings.trained == "encoders"
    extractor = load_extractor(recipe.profile, device=training_device())
    fit_classifier: Any = train_classifier
    if end_to_end:
        descriptions = None
        if settings.inputs != "video":
            descriptions = load_description_encoder(recipe.profile, checkpoint=settings.text_encoder)
        fit_classifier = partial(train_classifier_encoders, descriptions=descriptions)
    features = open_features(data, extractor, cache=cache, cache_bytes=cache_bytes, bar=bar, warn=warn)
    # All of them first: a split that is missing should not be found out after the training.
    train, validation, test = (
        features.decoded(name) if end_to_end else features.split(name) for name in (TRAIN, VALIDATION, TEST)
    )
    vocabulary = vocabulary_of(train.posts)
    to_validate, to_test = (
        HeldOutPosts(posts, extractor, settings.inputs, list(vocabulary)) for posts in (validation, test)
    )
    classifier, result = fit_classifier(
        train,
        extractor,
        settings,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=claim_log(out, recipe, features),
        checkpoints=recipe.checkpoints,
        validate=to_validate.first(recipe.checkpoints.validation_posts).rouge_1,
        progress=bar("classifier"),
    )
    if not is_main_process():
        return
    finish_folder(features, log_folder(out), done=False)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob(f"best-*.{TEST}.jsonl"):
        path.unlink()  # of a run that kept more
    step = classifier if end_to_end else ClassificationStep(classifier)
    for place, weights in enumerate(result.best or (None,), start=1):
        if weights is not None:
            load_weights(step, weights)
        if place == 1:
            write_predictions(out / f"{VALIDATION}.jsonl", to_validate.predict(classifier))
        name = f"{TEST}.jsonl" if place == 1 else f"best-{place}.{TEST}.jsonl"
        write_predictions(out / name, to_test.predict(classifier))
    remove_checkpoints(log_folder(out))
