"""Whole training runs: a dataset folder and a recipe in, a folder out.

Beside the folder ``out`` goes ``out.log``, with the TensorBoard log and, in ``rejected.jsonl``, the
posts that could not be used, each with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ggm.bundle import (
    Bundle,
    build_generator,
    load_bundle,
    round_weights,
    save_bundle,
    with_trained_encoders,
)
from ggm.corpus.manifest import BadRow, Dataset, load_dataset, write_json_lines
from ggm.errors import ConfigError, DataError
from ggm.evaluation import metrics
from ggm.evaluation.predict import RANKED, predict
from ggm.evaluation.predictions import Prediction, write_predictions
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts, PostFeatures, featured_posts
from ggm.features.profiles import profile
from ggm.features.text import TextModelConfig, compact_output_vocabulary, load_text_model
from ggm.features.trained import EncoderPart
from ggm.features.videos import DecodedPosts, LivePosts, VideoCache, decoded_posts
from ggm.generator.config import GeneratorConfig
from ggm.records import Guidance
from ggm.training.checkpoints import claim_run, load_weights, remove_checkpoints, step_of
from ggm.training.classifier import classifier_features, classify, train_classifier
from ggm.training.end_to_end import EndToEndCollator, EndToEndStep
from ggm.training.generator import GenerationCollator, GenerationStep, fit_generator
from ggm.training.model_card import model_card
from ggm.training.recipes import CheckpointSettings, GeneratorRecipe, Recipe
from ggm.training.retriever import build_pool, cross_fitted_guidance, guidance_for, train_retriever
from ggm.training.targets import vocabulary_of
from ggm.training.towers import cross_fitted_tower_guidance, train_towers
from ggm.training.trainer import (
    Collate,
    FitResult,
    is_main_process,
    main_process_first,
    training_device,
    wait_for_everyone,
)

Bar = Callable[[str], Callable[..., None]]
"""bar(name) starts a progress bar and returns its callback (done, total[, loss])."""

Warn = Callable[[str], None]
"""Told, in a sentence, of what was left out."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def _no_bar(_name: str) -> Callable[..., None]:
    return lambda *_progress: None


def _no_warning(_message: str) -> None:
    pass


@dataclass(frozen=True)
class Features:
    """Posts of one dataset with their features. What can't be used is left out and remembered.

    Args:
        extractor: That made them.
        cache: Folder of the feature cache.
        dataset: Where the posts come from.
        bar: For progress.
        warn: Told of each split how much of it was left out.
        rejected: Why rows of the manifest (``row 7``) and posts (``post 12``) can't be used; grows
            as splits are asked for.
    """

    extractor: FeatureExtractor
    cache: Path
    dataset: Dataset
    bar: Bar = _no_bar
    warn: Warn = _no_warning
    rejected: dict[str, str] = field(default_factory=dict)

    def split(self, name: str) -> FeaturedPosts:
        """The posts of one split that have features.

        Raises:
            DataError: If there is no such split, or none of its videos can be used.
        """
        posts = self.dataset.split(name)
        bar = self.bar(f"features of {name}") if is_main_process() else None
        with main_process_first():  # the others find them in the cache
            data, errors = featured_posts(posts, self.extractor, self.cache, progress=bar)
        self.rejected.update({f"post {post}": reason for post, reason in errors.items()})
        if not len(data):
            raise DataError(
                f"{self.dataset.folder}: no video of split {name!r} can be used: {_first(errors)}"
            )
        if errors:
            self.warn(
                f"{self.dataset.folder}: left out {len(errors):,} of {len(data) + len(errors):,} posts "
                f"of split {name!r}; the first: {_first(errors)}"
            )
        return data

    def decoded(self, name: str) -> DecodedPosts:
        """The posts of one split whose videos can be decoded, for encoders that learn.

        Raises:
            DataError: If there is no such split, or none of its videos can be used.
        """
        posts = self.dataset.split(name)
        videos = VideoCache(self.cache, self.extractor)
        bar = self.bar(f"frames of {name}") if is_main_process() else None
        with main_process_first():
            data, errors = decoded_posts(posts, videos, progress=bar)
        self._leave_out(name, errors, of=len(posts))
        return data

    def _leave_out(self, name: str, errors: dict[str, str], *, of: int) -> None:
        """Remember and tell why posts of a split can't be used.

        Raises:
            DataError: If none can.
        """
        self.rejected.update({f"post {post}": reason for post, reason in errors.items()})
        if len(errors) == of:
            raise DataError(
                f"{self.dataset.folder}: no video of split {name!r} can be used: {_first(errors)}"
            )
        if errors:
            self.warn(
                f"{self.dataset.folder}: left out {len(errors):,} of {of:,} posts "
                f"of split {name!r}; the first: {_first(errors)}"
            )


