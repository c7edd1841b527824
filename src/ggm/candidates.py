"""Candidates for a post: what either side proposed, measured by both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ggm.bundle import Bundle
from ggm.errors import BundleError
from ggm.generator.batch import GeneratorBatch
from ggm.generator.decoding import score_hashtags
from ggm.hashtags import key
from ggm.ranking import Candidate, distinct
from ggm.records import GeneratedHashtag, Guidance, VideoFeatures


def measure_candidates(
    bundle: Bundle,
    features: Sequence[VideoFeatures],
    batch: GeneratorBatch,
    *,
    generated: Sequence[Sequence[GeneratedHashtag]],
    guidance: Sequence[Guidance],
) -> list[list[Candidate]]:
    """Join the generated hashtags and the guidance of each post, and measure them.

    Generated hashtags are embedded for their similarity, guidance is scored by the generator for
    its likelihood, all of it in one pass each. Of a hashtag that entered the pool after training
    the generator knows nothing, so that its likelihood is left open unless it wrote it itself.

    Args:
        bundle: With a generator.
        features: Of the posts' videos.
        batch: The same posts, lined up for the generator.
        generated: What it wrote for each.
        guidance: What the retriever found for each.

    Returns:
        For each post its candidates, each hashtag once, generated ones first.

    Raises:
        BundleError: If the bundle holds no generator.
    """
    if bundle.generator is None:
        raise BundleError(f"bundle {bundle.name!r} holds no generator")
    texts = [
        distinct([item.text for item in written], found.texts)
        for written, found in zip(generated, guidance, strict=True)
    ]
    likelihoods = [
        [
            value if _is_judged(text, written, bundle) else -math.inf
            for text, value in zip(row, values, strict=True)
        ]
        for row, values, written in zip(
            texts, score_hashtags(bundle.generator, batch, texts), map(_keys, generated), strict=True
        )
    ]
    similarities = [{key(hit.text): hit.similarity for hit in found.hits} for found in guidance]
    fresh = distinct(
        *([t for t in row if key(t) not in known] for row, known in zip(texts, similarities, strict=True))
    )
    if fresh:
        vectors = dict(zip(map(key, fresh), bundle.embed_hashtags(fresh), strict=True))
        for query, row, known in zip(bundle.embed_videos(features), texts, similarities, strict=True):
            for text in row:
                if key(text) not in known:
                    known[key(text)] = float(np.dot(query, vectors[key(text)]))
    return [
        [Candidate(text, known[key(text)], value) for text, value in zip(row, values, strict=True)]
        for row, known, values in zip(texts, similarities, likelihoods, strict=True)
    ]


def _keys(generated: Sequence[GeneratedHashtag]) -> set[str]:
    return {key(item.text) for item in generated}


def _is_judged(text: str, written: set[str], bundle: Bundle) -> bool:
    return text in bundle.vocabulary or key(text) in written
