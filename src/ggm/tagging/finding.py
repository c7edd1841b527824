"""The videos of a folder, and the names of what stands beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ggm.corpus.importers.videos import is_video, walk
from ggm.errors import DataError
from ggm.tagging.files import is_leftover

Kind = Literal["sidecar", "json", "csv"]
"""What is written: XMP sidecars, ``.info.json`` files, or one CSV file for the folder."""

ENDINGS: Final = {"sidecar": ".xmp", "json": ".info.json"}
TABLE: Final = "ggm-hashtags.csv"


@dataclass(frozen=True)
class FoundVideo:
    """A video in the folder.

    Args:
        path: Of the file.
        name: The path below the folder, with ``/``.
        alone: Whether no other video beside it has its stem.
        stamp: Size in bytes and time of the last change in nanoseconds.
    """

    path: Path
    name: str
    alone: bool
    stamp: tuple[int, int]


def find_videos(folder: Path) -> Iterator[FoundVideo]:
    """The videos below a folder in the order of their names; hidden ones and linked folders are left out.

    Args:
        folder: With videos; folders within count.

    Raises:
        DataError: If there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    beside: list[Path] = []
    for path in walk(folder):
        if not is_video(path.name):
            continue
        if beside and beside[0].parent != path.parent:
            yield from _of_one_folder(folder, beside)
            beside = []
        beside.append(path)
    yield from _of_one_folder(folder, beside)


def _of_one_folder(folder: Path, paths: list[Path]) -> Iterator[FoundVideo]:
    stems: dict[str, int] = {}
    for path in paths:
        stems[path.stem] = stems.get(path.stem, 0) + 1
    for path in paths:
        name = path.relative_to(folder).as_posix()
        yield FoundVideo(path, name, stems[path.stem] == 1, stamp_of(path))


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change; (-1, -1) where the file can't be looked at."""
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)


def sidecar_names(video: FoundVideo, ending: str) -> list[str]:
    """The names that a sidecar of a video may have, below the folder.

    Programs differ: ``clip.mp4.xmp`` (digiKam, darktable) or ``clip.xmp`` (Lightroom), and yt-dlp writes
    ``clip.info.json``. A name without the video's own ending is only taken where no other video beside it
    could be meant.

    Args:
        video: Which.
        ending: Of the sidecar, with the dot.

    Returns:
        Best first: what a new one is called.
    """
    full = f"{video.name}{ending}"
    if not video.alone:
        return [full]
    short = f"{video.name.removesuffix(video.path.suffix)}{ending}"
    return [full, short] if ending == ENDINGS["sidecar"] else [short, full]


def existing_sidecar(folder: Path, video: FoundVideo, ending: str) -> str | None:
    """The sidecar that a video has, below the folder; None if it has none."""
    return next((name for name in sidecar_names(video, ending) if os.path.lexists(folder / name)), None)


def leftovers(folder: Path) -> Iterator[Path]:
    """Files that killed runs left unfinished."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") or name == ".ggm"]
        yield from (Path(parent, name) for name in names if is_leftover(name))
