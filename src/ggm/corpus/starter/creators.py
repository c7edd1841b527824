"""The words of creators, and what they make of them: ``creators.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ggm.corpus.starter.candidates import Phrase
from ggm.corpus.starter.entries import FORMS
from ggm.hashtags import split_words

SOURCE: Final = "creators"

_VOWELS: Final = "aeiou"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNCHANGED: Final = _words("""
    sheep moose deer fish pasta sushi ramen bread toast rice seafood bacon popcorn corn garlic
    bamboo drums
""")


def creator_phrases() -> Iterator[Phrase]:
    """First all hashtags as they stand there, then the forms, in the order of the file."""
    for topic, group in _groups().items():
        if topic not in ("forms", "leave_out"):
            for word in group["words"].split():
                yield Phrase(split_words(word), SOURCE, topic, written=True)
    for topic, group in _groups()["forms"].items():
        for word in group["words"].split():
            for form in group["forms"].split():
                text = form.replace("{}", word).replace("{s}", plural(word))
                yield Phrase(split_words(text), SOURCE, f"{FORMS}{topic}", written=True)


def left_out() -> frozenset[str]:
    """Hashtags that no source may bring in."""
    return frozenset(_groups()["leave_out"]["words"].split())


def plural(word: str) -> str:
    """The plural of an English noun; of several run together, that of the last."""
    if word in _UNCHANGED:
        return word
    if word.endswith(("s", "x", "z", "ch", "sh", "tato", "mato", "ngo")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        return f"{word[:-1]}ies"
    return f"{word[:-1]}ves" if word.endswith("lf") else f"{word}s"


@cache
def _groups() -> dict[str, Any]:
    return tomllib.loads(files("ggm.corpus.starter").joinpath("creators.toml").read_text("utf-8"))
