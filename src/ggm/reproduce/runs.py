"""Trains every system and lets it predict. What is done is kept: a run that was killed goes on.

OUT/reproduce.json    of what it is
OUT/seed-0/...        of each seed, see `ggm.reproduce.work`
OUT/latency.json      of the first seed's systems
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ggm.corpus.assignment import UNSEEN
from ggm.corpus.manifest import Dataset, load_dataset
from ggm.errors import GgmError
from ggm.evaluation.evaluate import claim_folder, fingerprint_of
from ggm.evaluation.predictions import Prediction, read_predictions
from ggm.features.parameter_counts import PartCount
from ggm.features.profiles import profile
from ggm.reproduce.latency import measure_latency
from ggm.reproduce.parallel import run_in_processes
from ggm.reproduce.parts import read_parts
from ggm.reproduce.systems import System, systems_for
from ggm.reproduce.work import IN_POOL, NEXT_BEST, Runner, Work, sampled, unseen_hashtags
from ggm.training.dataset import TEST, TRAIN, VALIDATION, Bar, Warn, no_bar, no_warning
from ggm.training.recipes import Recipe

Runs = dict[str, dict[int, list[Prediction]]]
"""Predictions by system, then by seed."""


@dataclass(frozen=True)
class Reproduction:
    """What all systems predicted.

    Args:
        dataset: Of which posts.
        recipe: Of GGM.
        systems: Those that were asked for, in the paper's order.
        seeds: One run each.
        predictions: Of the test split, by the best checkpoint.
        next_best: Of the test split, by the checkpoints that were next best on validation, best first;
            no entry for systems without validation.
        validation: Of the validation split, for systems that rank.
        unseen: Of the unseen split; empty without such a split.
        unseen_in_pool: The same with the unseen hashtags in the pool, for systems that look into it.
        unseen_hashtags: Keys of the hashtags of the predicted unseen posts that no training post carries.
        parts: What each system is made of.
        seconds: A post, from cached features, one post at a time, see `ggm.reproduce.latency`.
        failures: Why a system has no predictions.
    """

    dataset: Dataset
    recipe: Recipe
    systems: tuple[System, ...]
    seeds: tuple[int, ...]
    predictions: Runs = field(default_factory=dict)
    next_best: dict[str, dict[int, list[list[Prediction]]]] = field(default_factory=dict)
    validation: Runs = field(default_factory=dict)
    unseen: Runs = field(default_factory=dict)
    unseen_in_pool: Runs = field(default_factory=dict)
    unseen_hashtags: frozenset[str] = frozenset()
    parts: dict[str, list[PartCount]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def has_sound(self) -> bool:
        """Whether the profile hears."""
        return hears(self.recipe)


def reproduce(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    only: Sequence[str] | None = None,
    posts: int | None = None,
    jobs: int = 1,
    train: bool = True,
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
        posts: How many posts of each split are predicted at most, the same in all runs; all by default.
        jobs: How many systems are trained at once, each in a process of its own.
        train: Otherwise only what is there already is read, of whichever systems and seeds.
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
    systems = systems_for(recipe, has_sound=hears(recipe), only=only)
    claim_folder(
        out, {"recipe": asdict(recipe), "posts": fingerprint_of(dataset.posts), "predicted posts": posts}
    )
    work = Work(recipe, data, out, posts, cache)
    failures: dict[str, str] = {}
    if train and jobs == 1:
        failures = _run_here(work, systems, seeds, bar, warn)
    elif train:
        failures = run_in_processes(work, systems, seeds, jobs=jobs, progress=bar("systems"), warn=warn)
    done = collect(work, dataset, systems, seeds, failures)
    try:
        done.seconds.update(measure_latency(work, systems, seed=seeds[0], bar=bar))
    except GgmError as error:  # hours of training should not end without a report
        done.failures["latency"] = str(error)
        warn(f"latency: {error}")
    return done


def _run_here(
    work: Work, systems: Sequence[System], seeds: Sequence[int], bar: Bar, warn: Warn
) -> dict[str, str]:
    failures: dict[str, str] = {}
    for seed in seeds:
        runner = Runner(work, seed=seed, bar=bar, warn=warn)
        try:
            runner.prepare(systems)
        except GgmError as error:
            failures[f"all systems, seed {seed}"] = str(error)
            warn(f"all systems, seed {seed}: {error}")
            continue
        for system in systems:
            try:
                runner.run(system)
            except GgmError as error:
                failures[f"{system.name}, seed {seed}"] = str(error)
                warn(f"{system.name}, seed {seed}: {error}")
    return failures


def collect(
    work: Work,
    dataset: Dataset,
    systems: Sequence[System],
    seeds: Sequence[int],
    failures: dict[str, str],
) -> Reproduction:
    """Read what was predicted; what isn't there is left out.

    Raises:
        DataError: If a file is damaged.
    """
    splits = dataset.splits
    done = Reproduction(
        dataset,
        work.recipe,
        tuple(systems),
        tuple(seeds),
        unseen_hashtags=unseen_hashtags(splits, sampled(splits.get(UNSEEN, ()), work.posts)),
        failures=failures,
    )
    for system in systems:
        for seed in seeds:
            for runs, what in (
                (done.predictions, TEST),
                (done.validation, VALIDATION),
                (done.unseen, UNSEEN),
                (done.unseen_in_pool, IN_POOL),
            ):
                path = work.predictions(system, seed, what)
                if path.exists():
                    runs.setdefault(system.name, {})[seed] = read_predictions(path)
            others = [work.predictions(system, seed, f"best-{place}") for place in NEXT_BEST]
            if found := [read_predictions(path) for path in others if path.exists()]:
                done.next_best.setdefault(system.name, {})[seed] = found
            if system.name not in done.parts and work.parts(system, seed).exists():
                done.parts[system.name] = read_parts(work.parts(system, seed))
    return done


def hears(recipe: Recipe) -> bool:
    """Whether the recipe's profile has an encoder of sound."""
    return profile(recipe.profile).audio not in (None, "")
