"""The work of one seed: each system is trained unless it is, and predicts what the report wants.

SEED/retriever                         the retriever that guides, a bundle
SEED/guidance.jsonl                    of the training posts, where a recipe asks for cross-fitting
SEED/SYSTEM                            what was trained
SEED/predictions/SYSTEM.jsonl          of the test split, by the best checkpoint
SEED/predictions/SYSTEM.best-2.jsonl   by the next best one
SEED/predictions/SYSTEM.validation.jsonl, .unseen.jsonl, .unseen-in-pool.jsonl, .parts.json
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ggm.bundle import MANIFEST, Bundle, load_bundle
from ggm.corpus.assignment import UNSEEN
from ggm.corpus.manifest import Dataset, load_dataset
from ggm.evaluation.predict import predict
from ggm.evaluation.predictions import Prediction, read_predictions, write_predictions
from ggm.features.extract import load_extractor
from ggm.hashtags import key
from ggm.model_info import bundle_counts
from ggm.records import Post
from ggm.reproduce.parts import classifier_counts, write_parts
from ggm.reproduce.systems import System, recipe_of
from ggm.training.dataset import (
    TEST,
    TRAIN,
    VALIDATION,
    Bar,
    Warn,
    no_bar,
    no_warning,
    open_features,
)
from ggm.training.folder import log_folder
from ggm.training.generator_runs import run_generator, write_guidance
from ggm.training.recipes import Recipe
from ggm.training.runs import run_classifier, run_retriever
from ggm.training.targets import vocabulary_of
from ggm.training.trainer import training_device

IN_POOL: Final = "unseen-in-pool"
NEXT_BEST: Final = (2, 3)
"""Places of the checkpoints that the paper averages over beside the best one."""

ON_UNSEEN: Final = ("VLM", "VG-BART", "GGM", "GGM pointer", "GGM joined")
"""What is asked for the unseen split (paper, section 5.3)."""
GUIDED_ON_UNSEEN: Final = ("VLM", "GGM", "GGM pointer", "GGM joined")
"""Which of them look into a pool."""


@dataclass(frozen=True)
class Work:
    """What all systems of a reproduction have in common; it can be sent to another process.

    Args:
        recipe: Of GGM.
        data: Dataset folder.
        out: Where everything is kept.
        posts: How many posts of a split are predicted at most; None for all.
        cache: Folder of the feature cache.
    """

    recipe: Recipe
    data: Path
    out: Path
    posts: int | None = None
    cache: Path | None = None

    def folder(self, seed: int) -> Path:
        """Of one seed."""
        return self.out / f"seed-{seed}"

    def predictions(self, system: System, seed: int, what: str = TEST) -> Path:
        """File of what a system predicts: for a split, or by its next best checkpoints (``best-2``)."""
        suffix = "" if what == TEST else f".{what}"
        return self.folder(seed) / "predictions" / f"{system.slug}{suffix}.jsonl"

    def parts(self, system: System, seed: int) -> Path:
        """File of what a system is made of."""
        return self.predictions(system, seed).with_suffix(".parts.json")

    def bundle(self, system: System, seed: int) -> Path:
        """Folder of a trained system."""
        return self.folder(seed) / ("retriever" if system.kind == "retriever" else system.slug)


def sampled(posts: Sequence[Post], most: int | None) -> list[Post]:
    """The same posts in each run, in their order; all of them if there are not more."""
    if most is None or len(posts) <= most:
        return list(posts)
    drawn = sorted(posts, key=lambda post: blake2b(post.id.encode()).digest())[:most]
    kept = {post.id for post in drawn}
    return [post for post in posts if post.id in kept]


class Runner:
    """One seed.

    Args:
        work: What is to be done.
        seed: Of every draw.
        bar: For progress.
        warn: Told of what was left out.
    """

    def __init__(self, work: Work, *, seed: int, bar: Bar = no_bar, warn: Warn = no_warning) -> None:
        self.work, self.seed, self.bar, self.warn = work, seed, bar, warn
        self.folder = work.folder(seed)
        (self.folder / "predictions").mkdir(parents=True, exist_ok=True)

    def prepare(self, systems: Iterable[System]) -> None:
        """Train what several of these systems share.

        Raises:
            GgmError: Whatever `run_retriever` raises.
        """
        kinds = {system.kind for system in systems}
        if not kinds & {"retriever", "generator"}:
            return
        retriever, recipe = self.folder / "retriever", replace(self.work.recipe, seed=self.seed)
        if not (retriever / MANIFEST).exists():
            run_retriever(
                recipe, self.work.data, retriever, cache=self.work.cache, bar=self.bar, warn=self.warn
            )
        guided = recipe.generator.guidance == "cross_fitted" and "generator" in kinds
        if guided and not self._guidance.exists():
            write_guidance(
                recipe,
                self.work.data,
                self._guidance,
                retriever=retriever,
                cache=self.work.cache,
                bar=self.bar,
                warn=self.warn,
            )

    def run(self, system: System) -> None:
        """Train a system and let it predict, as far as that isn't done.

        Raises:
            GgmError: Whatever training raises.
        """
        if system.kind == "classifier":
            self._classifier(system)
            return
        out = self.work.bundle(system, self.seed)
        if not (out / MANIFEST).exists():
            recipe = recipe_of(system, self.work.recipe, seed=self.seed)
            shared = self._guidance if self._shares_guidance(recipe) else None
            run_generator(
                recipe,
                self.work.data,
                out,
                retriever=self.folder / "retriever",
                guidance=shared,
                cache=self.work.cache,
                bar=self.bar,
                warn=self.warn,
            )
        self._predict(system, out)
        for place in NEXT_BEST:
            other = log_folder(out) / f"best-{place}"
            path = self.work.predictions(system, self.seed, f"best-{place}")
            if (other / MANIFEST).exists() and not path.exists():
                bundle = load_bundle(other, device=training_device())
                write_predictions(path, self._predictions(bundle, system, TEST))

    def _shares_guidance(self, recipe: Recipe) -> bool:
        own, common = recipe.generator, self.work.recipe.generator
        asks_alike = own.description_weight in (0.0, common.description_weight)
        return own.guidance == "cross_fitted" and asks_alike

    @property
    def _guidance(self) -> Path:
        return self.folder / "guidance.jsonl"

    def _classifier(self, system: System) -> None:
        """A classifier's predictions are made where it is trained."""
        wanted = {split: self.work.predictions(system, self.seed, split) for split in (VALIDATION, TEST)}
        parts = self.work.parts(system, self.seed)
        if all(path.exists() for path in (*wanted.values(), parts)):
            return
        out = self.folder / system.slug
        recipe = recipe_of(system, self.work.recipe, seed=self.seed)
        if not all((out / f"{split}.jsonl").exists() for split in wanted):
            run_classifier(recipe, self.work.data, out, cache=self.work.cache, bar=self.bar, warn=self.warn)
        extractor = load_extractor(recipe.profile)
        num_hashtags = len(vocabulary_of(self._dataset.split(TRAIN)))
        write_parts(parts, classifier_counts(extractor, recipe, num_hashtags=num_hashtags))
        more = {f"best-{place}": out / f"best-{place}.{TEST}.jsonl" for place in NEXT_BEST}
        for what, source in more.items():
            if source.exists():
                write_predictions(
                    self.work.predictions(system, self.seed, what), self._of_sample(source, system, TEST)
                )
        for split, path in wanted.items():
            write_predictions(path, self._of_sample(out / f"{split}.jsonl", system, split))

    def _of_sample(self, path: Path, system: System, split: str) -> Iterator[Prediction]:
        wanted = {post.id for post in sampled(self._dataset.split(split), self.work.posts)}
        found = read_predictions(path)
        return (replace(one, system=system.name) for one in found if one.id in wanted)

    def _predict(self, system: System, out: Path) -> None:
        wanted = {TEST: self.work.predictions(system, self.seed)}
        if system.kind == "retriever":
            wanted[VALIDATION] = self.work.predictions(system, self.seed, VALIDATION)
        missing = {split: path for split, path in wanted.items() if not path.exists()}
        parts = self.work.parts(system, self.seed)
        unseen = system.name in ON_UNSEEN
        unseen_paths = [self.work.predictions(system, self.seed, what) for what in (UNSEEN, IN_POOL)]
        if not missing and parts.exists() and (not unseen or all(path.exists() for path in unseen_paths)):
            return
        bundle = load_bundle(out, device=training_device())
        for split, path in missing.items():
            write_predictions(path, self._predictions(bundle, system, split))
        if unseen:
            self._unseen(system, bundle)
        write_parts(parts, bundle_counts(bundle))

    @cached_property
    def _dataset(self) -> Dataset:
        return load_dataset(self.work.data, on_bad_row=lambda _row: None)

    def _predictions(self, bundle: Bundle, system: System, split: str) -> Iterator[Prediction]:
        data = open_features(
            self.work.data, bundle.extractor, cache=self.work.cache, bar=self.bar, warn=self.warn
        ).split(split)
        wanted = {post.id for post in sampled(data.posts, self.work.posts)}
        return predict(
            bundle,
            data.subset([row for row, post in enumerate(data.posts) if post.id in wanted]),
            system="retriever" if system.kind == "retriever" else "generator",
            name=system.name,
            progress=self.bar(f"{system.name}: {split}"),
        )

    def _unseen(self, system: System, bundle: Bundle) -> None:
        """Section 5.3: the unseen split, without and with the unseen hashtags in the pool."""
        splits = self._dataset.splits
        added = _surface_forms(splits.get(UNSEEN, ()), unseen_hashtags(splits))
        if not added:
            return
        pools = {UNSEEN: bundle.pool}
        if system.name in GUIDED_ON_UNSEEN:
            pools[IN_POOL] = bundle.rebuilt_pool([*bundle.pool, *added])
        for what, pool in pools.items():
            path = self.work.predictions(system, self.seed, what)
            if not path.exists():
                write_predictions(path, self._predictions(replace(bundle, pool=pool), system, UNSEEN))


def unseen_hashtags(
    splits: dict[str, tuple[Post, ...]], posts: Iterable[Post] | None = None
) -> frozenset[str]:
    """Keys of the hashtags of the split ``unseen`` that no training post carries.

    Args:
        splits: Of a dataset.
        posts: Those of ``unseen`` that count; all by default.
    """
    seen = {key(text) for post in splits.get(TRAIN, ()) for text in post.hashtags}
    chosen = splits.get(UNSEEN, ()) if posts is None else posts
    return frozenset(key(text) for post in chosen for text in post.hashtags) - seen


def _surface_forms(posts: Iterable[Post], keys: frozenset[str]) -> list[str]:
    forms: dict[str, str] = {}
    for post in posts:
        for text in post.hashtags:
            if key(text) in keys:
                forms.setdefault(key(text), text)
    return list(forms.values())
