"""From what the generator wrote and the retriever found to one ranked list.

The paper recommends what the best beam wrote: `best_beam`. A creator who asks for five hashtags
wants five, though, and each side knows something that the other doesn't: the retriever what is to
be seen in any video, the generator how people tag and what the description says. So by default the
candidates of both sides are measured by both: `join`, by two weights that were tuned by hand, or
`ggm.scorer`, by what was learned on validation posts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ggm.errors import ConfigError
from ggm.hashtags import key
from ggm.records import GeneratedHashtag


@dataclass(frozen=True)
class RankingConfig:
    """How much each side's measure counts.

    Args:
        similarity_weight: What a cosine similarity of 1 is worth in units of log-likelihood; 0
            ranks by the generator alone.
        silent_similarity_weight: The same for a post without description, where the generator
            knows less.

    Raises:
        ConfigError: If a value is negative or not finite.
    """

    similarity_weight: float = 10.0
    silent_similarity_weight: float = 30.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"ranking: {name} must be 0 or more, got {value}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """A hashtag that some side proposed, measured by all.

    Args:
        text: Canonical hashtag.
        similarity: Cosine to the video in the retriever's space, -1 to 1.
        log_likelihood: That the generator writes it first, at most 0; -inf where it can't say.
        description_similarity: Cosine to the description in the same space; 0 without description.
        named: Whether the description names it.
        uses: Training posts that carry it; 0 if none is known.
        written: Whether the generator wrote it.
        in_best_beam: Whether it did in its most likely sequence.
        place: In the guidance, from 0; None if it isn't there.
    """

    text: str
    similarity: float
    log_likelihood: float
    description_similarity: float = 0.0
    named: bool = False
    uses: int = 0
    written: bool = False
    in_best_beam: bool = False
    place: int | None = None


@dataclass(frozen=True)
class Ranked:
    """One hashtag in its final place.

    Args:
        text: Canonical hashtag.
        score: 0 to 1, never rising along a list.
        damped: Whether a policy has lowered the score of a generic hashtag.
    """

    text: str
    score: float
    damped: bool = False


def join(
    candidates: Sequence[Candidate], *, config: RankingConfig, described: bool, top: int | None = None
) -> list[Ranked]:
    """Rank candidates by log-likelihood plus weighted similarity.

    Scores are the candidates' shares: the softmax of these sums over all candidates. A hashtag
    that the generator can't spell, or never learned, counts as likely as the mean of the others, so
    that the retriever alone decides on it.

    Args:
        candidates: Of one post, each hashtag once.
        config: The weights.
        described: Whether the post has a description.
        top: How many at most; None for all.

    Returns:
        Best first; ties in the candidates' order.
    """
    if not candidates:
        return []
    weight = config.similarity_weight if described else config.silent_similarity_weight
    known = [item.log_likelihood for item in candidates if math.isfinite(item.log_likelihood)]
    neutral = sum(known) / len(known) if known else 0.0
    sums = [
        (item.log_likelihood if math.isfinite(item.log_likelihood) else neutral) + weight * item.similarity
        for item in candidates
    ]
    highest = max(sums)
    shares = [math.exp(value - highest) for value in sums]
    total = sum(shares)
    ranked = [Ranked(item.text, share / total) for item, share in zip(candidates, shares, strict=True)]
    return sorted(ranked, key=lambda item: -item.score)[:top]


def best_beam(generated: Sequence[GeneratedHashtag], *, top: int | None = None) -> list[Ranked]:
    """The paper's reading: what the most likely sequence contains, and nothing else.

    Args:
        generated: As `ggm.generator.decoding.generate` returns them.
        top: How many at most; None for all.
    """
    return [Ranked(item.text, item.score) for item in generated if item.in_best_beam][:top]


def distinct(*lists: Sequence[str]) -> list[str]:
    """The hashtags of several lists, each once, in order."""
    found: dict[str, str] = {}
    for texts in lists:
        for text in texts:
            found.setdefault(key(text), text)
    return list(found.values())
