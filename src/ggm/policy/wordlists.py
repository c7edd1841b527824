"""The word lists that come along: ``words.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class WordLists:
    """What ``words.toml`` holds; see there.

    Args:
        generic: Patterns of hashtags that say nothing about a video.
        spared: Words of the library's list that aren't counted as harmful.
        added: Harmful words that it lacks.
        safe: Patterns of hashtags that are innocent although a part of them looks otherwise.
    """

    generic: tuple[str, ...]
    spared: tuple[str, ...]
    added: tuple[str, ...]
    safe: tuple[str, ...]


@cache
def word_lists() -> WordLists:
    """The lists, read once."""
    values = tomllib.loads(files("ggm.policy").joinpath("words.toml").read_text("utf-8"))
    harmful = values["harmful"]
    return WordLists(
        tuple(values["generic"]), tuple(harmful["spared"]), tuple(harmful["added"]), tuple(harmful["safe"])
    )
