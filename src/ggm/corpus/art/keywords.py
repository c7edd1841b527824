"""From keywords to hashtags, and what is said of a picture in words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.names import STYLE_WORDS, shown_words
from ggm.corpus.cleaning import clean_hashtags

SENTENCES: Final = (
    "{}!", "{} again", "this is {}", "here: {}", "look, {}", "just {}", "guess what: {}", "more {}",
    "{} for you", "today: {}", "have you seen {}?", "{}, and that's it",
)  # fmt: skip
"""Of function words only, so that a hashtag in a description is one that the title names."""

_MOST_WORDS: Final = 3
_MOST_NAME_WORDS: Final = 2
_MOST_RELATED: Final = 3
_NOT_WORDS: Final = re.compile(r"[\W_]+")


def item_hashtags(item: ArtItem) -> tuple[str, ...]:
    """All hashtags that an item could have: its name if that is short, and its keywords.

    Keywords about the drawing ("outline"), of more than three words, and with a mark ("*new*") go.
    """
    name = shown_words(item.title)
    candidates = [" ".join(name)] if name and len(name) <= _MOST_NAME_WORDS else []
    candidates += filter(_is_keyword, item.keywords)
    return clean_hashtags(candidates, author=item.author)


def _is_keyword(text: str) -> bool:
    words = [word for word in _NOT_WORDS.split(text.casefold()) if word]
    return (
        0 < len(words) <= _MOST_WORDS
        and not text.startswith("*")
        and not all(word in STYLE_WORDS for word in words)
    )


def draw_hashtags(hashtags: Sequence[str], *, most: int, rng: random.Random) -> tuple[str, ...]:
    """All of them, or as many as there may be, in their order: nobody writes a dozen."""
    if len(hashtags) <= most:
        return tuple(hashtags)
    return tuple(hashtags[place] for place in sorted(rng.sample(range(len(hashtags)), most)))


def describe(item: ArtItem, hashtags: Sequence[str], *, config: ArtConfig, rng: random.Random) -> str:
    """The description of a post.

    Args:
        item: What it shows.
        hashtags: That the post has.
        config: The shares of each kind of description.
        rng: Draws the kind, and what is said.
    """
    kind = rng.random() - config.empty_descriptions
    if kind < 0:
        return ""
    title = item.description or (item.title if item.natural else " ".join(shown_words(item.title)))
    kind -= config.related_descriptions
    if kind < 0:
        related = _related(item, hashtags)
        if related:
            return ", ".join(rng.sample(related, min(len(related), _MOST_RELATED)))
    elif kind >= config.plain_descriptions and title and not item.description:
        return rng.choice(SENTENCES).format(title)
    return title


def _related(item: ArtItem, hashtags: Sequence[str]) -> list[str]:
    """Keywords that aren't among the hashtags."""
    related: dict[str, str] = {}
    for keyword in filter(_is_keyword, item.keywords):
        cleaned = clean_hashtags([keyword], author=item.author)
        if cleaned and cleaned[0] not in hashtags:
            words = [word for word in _NOT_WORDS.split(keyword.casefold()) if word]
            related.setdefault(cleaned[0], " ".join(words))
    return list(related.values())
