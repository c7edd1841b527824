"""Every knob of the controlled corpus."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime

from ggm.corpus.synthetic.phrases import GENERIC_HASHTAGS
from ggm.corpus.synthetic.wordnet import DOMAINS
from ggm.errors import ConfigError
from ggm.scenes import SceneSettings

_COUNTS = (
    "posts", "hashtags", "generic_hashtags", "authors", "author_topics", "days", "max_hashtags_per_post",
)  # fmt: skip
_SHARES = (
    "generic_share", "coined_share", "coined_rate", "wider_rate", "taste", "capitals_share",
    "share_in_description", "empty_descriptions", "informative_descriptions", "audible_topics",
    "silent_posts", "heard_posts",
)  # fmt: skip


@dataclass(frozen=True)
class SyntheticConfig:
    """What the corpus is like. The defaults have the size and the shares of the paper's first data set.

    Args:
        posts: Number of posts.
        hashtags: Number of different hashtags that there are to post; nearly all are met in a
            corpus with ten times as many posts.
        seed: Of every draw.
        unseen_hashtags: How many of them only the split ``unseen`` carries.
        domains: Which of WordNet's domains topics are taken from.
        min_depth: Levels of more general meanings that a topic has at least above it.
        zipf_exponent: A topic's popularity is (rank + offset) to the power of minus this.
        zipf_offset: Flattens the head: that many topics are about as popular as the first.
        topics_per_post: Weights of 1, 2, 3 … topics a post.
        hashtags_per_post: Mean number before repetitions are dropped, 1 or more.
        max_hashtags_per_post: Most.
        generic_hashtags: How many there are that say nothing of the video (``fyp``, ``viral``).
        generic_share: Share of a post's hashtags that are generic.
        coined_share: Share of all hashtags that are coined within the time of the corpus, as
            compounds of words that are hashtags already.
        coined_rate: Share of a topic's hashtags that are coined ones, where any were coined by then.
        coined_half_life_days: After so many days a coined hashtag is half as popular.
        wider_rate: Share of a topic's hashtags that name what it is a kind of.
        authors: Number of authors; the most active post most, as in Zipf's law.
        author_topics: How many topics each prefers.
        taste: Share of topics, synonyms and generic hashtags that are the author's preferred ones.
        capitals_share: Share of authors who write ``IceCream`` for ``icecream``.
        start_year: When the first post is written.
        days: From the first of January of that year to the last post.
        share_in_description: Share of all hashtags of all posts that their description names (paper,
            Table 1: 4.48 % and 20.94 %).
        empty_descriptions: Share of posts without description.
        informative_descriptions: Share of the others with words from the gloss of one of their
            topics; the rest have words of another topic.
        gloss_words: Most words that are taken from a gloss.
        audible_topics: Share of topics that have a sound of their own.
        silent_posts: Share of posts without sound (paper: more than 5 % in its second data set).
        heard_posts: Share of posts with sound that are also about an audible topic that they don't
            show: beside the description, its sound is the only clue to its hashtags.
        scenes: How scenes become features.

    Raises:
        ConfigError: If a value is out of range.
    """

    posts: int = 100_000
    hashtags: int = 10_000
    seed: int = 0
    unseen_hashtags: int = 500
    domains: tuple[str, ...] = (
        "act",
        "animal",
        "artifact",
        "event",
        "food",
        "object",
        "person",
        "phenomenon",
        "plant",
    )
    min_depth: int = 5
    zipf_exponent: float = 1.0
    zipf_offset: float = 20.0
    topics_per_post: tuple[float, ...] = (0.5, 0.35, 0.15)
    hashtags_per_post: float = 4.0
    max_hashtags_per_post: int = 12
    generic_hashtags: int = 40
    generic_share: float = 0.15
    coined_share: float = 0.2
    coined_rate: float = 0.25
    coined_half_life_days: float = 120.0
    wider_rate: float = 0.25
    authors: int = 5_000
    author_topics: int = 12
    taste: float = 0.5
    capitals_share: float = 0.2
    start_year: int = 2022
    days: int = 730
    share_in_description: float = 0.0448
    empty_descriptions: float = 0.1
    informative_descriptions: float = 0.7
    gloss_words: int = 5
    audible_topics: float = 0.3
    silent_posts: float = 0.07
    heard_posts: float = 0.25
    scenes: SceneSettings = field(default_factory=SceneSettings)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("unseen_hashtags", "min_depth", "zipf_exponent", "zipf_offset", "gloss_words"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be within 0 and 1, got {getattr(self, name)}")
        if not 1 <= self.hashtags_per_post <= self.max_hashtags_per_post:
            raise ConfigError(
                f"hashtags_per_post must be within 1 and max_hashtags_per_post, got {self.hashtags_per_post}"
            )
        if not self.topics_per_post or min(self.topics_per_post) < 0 or not sum(self.topics_per_post):
            raise ConfigError(f"topics_per_post must be weights, got {self.topics_per_post}")
        if self.coined_half_life_days <= 0:
            raise ConfigError(f"coined_half_life_days must be positive, got {self.coined_half_life_days}")
        if unknown := set(self.domains) - set(DOMAINS):
            raise ConfigError(f"no domain {min(unknown)!r}; there are {', '.join(DOMAINS)}")
        if self.generic_hashtags + round(self.coined_share * self.hashtags) >= self.hashtags:
            raise ConfigError(
                f"{self.hashtags} hashtags are too few: generic and coined ones leave none to topics"
            )
        if self.generic_hashtags > len(GENERIC_HASHTAGS):
            raise ConfigError(
                f"generic_hashtags must be at most {len(GENERIC_HASHTAGS)}, got {self.generic_hashtags}"
            )
        if self.start_year < MINYEAR or self.start_year + self.days // 365 >= MAXYEAR:
            raise ConfigError(
                f"posts must be of the years {MINYEAR} to {MAXYEAR}, got {self.days} days "
                f"from {self.start_year}"
            )

    @property
    def first_day(self) -> datetime:
        """Midnight before the first post."""
        return datetime(self.start_year, 1, 1, tzinfo=UTC)
