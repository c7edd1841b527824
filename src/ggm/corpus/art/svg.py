"""SVG drawings as pictures. The only user of resvg."""

from __future__ import annotations

import io
import re
from types import ModuleType
from typing import Final

from PIL import Image

from ggm.corpus import render
from ggm.errors import DataError, MissingDependencyError

MAX_SVG_BYTES: Final = 1024**2

_REFUSED: Final = re.compile(r"<!DOCTYPE|<!ENTITY|<image\b|<feImage\b|@import|<script\b", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"""href\s*=\s*(?:"(?!#)|'(?!#))|url\(\s*['"]?(?!['"]?#)""", re.IGNORECASE)


def check_svg(text: str) -> None:
    """Refuses what no icon needs: other files, entities, scripts, size.

    Raises:
        DataError: If the drawing has any of it.
    """
    if len(text) > MAX_SVG_BYTES:
        raise DataError(f"a drawing of {len(text):,} characters, {MAX_SVG_BYTES:,} are allowed")
    found = _REFUSED.search(text) or _ADDRESS.search(text)
    if found:
        raise DataError(f"a drawing that asks for more than itself: {found[0]!r}")


def draw_svg(text: str) -> Image.Image:
    """Draws an SVG, cropped to what is visible.

    A drawing may be made to exhaust time or memory: call it in a process that may be lost, see
    `ggm.corpus.art.renderer`.

    Args:
        text: The drawing.

    Returns:
        RGBA, at most as large as the canvas.

    Raises:
        DataError: If it can't be drawn, is refused by `check_svg`, or nothing is visible.
        MissingDependencyError: If resvg-py isn't installed.
    """
    resvg = load_resvg()
    check_svg(text)
    try:
        png = resvg.svg_to_bytes(svg_string=text, width=render.CANVAS, skip_system_fonts=True)
    except Exception as error:
        raise DataError(f"a drawing that can't be drawn: {error}") from error
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return render.crop_picture(image.convert("RGBA"), "a drawing")


def load_resvg() -> ModuleType:
    """The library.

    Raises:
        MissingDependencyError: If it isn't installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingDependencyError("drawings need resvg-py: pip install 'ggm[art]'") from error
    return resvg_py
