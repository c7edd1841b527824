"""How much does it help to know what a creator used before? Measured on posts that have authors.

What the retriever finds is ranked with and without the hashtags of the author's strictly earlier posts, of
any split. The one weight is chosen by recall@5 on posts of the validation split; figures are of the test
split. A logistic regression of "is right" on cosine and familiarity, over the same validation posts, gives
the weight in log-odds that `ggm.history.WEIGHT` is for rankings by probabilities.

    python benchmarks/preference.py RETRIEVER DATASET
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ggm.bundle import Bundle, load_bundle
from ggm.candidates import with_history
from ggm.evaluation.bootstrap import bootstrap_mean, paired_bootstrap
from ggm.evaluation.metrics import recall_at, rouge
from ggm.evaluation.predict import RANKED
from ggm.hashtags import key
from ggm.history import History, earlier_posts, preferred_hits
from ggm.records import Hit
from ggm.training.dataset import Features, open_features

WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
BANDS = ((1, 5), (6, 25), (26, 100), (101, None))


@dataclass(frozen=True)
class Measured:
    """Posts of a split with all that can be ranked for them."""

    references: list[tuple[str, ...]]
    hits: list[list[Hit]]
    histories: list[History]

    def ranked(self, weight: float) -> list[list[str]]:
        return [
            [text for text, _ in preferred_hits(hits, past if weight else History(), weight=weight)[:RANKED]]
            for hits, past in zip(self.hits, self.histories, strict=True)
        ]


def measure(bundle: Bundle, features: Features, split: str, *, count: int, seed: int) -> Measured:
    posts = features.split(split)
    rows = sorted(random.Random(seed).sample(range(len(posts)), min(count, len(posts))))
    drawn = posts.subset(rows)
    known = earlier_posts(features.dataset.posts, drawn.posts)
    histories = [known.get(post.id, History()) for post in drawn.posts]
    videos = [drawn.features(place) for place in range(len(drawn))]
    hits = with_history(bundle, videos, bundle.guide(videos, top_k=RANKED), histories)
    return Measured([post.hashtags for post in drawn.posts], hits, histories)


def recall(measured: Measured, ranked: Sequence[Sequence[str]]) -> np.ndarray:
    return np.asarray(recall_at(ranked, reference=measured.references, k=5))


def log_odds(measured: Measured, *, steps: int = 50) -> tuple[float, float, float]:
    """Of "the hashtag is right", by cosine and familiarity: both weights and the bias, by Newton's method."""
    rows, right = [], []
    for hits, past, reference in zip(measured.hits, measured.histories, measured.references, strict=True):
        wanted = set(map(key, reference))
        for hit in hits:
            name = key(hit.text)
            rows.append((hit.similarity, past.familiarity.get(name, 0.0), 1.0))
            right.append(name in wanted)
    inputs, outcome, weights = np.array(rows), np.array(right, float), np.zeros(3)
    for _ in range(steps):
        expected = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (expected * (1 - expected))[:, None]).T @ inputs
        weights += np.linalg.solve(curvature, inputs.T @ (outcome - expected))
    cosine, familiarity, bias = map(float, weights)
    return cosine, familiarity, bias


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--posts", type=int, default=1000, help="of each split, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console(width=150)
    bundle = load_bundle(arguments.bundle)
    features = open_features(arguments.data, bundle.extractor)
    validation = measure(bundle, features, "validation", count=arguments.posts, seed=arguments.seed)

    table = Table("weight", "recall@5, validation", box=None, padding=(0, 2))
    recalls = {weight: float(recall(validation, validation.ranked(weight)).mean()) for weight in WEIGHTS}
    for weight, value in recalls.items():
        table.add_row(f"{weight:g}", f"{value:.4f}")
    console.print(table)
    best = max(recalls, key=lambda weight: recalls[weight])
    console.print(f"chosen weight: {best:g} in cosine similarity")
    cosine, familiarity, bias = log_odds(validation)
    console.print(f"log-odds of being right: {cosine:.1f} cosine {familiarity:+.2f} familiarity {bias:+.1f}")

    test = measure(bundle, features, "test", count=arguments.posts, seed=arguments.seed)
    without, given = test.ranked(0.0), test.ranked(best)
    table = Table("test", "without", "with history", "difference", "p", box=None, padding=(0, 2))
    scores = {
        "recall@5": (recall(test, without), recall(test, given)),
        "ROUGE-1, first 3": tuple(
            100 * np.asarray(rouge([row[:3] for row in ranked], reference=test.references, seed=0).rouge_1)
            for ranked in (without, given)
        ),
    }
    for name, (before, after) in scores.items():
        ends = [bootstrap_mean(values) for values in (before, after)]
        change = paired_bootstrap(after, before)
        table.add_row(
            name,
            *(f"{end.mean:.3f} [{end.low:.3f}, {end.high:.3f}]" for end in ends),
            f"{change.difference:+.3f} [{change.low:+.3f}, {change.high:+.3f}]",
            f"{change.p_value:.4f}",
        )
    console.print(table)

    sizes = np.array([len(past.posts) for past in test.histories])
    table = Table("earlier posts", "posts", "recall@5 without", "with", box=None, padding=(0, 2))
    before, after = scores["recall@5"]
    for low, high in ((0, 0), *BANDS):
        chosen = (sizes >= low) & (sizes <= (math.inf if high is None else high))
        if chosen.any():
            name = f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more"
            figures = (f"{values[chosen].mean():.3f}" for values in (before, after))
            table.add_row(name, str(int(chosen.sum())), *figures)
    console.print(table)


if __name__ == "__main__":
    main()
