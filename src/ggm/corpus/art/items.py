"""A picture with what people said of it, whatever set it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ArtItem:
    """One picture.

    Args:
        id: Its set and its name there, such as ``tabler/outline/anchor``.
        source: Key of its set.
        title: What it shows, in words; may be empty.
        keywords: As people wrote them, in order.
        svg: The drawing, if it is one.
        png: The picture, if there is no drawing.
        coloured: Whether its colours are its own; others are drawn in one colour, which is chosen.
        alike: Keys that it shares with pictures of the same thing, beside those its words give.
        natural: Whether the title is a phrase, with what it is about at its end ("red apple"); names
            of icons begin with that ("apple-red").
        description: A sentence of its makers, in place of the title where posts describe it.
        author: May be empty.
        licence: That it states itself, where not all of a set have the same.
    """

    id: str
    source: str
    title: str
    keywords: tuple[str, ...]
    svg: str | None = None
    png: Path | None = None
    coloured: bool = False
    alike: tuple[str, ...] = ()
    natural: bool = False
    description: str = ""
    author: str = ""
    licence: tuple[str, ...] = ()
