"""Trains every system and lets it predict. What is done is kept: a run that was killed goes on.

OUT/reproduce.json              of what it is
OUT/seed-0/retriever            the retriever that guides, a bundle
OUT/seed-0/SYSTEM               what was trained
OUT/seed-0/predictions/*.jsonl  of the test split; those of the unseen split, for GGM
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ggm.bundle import MANIFEST, Bundle, load_bundle
from ggm.corpus.jsonlines import write_json
from ggm.corpus.manifest import Dataset, load_dataset
from ggm.errors import GgmError
from ggm.evaluation.evaluate import claim_folder, fingerprint_of
from ggm.evaluation.predict import predict
from ggm.evaluation.predictions import Prediction, read_predictions, write_predictions
from ggm.features.profiles import profile
from ggm.hashtags import key
from ggm.reproduce.systems import System, recipe_of, systems_for
from ggm.training.dataset import TEST, TRAIN, VALIDATION, Bar, Warn, no_bar, no_warning, open_features
from ggm.training.generator_runs import run_generator
from ggm.training.recipes import Recipe
from ggm.training.runs import run_classifier, run_retriever
from ggm.training.trainer import training_device

UNSEEN = "unseen"
WITHOUT_POOL, WITH_POOL = "unseen", "unseen-in-pool"
_GUIDED = "GGM"


@dataclass(frozen=True)
class Reproduction:
    """What all systems predicted.

    Args:
        dataset: Of which posts.
        systems: Those that were asked for, in the paper's order.
        seeds: One run each.
        predictions: Of the test split, by system and seed.
        validation: Of the validation split, for systems that rank.
        unseen: Of the unseen split, without and with the unseen hashtags in the pool, by seed; empty
            without such a split.
        unseen_hashtags: Keys of the hashtags that no training post carries.
        seconds: Prediction time a post, from cached features, by system.
        failures: Why a system has no predictions.
    """

    dataset: Dataset
    systems: tuple[System, ...]
    seeds: tuple[int, ...]
    predictions: dict[str, dict[int, list[Prediction]]] = field(default_factory=dict)
    validation: dict[str, dict[int, list[Prediction]]] = field(default_factory=dict)
    unseen: dict[str, dict[int, list[Prediction]]] = field(default_factory=dict)
    unseen_hashtags: frozenset[str] = frozenset()
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def reproduce(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    cache: Path | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> Reproduction:
    """Train and evaluate the systems; a system that fails doesn't stop the others.

    Args:
        recipe: Of GGM; the others differ from it in few settings (see `ggm.reproduce.systems`).
        data: Dataset folder with the splits train, validation and test, and perhaps unseen.
        out: Where everything is kept.
        seeds: One run of each system for each.
        only: Names of systems; all by default.
        cache: Folder of the feature cache.
        bar: For progress.
        warn: Told of what was left out, and of failures.

    Raises:
        ConfigError: If a system is unknown.
        DataError: If the dataset can't be used, or the folder is of another reproduction.
    """
    dataset = load_dataset(data, on_bad_row=lambda _row: None)
    for name in (TRAIN, VALIDATION, TEST):
        dataset.split(name)
    hears = profile(recipe.profile).audio not in (None, "")
    systems = systems_for(recipe, has_sound=hears, only=only)
    claim_folder(out, {"recipe": asdict(recipe), "posts": fingerprint_of(dataset.posts)})
    done = Reproduction(dataset, tuple(systems), tuple(seeds), unseen_hashtags=unseen_hashtags(dataset))
    for seed in seeds:
        runner = _Runner(recipe, data, out / f"seed-{seed}", seed=seed, cache=cache, bar=bar, warn=warn)
        for system in systems:
            try:
                runner.run(system, done)
            except GgmError as error:
                done.failures[f"{system.name}, seed {seed}"] = str(error)
                warn(f"{system.name}, seed {seed}: {error}")
    return done


def unseen_hashtags(dataset: Dataset) -> frozenset[str]:
    """Keys of the hashtags of the split ``unseen`` that no training post carries."""
    splits = dataset.splits
    seen = {key(text) for post in splits.get(TRAIN, ()) for text in post.hashtags}
    return frozenset(key(text) for post in splits.get(UNSEEN, ()) for text in post.hashtags) - seen


class _Runner:
    """One seed: trains what isn't there yet, and predicts what isn't predicted."""

    def __init__(
        self, recipe: Recipe, data: Path, folder: Path, *, seed: int, cache: Path | None, bar: Bar, warn: Warn
    ) -> None:
        self.recipe, self.data, self.folder, self.seed = recipe, data, folder, seed
        self.cache, self.bar, self.warn = cache, bar, warn
        self.predictions = folder / "predictions"
        self.predictions.mkdir(parents=True, exist_ok=True)

    def run(self, system: System, done: Reproduction) -> None:
        path = self.predictions / f"{system.slug}.jsonl"
        if system.kind == "classifier":
            self._classifier(system, path)
            self._keep(done.validation, system, self.predictions / f"{system.slug}.validation.jsonl")
        else:
            self._bundle_predictions(system, path)
        if system.kind == "retriever":
            self._keep(done.validation, system, self.predictions / f"{system.slug}.validation.jsonl")
        self._keep(done.predictions, system, path)
        if system.name == _GUIDED and done.unseen_hashtags:
            self._unseen(system, done)
        times = self.predictions / f"{system.slug}.seconds.json"
        if times.exists():
            done.seconds[system.name] = float(json.loads(times.read_text())["seconds_per_post"])

    def _keep(self, where: dict[str, dict[int, list[Prediction]]], system: System, path: Path) -> None:
        where.setdefault(system.name, {})[self.seed] = read_predictions(path)

    def _classifier(self, system: System, path: Path) -> None:
        validation = path.with_suffix(".validation.jsonl")
        if path.exists() and validation.exists():
            return
        out = self.folder / system.slug
        recipe = recipe_of(system, self.recipe, seed=self.seed)
        run_classifier(recipe, self.data, out, cache=self.cache, bar=self.bar, warn=self.warn)
        write_predictions(validation, _renamed(out / "validation.jsonl", system))
        write_predictions(path, _renamed(out / "test.jsonl", system))

    def _bundle_predictions(self, system: System, path: Path) -> None:
        wanted = {TEST: path}
        if system.kind == "retriever":
            wanted[VALIDATION] = path.with_suffix(".validation.jsonl")
        missing = {split: target for split, target in wanted.items() if not target.exists()}
        if not missing:
            return
        bundle = self._bundle(system)
        for split, target in missing.items():
            started = time.perf_counter()
            made = list(self._predict(bundle, system, split))
            seconds = (time.perf_counter() - started) / len(made)
            write_json({"seconds_per_post": seconds}, path.with_suffix(".seconds.json"))
            write_predictions(target, made)

    def _predict(self, bundle: Bundle, system: System, split: str) -> Iterator[Prediction]:
        features = open_features(self.data, bundle.extractor, cache=self.cache, bar=self.bar, warn=self.warn)
        return predict(
            bundle,
            features.split(split),
            system="retriever" if system.kind == "retriever" else "generator",
            name=system.name,
            progress=self.bar(f"{system.name}: {split}"),
        )

    def _bundle(self, system: System) -> Bundle:
        """What is trained, from its folder if it is done."""
        retriever = self.folder / "retriever"
        if not (retriever / MANIFEST).exists():
            recipe = recipe_of(system, self.recipe, seed=self.seed)
            run_retriever(recipe, self.data, retriever, cache=self.cache, bar=self.bar, warn=self.warn)
        out = retriever if system.kind == "retriever" else self.folder / system.slug
        if not (out / MANIFEST).exists():
            run_generator(
                recipe_of(system, self.recipe, seed=self.seed),
                self.data,
                out,
                retriever=retriever,
                cache=self.cache,
                bar=self.bar,
                warn=self.warn,
            )
        return load_bundle(out, device=training_device())

    def _unseen(self, system: System, done: Reproduction) -> None:
        """Section 5.3: the unseen split, without and with the unseen hashtags in the pool."""
        paths = {name: self.predictions / f"{system.slug}.{name}.jsonl" for name in (WITHOUT_POOL, WITH_POOL)}
        if not all(path.exists() for path in paths.values()):
            bundle = self._bundle(system)
            known = list(bundle.pool)
            added = _surface_forms(done.dataset, done.unseen_hashtags)
            pools = {WITHOUT_POOL: bundle.pool, WITH_POOL: bundle.rebuilt_pool([*known, *added])}
            for name, path in paths.items():
                write_predictions(path, self._predict(replace(bundle, pool=pools[name]), system, UNSEEN))
        for name, path in paths.items():
            done.unseen.setdefault(name, {})[self.seed] = read_predictions(path)


def _surface_forms(dataset: Dataset, keys: frozenset[str]) -> list[str]:
    forms: dict[str, str] = {}
    for post in dataset.splits[UNSEEN]:
        for text in post.hashtags:
            if key(text) in keys:
                forms.setdefault(key(text), text)
    return list(forms.values())


def _renamed(path: Path, system: System) -> Iterator[Prediction]:
    return (replace(prediction, system=system.name) for prediction in read_predictions(path))
