"""Near-duplicates: ``#dog`` and ``#Dogs``, ``#cold_weather`` and ``#weathercold``."""

from __future__ import annotations

from typing import Final

from ggm.hashtags import normalise, split_words
from ggm.hashtags.canonical import letters_only

# Words that end like a plural and are none.
_SINGULAR: Final = frozenset(
    {"news", "lens", "series", "species", "jeans", "christmas", "texas", "paris", "canvas", "atlas"}
)


def signatures(hashtag: str) -> tuple[str, str]:
    """What near-duplicates have in common, one of the two being enough.

    The first is the same whatever the case and separators; the second also whatever the order of
    the words, and of English ones the number.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    words = sorted(_stem(word) for word in split_words(hashtag))
    return letters_only(normalise(hashtag)), " ".join(words)


def _stem(word: str) -> str:
    """One form for an English noun and its regular plural; not always a word."""
    if not (word.isascii() and word.isalpha()) or len(word) < 4 or word in _SINGULAR:
        return word
    if word.endswith("s") and word[-2:] not in ("ss", "us", "is"):
        word = word[:-1]
    if word.endswith(("xe", "ze", "se", "che", "she")):
        return word[:-1]
    return word[:-2] + "y" if word.endswith("ie") else word
