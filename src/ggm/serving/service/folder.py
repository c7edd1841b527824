"""The folder of uploads: gone with its process; what a killed one left goes at the next start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ggm.corpus.atomic import lock_file

_PREFIX: Final = "ggm-serve-"
_LOCK: Final = ".lock"


@contextmanager
def upload_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder that only this user may look into.

    Args:
        parent: Where; by default the system's place for temporary files (``TMPDIR``).
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        with (folder / _LOCK).open("wb") as lock:
            lock_file(lock)
            uploads = folder / "uploads"
            uploads.mkdir()
            yield uploads
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Folders whose process is gone: its lock is free."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
                continue
            with (folder / _LOCK).open("r+b") as lock:
                if lock_file(lock):
                    shutil.rmtree(folder, ignore_errors=True)
