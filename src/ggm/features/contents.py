"""Hashes of files by content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ggm.errors import MediaNotFoundError


class ContentHashes:
    """Hashes of files, remembered as long as size and time of change are the same."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, int, int], str] = {}

    def hash_of(self, path: Path) -> str:
        """Hash of a file's bytes.

        Raises:
            MediaNotFoundError: If it can't be read.
        """
        try:
            status = path.stat()
            known = (str(path.absolute()), status.st_size, status.st_mtime_ns)
            if known not in self._hashes:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20))
                self._hashes[known] = digest.hexdigest()
        except OSError as error:
            raise MediaNotFoundError(f"{path}: cannot read the video: {error.strerror or error}") from error
        return self._hashes[known]
