"""Sizes as people write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """A number of bytes such as ``50GB``, ``1.5 TB``, ``512MiB`` or ``1000000``.

    Raises:
        ValueError: If it is anything else, or less than a byte.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size; write it like 50GB, 512MiB or 1000000")
    size = int(float(match[1]) * (_BINARY_UNITS if match[3] else _UNITS)[match[2].upper()])
    if size < 1:
        raise ValueError(f"a size must be at least one byte, got {text!r}")
    return size
