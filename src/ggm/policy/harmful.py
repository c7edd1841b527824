"""Harmful language in hashtags, by the library glin-profanity, whose only user this is.

The library knows the words, in two dozen languages, and their disguises (``sh1t``, ``fuuuck``). A
hashtag is a phrase without spaces, though: it is split into words first, and looked at joined as
well. What it may say all the same stands in ``words.toml``: innocent senses, anatomy, names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

from ggm.errors import ConfigError
from ggm.hashtags import split_words
from ggm.hashtags.canonical import letters_only, normalise
from ggm.hashtags.plurals import singular
from ggm.policy.patterns import Patterns
from ggm.policy.wordlists import word_lists

LANGUAGES: Final = (
    "arabic", "chinese", "czech", "danish", "dutch", "english", "esperanto", "finnish", "french", "german",
    "hindi", "hungarian", "italian", "japanese", "korean", "norwegian", "persian", "polish", "portuguese",
    "russian", "spanish", "swedish", "thai", "turkish",
)  # fmt: skip
"""The languages of the library's lists."""


def check_languages(languages: Sequence[str]) -> None:
    """See to it that there are lists of these languages.

    Raises:
        ConfigError: If there is none of one.
    """
    for language in languages:
        if language not in LANGUAGES:
            raise ConfigError(
                f"policy.harmful_languages: no list of {language!r}; there are {', '.join(LANGUAGES)}"
            )


@lru_cache(maxsize=1 << 16)
def harmful_word(hashtag: str, *, languages: tuple[str, ...] = ("english",)) -> str | None:
    """The harmful word that a hashtag holds.

    Args:
        hashtag: Canonical or not.
        languages: Whose words, of `LANGUAGES`.

    Returns:
        As it stands in the list; None if there is none.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    if _safe().match(hashtag) is not None:
        return None
    words = split_words(hashtag)
    joined = letters_only(normalise(hashtag))
    texts = dict.fromkeys([" ".join(words), " ".join(map(singular, words)), joined, singular(joined)])
    check = _filter(languages).check_profanity
    found = (word for text in texts for word in check(text)["profane_words"])
    return next(found, None)


@cache
def _safe() -> Patterns:
    return Patterns(word_lists().safe, where="words.toml")


@lru_cache(maxsize=32)
def _filter(languages: tuple[str, ...]) -> Any:
    from glin_profanity import Filter

    lists = word_lists()
    return Filter(
        {
            "languages": list(languages),
            "custom_words": list(lists.added),
            "ignore_words": list(lists.spared),
            "detect_leetspeak": True,
            "leetspeak_level": "basic",
        }
    )
