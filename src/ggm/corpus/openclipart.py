"""The Open Clip Art Library as Debian packages it: drawings, and what their SVG files say of them.

The packages hold one tree of SVG files and, at the same relative paths, one of PNG renderings.
Title, tags, author and licence stand in the RDF block of each SVG.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggm.errors import DataError

PACKAGES = ("openclipart-png", "openclipart-svg")
PACKAGE_PREFIX = "usr/share/openclipart/"

_PUBLIC_DOMAIN = re.compile(r"https?://(web\.resource\.org/cc/|creativecommons\.org/licenses/)publicdomain/?")


@dataclass(frozen=True)
class ClipArt:
    """One drawing, with its facts as they were written.

    Args:
        id: Path below the SVG tree without its suffix, such as ``animals/birds/swan_01``.
        png: The rendering.
        title: May be empty.
        description: May be empty.
        author: May be empty.
        tags: As written, in order.
        licences: What the RDF block states, sorted, without doubles; URLs or text; may be empty.
        date: As written; may be empty.
    """

    id: str
    png: Path
    title: str
    description: str
    author: str
    tags: tuple[str, ...]
    licences: tuple[str, ...]
    date: str = ""

    @property
    def is_public_domain(self) -> bool:
        """Whether a licence is stated, and no stated licence is anything but the public domain."""
        return bool(self.licences) and all(
            licence == "Public Domain" or _PUBLIC_DOMAIN.fullmatch(licence.lower())
            for licence in self.licences
        )


def find_trees(folder: Path) -> Path:
    """The folder that holds ``svg/`` and ``png/``: the given one, or one of the usual places below it.

    Raises:
        DataError: If there is none.
    """
    for below in ("", "openclipart", "share/openclipart", "usr/share/openclipart"):
        candidate = folder / below
        if (candidate / "svg").is_dir() and (candidate / "png").is_dir():
            return candidate
    raise DataError(
        f"{folder}: neither {' and '.join(f'{name}_*.deb' for name in PACKAGES)} "
        "nor the unpacked folders svg/ and png/ are there"
    )


def read_clipart(trees: Path) -> Iterator[ClipArt | None]:
    """Reads every drawing, in order of its path.

    A link to another drawing is the same drawing under a second heading, and is left out.

    Args:
        trees: Folder with ``svg/`` and ``png/``.

    Yields:
        The drawing; None for one whose SVG can't be parsed or that has no PNG.
    """
    svg_root = trees / "svg"
    for svg in sorted(svg_root.rglob("*.svg")):
        if svg.is_symlink():
            continue
        relative = svg.relative_to(svg_root).with_suffix("")
        # Not with_suffix: names such as "microchip_v.2" have a dot of their own.
        png = trees / "png" / relative.parent / f"{relative.name}.png"
        yield parse_svg(svg, id=relative.as_posix(), png=png) if png.is_file() else None


def parse_svg(svg: Path, *, id: str, png: Path) -> ClipArt | None:  # noqa: A002 (a ClipArt has an id)
    """Reads the RDF block of one SVG; None when it isn't well-formed XML."""
    try:
        root = ET.parse(svg).getroot()
    except (ET.ParseError, UnicodeError, LookupError):
        return None
    title = description = author = date = ""
    tags: list[str] = []
    licences: set[str] = set()
    for work in _named(root, "Work"):
        for element in work:
            match _local(element):
                case "title":
                    title = _text(element)
                case "description":
                    description = _text(element)
                case "date":
                    date = _text(element)
                case "creator":
                    author = next(filter(None, map(_text, _named(element, "title"))), "") or _text(element)
                case "subject":
                    tags += filter(None, map(_text, _named(element, "li")))
                case "license":
                    stated = [value.strip() for value in element.attrib.values()] or [_text(element)]
                    licences.update(filter(None, stated))
    return ClipArt(
        id=id,
        png=png,
        title=title,
        description=description,
        author=author,
        tags=tuple(tags),
        licences=tuple(sorted(licences)),
        date=date,
    )


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _named(root: ET.Element, name: str) -> Iterator[ET.Element]:
    return (element for element in root.iter() if isinstance(element.tag, str) and _local(element) == name)


def _text(element: ET.Element) -> str:
    return " ".join((element.text or "").split())
