"""Who posts: a few authors post much, and each has favourites."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.universe import Label, Subject, Universe

_FAVOURITE_GENERIC: Final = 3
_SKEW: Final = 3
_FLATTENING: Final = 10.0  # the head of the authors, as `zipf_offset` does for topics


@dataclass(frozen=True, slots=True)
class Author:
    """One author.

    Args:
        name: As it stands in the manifest.
        subjects: Places of preferred topics.
        generic: Preferred generic hashtags.
        capitals: Whether words of hashtags begin with capitals.
    """

    name: str
    subjects: tuple[int, ...]
    generic: tuple[Label, ...]
    capitals: bool

    def favourite(self, subject: Subject) -> Label:
        """Which of a topic's names this author prefers: always the same."""
        return choose_name(subject, random.Random(f"{self.name}/{subject.synset.offset}"))


def choose_name(subject: Subject, rng: random.Random) -> Label:
    """One of a topic's own hashtags, the first of its lemmas most often."""
    return subject.own[int(rng.random() ** _SKEW * len(subject.own))]


class Authors:
    """All authors of a corpus, made when they first post.

    Args:
        universe: What they may prefer.
        config: Their number and tastes.
    """

    def __init__(self, universe: Universe, config: SyntheticConfig) -> None:
        self._universe = universe
        self._config = config
        self._known: dict[int, Author] = {}
        self._activity = tuple(accumulate(1 / (rank + _FLATTENING) for rank in range(1, config.authors + 1)))

    def draw(self, rng: random.Random) -> Author:
        """An author, the active ones more often."""
        (number,) = rng.choices(range(self._config.authors), cum_weights=self._activity)
        if number not in self._known:
            self._known[number] = self._make(number)
        return self._known[number]

    def _make(self, number: int) -> Author:
        universe, config = self._universe, self._config
        rng = random.Random(f"{config.seed}/author/{number}")
        places = range(len(universe.subjects))
        preferred = rng.choices(places, cum_weights=universe.popularity, k=config.author_topics)
        generic = rng.choices(universe.generic, cum_weights=universe.generic_popularity, k=_FAVOURITE_GENERIC)
        return Author(
            name=f"author{number:05d}",
            subjects=tuple(dict.fromkeys(preferred)),
            generic=tuple(dict.fromkeys(generic)),
            capitals=rng.random() < config.capitals_share,
        )
