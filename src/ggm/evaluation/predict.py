"""From a trained bundle to a file of predictions; scoring such a file needs no model.

Each system of a bundle is a way to recommend from the same parts:

    generator             what the best beam wrote, the paper's reading
    recommender           what `Recommender` answers: generator and guidance in one list
    retriever             the guidance itself
    pretrained-retriever  the same before any training of the heads
    popular               the most frequent training hashtags, whatever the video
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, get_args

from ggm.bundle import Bundle
from ggm.candidates import rank_posts, with_history
from ggm.errors import BundleError, ConfigError
from ggm.evaluation.predictions import Prediction
from ggm.features.posts import PostFeatures
from ggm.generator.decoding import generate, remember
from ggm.history import History, preferred_hits
from ggm.ranking import best_beam
from ggm.records import Guidance

System = Literal["generator", "recommender", "retriever", "pretrained-retriever", "popular"]
SYSTEMS: Final[tuple[System, ...]] = get_args(System)
PREFERRING: Final[tuple[System, ...]] = ("recommender", "retriever")
"""Systems that take what an author used before."""
RANKED: Final = 100
"""How many hashtags of a ranked list are kept, for recall@100."""

Progress = Callable[[int, int], None]


def predict(
    bundle: Bundle,
    data: PostFeatures,
    *,
    system: System,
    name: str | None = None,
    without_descriptions: bool = False,
    histories: Mapping[str, History] | None = None,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Recommend for posts whose features are known.

    Args:
        bundle: A trained system.
        data: Posts with features of this bundle's extractor.
        system: Which of its systems.
        name: What to call it in the file; the system's name by default.
        without_descriptions: Recommend from the video alone.
        histories: What the authors of some posts had used before, by the post's id (see
            `ggm.history.earlier_posts`); for `PREFERRING` systems.
        batch_size: Posts at once.
        progress: Called as progress(done, total).

    Yields:
        A prediction a post, in their order.

    Raises:
        BundleError: If the system needs a generator and the bundle holds none.
        ConfigError: If there is no such system, none that is as pretrained, or the system takes no
            histories.
    """
    if system not in SYSTEMS:
        raise ConfigError(f"no system {system!r}; there are {', '.join(SYSTEMS)}")
    if histories is not None and (system not in PREFERRING or bundle.classifier is not None):
        raise ConfigError(
            f"authors' histories are for {' and '.join(PREFERRING)}, of a bundle that a retriever guides; "
            f"{system!r} of bundle {bundle.name!r} takes none"
        )
    if system in ("generator", "recommender") and bundle.generator is None:
        raise BundleError(f"bundle {bundle.name!r} holds a retriever only; it has no system {system!r}")
    if system == "pretrained-retriever":
        if "retriever" in bundle.trained_encoders:
            raise ConfigError(
                f"the towers of bundle {bundle.name!r} were trained, and these features are theirs; "
                "measure pretrained towers by a bundle of the same profile whose heads alone were trained"
            )
        bundle = bundle.with_head_weight(0.0)
    popular = tuple((hashtag, float(count)) for hashtag, count in bundle.vocabulary.most_common(RANKED))
    for start in range(0, len(data), batch_size):
        rows = range(start, min(start + batch_size, len(data)))
        if system == "popular":
            ranked, guidance = [popular] * len(rows), [Guidance()] * len(rows)
        else:
            past = None
            if histories is not None:
                past = [histories.get(data.posts[row].id, History()) for row in rows]
            ranked, guidance = _rank_batch(bundle, data, rows, system, without_descriptions, past)
        for row, hashtags, found in zip(rows, ranked, guidance, strict=True):
            post = data.posts[row]
            yield Prediction(
                id=post.id,
                system=name or system,
                hashtags=tuple(text for text, _ in hashtags),
                scores=tuple(score for _, score in hashtags),
                reference=post.hashtags,
                guidance=found.texts,
                # What a creator's history does to them was not fitted.
                probabilities=system == "recommender" and bundle.scorer is not None and histories is None,
            )
        if progress:
            progress(rows[-1] + 1, len(data))


Ranking = tuple[tuple[str, float], ...]


def _rank_batch(
    bundle: Bundle,
    data: PostFeatures,
    rows: range,
    system: System,
    without_descriptions: bool,
    histories: list[History] | None,
) -> tuple[list[Ranking], list[Guidance]]:
    features = [data.features(row) for row in rows]
    descriptions = ["" if without_descriptions else data.posts[row].description for row in rows]
    if system in ("retriever", "pretrained-retriever"):
        guidance = bundle.guide(features, descriptions, top_k=RANKED)
        if histories is not None:
            measured = with_history(bundle, features, guidance, histories)
            pairs = zip(measured, histories, strict=True)
            return [tuple(preferred_hits(hits, past)[:RANKED]) for hits, past in pairs], guidance
        return [tuple((hit.text, hit.similarity) for hit in found.hits) for found in guidance], guidance
    guidance = bundle.guide(features, descriptions)
    assert bundle.generator is not None  # predict checked it
    batch = bundle.batch(features, descriptions, guidance)
    memory = remember(bundle.generator, batch)
    written = generate(
        bundle.generator, batch, decoding=bundle.decoding, vocabulary=bundle.vocabulary, memory=memory
    )
    if system == "generator":
        ranked = [best_beam(hashtags, top=RANKED) for hashtags in written]
    else:
        ranked = rank_posts(
            bundle,
            features,
            descriptions,
            batch,
            generated=written,
            guidance=guidance,
            histories=histories,
            top=RANKED,
            memory=memory,
        )
    return [tuple((item.text, item.score) for item in row) for row in ranked], guidance
