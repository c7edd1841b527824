"""English nouns and their plurals: the one rule by which ``#cookie`` and ``#cookies`` are the same word."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from ggm.hashtags.canonical import fold
from ggm.hashtags.lexicon import CREATOR_WORDS
from ggm.hashtags.words import split_words, word_ranks

# Words that end like a plural and are none.
_SINGULAR: Final = frozenset(
    {
        *("news", "lens", "series", "species", "jeans", "christmas", "texas", "paris", "canvas", "atlas"),
        *("bias", "gas"),
    }
)
_SHORTEST: Final = 3


@lru_cache(maxsize=1 << 14)
def singular(word: str) -> str:
    """The singular of an English noun; any other word itself.

    Where spelling leaves several (``movies``: movie or movy), it is the one that is used most.

    Args:
        word: In lower case.
    """
    if not (word.endswith("s") and word.isascii() and word.isalpha()):
        return word
    if len(word) <= _SHORTEST or word.endswith("ss") or word in _SINGULAR:
        return word
    ranks = word_ranks()
    forms = (form for form in _forms(word) if len(form) >= _SHORTEST)
    return min(forms, key=lambda form: -1 if form in CREATOR_WORDS else ranks.get(form, len(ranks)))


def _forms(word: str) -> Iterator[str]:
    """What a word that ends in s may be the plural of; first what it is if nobody knows these."""
    if word.endswith(("ches", "shes", "xes", "sses", "oes")):
        yield word[:-2]
    yield word[:-1]
    if word.endswith("ies"):
        yield f"{word[:-3]}y"
    elif word.endswith(("zes", "uses", "ises")) or word[:-2] in _SINGULAR:
        yield word[:-2]
    elif word.endswith(("us", "is")):
        yield word  # tennis, unless what is left without s is used more: corgis


def singular_key(hashtag: str) -> str:
    """A hashtag's `ggm.hashtags.key` without separators and with its last word in the singular.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    *words, last = split_words(hashtag)
    return fold("".join((*words, singular(last))))
