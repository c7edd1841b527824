"""Recall of guidance on validation posts, when popularity and hashtags of similar posts count too.

    python benchmarks/guidance_ranking.py RETRIEVER DATA [--description-weight 1] [--cache FOLDER]

A hashtag's score is its similarity, plus a weight times log(1 + its training posts), plus a weight times
the share that it has among the training posts nearest to the query (video and description together).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from guidance_recall import drawn, parser, recall, wanted
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
    arguments = parser(__doc__)
    arguments.add_argument("--description-weight", type=float, default=1.0)
    asked = arguments.parse_args()
    bundle = load_bundle(asked.retriever)
    features = open_features(asked.data, bundle.extractor, cache=asked.cache)
    train, validation = features.split(TRAIN), features.split(VALIDATION)
    rows = drawn(validation, asked.posts)

    def queries(data: PostFeatures, rows: list[int]) -> npt.NDArray[np.float32]:
        videos = np.concatenate([bundle.embed_videos([data.pooled(row)]) for row in rows])
        descriptions = [data.posts[row].description for row in rows]
        return bundle.queries(videos, descriptions, weight=asked.description_weight)

    asking, others = queries(validation, rows), queries(train, list(range(len(train))))
    hashtags = list(bundle.pool)
    place = {key(text): at for at, text in enumerate(hashtags)}
    carried = [[place[key(text)] for text in post.hashtags if key(text) in place] for post in train.posts]
    counts = Counter(at for post in carried for at in set(post))
    popularity = np.log1p([counts[at] for at in range(len(hashtags))])
    similarity = asking @ bundle.vectors_of_hashtags(hashtags).T
    share = neighbours_share(asking @ others.T, carried, len(hashtags))
    own = wanted(validation, rows)
    keys = [key(text) for text in hashtags]
    table = Table("popularity", "similar posts", "recall@" + " / ".join(map(str, CUTS)))
    for neighbours in NEIGHBOURS:
        for weight in POPULARITY:
            scores = similarity + weight * popularity + neighbours * share
            best = np.argsort(-scores, axis=1)[:, : max(CUTS)]
            found = [[keys[at] for at in ranked] for ranked in best]
            means = (recall(own, found, cut).mean() for cut in CUTS)
            table.add_row(f"{weight:g}", f"{neighbours:g}", " / ".join(f"{mean:.3f}" for mean in means))
    console = Console()
    console.print(f"{len(rows)} posts; pool of {len(hashtags):,}; {len(train):,} training posts")
    console.print(table)


if __name__ == "__main__":
    main()
