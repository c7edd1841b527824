"""Recall of guidance on validation posts, by how the retriever's heads and the description count.

    python benchmarks/two_queries.py RETRIEVER DATA [--posts 800] [--cache FOLDER]

``RETRIEVER`` is what `ggm train retriever` wrote. Rows are head weights (see `RetrieverRecipe.head_weight`)
and description weights (see `GeneratorRecipe.description_weight`; 0 asks with the video alone, as the
paper does).
"""

from __future__ import annotations

import numpy as np
from guidance_recall import drawn, parser, recall, wanted
from rich.console import Console
from rich.table import Table

from ggm.bundle import load_bundle
from ggm.hashtags import key
from ggm.training.dataset import VALIDATION, open_features

HEADS = (0.2, 0.3, 0.5, 0.75, 1.0)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
CUTS = (5, 20, 50)


def main() -> None:
    """Print the table."""
    asked = parser(__doc__).parse_args()
    trained = load_bundle(asked.retriever)
    data = open_features(asked.data, trained.extractor, cache=asked.cache).split(VALIDATION)
    rows = drawn(data, asked.posts)
    posts, pooled = [data.posts[row] for row in rows], [data.pooled(row) for row in rows]
    own = wanted(data, rows)
    described = np.array([bool(post.description.strip()) for post in posts])
    first = " / ".join(map(str, CUTS))
    table = Table("heads", "description", f"recall@{first}", "of described posts")
    for head in HEADS:
        bundle = trained.with_head_weight(head)
        videos = bundle.embed_videos(pooled)
        for weight in WEIGHTS:
            queries = bundle.queries(videos, [post.description for post in posts], weight=weight)
            found = [[key(hit.text) for hit in hits] for hits in bundle.pool.search_many(queries, max(CUTS))]
            recalls = {cut: recall(own, found, cut) for cut in CUTS}
            means = (
                " / ".join(f"{recalls[cut][which].mean():.3f}" for cut in CUTS)
                for which in (slice(None), described)
            )
            table.add_row(f"{head:g}", f"{weight:g}", *means)
    console = Console()
    console.print(f"{len(posts)} posts, {described.mean():.0%} described; pool of {len(trained.pool):,}")
    console.print(table)


if __name__ == "__main__":
    main()