def open_features(
    data: Path,
    extractor: FeatureExtractor,
    *,
    cache: Path | None = None,
    bar: Bar = _no_bar,
    warn: Warn = _no_warning,
) -> Features:
    """Open a dataset for an extractor; features are extracted when a split is asked for.

    Args:
        data: Dataset folder.
        extractor: The frozen encoders.
        cache: Folder of the feature cache; by default ``features`` in the dataset folder.
        bar: For progress.
        warn: See `Features`; also told of bad rows of the manifest.

    Raises:
        DataError: If there is no manifest, or no row of it can be used.
    """
    rejected: dict[str, str] = {}

    def reject(row: BadRow) -> None:
        rejected[f"row {row.number}"] = row.reason

    try:
        dataset = load_dataset(data, on_bad_row=reject)
    except DataError as error:
        raise DataError(f"{error}: {_first(rejected)}" if rejected else str(error)) from error
    if rejected:
        warn(
            f"{data}: rows of the manifest that were left out: {len(rejected):,}; "
            f"the first: {_first(rejected)}"
        )
    return Features(extractor, cache or data / "features", dataset, bar, warn, rejected)


def _first(reasons: dict[str, str]) -> str:
    return next(iter(reasons.values()))


def run_retriever(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    bar: Bar = _no_bar,
    warn: Warn = _no_warning,
) -> Bundle:
    """Train the retriever, embed the training hashtags as its pool, and write both.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of the bundle, which holds a retriever only.
        cache: See `open_features`.
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
    features = open_features(data, extractor, cache=cache, bar=bar, warn=warn)
    train = features.decoded(TRAIN) if towers else features.split(TRAIN)
    vocabulary = vocabulary_of(train.posts)
    fit_retriever: Any = train_towers if towers else train_retriever
    retriever, result = fit_retriever(
        train,
        extractor,
        recipe.retriever,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=_claimed(out, recipe, features),
        checkpoints=_without_validation(recipe),
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
        training={"retriever": _record(recipe, features, len(train), result)},
    )
    if towers:
        bundle = with_trained_encoders(bundle, ["retriever"])
    return _write(bundle, features, out)


def run_generator(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    retriever: Path,
    cache: Path | None = None,
    bar: Bar = _no_bar,
    warn: Warn = _no_warning,
) -> Bundle:
    """Train the generator on a trained retriever's guidance and write the whole bundle.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of the bundle.
        retriever: What `run_retriever` wrote.
        cache: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Returns:
        The bundle as it was written: loading it gives the same answers.

    Raises:
        DataError: If the dataset can't be used.
        ConfigError: If the recipe's profile isn't the retriever's.
        BundleError: If there is no retriever there, or the folder can't be written.
    """
    base = load_bundle(retriever)
    if base.profile != profile(recipe.profile):
        raise ConfigError(
            f"{retriever}: trained for profile {base.profile.name!r}, the recipe says {recipe.profile!r}"
        )
    base.extractor.to(training_device())
    settings = recipe.generator
    features = open_features(data, base.extractor, cache=cache, bar=bar, warn=warn)
    log = _claimed(out, recipe, features, retriever=base.retriever.fingerprint(base.extractor.fingerprint))
    train, guidance = _guided_posts(recipe, base, features, log, bar)
    unfinished = _with_new_generator(recipe, base)
    assert unfinished.generator is not None
    step, collate = _stage(recipe, unfinished, train, guidance)
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
    record = _record(recipe, features, len(train), result)
    bundle = unfinished
    # The best last: it is the one that is given back. Without validation there is only the last step's.
    for place, weights in reversed(list(enumerate(result.best or (None,), start=1))):
        chosen = {}
        if weights is not None:
            load_weights(step, weights)
            chosen = {"chosen_step": step_of(weights)}
        round_weights(unfinished.generator, unfinished.generator.trainable_state_dict())
        bundle = replace(unfinished, training={**base.training, "generator": {**record, **chosen}})
        if settings.end_to_end:
            bundle = with_trained_encoders(bundle, _trained_parts(settings))
        bundle = _write(bundle, features, out if place == 1 else log / f"best-{place}", log=log)
    return bundle


def _guided_posts(
    recipe: Recipe, base: Bundle, features: Features, log: Path, bar: Bar
) -> tuple[FeaturedPosts | DecodedPosts, list[Guidance]]:
    """The training posts, as the generator's training wants them, and their guidance."""
    settings = recipe.generator
    if not settings.end_to_end:
        train = features.split(TRAIN)
        decoded = features.decoded(TRAIN) if _folds_need_frames(recipe) else None
        return train, _training_guidance(recipe, base, train, decoded, log, bar)
    decoded = features.decoded(TRAIN)
    if settings.guidance == "none":
        return decoded, [Guidance()] * len(decoded)
    # The retriever wants no frame tokens, which would fill the cache for nothing.
    found = replace(features, extractor=base.extractor.for_retrieval()).split(TRAIN)
    known = {post.id for post in found.posts}
    decoded = decoded.subset([row for row, post in enumerate(decoded.posts) if post.id in known])
    return decoded, _training_guidance(recipe, base, found, decoded, log, bar)


