"""What a creator wrote about a post, taken apart: what models read, and the hashtags that stand in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ggm.generator.layout import TextLayout
from ggm.hashtags import parse_caption, readable

MAX_DESCRIPTION_CHARACTERS: Final = 5000
"""Longer descriptions are cut, with a notice; the longest platform limit is 5,000."""

MAX_OFFERED: Final = 30
"""How many hashtags of a description become candidates; no platform allows more."""


@dataclass(frozen=True)
class ReadDescription:
    """A description as it is used.

    Args:
        text: Without its hashtags.
        words: The same as models read it: emoji as words, links left out (see `ggm.hashtags.readable`).
        offered: Its hashtags that become candidates, at most `MAX_OFFERED`.
        notices: What was done to it, for people.
    """

    text: str
    words: str
    offered: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def read_description(
    description: str, *, layout: TextLayout, says_something: Callable[[str], bool] | None
) -> ReadDescription:
    """Take a description apart.

    Args:
        description: Any text; may be empty.
        layout: Knows how much the generator reads.
        says_something: Which of its hashtags are worth being candidates; None for none of them.
    """
    notices = []
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        notices.append(
            f"the description was cut from {len(description):,} to {MAX_DESCRIPTION_CHARACTERS:,} characters"
        )
        description = description[:MAX_DESCRIPTION_CHARACTERS]
    caption = parse_caption(_well_formed(description))
    offered = [text for text in caption.hashtags if says_something is not None and says_something(text)]
    offered = offered[:MAX_OFFERED]
    aside = [text for text in caption.hashtags if text not in offered]
    notices += _named("taken as candidates", offered) + _named("set aside", aside)
    words = readable(caption.description)
    if layout.encode(words).description_truncated:
        notices.append("the description is longer than the model reads; its end was left out")
    return ReadDescription(caption.description, words, tuple(offered), tuple(notices))


def _named(fate: str, hashtags: Sequence[str]) -> list[str]:
    if not hashtags:
        return []
    written = " ".join(f"#{hashtag}" for hashtag in hashtags)
    return [f"hashtags in the description were {fate}: {written}"]


def _well_formed(text: str) -> str:
    """The text without lone surrogates, which tokenizers refuse: arguments may hold bytes of any encoding."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
