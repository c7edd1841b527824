"""Recall of guidance on validation posts, when popularity and hashtags of similar posts count too.

    python benchmarks/guidance_ranking.py RETRIEVER DATA [--description-weight 1] [--cache FOLDER]

A hashtag's score is its similarity, plus a weight times log(1 + its training posts), plus a weight times
the share that it has among the training posts nearest to the query (video and description together).
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from ggm.bundle import load_bundle
from ggm.features.posts import PostFeatures
from ggm.hashtags import key
from ggm.training.dataset import TRAIN, VALIDATION, open_features

POPULARITY = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08)
NEIGHBOURS = (0.0, 0.25, 0.5, 1.0)
NEAREST, TEMPERATURE = 20, 0.05
CUTS = (5, 10, 20, 50)


def neighbours_share(
    similarities: npt.NDArray[np.float32], places: list[list[int]], size: int
) -> npt.NDArray[np.float64]:
    """What share of the nearest training posts' weight carries each hashtag: (posts, hashtags).

    Args:
        similarities: (posts, training posts).
        places: Of each training post's hashtags in the pool.
        size: Of the pool.
    """
    share = np.zeros((len(similarities), size))
    for row, own in enumerate(similarities):
        nearest = np.argpartition(-own, NEAREST)[:NEAREST]
        weights = np.exp((own[nearest] - own[nearest].max()) / TEMPERATURE)
        for post, weight in zip(nearest, weights, strict=True):
            share[row, places[post]] += weight
    return share / share.sum(axis=1, keepdims=True).clip(1e-12)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("retriever", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--description-weight", type=float, default=1.0)
    parser.add_argument("--posts", type=int, default=800)
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    bundle = load_bundle(asked.retriever)
    features = open_features(asked.data, bundle.extractor, cache=asked.cache)
    train, validation = features.split(TRAIN), features.split(VALIDATION)
    rows = np.random.default_rng(0).permutation(len(validation))[: asked.posts].tolist()

    def queries(data: PostFeatures, rows: list[int]) -> npt.NDArray[np.float32]:
        videos = np.concatenate([bundle.embed_videos([data.pooled(row)]) for row in rows])
        descriptions = [data.posts[row].description for row in rows]
        return bundle.queries(videos, descriptions, weight=asked.description_weight)

    own, others = queries(validation, rows), queries(train, list(range(len(train))))
    hashtags = list(bundle.pool)
    place = {key(text): at for at, text in enumerate(hashtags)}
    carried = [[place[key(text)] for text in post.hashtags if key(text) in place] for post in train.posts]
    counts = Counter(at for post in carried for at in set(post))
    popularity = np.log1p([counts[at] for at in range(len(hashtags))])
    similarity = own @ bundle.vectors_of_hashtags(hashtags).T
    share = neighbours_share(own @ others.T, carried, len(hashtags))
    wanted = [{key(text) for text in validation.posts[row].hashtags} for row in rows]
    keys = [key(text) for text in hashtags]
    table = Table("popularity", "similar posts", "recall@" + " / ".join(map(str, CUTS)))
    for neighbours in NEIGHBOURS:
        for weight in POPULARITY:
            scores = similarity + weight * popularity + neighbours * share
            best = np.argsort(-scores, axis=1)[:, : max(CUTS)]
            means = (
                np.mean(
                    [
                        len(own & {keys[at] for at in found[:cut]}) / len(own)
                        for own, found in zip(wanted, best, strict=True)
                    ]
                )
                for cut in CUTS
            )
            table.add_row(f"{weight:g}", f"{neighbours:g}", " / ".join(f"{mean:.3f}" for mean in means))
    console = Console()
    console.print(f"{len(rows)} posts; pool of {len(hashtags):,}; {len(train):,} training posts")
    console.print(table)


if __name__ == "__main__":
    main()
