"""Whole runs of the generator: guidance, training on cached features or from end to end, the best bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from ggm.bundle import Bundle, build_generator, load_bundle, round_weights, with_trained_encoders
from ggm.errors import ConfigError
from ggm.evaluation import metrics
from ggm.evaluation.predict import predict
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import PostFeatures
from ggm.features.profiles import profile
from ggm.features.text import TextModelConfig, compact_output_vocabulary, load_text_model
from ggm.features.trained import EncoderPart
from ggm.features.videos import DecodedPosts, LivePosts
from ggm.generator.config import GeneratorConfig
from ggm.records import Guidance, Post
from ggm.training.checkpoints import load_weights, remove_checkpoints, step_of
from ggm.training.classifier import (
    cross_fitted_guidance_by_class,
    guidance_by_class,
    train_classifier,
)
from ggm.training.dataset import TRAIN, VALIDATION, Bar, Features, Warn, no_bar, no_warning, open_features
from ggm.training.end_to_end import EndToEndCollator, EndToEndStep
from ggm.training.folder import claim_log, record_of, without_validation, write_bundle
from ggm.training.generator import GenerationCollator, GenerationStep, fit_generator
from ggm.training.guidance import KEPT, PostGuidance, read_guidance, write_guidance_file
from ggm.training.recipes import GeneratorRecipe, Recipe
from ggm.training.retriever import cross_fitted_guidance, guidance_for
from ggm.training.start import start_from
from ggm.training.towers import cross_fitted_tower_guidance
from ggm.training.trainer import Collate, is_main_process, training_device, wait_for_everyone

_UNGUIDED: Final = PostGuidance.of_video(Guidance())


def run_generator(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    retriever: Path,
    guidance: Path | None = None,
    start: Path | None = None,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> Bundle:
    """Train the generator on a trained retriever's guidance and write the whole bundle.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of the bundle.
        retriever: What `run_retriever` wrote.
        guidance: Of the training posts, as `write_guidance` wrote it; found anew by default.
        start: Bundle whose generator's weights training begins with (see `start_from`), instead of new ones.
        cache: See `open_features`.
        cache_bytes: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Returns:
        The bundle as it was written: loading it gives the same answers.

    Raises:
        DataError: If the dataset can't be used.
        ConfigError: If the recipe's profile isn't the retriever's.
        BundleError: If there is no retriever there, no generator to start from, or the folder can't be
            written.
        CheckpointError: If the generator to start from is of another kind.
    """
    base = load_bundle(retriever)
    if base.profile != profile(recipe.profile):
        raise ConfigError(
            f"{retriever}: trained for profile {base.profile.name!r}, the recipe says {recipe.profile!r}"
        )
    base.extractor.to(training_device())
    settings = recipe.generator
    features = open_features(data, base.extractor, cache=cache, cache_bytes=cache_bytes, bar=bar, warn=warn)
    unfinished = _with_new_generator(recipe, base)
    generator = unfinished.generator
    assert generator is not None
    started = {} if start is None else {"start": start_from(generator, start)}
    log = claim_log(
        out,
        recipe,
        features,
        retriever=base.retriever.fingerprint(base.extractor.fingerprint),
        **started,
    )
    if settings.guided and settings.guided_by_class:
        base = _with_classifier(recipe, base, features, log, bar)
        unfinished = replace(unfinished, classifier=base.classifier)
    train, found = _guided_posts(recipe, base, features, guidance, log, bar)
    step, collate = _stage(recipe, unfinished, train, found)
    result = fit_generator(
        step,
        collate,
        train.posts,
        optimiser=settings.optimiser,
        seed=recipe.seed,
        output_dir=log,
        checkpoints=recipe.checkpoints,
        validate=_validation(recipe, unfinished, features),
        progress=bar("generator"),
    )
    base.extractor.to(training_device())
    record = {**record_of(recipe, features, len(train), result), **started}
    bundle = unfinished
    # The best last: it is the one that is given back. Without validation there is only the last step's.
    for place, weights in reversed(list(enumerate(result.best or (None,), start=1))):
        chosen = {}
        if weights is not None:
            load_weights(step, weights)
            chosen = {"chosen_step": step_of(weights)}
        round_weights(generator, generator.trainable_state_dict())
        bundle = replace(unfinished, training={**base.training, "generator": {**record, **chosen}})
        if settings.end_to_end:
            bundle = with_trained_encoders(bundle, _trained_parts(settings))
        bundle = write_bundle(bundle, features, out if place == 1 else log / f"best-{place}", log=log)
    return bundle


def write_guidance(
    recipe: Recipe,
    data: Path,
    path: Path,
    *,
    retriever: Path,
    cache: Path | None = None,
    cache_bytes: int | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> None:
    """Find the guidance of the training posts once, for several generators; the first 100 of each.

    Args:
        recipe: Whose ``generator.guidance`` says how.
        data: Dataset folder.
        path: JSON Lines file.
        retriever: What `run_retriever` wrote.
        cache: See `open_features`.
        cache_bytes: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Raises:
        DataError: If the dataset can't be used, or the file can't be written.
        ConfigError: If the recipe wants no guidance.
        BundleError: If there is no retriever there.
    """
    if not recipe.generator.guided:
        raise ConfigError(f"{recipe.name}: its generator reads no guidance")
    recipe = replace(recipe, generator=replace(recipe.generator, top_k=KEPT))
    base = load_bundle(retriever)
    base.extractor.to(training_device())
    features = open_features(data, base.extractor, cache=cache, cache_bytes=cache_bytes, bar=bar, warn=warn)
    log = claim_log(path, recipe, features, retriever=base.retriever.fingerprint(base.extractor.fingerprint))
    if recipe.generator.guided_by_class:
        base = _with_classifier(recipe, base, features, log, bar)
    train, found = _guided_posts(recipe, base, features, None, log, bar)
    if is_main_process():
        write_guidance_file(path, train.posts, found)
        remove_checkpoints(log)
    wait_for_everyone()


def _with_classifier(recipe: Recipe, base: Bundle, features: Features, log: Path, bar: Bar) -> Bundle:
    """The retriever's bundle with a classifier of videos that guides in its place."""
    extractor = base.extractor.for_retrieval() if recipe.generator.end_to_end else base.extractor
    train = replace(features, extractor=extractor).split(TRAIN)
    classifier, _ = train_classifier(
        train,
        extractor,
        replace(recipe.classifier, inputs="video"),
        vocabulary=base.vocabulary,
        seed=recipe.seed,
        output_dir=log / "classifier",
        checkpoints=without_validation(recipe),
        progress=bar("classifier"),
    )
    round_weights(classifier, classifier.state_dict())
    return replace(base, classifier=classifier)


