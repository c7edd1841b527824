"""The canonical form of a hashtag, in any script, and when two hashtags are the same one."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ggm.errors import HashtagError

MAX_LENGTH: Final = 100
"""Longest canonical hashtag, in code points."""

HASH_SIGNS: Final = "#\uff03\ufe5f"
"""The number sign, and its full-width and small forms."""

SEPARATORS: Final = "-_"
"""The only punctuation that may stand inside a hashtag."""

_MAX_RAW_LENGTH: Final = 1000  # more is not a hashtag, and is refused before any work is done on it

_ZERO_WIDTH_JOINERS: Final = "\u200c\u200d"  # non-joiner, joiner

# Scripts in which a zero-width (non-)joiner changes how letters are shaped: Arabic and its
# neighbours, the Indic scripts, Tibetan and Myanmar, Khmer, Mongolian.
_JOINING_RANGES: Final = ((0x0600, 0x08FF), (0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x18AF))

# Letters and marks that show nothing: Hangul fillers, Khmer inherent vowels, the combining
# grapheme joiner and the variation selectors.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)

_RUN_OF_JOINERS: Final = re.compile(f"([{_ZERO_WIDTH_JOINERS}])[{_ZERO_WIDTH_JOINERS}]+")

_HYPHENS: Final = str.maketrans("\u2010\u2011", "--")


def normalise(text: str) -> str:
    """Give the canonical form of a hashtag.

    That is Unicode NFKC without ``#`` and white space, made of letters, marks and digits of any
    script, and ``-`` and ``_`` between them; other punctuation, emoji, control and invisible
    characters go. Zero-width joiners stay in the scripts that need them. Case is kept.
    `normalise` of a canonical form returns it unchanged.

    Args:
        text: A hashtag as somebody typed it, with or without ``#``.

    Returns:
        The canonical hashtag, 1 to `MAX_LENGTH` code points long.

    Raises:
        HashtagError: If no letter is left (platforms don't link hashtags of digits alone), or if
            more than `MAX_LENGTH` code points are.
    """
    if len(text) > _MAX_RAW_LENGTH:
        raise HashtagError(f"a text of {len(text)} characters is not a hashtag (at most {MAX_LENGTH})")
    if text.isascii() and text.isalpha():
        canonical = text
    else:
        compatible = unicodedata.normalize("NFKC", text).translate(_HYPHENS)
        canonical = unicodedata.normalize("NFKC", _keep_allowed(compatible)).strip(SEPARATORS)
    if not any(is_letter(character) for character in canonical):
        reason = "only digits" if canonical else "no letter"
        raise HashtagError(f"{text!r} is not a hashtag: {reason}")
    if len(canonical) > MAX_LENGTH:
        raise HashtagError(f"{text!r} is not a hashtag: longer than {MAX_LENGTH} characters")
    return canonical


def key(text: str) -> str:
    """Give the form by which hashtags are compared: canonical, without case or joiners.

    Raises:
        HashtagError: If the text holds no hashtag; see `normalise`.
    """
    return fold(normalise(text))


def same(a: str, b: str) -> bool:
    """Tell whether two texts are the same hashtag, whatever their case.

    Raises:
        HashtagError: If either text holds no hashtag; see `normalise`.
    """
    return key(a) == key(b)


def fold(text: str) -> str:
    """Fold the case of canonical text, as Unicode's NFKC_Casefold does (joiners go too)."""
    if text.isascii():
        return text.lower()
    # Decomposed first, because the Greek iota subscript folds to a letter, and must come last by then.
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    for joiner in _ZERO_WIDTH_JOINERS:
        folded = folded.replace(joiner, "")
    return unicodedata.normalize("NFKC", folded)


def letters_only(text: str) -> str:
    """Give the key of a canonical hashtag without its separators."""
    return fold(text).replace("-", "").replace("_", "")


def is_letter(character: str) -> bool:
    """Tell whether it is a visible letter of any script."""
    return unicodedata.category(character)[0] == "L" and character not in _INVISIBLE


def is_mark(character: str) -> bool:
    """Tell whether it is a visible accent or vowel sign that belongs to the letter before it."""
    return unicodedata.category(character) in {"Mn", "Mc"} and character not in _INVISIBLE


def is_digit(character: str) -> bool:
    """Tell whether it is a digit or number of any script."""
    return unicodedata.category(character)[0] == "N"


def joins(before: str, character: str, after: str) -> bool:
    """Tell whether a zero-width joiner or non-joiner has a meaning between its neighbours."""
    return character in _ZERO_WIDTH_JOINERS and _is_joining(before) and _is_joining(after)


def _is_joining(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _JOINING_RANGES) and (
        is_letter(character) or is_mark(character)
    )


def _keep_allowed(text: str) -> str:
    """Drop what a hashtag can't hold, and marks whose letter was dropped."""
    text = _RUN_OF_JOINERS.sub(r"\1", text)
    kept: list[str] = []
    has_base = False
    for index, character in enumerate(text):
        if character in _INVISIBLE:
            continue  # between a letter and its mark too, so has_base stays
        if is_letter(character) or is_digit(character):
            kept.append(character)
            has_base = True
        elif is_mark(character):
            if has_base:
                kept.append(character)
        elif has_base and joins(text[index - 1], character, text[index + 1 : index + 2] or " "):
            kept.append(character)
        else:
            if character in SEPARATORS:
                kept.append(character)
            has_base = False
    return "".join(kept)
