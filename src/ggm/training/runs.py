"""Whole training runs: a dataset folder and a recipe in, a folder out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ggm.bundle import Bundle, build_generator, load_bundle, round_weights, save_bundle
from ggm.corpus.manifest import Dataset, load_dataset
from ggm.errors import ConfigError, DataError
from ggm.evaluation.predictions import Prediction, write_predictions
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts, featured_posts
from ggm.features.profiles import profile
from ggm.features.text import TextModelConfig, compact_output_vocabulary, load_text_model
from ggm.generator.config import GeneratorConfig
from ggm.records import Guidance, Post
from ggm.training.classifier import classifier_features, classify, train_classifier
from ggm.training.generator import train_generator
from ggm.training.model_card import model_card
from ggm.training.recipes import GeneratorRecipe, Recipe
from ggm.training.retriever import build_pool, cross_fitted_guidance, guidance_for, train_retriever
from ggm.training.targets import vocabulary_of
from ggm.training.trainer import FitResult

Bar = Callable[[str], Callable[..., None]]
"""bar(name) starts a progress bar and returns its callback (done, total[, loss])."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def _no_bar(_name: str) -> Callable[..., None]:
    return lambda *_progress: None


@dataclass(frozen=True)
class Features:
    """Posts of one dataset with their features.

    Args:
        extractor: That made them.
        cache: Folder of the feature cache.
        dataset: Where the posts come from.
        bar: For progress.
    """

    extractor: FeatureExtractor
    cache: Path
    dataset: Dataset
    bar: Bar

    def split(self, name: str) -> FeaturedPosts:
        """The posts of one split that have features.

        Raises:
            DataError: If none has.
        """
        data, errors = featured_posts(
            self.dataset.split(name), self.extractor, self.cache, progress=self.bar(f"features of {name}")
        )
        if not len(data):
            raise DataError(f"{self.dataset.folder}: no video of split {name!r} can be used: {next(iter(errors.values()))}")
        return data


def open_features(
    data: Path, extractor: FeatureExtractor, *, cache: Path | None = None, bar: Bar = _no_bar
) -> Features:
    """Open a dataset for an extractor; features are extracted when a split is asked for.

    Args:
        data: Dataset folder.
        extractor: The frozen encoders.
        cache: Folder of the feature cache; by default ``features`` in the dataset folder.
        bar: For progress.
    """
    return Features(extractor, cache or data / "features", load_dataset(data), bar)


def run_retriever(
    recipe: Recipe, data: Path, out: Path, *, cache: Path | None = None, bar: Bar = _no_bar
) -> Bundle:
    """Train the retriever, embed the training hashtags as its pool, and write both.

    Raises:
        DataError: If the dataset can't be used.
    """
    extractor = load_extractor(recipe.profile)
    train = open_features(data, extractor, cache=cache, bar=bar).split(TRAIN)
    vocabulary = vocabulary_of(train.posts)
    retriever, result = train_retriever(
        train,
        extractor,
        recipe.retriever,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=out.with_name(out.name + ".log"),
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
        training={"retriever": _record(recipe, data, train.posts, result)},
    )
    save_bundle(bundle, out)
    return bundle


def run_generator(
    recipe: Recipe, data: Path, out: Path, *, retriever: Path, cache: Path | None = None, bar: Bar = _no_bar
) -> Bundle:
    """Train the generator on a trained retriever's guidance and write the whole bundle.

    Raises:
        DataError: If the dataset can't be used.
        ConfigError: If the recipe's profile isn't the retriever's.
    """
    base = load_bundle(retriever)
    if base.profile != profile(recipe.profile):
        raise ConfigError(f"{retriever}: trained for profile {base.profile.name!r}, the recipe says {recipe.profile!r}")
    train = open_features(data, base.extractor, cache=cache, bar=bar).split(TRAIN)
    settings = recipe.generator
    guidance = _training_guidance(recipe, base, train, out.with_name(out.name + ".log"), bar)
    pieces = None
    if recipe.profile == "compact":
        pieces = compact_output_vocabulary(list(base.vocabulary))
    text_config = TextModelConfig(
        decoder_layers=settings.decoder_layers,
        trained_encoder_layers=None if settings.trained_encoder_layers < 0 else settings.trained_encoder_layers,
        output_vocabulary=pieces,
    )
    text = load_text_model(base.profile, text_config)
    width = int(text.model.get_encoder().config.hidden_size)
    generator = build_generator(_generator_config(settings, base.extractor, width), text)
    result = train_generator(
        generator,
        train,
        guidance,
        settings,
        seed=recipe.seed,
        output_dir=out.with_name(out.name + ".log"),
        progress=bar("generator"),
    )
    round_weights(generator, generator.trainable_state_dict())
    bundle = Bundle(
        name=recipe.name,
        profile=base.profile,
        extractor=base.extractor,
        retriever=base.retriever,
        pool=base.pool,
        vocabulary=base.vocabulary,
        generator=generator,
        text=text_config,
        decoding=recipe.decoding,
        ranking=recipe.ranking,
        training={**base.training, "generator": _record(recipe, data, train.posts, result)},
    )
    save_bundle(bundle, out)
    return bundle


def run_classifier(
    recipe: Recipe, data: Path, out: Path, *, cache: Path | None = None, bar: Bar = _no_bar
) -> None:
    """Train the softmax classifier and write what it predicts for validation and test.

    Raises:
        DataError: If the dataset can't be used.
    """
    extractor = load_extractor(recipe.profile)
    features = open_features(data, extractor, cache=cache, bar=bar)
    train = features.split(TRAIN)
    vocabulary = vocabulary_of(train.posts)
    classifier, _ = train_classifier(
        train,
        extractor,
        recipe.classifier,
        vocabulary=vocabulary,
        seed=recipe.seed,
        output_dir=out.with_name(out.name + ".log"),
        progress=bar("classifier"),
    )
    out.mkdir(parents=True, exist_ok=True)
    for split in (VALIDATION, TEST):
        posts = features.split(split)
        inputs = classifier_features(posts, extractor, recipe.classifier)
        ranked = classify(classifier, inputs, list(vocabulary), top_k=50)
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


def _training_guidance(recipe: Recipe, base: Bundle, train: FeaturedPosts, log: Path, bar: Bar) -> list[Guidance]:
    settings = recipe.generator
    if settings.guidance == "none" or settings.top_k == 0:
        return [Guidance()] * len(train)
    if settings.guidance == "retriever":
        return guidance_for(train, base.retriever, base.pool, top_k=settings.top_k)
    return cross_fitted_guidance(
        train,
        base.extractor,
        recipe.retriever,
        vocabulary=base.vocabulary,
        folds=settings.folds,
        top_k=settings.top_k,
        seed=recipe.seed,
        output_dir=log,
        progress=bar("retrievers of the folds"),
    )


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


def _record(recipe: Recipe, data: Path, posts: tuple[Post, ...], result: FitResult) -> dict[str, Any]:
    """What a bundle remembers of a run."""
    return {
        "recipe": asdict(recipe),
        "data": data.name,
        "posts": len(posts),
        "seconds": round(result.seconds, 1),
        "loss": {str(step): round(loss, 4) for step, loss in result.losses.items()},
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def add_card(bundle_dir: Path, *, evaluation: str) -> None:
    """Write the model card of a trained bundle from its record and its measured figures."""
    from dataclasses import replace

    bundle = load_bundle(bundle_dir)
    save_bundle(replace(bundle, card=model_card(bundle, evaluation=evaluation)), bundle_dir)