def _guided_posts(
    recipe: Recipe, base: Bundle, features: Features, kept: Path | None, log: Path, bar: Bar
) -> tuple[PostFeatures | DecodedPosts, list[PostGuidance]]:
    """The training posts, as the generator's training wants them, and their guidance."""
    settings = recipe.generator
    if not settings.end_to_end:
        train = features.split(TRAIN)
        if kept is not None and settings.guided:
            return train, _kept_guidance(kept, train.posts, settings)
        decoded = features.decoded(TRAIN) if _folds_need_frames(recipe) else None
        return train, _training_guidance(recipe, base, train, decoded, log, bar)
    decoded = features.decoded(TRAIN)
    if not settings.guided:
        return decoded, [_UNGUIDED] * len(decoded)
    # The retriever wants no frame tokens, which would fill the cache for nothing.
    found = replace(features, extractor=base.extractor.for_retrieval()).split(TRAIN)
    known = {post.id for post in found.posts}
    decoded = decoded.subset([row for row, post in enumerate(decoded.posts) if post.id in known])
    if kept is not None:
        return decoded, _kept_guidance(kept, decoded.posts, settings)
    return decoded, _training_guidance(recipe, base, found, decoded, log, bar)


def _kept_guidance(path: Path, posts: Sequence[Post], settings: GeneratorRecipe) -> list[PostGuidance]:
    """From a file; for a generator that asks with the video alone, what was found so."""
    found = read_guidance(path, posts, top_k=settings.top_k)
    return found if settings.description_weight else [PostGuidance.of_video(one.silent) for one in found]


def _folds_need_frames(recipe: Recipe) -> bool:
    return recipe.generator.guidance == "cross_fitted" and recipe.retriever.trained == "towers"


def _with_new_generator(recipe: Recipe, base: Bundle) -> Bundle:
    """The retriever's bundle with a generator that has learned nothing yet."""
    settings = recipe.generator
    pieces = None
    if base.profile.has_compact_text:
        pieces = compact_output_vocabulary(list(base.vocabulary))
    layers = settings.trained_encoder_layers
    text_config = TextModelConfig(
        decoder_layers=settings.decoder_layers,
        trained_encoder_layers=None if layers < 0 else layers,
        output_vocabulary=pieces,
    )
    torch.manual_seed(recipe.seed)  # the generator's own parts start at random
    text = load_text_model(base.profile, text_config, extractor=base.extractor)
    width = int(text.model.get_encoder().config.hidden_size)
    return replace(
        base,
        name=recipe.name,
        generator=build_generator(_generator_config(settings, base.extractor, width), text),
        text=text_config,
        decoding=recipe.decoding,
        ranking=recipe.ranking,
    )