def _folds_need_frames(recipe: Recipe) -> bool:
    return recipe.generator.guidance == "cross_fitted" and recipe.retriever.trained == "towers"


def _with_new_generator(recipe: Recipe, base: Bundle) -> Bundle:
    """The retriever's bundle with a generator that has learned nothing yet."""
    settings = recipe.generator
    pieces = None
    if base.profile.name == "compact":
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
    recipe: Recipe, bundle: Bundle, train: FeaturedPosts | DecodedPosts, guidance: list[Guidance]
) -> tuple[GenerationStep, Collate]:
    """What is trained, and what makes its batches."""
    settings, generator = recipe.generator, bundle.generator
    assert generator is not None
    if isinstance(train, DecodedPosts):
        return (
            EndToEndStep(generator, bundle.extractor, recipe=settings),
            EndToEndCollator(train, guidance, generator, bundle.extractor, recipe=settings, seed=recipe.seed),
        )
    return (
        GenerationStep(generator, label_smoothing=settings.label_smoothing),
        GenerationCollator(train, guidance, generator, recipe=settings, seed=recipe.seed),
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


def run_classifier(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    bar: Bar = _no_bar,
    warn: Warn = _no_warning,
) -> None:
    """Train the softmax classifier and write what it predicts for validation and test.

    Args:
        recipe: All settings.
        data: Dataset folder.
        out: Folder of ``validation.jsonl`` and ``test.jsonl``.
        cache: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Raises:
        DataError: If the dataset can't be used, or predictions can't be written.
    """
    extractor = load_extractor(recipe.profile, device=training_device())
    features = open_features(data, extractor, cache=cache, bar=bar, warn=warn)
    # All of them first: a split that is missing should not be found out after the training.
    train, *held_out = (features.split(name) for name in (TRAIN, VALIDATION, TEST))
    vocabulary = vocabulary_of(train.posts)
    classifier, _ = train_classifier(
        train,
        extractor,
        recipe.classifier,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=_claimed(out, recipe, features),
        checkpoints=_without_validation(recipe),
        progress=bar("classifier"),
    )
    if not is_main_process():
        return
    _finish(features, _log_folder(out), done=False)
    out.mkdir(parents=True, exist_ok=True)
    for split, posts in zip((VALIDATION, TEST), held_out, strict=True):
        inputs = classifier_features(posts, extractor, recipe.classifier)
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
    remove_checkpoints(_log_folder(out))


def _training_guidance(
    recipe: Recipe,
    base: Bundle,
    train: FeaturedPosts,
    decoded: DecodedPosts | None,
    log: Path,
    bar: Bar,
) -> list[Guidance]:
    settings = recipe.generator
    if settings.guidance == "none":
        return [Guidance()] * len(train)
    if settings.guidance == "retriever":
        return guidance_for(train, base.retriever, base.pool, top_k=settings.top_k)
    how: dict[str, Any] = {
        "vocabulary": base.vocabulary,
        "folds": settings.folds,
        "top_k": settings.top_k,
        "seed": recipe.seed,
        "output_dir": log,
        "checkpoints": _without_validation(recipe),
        "progress": bar("retrievers of the folds"),
    }
    if decoded is not None and _folds_need_frames(recipe):
        load_towers = partial(load_extractor, base.profile, device=training_device())
        return cross_fitted_tower_guidance(decoded, load_towers, recipe.retriever, **how)
    return cross_fitted_guidance(train, base.extractor, recipe.retriever, **how)


def _generator_config(settings: GeneratorRecipe, extractor: FeatureExtractor, width: int) -> GeneratorConfig:
    return GeneratorConfig(
        token_dim=extractor.token_dim,
        sound_dim=extractor.sound_dim,
        num_heads=max(1, width // settings.head_width),
        audio_fusion=settings.audio_fusion,
        normalise_tokens=settings.normalise_tokens,
        tokens_per_frame=extractor.tokens_per_frame if settings.place_embeddings else None,
        dropout=settings.dropout,
        max_input_tokens=settings.max_input_tokens,
        max_description_tokens=settings.max_description_tokens,
        max_target_tokens=settings.max_target_tokens,
        top_k=0 if settings.guidance == "none" else settings.top_k,
    )


def _record(recipe: Recipe, features: Features, posts: int, result: FitResult) -> dict[str, Any]:
    """What a bundle remembers of a run."""
    return {
        "recipe": asdict(recipe),
        "data": str(features.dataset.metadata.get("name") or features.dataset.folder.resolve().name),
        "posts": posts,
        "rejected": len(features.rejected),
        "seconds": round(result.seconds, 1),
        "loss": {str(step): round(loss, 4) for step, loss in result.losses.items()},
        "steps": result.steps,
        **(
            {"validation_rouge_1": {str(step): round(score, 4) for step, score in result.validation.items()}}
            if result.validation
            else {}
        ),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def _write(bundle: Bundle, features: Features, out: Path, *, log: Path | None = None) -> Bundle:
    """Write a bundle with its model card, which has no figures yet, and what was left out.

    Of several processes one writes, and the others wait until it has.
    """
    bundle = replace(bundle, card=model_card(bundle))
    if is_main_process():
        out.parent.mkdir(parents=True, exist_ok=True)
        save_bundle(bundle, out)
        _finish(features, log or _log_folder(out), done=log is None or log == _log_folder(out))
    wait_for_everyone()
    return bundle


def _finish(features: Features, log: Path, *, done: bool = True) -> None:
    """Write down what was left out; a finished run needs its checkpoints no more."""
    rows = [{"what": what, "reason": reason} for what, reason in features.rejected.items()]
    log.mkdir(parents=True, exist_ok=True)
    write_json_lines(rows, log / "rejected.jsonl")
    if done:
        remove_checkpoints(log)


def _claimed(out: Path, recipe: Recipe, features: Features, **more: str) -> Path:
    """The run's log folder, seen to belong to this recipe and these posts."""
    log = _log_folder(out)
    if is_main_process():
        claim_run(log, {"recipe": asdict(recipe), "data": _data_fingerprint(features.dataset), **more})
    wait_for_everyone()
    return log


def _data_fingerprint(dataset: Dataset) -> str:
    digest = blake2b(digest_size=16)
    for post in dataset.posts:
        digest.update(repr((post.id, post.description, post.hashtags, post.split)).encode())
    return digest.hexdigest()


def _without_validation(recipe: Recipe) -> CheckpointSettings:
    return replace(recipe.checkpoints, validate_every=0, patience=0)


def _log_folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.log")
