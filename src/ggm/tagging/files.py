"""Files that are read within a limit and written whole or not at all, inside one folder alone."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Final

from ggm.errors import DataError

MAX_BYTES: Final = 64_000_000
"""Of one sidecar; with all comments an ``.info.json`` has a few megabytes."""

_LEFTOVER: Final = re.compile(r"\.ggm-[0-9a-f]{16}\.part")


def read(path: Path) -> bytes | None:
    """The content of a file; None if there is none.

    Raises:
        DataError: If it can't be read, is a link or no file, or is larger than `MAX_BYTES`.
    """
    try:
        if path.is_symlink():
            raise DataError(f"{path}: is a link; put a file in its place, or remove it")
        if not path.exists():
            return None
        if not path.is_file():
            raise DataError(f"{path}: is no file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: is larger than {MAX_BYTES // 10**6} MB, too large for a sidecar")
    return content


def write(path: Path, content: bytes | None) -> None:
    """Put a content in a file's place, durably, whole or not at all; its permissions stay.

    Args:
        path: Where.
        content: What; None removes the file.

    Raises:
        DataError: If it can't be written. What was there stays.
    """
    part = path.with_name(f".ggm-{secrets.token_hex(8)}.part")
    try:
        if content is None:
            path.unlink(missing_ok=True)
            return
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                part.chmod(path.stat().st_mode & 0o777)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error


def is_leftover(name: str) -> bool:
    """Whether a file is what a killed run left of a write."""
    return _LEFTOVER.fullmatch(name) is not None


def inside(folder: Path, relative: str) -> Path:
    """The path of a file in a folder.

    Args:
        folder: That may be written to.
        relative: Below it, with ``/``.

    Raises:
        DataError: If it leads out of the folder, by ``..``, because it is absolute or by a link.
    """
    path = folder / relative
    parts = relative.split("/")
    root = os.path.realpath(folder)
    if (
        ".." in parts
        or not parts[-1]
        or "\0" in relative
        or Path(relative).is_absolute()
        or not Path(os.path.realpath(path.parent)).is_relative_to(root)
    ):
        raise DataError(f"{relative!r} leads out of {folder}")
    return path
