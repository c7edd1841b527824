"""The files beside the manifest, written row by row while it is made."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

_MAX_DEPTH: Final = 50


class SideFile:
    """A JSON Lines file that takes its place when it is committed, and leaves no trace otherwise.

    Without a row there is no file; one from an earlier attempt goes.

    Args:
        path: Replaced if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial: Path | None = None
        self._out: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is not None:
            self._out.close()
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row."""
        if self._out is None:
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            self._partial = Path(name)
            self._out = os.fdopen(descriptor, "wb")
        try:
            line = json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # bytes that couldn't be decoded, kept as surrogates
            line = json.dumps(row).encode()
        self._out.write(line + b"\n")

    def commit(self) -> None:
        """Puts the file in its place."""
        if self._out is None or self._partial is None:
            self._path.unlink(missing_ok=True)
            return
        self._out.close()
        self._partial.chmod(0o644)
        self._partial.replace(self._path)


def readable(value: object, *, depth: int = 0) -> Any:
    """A row as JSON can hold it: bytes become their number, NaN null, whatever else its text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value):,} bytes>"
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): readable(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(item, depth=depth + 1) for item in value]
    return str(value)
