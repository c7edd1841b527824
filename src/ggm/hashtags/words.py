"""The words of a hashtag: ``#ColdWeather`` and ``#coldweather`` are both ``cold weather``."""

from __future__ import annotations

import gzip
import io
import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ggm.hashtags.canonical import fold, is_digit, is_letter, is_mark, normalise
from ggm.hashtags.lexicon import CREATOR_WORDS, JOINED_PHRASES, SHORT_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MIN_SPLIT_LENGTH: Final = 5  # "ootd", "goat" and the like are one word, or no gain to split
_MAX_ACRONYM_LENGTH: Final = 4  # a capital run up to this long is an acronym: NASA, OOTD
_CREATOR_RANK: Final = 3000  # as frequent as the 3,000th word of the English list
_MAX_RANK_BY_LENGTH: Final = {3: 20_000, 4: 35_000}  # rarer short entries are codes and names
_MAX_MERGED_PIECES: Final = 3
_ORDINAL: Final = re.compile(r"(?:\d*1st|\d*2nd|\d*3rd|\d*[04-9]th|\d*1[123]th)")
_UNITS: Final = frozenset("dkpsx")  # 3d, 4k, 1080p, 90s, 2x
_SEPARATOR: Final = re.compile("[-_]+")


@lru_cache(maxsize=1 << 17)
def split_words(hashtag: str) -> tuple[str, ...]:
    """Split a hashtag into words.

    Separators, changes of case and digits divide it first. Runs of unaccented Latin letters are
    then divided by word frequency, unless that would leave scraps (``fyp`` is not ``fy p``).
    Accented Latin and other scripts are divided by the first step alone.

    Args:
        hashtag: A hashtag, canonical or not.

    Returns:
        Lower-case words, at least one. Joined, they are the hashtag without separators and case.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    words: list[str] = []
    for chunk in _SEPARATOR.split(normalise(hashtag)):
        words += _split_chunk(chunk)
    return tuple(words)


def display_form(hashtag: str) -> str:
    """Show a hashtag so that people and screen readers can tell its words apart.

    Several words that nothing divides are written in CamelCase; a hashtag that has separators or
    inner capitals, or is a single word, is returned in canonical form as it is.

    Args:
        hashtag: A hashtag, canonical or not.

    Returns:
        The same hashtag (in the sense of `ggm.hashtags.same`), without ``#``.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    canonical = normalise(hashtag)
    if _SEPARATOR.search(canonical) or has_inner_capital(canonical):
        return canonical
    words = split_words(canonical)
    if sum(any(map(is_letter, word)) for word in words) < 2:
        return canonical
    return unicodedata.normalize("NFKC", "".join(_capitalise(word) for word in words))


def english_words() -> frozenset[str]:
    """The lower-case words by which hashtags are split: a frequency list, and those of creators."""
    return _language_model()[1]


@cache
def word_ranks() -> Mapping[str, int]:
    """How frequent English words are: places in a list of 126,000, the most frequent one's being 0."""
    return {word: rank for rank, word in enumerate(_listed_words())}


def has_inner_capital(canonical: str) -> bool:
    """Tell whether capitals already show where words begin, as in ``iPhone`` or ``ColdWeather``."""
    return any(c.isupper() for c in canonical[1:]) and any(c.islower() for c in canonical)


def _capitalise(word: str) -> str:
    capital = word[0].upper()
    # Some letters have a capital of two letters (ß), or another letter's (the Turkish dotless i).
    suits = len(capital) == 1 and fold(capital) == fold(word[0])
    return (capital if suits else word[0]) + word[1:]


def _split_chunk(chunk: str) -> list[str]:
    """Split a text without separators."""
    whole = chunk.lower()
    if whole in CREATOR_WORDS:
        return [whole]
    pieces = _split_at_boundaries(chunk)
    if sum(_is_scrap(piece) for piece in pieces) * 2 > len(pieces):  # sPoNgEbOb: mere decoration
        pieces = _split_at_boundaries(whole)
    words: list[str] = []
    for piece in _merge_creator_words(pieces):
        is_acronym = len(pieces) > 1 and piece.isupper() and len(piece) <= _MAX_ACRONYM_LENGTH
        lower = piece.lower()
        words += [lower] if is_acronym else _split_run(lower)
    return words


def _split_at_boundaries(chunk: str) -> list[str]:
    """Split where the case, the kind of character or the kind of script changes."""
    kinds = _character_kinds(chunk)
    cuts = [0]
    for i in range(1, len(chunk)):
        before, here = kinds[i - 1], kinds[i]
        if is_mark(chunk[i]):
            continue
        if before == here == "upper":
            # The last capital of a run belongs to the word it begins: NYCMarathon, ADayOff.
            starts_word = _next_kind(chunk, kinds, i) == "lower"
        else:
            starts_word = before != here and (before, here) != ("upper", "lower")
        if starts_word:
            cuts.append(i)
    pieces = [chunk[a:b] for a, b in zip(cuts, [*cuts[1:], len(chunk)], strict=True)]
    return _join_digits(_mend_acronyms(pieces))


def _next_kind(chunk: str, kinds: list[str], index: int) -> str | None:
    """Give the kind of the next character that is not a mark."""
    for later in range(index + 1, len(chunk)):
        if not is_mark(chunk[later]):
            return kinds[later]
    return None


