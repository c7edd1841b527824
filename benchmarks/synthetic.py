"""Does the controlled corpus show what it is made to show? Recall, sound, and hashtags added later.

    ggm corpus synthetic DATASET --posts 5000 --hashtags 1000
    python benchmarks/synthetic.py synthetic DATASET OUT

Trains the retriever and the classifier of the recipe in OUT unless they are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ggm.bundle import Bundle, load_bundle
from ggm.evaluation.predictions import read_predictions
from ggm.features.posts import PostFeatures
from ggm.hashtags import key
from ggm.records import Post
from ggm.scenes import parse_scene
from ggm.training.dataset import open_features
from ggm.training.recipes import load_recipe
from ggm.training.runs import run_classifier, run_retriever

CUTS = (10, 50)
Ranked = Sequence[Sequence[str]]


def recalls(ranked: Ranked, references: Sequence[Sequence[str]]) -> list[str]:
    """Mean share of a post's hashtags among the first k, for each k; posts without any are left out."""
    values = []
    for k in CUTS:
        shares = [
            len({key(text) for text in row[:k]} & set(wanted)) / len(wanted)
            for row, wanted in zip(ranked, references, strict=True)
            if wanted
        ]
        values.append(f"{np.mean(shares):.3f}")
    return values


def keys_of(posts: Sequence[Post], *, among: set[str] | None = None) -> list[list[str]]:
    """Keys of each post's hashtags, or of those among some."""
    return [[own for own in map(key, post.hashtags) if among is None or own in among] for post in posts]


def guide(bundle: Bundle, data: PostFeatures) -> Ranked:
    features = [data.features(row) for row in range(len(data))]
    return [found.texts for found in bundle.guide(features, top_k=max(CUTS))]


def probe(train: PostFeatures, test: PostFeatures, *, inputs: str, topics: int) -> str:
    """Accuracy of ridge regression from mean features to the topic that is heard but not shown."""
    parts = []
    for data in (train, test):
        rows, labels = [], []
        for index, post in enumerate(data.posts):
            scene = parse_scene(post.video.name)
            if scene.heard is None or scene.heard in scene.shown:
                continue
            features = data.features(index)
            assert features.sound_tokens is not None
            both = {"frames": features.frame_tokens.mean((0, 1)), "sound": features.sound_tokens.mean(0)}
            rows.append(np.concatenate([both[name] for name in inputs.split(" + ")]))
            labels.append(scene.heard)
        parts.append((np.stack(rows), np.array(labels)))
    (x, y), (x_test, y_test) = parts
    known = np.isin(y_test, y)
    targets = np.eye(topics, dtype=np.float32)[y]
    weights = np.linalg.solve(
        x.T @ x + 10 * len(x) ** 0.5 * np.eye(x.shape[1]), x.T @ (targets - targets.mean(0))
    )
    right = (x_test @ weights + targets.mean(0)).argmax(1) == y_test
    return f"{right[known].mean():.3f} of {known.sum()}"


def seen_table(trained: Bundle, test: PostFeatures, classified: Ranked) -> Table:
    table = Table("test split", *(f"recall@{k}" for k in CUTS), box=None)
    popular = [text for text, _ in trained.vocabulary.most_common(max(CUTS))]
    systems = {
        "most frequent": [popular] * len(test),
        "retriever, pretrained": guide(trained.with_head_weight(0.0), test),
        "retriever, trained": guide(trained, test),
        "classifier": classified,
    }
    for name, ranked in systems.items():
        table.add_row(name, *recalls(ranked, keys_of(test.posts)))
    return table


def unseen_table(trained: Bundle, unseen: PostFeatures, new: list[str]) -> Table:
    title = "unseen split, its unseen hashtags alone"
    table = Table(title, *(f"recall@{k}" for k in CUTS), "recalled", box=None)
    wanted = keys_of(unseen.posts, among=set(new))
    for name, bundle in (("pretrained", trained.with_head_weight(0.0)), ("trained", trained)):
        for added in (False, True):
            pool = bundle.rebuilt_pool([*bundle.pool, *new]) if added else bundle.pool
            ranked = guide(replace(bundle, pool=pool), unseen)
            found = {
                text
                for row, own in zip(ranked, wanted, strict=True)
                for text in {key(one) for one in row} & set(own)
            }
            how = f"{name}, {'with' if added else 'without'} them in the pool"
            table.add_row(how, *recalls(ranked, wanted), f"{len(found)} of {len(new)}")
    return table


def probe_table(train: PostFeatures, test: PostFeatures, *, topics: int) -> Table:
    table = Table("linear probe", "topic that is only heard", box=None)
    for inputs in ("frames", "sound", "frames + sound"):
        table.add_row(inputs, probe(train, test, inputs=inputs, topics=topics))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("recipe", "dataset", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    dataset, out = arguments.dataset, arguments.out
    recipe = load_recipe(arguments.recipe)
    if not (out / "retriever").exists():
        run_retriever(recipe, dataset, out / "retriever")
    if not (out / "classifier" / "test.jsonl").exists():
        run_classifier(recipe, dataset, out / "classifier")
    trained = load_bundle(out / "retriever")
    features = open_features(dataset, trained.extractor)
    train, test, unseen = (features.split(name) for name in ("train", "test", "unseen"))
    new = sorted(json.loads((dataset / "dataset.json").read_text("utf-8"))["unseen_hashtags"])
    classified = [list(one.hashtags) for one in read_predictions(out / "classifier" / "test.jsonl")]
    topics = len((dataset / "topics.jsonl").read_text("utf-8").splitlines())
    console = Console(width=110)
    console.print(seen_table(trained, test, classified))
    console.print(unseen_table(trained, unseen, new))
    console.print(probe_table(train, test, topics=topics))


if __name__ == "__main__":
    main()
