"""Whole runs of the retriever and of the classifier: a dataset folder and a recipe in, a folder out.

Beside the folder ``out`` goes ``out.log``, with the TensorBoard log and, in ``rejected.jsonl``, the
posts that could not be used, each with its row of the manifest and the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ggm.bundle import Bundle, round_weights, with_trained_encoders
from ggm.evaluation.predict import RANKED
from ggm.evaluation.predictions import Prediction, write_predictions
from ggm.features.extract import load_extractor
from ggm.features.profiles import profile
from ggm.training.checkpoints import remove_checkpoints
from ggm.training.classifier import classifier_features, classify, train_classifier
from ggm.training.dataset import TEST, TRAIN, VALIDATION, Bar, Warn, no_bar, no_warning, open_features
from ggm.training.folder import (
    claim_log,
    finish_folder,
    log_folder,
    record_of,
    without_validation,
    write_bundle,
)
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
        out: Folder of ``validation.jsonl`` and ``test.jsonl``.
        cache: See `open_features`.
        cache_bytes: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Raises:
        DataError: If the dataset can't be used, or predictions can't be written.
    """
    extractor = load_extractor(recipe.profile, device=training_device())
    features = open_features(data, extractor, cache=cache, cache_bytes=cache_bytes, bar=bar, warn=warn)
    # All of them first: a split that is missing should not be found out after the training.
    train, *held_out = (features.split(name) for name in (TRAIN, VALIDATION, TEST))
    vocabulary = vocabulary_of(train.posts)
    classifier, _ = train_classifier(
        train,
        extractor,
        recipe.classifier,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=claim_log(out, recipe, features),
        checkpoints=without_validation(recipe),
        progress=bar("classifier"),
    )
    if not is_main_process():
        return
    finish_folder(features, log_folder(out), done=False)
    out.mkdir(parents=True, exist_ok=True)
    for split, posts in zip((VALIDATION, TEST), held_out, strict=True):
        inputs = classifier_features(posts, extractor, recipe.classifier.inputs)
        ranked = classify(classifier, inputs, list(vocabulary), top_k=RANKED)
        write_predictions(
            out / f"{split}.jsonl",
            (
                Prediction(
                    id=post.id,
                    system=f"classifier-{recipe.classifier.inputs}",
                    hashtags=tuple(text for text, _ in hashtags),
                    scores=tuple(score for _, score in hashtags),
                    reference=post.hashtags,
                )
                for post, hashtags in zip(posts.posts, ranked, strict=True)
            ),
        )
    remove_checkpoints(log_folder(out))
