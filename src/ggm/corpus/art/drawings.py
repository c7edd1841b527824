"""The clip art of `ggm.corpus.clipart` among the other pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ggm.corpus.art.items import ArtItem
from ggm.corpus.cleaning import clean, clean_title
from ggm.corpus.openclipart import read_clipart

KEY: Final = "clipart"
TITLE: Final = "Open Clip Art Library 0.18"
LICENCE: Final = "public domain"


def read_drawings(trees: Path) -> Iterator[ArtItem]:
    """The drawings that the clip-art corpus has, without splits.

    Args:
        trees: Folder with ``svg/`` and ``png/``.
    """
    items, _ = clean(read_clipart(trees))
    for item in items:
        art = item.art
        yield ArtItem(
            id=f"{KEY}/{art.id}",
            source=KEY,
            title=clean_title(art.title) or item.description,
            keywords=item.hashtags,
            png=art.png,
            coloured=True,
            alike=item.series,
            natural=True,
            description=item.description,
            author=art.author,
            licence=art.licences,
        )
