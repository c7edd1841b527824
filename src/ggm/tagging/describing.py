"""What is said of a video already: in a sidecar of any kind, or by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

from ggm.corpus.importers.cells import join_texts
from ggm.tagging.files import inside, read
from ggm.tagging.finding import ENDINGS, FoundVideo, existing_sidecar
from ggm.tagging.infojson import read_info
from ggm.tagging.xmp import read_xmp

Describe = Literal["sidecars", "name", "nothing"]
"""Where descriptions come from: sidecars, sidecars or else the file's name, or nowhere."""

_BRACKETED: Final = re.compile(r"\s*\[[^\[\]]*\]\s*$")  # the id, as yt-dlp puts it there
_BY_CAMERA: Final = re.compile(
    r"(?:img|vid|mov|mvi|dsc[a-z]?|dscf|pxl|gopr|gx|gh|dji|wa|trim|screen|recording|video|clip|copy|final)?\d*",
    re.IGNORECASE,
)


def description_of(folder: Path, video: FoundVideo, describe: Describe = "sidecars") -> str:
    """The description of a video.

    yt-dlp's ``.description`` and the description of ``.info.json`` come before XMP's dc:description, each
    behind the title of the same kind unless that only begins it.

    Args:
        folder: In which the video was found.
        video: Which.
        describe: Where to look.

    Returns:
        The text; empty if there is none.

    Raises:
        DataError: If a sidecar can't be read.
    """
    if describe == "nothing":
        return ""
    text = _of_download(folder, video) or _of_xmp(folder, video)
    return text or (words_of_name(video.path.stem) if describe == "name" else "")


def words_of_name(stem: str) -> str:
    """The words of a file name: without yt-dlp's id in brackets, and without what cameras call files.

    Args:
        stem: The name without its ending.

    Returns:
        The text; empty for names such as ``IMG_2041`` or ``20240801_101500``.
    """
    words = re.split(r"[\s_.\-+]+", _BRACKETED.sub("", stem))
    return " ".join(word for word in words if not _BY_CAMERA.fullmatch(word))


def _of_download(folder: Path, video: FoundVideo) -> str:
    info: dict[str, Any] = {}
    name = existing_sidecar(folder, video, ENDINGS["json"])
    content = None if name is None else read(inside(folder, name))
    if content is not None:
        info = read_info(content)
    written = _text(info.get("description"))
    name = existing_sidecar(folder, video, ".description")
    content = None if name is None else read(inside(folder, name))
    if content is not None:
        written = content.decode("utf-8", "replace").strip()
    return join_texts(_text(info.get("title")), written)


def _of_xmp(folder: Path, video: FoundVideo) -> str:
    name = existing_sidecar(folder, video, ENDINGS["sidecar"])
    content = None if name is None else read(inside(folder, name))
    if content is None:
        return ""
    xmp = read_xmp(content)
    return join_texts(xmp.title, xmp.description)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
