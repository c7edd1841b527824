"""Every knob of the art corpus."""

from __future__ import annotations

from dataclasses import dataclass

from ggm.errors import ConfigError


@dataclass(frozen=True)
class ArtConfig:
    """What the corpus is like.

    Args:
        seed: Of split, looks, motion, descriptions, and the choice that a limit makes.
        limit: Largest number of pictures, at least 1; None for all.
        clips_per_item: Videos of each picture, which differ in look, motion, description and hashtags.
        minimum: A hashtag is kept if the pictures of so many groups have it, at least 1.
        max_hashtags: Most hashtags a post; of more keywords so many are drawn, at least 1.
        empty_descriptions: Share of posts without description.
        related_descriptions: Share of posts described by keywords that are not among their hashtags,
            where they have such.
        plain_descriptions: Share of posts whose description is the title alone; the rest have it in a
            short sentence.
        only: Keys of the sets that are used; empty for all.

    Raises:
        ConfigError: If a value is out of range.
    """

    seed: int = 0
    limit: int | None = None
    clips_per_item: int = 1
    minimum: int = 2
    max_hashtags: int = 8
    empty_descriptions: float = 0.2
    related_descriptions: float = 0.2
    plain_descriptions: float = 0.3
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("clips_per_item", "minimum", "max_hashtags"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, got {self.limit}")
        shares = (self.empty_descriptions, self.related_descriptions, self.plain_descriptions)
        if min(shares) < 0 or sum(shares) > 1:
            raise ConfigError(f"shares of descriptions must be at least 0 and sum to at most 1, got {shares}")
