"""Finding the video of a row among the local files, without trusting what the row says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ggm.corpus.importers.reasons import RowError

VIDEO_SUFFIXES: Final = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"}
)

_SEVERAL: Final = ""  # in the index: more than one video has this name


class VideoFolder:
    """The folder that relative paths are taken from, and that names are looked up in.

    A path in a row is text that somebody wrote. One that leads out of the folder, by ``..``, by a
    symbolic link or because it is absolute, is refused unless the user allows it. Addresses are
    never fetched: a file of that name is looked for.

    Args:
        folder: Where the videos lie; need not exist.
        allow_outside: Whether paths may lead out of it.
        check: Whether a video must be there. Without, a path that leads nowhere is good enough.
    """

    def __init__(self, folder: Path, *, allow_outside: bool = False, check: bool = True) -> None:
        self.folder = folder
        self._root = os.path.realpath(folder)
        self._allow_outside = allow_outside
        self._check = check
        self._index: dict[str, str] | None = None

    def find(self, paths: Iterable[str], names: Iterable[str] = ()) -> Path:
        """The first file that is there.

        Args:
            paths: Relative to the folder, absolute, or addresses; of these the file name counts.
            names: File names, with or without suffix, of videos anywhere in the folder.

        Returns:
            Its path.

        Raises:
            RowError: If there is none, the only ones lead out of the folder, or a name is ambiguous.
        """
        refused: RowError | None = None
        expected: Path | None = None
        wanted = [*names]
        tried: list[str] = []
        for text in paths:
            if "://" in text:
                wanted.insert(0, address_name(text))
                continue
            for variant in dict.fromkeys((text, text.replace("\\", "/"))):
                try:
                    path = self._inside(variant)
                except RowError as error:
                    refused = refused or error
                    continue
                if _is_file(path):
                    return path
                expected = expected or path
            tried.append(text)
        for name in filter(None, wanted):
            found = self._by_name(name)
            if found is not None:
                return found
            tried.append(name)
        if refused is not None:
            raise refused
        if expected is not None and not self._check:
            return expected
        raise RowError("no such video", ", ".join(dict.fromkeys(tried)) or "the row names none")

    def _inside(self, text: str) -> Path:
        if not text.strip() or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise RowError("a path that no file has", ascii(text))
        path = Path(os.path.normpath(self.folder / text))
        if not self._allow_outside and not self._is_inside(path):
            raise RowError("a path that leads out of the videos folder", f"{text}; --allow-outside lets it")
        return path

    def _by_name(self, name: str) -> Path | None:
        if self._index is None:
            self._index = _index(path for path in walk(self.folder) if self._may_use(path))
        for candidate in (name, Path(name).stem) if is_video(name) else (name,):
            found = self._index.get(candidate)
            if found == _SEVERAL:
                raise RowError("several videos of that name", candidate)
            if found is not None:
                return Path(found)
        return None

    def _may_use(self, path: Path) -> bool:
        """Whether a listed file lies in the folder, as all do but the linked ones."""
        return self._allow_outside or not path.is_symlink() or self._is_inside(path)

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._root)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def _index(paths: Iterable[Path]) -> dict[str, str]:
    """Paths of videos by file name and by stem."""
    index: dict[str, str] = {}
    for path in paths:
        if is_video(path.name):
            text = str(path)
            for name in (path.name, path.stem):
                index[name] = _SEVERAL if name in index else text
    return index


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder in the order of their names; hidden ones and linked folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def is_video(name: str) -> bool:
    """Tells by its suffix, in any case, whether a file is a video."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def address_name(address: str) -> str:
    """The file name in an address, such as ``a.mp4`` in ``https://example.org/v/a.mp4?x=1``; may be empty."""
    try:
        path = urlsplit(address).path
    except ValueError:  # such as an unclosed bracket of an IPv6 address
        return ""
    return unquote(path).rstrip("/").rpartition("/")[2]
