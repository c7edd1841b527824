"""Hashtags in what a creator typed: they are labels, and never stay in the description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ggm.errors import HashtagError
from ggm.hashtags.canonical import HASH_SIGNS, fold, is_digit, is_letter, is_mark, joins, normalise

# A link, or number signs with the invisible characters that phones put after them.
_LINK_OR_HASHES: Final = re.compile(
    r"(?P<link>\b(?:https?://|www\.)[!-~]+)"
    f"|(?P<hashes>[{HASH_SIGNS}]+[\ufe0e\ufe0f\u200b-\u200f\u2060-\u2069]*)",
    re.IGNORECASE,
)
_HYPHENS: Final = "-\u2010\u2011"
_CONTRACTION: Final = re.compile(r"['\u2019](?:s|t|d|m|re|ve|ll)\b", re.IGNORECASE)

# In the text that is tidied, NUL stands for hashtags that were taken out.
_LIST_OF_GAPS: Final = re.compile(r"\0(?:[\s,;:|/•·&+~.!?\u2026\u2013\u2014-]*\0)+")
_BRACKETED_GAP: Final = re.compile(
    r"\(\s*\0\s*\)|\[\s*\0\s*\]|\{\s*\0\s*\}|\"\s*\0\s*\"|\u201c\s*\0\s*\u201d|\u2018\s*\0\s*\u2019"
)
_LEADING_GAP: Final = re.compile(r"^\s*\0\s*(?:[,;:|/•·&+~.!?\u2026\u2013\u2014-]+(?=\s|$)\s*)?")
_TRAILING_GAP: Final = re.compile(r"(?:(?<=\s)[|/•·&+~-]+|[,;:\u2013\u2014])?\s*\0\s*$")
_GAP_AFTER_STOP: Final = re.compile(r"(?<=[.!?\u2026])\s*\0\s*[,;:.!?\u2026]+(?=\s|$)")
_GAP_BEFORE_COMMA: Final = re.compile(r"\s*\0\s*[,;:](?=\s|$)")
_GAP_BEFORE_STOP: Final = re.compile(r"\s*\0\s*(?=[.!?\u2026]+(?:\s|$))")
_GAP_BEFORE_BRACKET: Final = re.compile(r"\s*\0\s*(?=[)\]}\u201d])")
_GAP_AFTER_BRACKET: Final = re.compile(r"(?<=[(\[{\u201c])\s*\0\s*")


@dataclass(frozen=True)
class ParsedCaption:
    """A caption taken apart.

    Args:
        description: The text without its hashtags, white space tidied; may be empty.
        hashtags: Canonical hashtags in the order of the text, each once, as first written.
    """

    description: str
    hashtags: tuple[str, ...]


def parse_caption(text: str) -> ParsedCaption:
    """Take the hashtags out of a caption, wherever they stand.

    ``"So cold! #winter #ColdWeather"`` is the description ``"So cold!"`` and the hashtags
    ``winter`` and ``ColdWeather``. A hashtag in the middle of a sentence leaves it too, since a
    label that stays in the input teaches a model to copy. Adjacent hashtags (``#a#b``) are two.
    Not hashtags are: ``#1``, ``C#``, ``a#b``, fragments of links, HTML entities such as ``&#39;``,
    and what `normalise` refuses.

    Args:
        text: A caption; may be empty.

    Returns:
        The description and the hashtags.
    """
    text = " ".join(text.replace("\0", " ").split())
    hashtags: dict[str, str] = {}
    rest: list[str] = []
    position = 0  # everything before it is in rest or was a hashtag
    for match in _LINK_OR_HASHES.finditer(text):
        start, end = match.span()
        follows_hashtag = 0 < start == position
        if match["link"] or start < position or not (follows_hashtag or _may_precede(text, start)):
            continue
        tag_end = _hashtag_end(text, end)
        try:
            hashtag = normalise(text[end:tag_end])
        except HashtagError:
            continue
        hashtags.setdefault(fold(hashtag), hashtag)
        rest += [text[position:start], "\0"]
        position = _skip_leftover(text, tag_end)
    rest.append(text[position:])
    return ParsedCaption(_tidy("".join(rest)), tuple(hashtags.values()))


def _may_precede(text: str, start: int) -> bool:
    """Tell whether a hashtag may begin here, judged by what stands before it."""
    before = start - 1
    while before >= 0 and is_mark(text[before]):
        before -= 1
    if before < 0:
        return True
    character = text[before]
    # Scripts without case, such as Japanese or Thai, put hashtags right after a word.
    cased = is_letter(character) and (character.isupper() or character.islower() or character.istitle())
    return not (cased or is_digit(character) or character in "_&/")


def _hashtag_end(text: str, start: int) -> int:
    """Give where the hashtag whose first character is at `start` ends."""
    end = start
    while end < len(text):
        character = text[end]
        before, after = text[end - 1], text[end + 1 : end + 2]
        inside = end > start and bool(after)
        if (
            is_letter(character)
            or is_digit(character)
            or character == "_"
            or (end > start and is_mark(character))
            or (inside and character in _HYPHENS and before not in _HYPHENS and _is_word(after))
            or (inside and joins(before, character, after))
        ):
            end += 1
        else:
            break
    return end


def _is_word(character: str) -> bool:
    return is_letter(character) or is_digit(character)


def _skip_leftover(text: str, end: int) -> int:
    """Pass over what makes no sense without the hashtag: a contraction, or a closing ``#``."""
    contraction = _CONTRACTION.match(text, end)
    if contraction:
        return contraction.end()
    if text[end : end + 1] in tuple(HASH_SIGNS) and not text[end + 1 : end + 2].strip():
        return end + 1
    return end


def _tidy(text: str) -> str:
    """Close the gaps that hashtags left, with the punctuation that belonged to them."""
    text = _LIST_OF_GAPS.sub("\0", text)
    text = _BRACKETED_GAP.sub("\0", text)
    text = _LEADING_GAP.sub("", text)
    text = _TRAILING_GAP.sub("", text)
    text = _GAP_AFTER_STOP.sub(" ", text)
    text = _GAP_BEFORE_COMMA.sub(" ", text)
    text = _GAP_BEFORE_STOP.sub("", text)
    text = _GAP_BEFORE_BRACKET.sub("", text)
    text = _GAP_AFTER_BRACKET.sub("", text)
    return " ".join(text.replace("\0", " ").split())
