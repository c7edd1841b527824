"""From what the generator wrote and the retriever found to one ranked list.

The paper recommends what the best beam wrote. That is `RankingConfig(fill_from_guidance=False)`.
By default the list is filled up, in the retriever's order, from the guidance: a creator who asks
for five hashtags gets five, and each says where it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ggm.errors import ConfigError
from ggm.hashtags import key
from ggm.records import GeneratedHashtag, Guidance


@dataclass(frozen=True)
class RankingConfig:
    """How candidates from both sides become one list.

    Args:
        minimum_score: Generated hashtags outside the best beam whose share of the beams'
            probability is below this are left out, 0 to 1.
        fill_from_guidance: Whether guidance hashtags follow the generated ones.
        guidance_bonus: Added to the score of a generated hashtag that stands in the guidance,
            times its similarity; 0 ranks by the generator alone.

    Raises:
        ConfigError: If a value is out of range.
    """

    minimum_score: float = 0.2
    fill_from_guidance: bool = True
    guidance_bonus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.minimum_score <= 1:
            raise ConfigError(f"minimum_score must be within 0 and 1, got {self.minimum_score}")
        if self.guidance_bonus < 0:
            raise ConfigError(f"guidance_bonus must not be negative, got {self.guidance_bonus}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)


@dataclass(frozen=True)
class Ranked:
    """One candidate in its final place.

    Args:
        text: Canonical hashtag.
        score: 0 to 1.
        in_guidance: Whether the retriever found it.
    """

    text: str
    score: float
    in_guidance: bool


def rank(
    generated: Sequence[GeneratedHashtag],
    guidance: Guidance,
    *,
    config: RankingConfig,
    top: int | None = None,
) -> list[Ranked]:
    """Join the generator's hashtags and the guidance to one list, best first.

    Generated hashtags come first. Filled-in guidance keeps the retriever's order, below every
    generated hashtag: its score is the lowest generated score (1 where there is none) times its
    similarity.

    Args:
        generated: As `ggm.generator.decoding.generate` returns them.
        guidance: In descending similarity.
        config: See `RankingConfig`.
        top: How many at most; None for all.

    Returns:
        No hashtag twice; scores never rise along the list.
    """
    similarity = {key(hit.text): max(0.0, hit.similarity) for hit in guidance.hits}
    kept = [item for item in generated if item.in_best_beam or item.score >= config.minimum_score]
    scored = [
        Ranked(
            item.text,
            min(1.0, item.score + config.guidance_bonus * similarity.get(key(item.text), 0.0)),
            key(item.text) in similarity,
        )
        for item in kept
    ]
    ranked = sorted(scored, key=lambda item: -item.score)  # stable: ties keep the generator's order
    if config.fill_from_guidance:
        floor = min((item.score for item in ranked), default=1.0)
        taken = {key(item.text) for item in ranked}
        ranked += [
            Ranked(hit.text, floor * min(1.0, max(0.0, hit.similarity)), True)
            for hit in guidance.hits
            if key(hit.text) not in taken
        ]
    return ranked[:top]
