"""Posts, drawn one by one: each depends on the seed and its own id alone, so that none need be kept."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Final

from ggm.corpus.synthetic.authors import Author, Authors, choose_name
from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.descriptions import describe
from ggm.corpus.synthetic.universe import Label, Subject, Universe
from ggm.records import Post
from ggm.scenes import Scene

SCENES_FOLDER: Final = "scenes"
"""Of the paths of posts; it doesn't exist, since scenes are no files."""

_SECONDS_A_DAY: Final = 86_400
_NEAREST_FIRST: Final = 0.6  # of the wider hashtags the nearest, of the others the next, and so on
_LEAST_FRESHNESS: Final = 0.1  # of a coined hashtag that is old


class PostDraws:
    """The posts of a corpus; going through them again gives the same.

    Args:
        universe: What there is to post about.
        config: How many, and all shares.
        folder: Of the dataset: their paths lead from there.
    """

    def __init__(self, universe: Universe, config: SyntheticConfig, folder: Path) -> None:
        self._universe = universe
        self._config = config
        self._folder = folder / SCENES_FOLDER
        self._authors = Authors(universe, config)
        self._places = range(len(universe.subjects))
        self._topic_counts = tuple(accumulate(config.topics_per_post))
        self._hashtag_counts = _poisson(config.hashtags_per_post - 1, config.max_hashtags_per_post - 1)

    def __len__(self) -> int:
        return self._config.posts

    def __iter__(self) -> Iterator[Post]:
        digits = len(str(self._config.posts - 1))
        return (self._draw(f"{number:0{digits}d}") for number in range(self._config.posts))

    def _draw(self, post_id: str) -> Post:
        config = self._config
        rng = random.Random(f"{config.seed}/post/{post_id}")
        author = self._authors.draw(rng)
        day = rng.uniform(0, config.days)
        shown = self._draw_subjects(author, rng)
        scene, heard = self._scene(shown, rng)
        subjects = shown if heard is None else [*shown, heard]
        hashtags = self._draw_hashtags(subjects, author, day, rng)
        (stranger,) = rng.choices(self._universe.subjects, cum_weights=self._universe.popularity)
        description = describe(subjects, hashtags, stranger=stranger, config=config, rng=rng)
        created_at = config.first_day + timedelta(seconds=int(day * _SECONDS_A_DAY))
        return Post(
            id=post_id,
            video=self._folder / scene.name,
            description=description,
            hashtags=tuple(label.capitals if author.capitals else label.text for label in hashtags),
            author=author.name,
            created_at=created_at.isoformat(),
        )

    def _draw_subjects(self, author: Author, rng: random.Random) -> list[Subject]:
        """What the video shows, the most prominent first."""
        (more,) = rng.choices(range(len(self._topic_counts)), cum_weights=self._topic_counts)
        places: dict[int, None] = {}
        for _ in range(more + 1):
            if rng.random() < self._config.taste:
                places[rng.choice(author.subjects)] = None
            else:
                (place,) = rng.choices(self._places, cum_weights=self._universe.popularity)
                places[place] = None
        return [self._universe.subjects[place] for place in places]

    def _scene(self, shown: Sequence[Subject], rng: random.Random) -> tuple[Scene, Subject | None]:
        """The scene, and the topic that it is about without showing it."""
        rows = tuple(subject.row for subject in shown)
        universe, config = self._universe, self._config
        if rng.random() < config.silent_posts:
            return Scene(rows, silent=True), None
        if universe.audible and rng.random() < config.heard_posts:
            (place,) = rng.choices(universe.audible, cum_weights=universe.audible_popularity)
            heard = universe.subjects[place]
            return Scene(rows, heard.row), None if heard.row in rows else heard
        own = next((subject.row for subject in shown if subject.audible), None)
        return Scene(rows, own), None

    def _draw_hashtags(
        self, subjects: Sequence[Subject], author: Author, day: float, rng: random.Random
    ) -> dict[Label, bool]:
        """Hashtags in the order in which they come to mind, and whether each is generic."""
        (more,) = rng.choices(range(len(self._hashtag_counts)), cum_weights=self._hashtag_counts)
        hashtags: dict[Label, bool] = {}
        # Each topic gets one first, as far as they go; the most prominent one gets most.
        weights = tuple(accumulate(1 / rank for rank in range(1, len(subjects) + 1)))
        for slot in range(more + 1):
            if slot and rng.random() < self._config.generic_share * (more + 1) / more:
                hashtags.setdefault(self._generic(author, rng), True)
                continue
            (drawn,) = rng.choices(subjects, cum_weights=weights)
            subject = subjects[slot] if slot < len(subjects) else drawn
            hashtags.setdefault(self._topical(subject, author, day, rng), False)
        return hashtags

    def _generic(self, author: Author, rng: random.Random) -> Label:
        if rng.random() < self._config.taste:
            return rng.choice(author.generic)
        (label,) = rng.choices(self._universe.generic, cum_weights=self._universe.generic_popularity)
        return label

    def _topical(self, subject: Subject, author: Author, day: float, rng: random.Random) -> Label:
        config = self._config
        kind = rng.random()
        if kind < config.coined_rate:
            alive = [label for label in subject.coined if label.born_day <= day]
            if alive:
                label = rng.choice(alive)
                freshness = 0.5 ** ((day - label.born_day) / config.coined_half_life_days)
                if rng.random() < max(_LEAST_FRESHNESS, freshness):
                    return label
        elif kind < config.coined_rate + config.wider_rate and subject.wider:
            place = 0
            while place < len(subject.wider) - 1 and rng.random() >= _NEAREST_FIRST:
                place += 1
            return subject.wider[place]
        return author.favourite(subject) if rng.random() < config.taste else choose_name(subject, rng)


def _poisson(mean: float, most: int) -> tuple[float, ...]:
    """Probabilities of 0, 1, … most, summed up; those of more are left out."""
    return tuple(accumulate(mean**count / math.factorial(count) for count in range(most + 1)))
