"""A phrase that may become a hashtag, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a source has.

    Args:
        words: In lower case; joined they are the hashtag.
        source: Key of the source.
        topic: What it is about.
        rarest: Highest rank that each of its words may have in the list of frequencies; None if it
            needn't stand there.
        written: Whether somebody wrote it as a hashtag, so that it needn't be divided as its words are.
    """

    words: tuple[str, ...]
    source: str
    topic: str
    rarest: int | None = None
    written: bool = False