def _stage(
    recipe: Recipe, bundle: Bundle, train: PostFeatures | DecodedPosts, guidance: list[PostGuidance]
) -> tuple[GenerationStep, Collate]:
    """What is trained, and what makes its batches."""
    settings, generator = recipe.generator, bundle.generator
    assert generator is not None
    described = [found.described for found in guidance]
    silent = [found.silent for found in guidance] if settings.description_weight else None
    how: dict[str, Any] = {"silent": silent, "recipe": settings, "seed": recipe.seed}
    if isinstance(train, DecodedPosts):
        return (
            EndToEndStep(generator, bundle.extractor, recipe=settings),
            EndToEndCollator(train, described, generator, bundle.extractor, **how),
        )
    return (
        GenerationStep(generator, label_smoothing=settings.label_smoothing),
        GenerationCollator(train, described, generator, **how),
    )


def _trained_parts(settings: GeneratorRecipe) -> list[EncoderPart]:
    learns: dict[EncoderPart, bool] = {"vision": settings.train_vision, "sound": settings.train_sound}
    return [part for part, does in learns.items() if does]


def _validation(recipe: Recipe, bundle: Bundle, features: Features) -> Callable[[], float] | None:
    """The mean ROUGE-1 of the best beam on the first posts of the validation split."""
    settings = recipe.checkpoints
    if not settings.validate_every:
        return None
    first = range(settings.validation_posts)
    held_out: PostFeatures
    if recipe.generator.end_to_end:
        decoded = features.decoded(VALIDATION)
        held_out = LivePosts(decoded.subset(first[: len(decoded)]), bundle.extractor)
    else:
        known = features.split(VALIDATION)
        held_out = known.subset(first[: len(known)])

    def validate() -> float:
        predictions = list(predict(bundle, held_out, system="generator"))
        scores = metrics.rouge(
            [prediction.hashtags for prediction in predictions],
            reference=[prediction.reference for prediction in predictions],
        )
        return float(scores.rouge_1.mean())

    return validate


def _training_guidance(
    recipe: Recipe,
    base: Bundle,
    train: PostFeatures,
    decoded: DecodedPosts | None,
    log: Path,
    bar: Bar,
) -> list[PostGuidance]:
    settings = recipe.generator
    if not settings.guided:
        return [_UNGUIDED] * len(train)
    if settings.guidance == "cross_fitted_classifier":
        by_class = cross_fitted_guidance_by_class(
            train,
            base.extractor,
            replace(recipe.classifier, inputs="video"),
            vocabulary=base.vocabulary,
            folds=settings.folds,
            top_k=settings.top_k,
            seed=recipe.seed,
            output_dir=log,
            checkpoints=without_validation(recipe),
            progress=bar("classifiers of the folds"),
        )
        return [PostGuidance.of_video(found) for found in by_class]
    if base.classifier is not None:
        hashtags = list(base.vocabulary)
        by_class = guidance_by_class(train, base.extractor, base.classifier, hashtags, top_k=settings.top_k)
        return [PostGuidance.of_video(found) for found in by_class]
    if settings.guidance == "retriever":
        return guidance_for(
            train,
            base.retriever,
            base.pool,
            top_k=settings.top_k,
            extractor=base.extractor,
            description_weight=settings.description_weight,
        )
    how: dict[str, Any] = {
        "vocabulary": base.vocabulary,
        "folds": settings.folds,
        "top_k": settings.top_k,
        "seed": recipe.seed,
        "output_dir": log,
        "checkpoints": without_validation(recipe),
        "progress": bar("retrievers of the folds"),
        "description_weight": settings.description_weight,
    }
    if decoded is not None and _folds_need_frames(recipe):
        load_towers = partial(load_extractor, base.profile, device=training_device())
        return cross_fitted_tower_guidance(decoded, load_towers, recipe.retriever, **how)
    return cross_fitted_guidance(train, base.extractor, recipe.retriever, **how)


def _generator_config(settings: GeneratorRecipe, extractor: FeatureExtractor, width: int) -> GeneratorConfig:
    return GeneratorConfig(
        token_dim=extractor.token_dim,
        sound_dim=extractor.sound_dim if settings.hears and settings.inputs != "description" else None,
        num_heads=max(1, width // settings.head_width),
        audio_fusion=settings.audio_fusion,
        normalise_tokens=settings.normalise_tokens,
        tokens_per_frame=extractor.tokens_per_frame if settings.place_embeddings else None,
        dropout=settings.dropout,
        max_input_tokens=settings.max_input_tokens,
        max_description_tokens=settings.max_description_tokens,
        max_target_tokens=settings.max_target_tokens,
        top_k=settings.top_k if settings.guided else 0,
        inputs=settings.inputs,
        pointer=settings.pointer and settings.guided,
        description_weight=(
            settings.description_weight if settings.guided and not settings.guided_by_class else 0.0
        ),
    )
