"""The words of a description, and whether a hashtag occurs in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from ggm.hashtags.canonical import fold, is_digit, is_letter, is_mark, letters_only

_ASCII_WORD = re.compile("[a-z0-9]+")


def description_words(text: str) -> list[str]:
    """Words of a description, without case: runs of letters, marks and digits of any script.

    A script that puts no space between words gives one word for each run.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = fold(unicodedata.normalize("NFKC", text))
    return "".join(c if is_letter(c) or is_mark(c) or is_digit(c) else " " for c in folded).split()


def occurs_in(hashtag: str, words: Sequence[str]) -> bool:
    """Tell whether a hashtag stands in a description: as a word of it, or as several in a row.

    Case and separators play no part: ``ColdWeather`` and ``cold-weather`` occur in "Cold weather
    again", ``old`` does not.

    Args:
        hashtag: In canonical form.
        words: Of the description, see `description_words`.
    """
    letters = letters_only(hashtag)
    joined = "".join(words)
    start = joined.find(letters)
    if start < 0:
        return False
    bounds, end = {0}, 0
    for word in words:
        end += len(word)
        bounds.add(end)
    while start >= 0:
        if start in bounds and start + len(letters) in bounds:
            return True
        start = joined.find(letters, start + 1)
    return False
