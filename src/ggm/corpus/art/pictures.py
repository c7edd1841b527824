"""What the sets hold: their packages are read, their items put in order, the odd ones left out."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ggm.corpus.art import drawings
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.keywords import item_hashtags
from ggm.corpus.art.sources import ArtSource
from ggm.corpus.clipart import open_drawings
from ggm.corpus.npm import fetch_npm_package, find_npm_package, read_npm_package
from ggm.errors import ConfigError, DataError

Progress = Callable[[str, int, int], None]
"""Is told the stage (``read``, ``render``, ``group``), how much is done, and of how much."""

_ID: Final = re.compile(r"[\w+-][\w.+-]*(?:/[\w+-][\w.+-]*)+")


@dataclass
class Pictures:
    """What was read.

    Args:
        items: That may be used, in order of their ids.
        stated: The licence that the package of each set states, by its key.
        dropped: Number of pictures left out, by reason.
    """

    items: list[ArtItem]
    stated: dict[str, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


def choose_sources(catalogue: Sequence[ArtSource], config: ArtConfig) -> tuple[ArtSource, ...]:
    """The sets that the settings ask for, besides the clip art.

    Raises:
        ConfigError: If they name one that there isn't.
    """
    known = [drawings.KEY, *(source.key for source in catalogue)]
    if unknown := set(config.only) - set(known):
        raise ConfigError(f"no set {min(unknown)!r}; there are {', '.join(known)}")
    return tuple(source for source in catalogue if not config.only or source.key in config.only)


def read_pictures(
    chosen: Sequence[ArtSource],
    config: ArtConfig,
    folder: Path | None,
    scratch: Path,
    report: Progress,
) -> tuple[Pictures, list[str]]:
    """Reads all sets.

    Args:
        chosen: The sets.
        config: Tells whether the clip art is wanted too, and the limit.
        folder: Where the packages are; None fetches them.
        scratch: Folder for what has to be unpacked.
        report: Is told how far the work is.

    Returns:
        The pictures, and the file names of the packages that they are from.

    Raises:
        DataError: If a package can't be had, or isn't what it should be.
    """
    pictures, origin = Pictures([]), []
    found: list[ArtItem] = []
    for number, source in enumerate(chosen):
        report("read", number, len(chosen) + 1)
        items, stated = _read_source(source, folder)
        found += items
        pictures.stated[source.key] = stated
        origin += [package.file_name for package in source.packages.values()]
    report("read", len(chosen), len(chosen) + 1)
    if not config.only or drawings.KEY in config.only:
        trees, packages = open_drawings(folder, scratch / "drawings", lambda *_: None)
        found += drawings.read_drawings(trees)
        origin += packages
    report("read", len(chosen) + 1, len(chosen) + 1)
    taken: set[str] = set()
    for item in sorted(found, key=lambda item: item.id):
        if not _ID.fullmatch(item.id):
            pictures.dropped["odd name"] += 1
        elif item.id.casefold() in taken:  # where case doesn't tell files apart, one would replace the other
            pictures.dropped["name twice"] += 1
        elif not item_hashtags(item):
            pictures.dropped["no usable keyword"] += 1
        else:
            taken.add(item.id.casefold())
            pictures.items.append(item)
    if config.limit is not None and config.limit < len(pictures.items):
        pictures.dropped["beyond the limit"] += len(pictures.items) - config.limit
        places = random.Random(config.seed).sample(range(len(pictures.items)), config.limit)
        pictures.items = [pictures.items[place] for place in sorted(places)]
    return pictures, sorted(set(origin))


def _read_source(source: ArtSource, folder: Path | None) -> tuple[list[ArtItem], str]:
    """The items of a set, and the licence that its package states."""
    files = {}
    for part, package in source.packages.items():
        path = fetch_npm_package(package) if folder is None else find_npm_package(package, folder=folder)
        files[part] = read_npm_package(path, wanted=lambda name, part=part: source.is_wanted(part, name))  # type: ignore[misc]
    try:
        stated = str(json.loads(files["pictures"]["package.json"])["license"])
        if stated != source.stated_licence:
            raise DataError(
                f"{source.packages['pictures'].file_name}: states the licence {stated!r}, not "
                f"{source.stated_licence!r}, under which it is known here"
            )
        return list(source.read(files)), stated
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{source.packages['pictures'].file_name}: isn't in its format: {error!r}") from error
