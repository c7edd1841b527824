"""Near-duplicates: ``#dog`` and ``#Dogs``, ``#cold_weather`` and ``#weathercold``."""

from __future__ import annotations

from ggm.hashtags import normalise, split_words
from ggm.hashtags.canonical import letters_only
from ggm.hashtags.plurals import singular


def signatures(hashtag: str) -> tuple[str, str]:
    """What near-duplicates have in common, one of the two being enough.

    The first is the same whatever the case and separators; the second also whatever the order of
    the words, and of English ones the number.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    words = sorted(singular(word) for word in split_words(hashtag))
    return letters_only(normalise(hashtag)), " ".join(words)
