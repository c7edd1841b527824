"""Reproductions that nobody had to train: predictions that are written down by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggm.corpus.manifest import Dataset
from ggm.evaluation.predictions import Prediction
from ggm.records import Post
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.systems import systems_for
from ggm.training.recipes import GeneratorRecipe, Recipe

POSTS = 40
RECIPE = Recipe("r", profile="tiny", generator=GeneratorRecipe(top_k=50))
SILENT = Recipe("r", profile="compact", generator=GeneratorRecipe(top_k=20))

RIGHT, HALF, WRONG = ("cat", "dog"), ("cat", "sun"), ("sun", "sea")


def predicted(system: str, *rows: Sequence[str], prefix: str = "") -> list[Prediction]:
    """The same few rows again and again, for as many posts, whose hashtags are ``cat`` and ``dog``."""
    found = [rows[post % len(rows)] for post in range(POSTS)]
    return [
        Prediction(
            f"{prefix}{post:03}",
            system,
            tuple(row),
            tuple(1 / (2 + place) for place in range(len(row))),
            RIGHT,
        )
        for post, row in enumerate(found)
    ]


def dataset(description: str = "a cat", **metadata: Any) -> Dataset:
    """Posts of all splits; nobody who trains sees ``yeti`` and ``troll``."""
    hashtags = {"unseen": ("cat", "yeti", "troll"), "train": ("cat", "dog", "sun", "sea", "x", "sky")}
    posts = [
        Post(f"{split}-{i}", Path("v.mp4"), "", hashtags.get(split, ("cat",)), split=split)
        for split in ("train", "validation", "unseen")
        for i in range(3)
    ]
    posts += [Post(f"{i:03}", Path("v.mp4"), description, RIGHT, split="test") for i in range(POSTS)]
    return Dataset(Path("folder"), tuple(posts), metadata)


def reproduction(
    recipe: Recipe = RECIPE, *, data: Dataset | None = None, seeds: Sequence[int] = (0,), **rows: Any
) -> Reproduction:
    """One where each named system predicts these rows with seed 0; ``_`` stands for ``-``."""
    done = Reproduction(data or dataset(), recipe, (), tuple(seeds))
    systems = tuple(systems_for(recipe, has_sound=done.has_sound))
    done = Reproduction(done.dataset, recipe, systems, tuple(seeds))
    for name, row in rows.items():
        name = name.replace("_", "-")
        done.predictions[name] = {0: predicted(name, *row)}
    return done
