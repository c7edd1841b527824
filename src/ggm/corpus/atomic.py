"""Files that take their place whole or not at all, and that one process writes at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ggm.errors import DataError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside the final one that takes its place when the block ends well.

    Args:
        path: What was there stays if the block raises.

    Yields:
        The file to write; it exists and is empty.

    Raises:
        DataError: If it can't be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as made:
            partial = Path(made.name)
        try:
            yield partial
            # Temporary files are private; a manifest is as readable as its neighbours.
            partial.chmod(0o644)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error


def remove_leftovers(path: Path) -> None:
    """Remove what killed runs left of their attempts to write a file."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        leftover.unlink(missing_ok=True)


def lock_file(file: IO[bytes]) -> bool:
    """Keep other processes from locking a file, until it is closed or this process ends.

    Returns:
        Whether it could be had. Where the system has no such locks it always can.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
