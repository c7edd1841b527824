"""Candidates for a post: what any side proposed, measured by all, and ranked.

The generator proposes what it wrote, the retriever its guidance. Where a bundle has a scorer the
description proposes too: pool hashtags that it names, and those closest to it. Where a creator's history is
known, so does that (see `ggm.history`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.bundle import Bundle
from ggm.errors import BundleError
from ggm.generator.batch import GeneratorBatch
from ggm.generator.decoding import score_hashtags
from ggm.generator.memory import Memory
from ggm.hashtags import key, split_words
from ggm.history import CANDIDATES, History, preferred
from ggm.ranking import Candidate, Ranked, distinct, join
from ggm.records import GeneratedHashtag, Guidance, Hit, VideoFeatures

Vector = npt.NDArray[np.float32]

NEAREST: Final = 10
"""How many pool hashtags a description proposes beside those that it names."""

_MOST_WORDS: Final = 3
_SHORTEST: Final = 3
_WORD: Final = re.compile(r"[^\W_]+")


def rank_posts(
    bundle: Bundle,
    features: Sequence[VideoFeatures],
    descriptions: Sequence[str],
    batch: GeneratorBatch,
    *,
    generated: Sequence[Sequence[GeneratedHashtag]],
    guidance: Sequence[Guidance],
    offered: Sequence[Sequence[str]] | None = None,
    histories: Sequence[History] | None = None,
    top: int | None = None,
    memory: Memory | None = None,
) -> list[list[Ranked]]:
    """Rank each post's candidates: by the bundle's scorer, or by `join` where it has none.

    Args:
        bundle: With a generator.
        features: Of the posts' videos.
        descriptions: Of the posts, without inline hashtags; may be empty.
        batch: The same posts, lined up for the generator.
        generated: What it wrote for each.
        guidance: What the retriever found for each.
        offered: Hashtags that the creators wrote themselves. A scorer takes them for named ones, and
            their words for a part of the description.
        histories: Of their creators; an empty one, as none, changes nothing.
        top: How many of each post at most; None for all.
        memory: Of the same posts, if they are encoded already.

    Raises:
        BundleError: If the bundle holds no generator.
    """
    scored = bundle.scorer is not None
    asked = bundle.ask(features, descriptions)
    if offered is not None and scored:
        descriptions = [_with_words(*pair) for pair in zip(descriptions, offered, strict=True)]
    measured = measure_candidates(
        bundle,
        features,
        batch,
        generated=generated,
        guidance=guidance,
        asked=asked,
        descriptions=descriptions if scored else None,
        offered=offered if scored else None,
        histories=histories,
        memory=memory,
    )
    ranked = []
    for row, (candidates, description) in enumerate(zip(measured, descriptions, strict=True)):
        described = bool(description.strip())
        if bundle.scorer is None:
            found = join(candidates, config=bundle.ranking, described=described)
        else:
            found = bundle.scorer.rank(candidates, described=described)
        if histories is not None:
            found = preferred(found, histories[row])
        ranked.append(found[:top])
    return ranked


def measure_candidates(
    bundle: Bundle,
    features: Sequence[VideoFeatures],
    batch: GeneratorBatch,
    *,
    generated: Sequence[Sequence[GeneratedHashtag]],
    guidance: Sequence[Guidance],
    asked: Vector | None = None,
    descriptions: Sequence[str] | None = None,
    offered: Sequence[Sequence[str]] | None = None,
    memory: Memory | None = None,
    histories: Sequence[History] | None = None,
) -> list[list[Candidate]]:
    """Join what all sides propose for each post, and measure it.

    Generated hashtags are embedded for their similarity unless the pool has their vectors, the others
    are scored by the generator for their likelihood, all of it in one pass each. Of a hashtag that
    entered the pool after training the generator knows nothing, so that its likelihood is left open
    unless it wrote it itself.

    Args:
        bundle: With a generator.
        features: Of the posts' videos.
        batch: The same posts, lined up for the generator.
        generated: What it wrote for each.
        guidance: What the retriever found for each.
        asked: What it was asked (see `Bundle.ask`), which candidates are compared with; by default with the
            descriptions below.
        descriptions: Of the posts, if they shall propose hashtags and be compared with them.
        offered: Hashtags of the creators themselves, whether they stand in the pool or not.
        memory: Of the same posts, if they are encoded already.
        histories: Of their creators, which propose what is most familiar to them.

    Returns:
        For each post its candidates, each hashtag once, generated ones first.

    Raises:
        BundleError: If the bundle holds no generator.
    """
    if bundle.generator is None:
        raise BundleError(f"bundle {bundle.name!r} holds no generator")
    named, nearest, queries = _described(bundle, descriptions, len(features))
    if offered is not None:
        named = [distinct(own, names) for own, names in zip(offered, named, strict=True)]
    familiar = [past.hashtags[:CANDIDATES] for past in histories or [History()] * len(features)]
    texts = [
        distinct([item.text for item in written], found.texts, names, near, past)
        for written, found, names, near, past in zip(
            generated, guidance, named, nearest, familiar, strict=True
        )
    ]
    likelihoods = score_hashtags(bundle.generator, batch, texts, memory=memory)
    if asked is None:
        asked = bundle.ask(features, descriptions)
    vectors = _vectors(bundle, texts, guidance, queries)
    measured = []
    for row, candidates in enumerate(texts):
        written = {key(item.text): item.in_best_beam for item in generated[row]}
        places = {key(hit.text): place for place, hit in enumerate(guidance[row].hits)}
        names = set(map(key, named[row]))
        measured.append(
            [
                Candidate(
                    text,
                    similarity=(
                        guidance[row].hits[places[own]].similarity
                        if own in places
                        else float(np.dot(asked[row], vectors[own]))
                    ),
                    log_likelihood=likelihood if text in bundle.vocabulary or own in written else -math.inf,
                    description_similarity=_cosine(queries[row], vectors.get(own)),
                    named=own in names,
                    uses=bundle.vocabulary.count(text),
                    written=own in written,
                    in_best_beam=written.get(own, False),
                    place=places.get(own),
                )
                for text, likelihood, own in zip(
                    candidates, likelihoods[row], map(key, candidates), strict=True
                )
            ]
        )
    return measured


def _with_words(description: str, hashtags: Sequence[str]) -> str:
    words = " ".join(" ".join(split_words(hashtag)) for hashtag in hashtags)
    return f"{description} {words}".strip() if words else description


def with_history(
    bundle: Bundle,
    features: Sequence[VideoFeatures],
    guidance: Sequence[Guidance],
    histories: Sequence[History],
) -> list[list[Hit]]:
    """What the retriever found, and all hashtags of the creators' histories, measured in the same space.

    Args:
        bundle: Whose guidance comes from its retriever.
        features: Of the posts' videos.
        guidance: What the retriever found for each.
        histories: Of their creators.

    Returns:
        For each post its guidance, then what its history adds, the most familiar first.
    """
    videos = bundle.embed_videos(features)
    added = [
        distinct(found.texts, past.hashtags)[len(distinct(found.texts)) :]
        for past, found in zip(histories, guidance, strict=True)
    ]
    fresh = distinct(*added)
    vectors = dict(zip(map(key, fresh), bundle.vectors_of_hashtags(fresh), strict=True)) if fresh else {}
    return [
        [*found.hits, *(Hit(text, float(np.dot(video, vectors[key(text)]))) for text in texts)]
        for found, video, texts in zip(guidance, videos, added, strict=True)
    ]


def named_hashtags(description: str, bundle: Bundle) -> list[str]:
    """The pool hashtags that a description names, longer ones first: up to three of its words, joined up.

    A word of four letters or more also names its singular or plural with an s; Latin words of one or two
    letters alone name nothing.
    """
    words = _WORD.findall(description.casefold())
    found: dict[str, None] = {}
    for count in range(_MOST_WORDS, 0, -1):
        for start in range(len(words) - count + 1):
            text = "".join(words[start : start + count])
            if len(text) < _SHORTEST and text.isascii():
                continue
            forms = [text]
            if len(text) >= 4:
                forms.append(text.removesuffix("s") if text.endswith("s") else f"{text}s")
            found.update(dict.fromkeys(form for form in forms if form in bundle.pool))
    return list(found)


def _described(
    bundle: Bundle, descriptions: Sequence[str] | None, num_posts: int
) -> tuple[list[list[str]], list[list[str]], list[Vector | None]]:
    """What descriptions name, what is closest to them, and their vectors; nothing for empty ones."""
    named: list[list[str]] = [[] for _ in range(num_posts)]
    nearest: list[list[str]] = [[] for _ in range(num_posts)]
    queries: list[Vector | None] = [None] * num_posts
    rows = [row for row, text in enumerate(descriptions or ()) if text.strip()]
    if descriptions is None or not rows:
        return named, nearest, queries
    vectors = bundle.embed_descriptions([descriptions[row] for row in rows])
    for row, vector, hits in zip(rows, vectors, bundle.pool.search_many(vectors, NEAREST), strict=True):
        named[row] = named_hashtags(descriptions[row], bundle)
        nearest[row] = [hit.text for hit in hits]
        queries[row] = vector
    return named, nearest, queries


def _vectors(
    bundle: Bundle,
    texts: Sequence[Sequence[str]],
    guidance: Sequence[Guidance],
    queries: Sequence[Vector | None],
) -> dict[str, Vector]:
    """Vectors of candidates, by their keys; without a description, not of those in the guidance."""
    known = [
        {key(hit.text) for hit in found.hits} if query is None else set[str]()
        for found, query in zip(guidance, queries, strict=True)
    ]
    fresh = distinct(*([t for t in row if key(t) not in own] for row, own in zip(texts, known, strict=True)))
    if not fresh:
        return {}
    return dict(zip(map(key, fresh), bundle.vectors_of_hashtags(fresh), strict=True))


def _cosine(query: Vector | None, vector: Vector | None) -> float:
    return 0.0 if query is None or vector is None else float(np.dot(query, vector))
