"""The words of a picture's name: which say what it shows, and which only how it is drawn."""

from __future__ import annotations

import re
from typing import Final

STYLE_WORDS: Final = frozenset(
    {
        "outline", "outlined", "filled", "fill", "solid", "regular", "sharp", "rounded", "round",
        "thin", "light", "bold", "duotone", "line", "glyph", "icon", "icons", "alt", "variant",
        "custom", "simple", "new", "plain", "empty",
    }
)  # fmt: skip
"""Of a name, these are about the drawing alone."""

MARK_WORDS: Final = frozenset(
    {
        "up", "down", "left", "right", "top", "bottom", "middle", "center", "start", "end", "north",
        "south", "east", "west", "in", "out", "horizontal", "vertical", "forward", "backward",
        "back", "side", "circle", "circled", "square", "squared", "rectangle", "rounded", "box",
        "badge", "dashed", "dotted", "diamond", "shield", "octagon", "hexagon", "plus", "minus",
        "check", "checked", "checkmark", "x", "cross", "cancel", "off", "on", "slash", "remove",
        "add", "edit", "pencil", "pause", "play", "stop", "lock", "unlock", "search", "star",
        "heart", "question", "exclamation", "alert", "info", "warning", "error", "help", "cog",
        "settings", "sync", "refresh", "share", "bolt", "dollar", "code", "pin", "clock", "cloud",
        "key", "eye", "discount", "multiple", "many", "single", "double", "one", "two", "three",
        "four", "five", "six", "seven", "eight", "nine", "ten", "half", "full", "low", "medium",
        "high", "small", "large", "big", "long", "short", "wide", "narrow", "more", "less", "open",
        "opened", "closed", "close", "with", "and", "of", "the", "a", "an", "no", "not", "face",
    }
)  # fmt: skip
"""Marks that icon sets put beside what is shown (``user-plus``, ``file-x``), sizes and directions."""

COLOUR_WORDS: Final = frozenset(
    {
        "red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white", "pink",
        "grey", "gray", "dark", "light", "hot", "cold",
    }
)  # fmt: skip

_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_LETTERS: Final = re.compile(r"[^a-z]+")


def name_words(title: str) -> tuple[str, ...]:
    """Words of a title, in lower case: ``FileText2`` and ``file-text-2`` are file and text.

    Numbers only count where there is nothing else.
    """
    words = _NOT_LETTERS.split(_CAMEL.sub(" ", title).casefold())
    return tuple(word for word in words if word) or tuple(title.casefold().split())


def shown_words(title: str) -> tuple[str, ...]:
    """What is said to be shown: a title's words without those about the drawing; all, if no other is left."""
    words = name_words(title)
    return tuple(word for word in words if word not in STYLE_WORDS) or words


def base_words(title: str) -> tuple[str, ...]:
    """What a picture is about: also without marks, directions, sizes and colours, and in the singular.

    Of a title that has no others, such as ``circle-plus``, all that are shown.
    """
    shown = shown_words(title)
    base = [word for word in shown if word not in MARK_WORDS and word not in COLOUR_WORDS]
    return tuple(singular(word) for word in base or shown)


def singular(word: str) -> str:
    """A rough singular: good enough that ``files`` and ``file`` are one.

    `ggm.hashtags.plurals` knows better, of skis and viruses; but the groups of the corpus as it was measured,
    and so its splits, follow from this one.
    """
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
