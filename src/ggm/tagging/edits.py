"""Changes of a file's bytes that can be taken back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ggm.errors import DataError


class Edit(NamedTuple):
    """Bytes in place of others; with ``start`` and ``end`` alike it is an insertion.

    Args:
        start: First byte that goes.
        end: One behind the last.
        new: What comes there.
    """

    start: int
    end: int
    new: bytes


def edited(content: bytes, edits: Sequence[Edit]) -> bytes:
    """The content with all edits made.

    Args:
        content: Before.
        edits: In any order; of several at one place the first comes first. They don't overlap.
    """
    parts, done = [], 0
    for start, end, new in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        parts += [content[done:start], new]
        done = end
    return b"".join([*parts, content[done:]])


@dataclass(frozen=True)
class Reversal:
    """How to get from a file as it was written back to what it was before.

    Args:
        prefix: How many of the first bytes stay.
        suffix: How many of the last.
        middle: What stood between them.
    """

    prefix: int
    suffix: int
    middle: bytes

    @classmethod
    def of(cls, before: bytes, after: bytes) -> Reversal:
        """The smallest one of this kind."""
        prefix = _common(before, after)
        rest = min(len(before), len(after)) - prefix
        suffix = _common(before[::-1][:rest], after[::-1][:rest])
        return cls(prefix, suffix, before[prefix : len(before) - suffix])

    def __call__(self, after: bytes) -> bytes:
        """What was before."""
        return after[: self.prefix] + self.middle + after[len(after) - self.suffix :]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "prefix": self.prefix,
            "suffix": self.suffix,
            "middle": base64.b64encode(self.middle).decode(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Reversal:
        """The reverse of `to_dict`.

        Raises:
            DataError: If it isn't one.
        """
        try:
            prefix, suffix = int(values["prefix"]), int(values["suffix"])
            middle = base64.b64decode(values["middle"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a reversal: {error}") from error
        if min(prefix, suffix) < 0:
            raise DataError("not a reversal: a length is negative")
        return cls(prefix, suffix, middle)


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _common(one: bytes, other: bytes) -> int:
    """The length of what two begin with alike, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
