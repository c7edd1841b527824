"""What creators type, made readable for a model: emoji, links, mentions, stretched and disguised words.

Every rule changes only what it is for: plain prose comes out as it went in.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import product
from typing import Final

from ggm.hashtags.emoji_words import with_words
from ggm.hashtags.words import english_words, word_ranks

_INVISIBLE: Final = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
_LINK: Final = re.compile(
    r"\b(?:https?://|www\.)[^\s<>\[\]()\"]+"
    r"|\b[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,3}\.(?:com|net|org|io|ly|be|me|co|tv|gg|app|link)/\S*",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(
    r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}|(?<![\w@＠])[@＠]\w(?:[\w.]{0,99}\w)?"
)
_STYLED: Final = re.compile("[\uff01-\uff5e\u24b6-\u24e9\U0001d400-\U0001d7ff]+")
_PILED_MARKS: Final = re.compile("([\u0300-\u036f\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{3,})")
_WORD: Final = re.compile("(?<!\\w)[a-z\u00df-\u024f]{3,100}(?!\\w)", re.IGNORECASE)
_STRETCHED: Final = re.compile(r"(.)\1\1", re.IGNORECASE)
_RUN: Final = re.compile(r"(.)\1+", re.IGNORECASE)
_LEET_WORD: Final = re.compile(
    r"(?<![\w@$#])(?=[\w@$]*[A-Za-z])(?=[\w@$]*[013457@$])[A-Za-z013457@$]{3,}(?![\w@$])"
)
_LEET: Final = str.maketrans("013457@$", "oieastas")
_NUMBERED: Final = re.compile(
    r"\d+(?:[a-z]{1,2}|am|pm|min|sec|fps|mph)|[a-z]{1,3}\d+|[a-z]+\d{2,}", re.IGNORECASE
)
_SHORTEST_LEET: Final = 3
_RAREST: Final = 30_000
_MOST_RUNS: Final = 6


def readable(text: str) -> str:
    """A description as a model can make use of it.

    Links, e-mail addresses and mentions go; emoji become words (`with_words`); letters in fancy
    type (``𝓬𝓪𝓽``), invisible characters, heaps of accents, stretched words (``sooooo``) and digits in
    place of letters (``d0gs``) become what was meant. What none of this touches stays as it is.

    Args:
        text: Any, without inline hashtags (see `ggm.hashtags.parse_caption`).

    Returns:
        The text, maybe empty; `readable` of it returns it unchanged if no word was replaced by one
        that another rule touches.
    """
    plain = _INVISIBLE.sub("", text)
    plain = _LINK.sub(" ", plain)
    plain = _ADDRESS.sub(" ", plain)
    plain = _STYLED.sub(lambda match: unicodedata.normalize("NFKC", match[0]), plain)
    plain = _PILED_MARKS.sub("", plain)
    plain = with_words(plain)
    plain = _WORD.sub(lambda match: _unstretched(match[0]), plain)
    plain = _LEET_WORD.sub(lambda match: _undisguised(match[0]), plain)
    return text if plain == text else " ".join(plain.split())


@lru_cache(maxsize=4096)
def _unstretched(word: str) -> str:
    """The known word that a stretched one stands for, else each run shortened to one letter."""
    if _STRETCHED.search(word) is None:
        return word
    runs = list(_RUN.finditer(word))
    if len(runs) > _MOST_RUNS or word.casefold() in english_words():
        return word
    found: list[tuple[int, str]] = []
    for lengths in product((2, 1), repeat=len(runs)):
        shortened, position = "", 0
        for match, length in zip(runs, lengths, strict=True):
            shortened += word[position : match.start()] + match[0][:length]
            position = match.end()
        shortened += word[position:]
        rank = word_ranks().get(shortened.casefold())
        if rank is not None and len(shortened) > 1:
            found.append((rank, shortened))
    if found:
        return min(found)[1]
    return _RUN.sub(lambda match: match[1] if len(match[0]) > 2 else match[0], word)


@lru_cache(maxsize=4096)
def _undisguised(word: str) -> str:
    """The known word that one with digits stands for (``b3st``); itself if there is none."""
    letters = word.translate(_LEET).casefold()
    known = word_ranks().get(letters, _RAREST) < _RAREST and len(letters) >= _SHORTEST_LEET
    return letters if known and not _NUMBERED.fullmatch(word) else word