def _character_kinds(chunk: str) -> list[str]:
    """Name each character's kind: digit, upper, lower, or uncased (joiners and marks inherit)."""
    kinds: list[str] = []
    for character in chunk:
        if is_digit(character):
            kinds.append("digit")
        elif is_mark(character) or unicodedata.category(character) == "Cf":
            kinds.append(kinds[-1])
        elif character.isupper() or character.istitle():
            kinds.append("upper")
        else:
            # Modifier letters such as the Japanese long vowel sign follow their neighbour.
            modifier = unicodedata.category(character) == "Lm" and kinds
            kinds.append(kinds[-1] if modifier else "lower" if character.islower() else "uncased")
    return kinds


def _mend_acronyms(pieces: list[str]) -> list[str]:
    """Give an acronym back its last letter: DI+Yproject is DIY+project, VLO+Gs is VLOGs."""
    mended = list(pieces)
    for i, (acronym, word) in enumerate(pairwise(pieces)):
        if not (len(acronym) > 1 and acronym.isupper() and acronym.isascii() and word.isascii()):
            continue
        whole, rest = acronym + word[0], word[1:]
        known = _language_model()[1]
        if rest == "s":
            mended[i : i + 2] = ["", whole + rest]
        elif whole.lower() in known and word.lower() not in known and _is_english(rest):
            mended[i : i + 2] = [whole, rest]
    return [piece for piece in mended if piece]


def _join_digits(pieces: list[str]) -> list[str]:
    """Put digits and letters together again that mean nothing apart: 4k, 1st, mp3, b2b."""
    joined: list[str] = []
    for piece in pieces:
        if not joined or is_digit(joined[-1][-1]) == is_digit(piece[0]):
            joined.append(piece)
            continue
        suffix = _suffix_length(joined[-1], piece.lower())
        if suffix == 0 and (_is_scrap(joined[-1]) or _is_scrap(piece)):
            suffix = len(piece)
        joined[-1] += piece[:suffix]
        joined += [piece[suffix:]] if piece[suffix:] else []
    return joined


def _suffix_length(digits: str, letters: str) -> int:
    """Give how many of the letters complete a number: 2 of ``1stday``, 1 of ``4kvideo``."""
    if not (digits.isascii() and digits.isdigit()):
        return 0
    ordinal = _ORDINAL.fullmatch(digits + letters[:2])
    if ordinal:
        return 2
    unit, rest = letters[:1], letters[1:]
    if unit in _UNITS and _is_english(rest) and not _is_english(letters):
        return 1
    return 0


def _is_scrap(piece: str) -> bool:
    """Tell whether one or two Latin letters are no word of their own."""
    letters = piece.lower()
    return len(letters) <= 2 and letters.isascii() and letters.isalpha() and letters not in SHORT_WORDS


def _is_english(run: str) -> bool:
    """Tell whether lower-case letters are a known word or several."""
    return len(_split_run(run)) > 1 or run in _language_model()[1]


def _split_run(run: str) -> list[str]:
    """Split lower-case letters by word frequency; whatever yields scraps stays whole."""
    if len(run) < _MIN_SPLIT_LENGTH or not (run.isascii() and run.isalpha()) or run in CREATOR_WORDS:
        return [run]
    split, known = _language_model()
    pieces = split(run)
    # An article ends no phrase: "pizzaa" is a misspelling, not "pizza a".
    if pieces[-1] in {"a", "an", "the"} or not known.issuperset(pieces):
        return [run]
    return pieces


def _merge_creator_words(pieces: list[str]) -> list[str]:
    """Join neighbours that together are one known word: You + Tube, i + Phone; but not Go + At."""
    merged: list[str] = []
    start = 0
    while start < len(pieces):
        end = min(start + _MAX_MERGED_PIECES, len(pieces))
        while end > start + 1 and not _is_creator_word(pieces[start:end]):
            end -= 1
        merged.append("".join(pieces[start:end]))
        start = end
    return merged


def _is_creator_word(pieces: list[str]) -> bool:
    lower = [piece.lower() for piece in pieces]
    return "".join(lower) in CREATOR_WORDS and not SHORT_WORDS.issuperset(lower)


@cache
def _language_model() -> tuple[Callable[[str], list[str]], frozenset[str]]:
    """Give wordninja's split by our list of words, and that list; takes 0.3 s, once."""
    import wordninja

    listed = _listed_words()
    words = [word for rank, word in enumerate(listed) if _is_plausible(word, rank)]
    words[_CREATOR_RANK:_CREATOR_RANK] = sorted(CREATOR_WORDS)
    packed = gzip.compress("\n".join(words).encode(), compresslevel=0)
    split: Callable[[str], list[str]] = wordninja.LanguageModel(io.BytesIO(packed)).split
    return split, frozenset(words)


def _listed_words() -> list[str]:
    """The entries of wordninja's list, the most frequent first."""
    import wordninja

    path = Path(wordninja.__file__).with_name("wordninja") / "wordninja_words.txt.gz"
    return gzip.decompress(path.read_bytes()).decode().split()


def _is_plausible(word: str, rank: int) -> bool:
    """Tell whether an entry of the frequency list can be a part of a hashtag."""
    if not word.isalpha() or word in CREATOR_WORDS or word in JOINED_PHRASES:
        return False
    if len(word) <= 2:
        return word in SHORT_WORDS
    return rank <= _MAX_RANK_BY_LENGTH.get(len(word), rank)
