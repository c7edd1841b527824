"""How long each system takes for a post, from cached features: one post at a time, systems in turn.

A classifier is timed with random weights, which take as long as trained ones. Where its encoders are trained,
no features can be cached, and it is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final, Literal

import torch

from ggm.bundle import MANIFEST, load_bundle
from ggm.corpus.jsonlines import write_json
from ggm.errors import DataError
from ggm.evaluation.predict import RANKED, predict
from ggm.reproduce.parts import new_classifier
from ggm.reproduce.systems import System, recipe_of
from ggm.reproduce.work import Work, sampled
from ggm.training.classifier import classifier_features, classify
from ggm.training.dataset import TEST, Bar, no_bar, open_features
from ggm.training.trainer import training_device

ROUNDS: Final = 3
POSTS: Final = 8
"""Of each system in a round, after one that warms up."""


def measure_latency(
    work: Work, systems: Sequence[System], *, seed: int, bar: Bar = no_bar
) -> dict[str, float]:
    """Median seconds a post, by system; kept in ``latency.json``, and measured anew if a system is new.

    The more systems, the longer their rounds are apart: what else the machine does hits all of them.

    Args:
        work: Where the trained systems are; those that aren't trained are left out.
        systems: Which ones.
        seed: Whose.
        bar: For progress.

    Raises:
        DataError: If the file is damaged or can't be written.
        BundleError: If a trained system can't be loaded.
    """
    path = work.out / "latency.json"
    found = [system for system in systems if _is_trained(work, system, seed)]
    if path.exists():
        try:
            kept: dict[str, float] = json.loads(path.read_text("utf-8"))["seconds_per_post"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a readable file of latencies; delete it: {error}") from error
        if kept.keys() >= {system.name for system in found}:
            return kept
    seconds: dict[str, list[float]] = {system.name: [] for system in found}
    progress = bar("latency")
    for turn in range(ROUNDS):
        for place, system in enumerate(found):
            one = _recommender(work, system, seed)
            one(0)
            for row in range(1, POSTS + 1):
                started = time.perf_counter()
                one(row)
                seconds[system.name].append(time.perf_counter() - started)
            progress(turn * len(found) + place + 1, ROUNDS * len(found))
    medians = {name: median(values) for name, values in seconds.items()}
    write_json({"seconds_per_post": medians, "threads": torch.get_num_threads()}, path)
    return medians


def _is_trained(work: Work, system: System, seed: int) -> bool:
    if system.kind == "classifier":
        frozen = work.recipe.classifier.trained == "heads"
        return frozen and work.predictions(system, seed).exists() and _retriever(work, seed).exists()
    return (work.bundle(system, seed) / MANIFEST).exists()


def _retriever(work: Work, seed: int) -> Path:
    return work.folder(seed) / "retriever" / MANIFEST


def _recommender(work: Work, system: System, seed: int) -> Callable[[int], object]:
    """Recommends for the post of a row of the test split."""
    bundle = load_bundle(
        _retriever(work, seed).parent if system.kind == "classifier" else work.bundle(system, seed),
        device=training_device(),
    )
    data = open_features(work.data, bundle.extractor, cache=work.cache).split(TEST)
    chosen = {post.id for post in sampled(data.posts, POSTS + 1)}
    posts = data.subset([row for row, post in enumerate(data.posts) if post.id in chosen])

    if system.kind == "classifier":
        settings = recipe_of(system, work.recipe, seed=seed).classifier
        hashtags = list(bundle.vocabulary)
        classifier = new_classifier(bundle.extractor, settings, num_hashtags=len(hashtags))

        def classified(row: int) -> object:
            features = classifier_features(
                posts.subset([row % len(posts)]), bundle.extractor, settings.inputs
            )
            return classify(classifier, features, hashtags, top_k=RANKED)

        return classified

    kind: Literal["retriever", "generator"] = "retriever" if system.kind == "retriever" else "generator"
    return lambda row: list(predict(bundle, posts.subset([row % len(posts)]), system=kind))
