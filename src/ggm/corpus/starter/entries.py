"""The starter's file: a header in lines that begin with ``# ``, then hashtag, source and topic, by tabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ggm.corpus.atomic import replacing
from ggm.errors import DataError

SHIPPED: Final = Path(__file__).parent / "hashtags.tsv"

FORMS: Final = "forms of "
"""Topics of what is made by forms begin so."""

_HEADER: Final = "# "


@dataclass(frozen=True, slots=True)
class StarterEntry:
    """A hashtag of the starter.

    Args:
        hashtag: Canonical, in lower case.
        source: Key of one of `ggm.corpus.starter.sources.SOURCES`.
        topic: What it is about there, such as ``animal`` or ``cities``.
    """

    hashtag: str
    source: str
    topic: str


def write_entries(path: Path, entries: Iterable[StarterEntry], header: Sequence[str]) -> None:
    """Write the file: the whole of it, or nothing.

    Raises:
        DataError: If it can't be written.
    """
    lines = [f"{_HEADER}{line}".rstrip() for line in header]
    lines += [f"{entry.hashtag}\t{entry.source}\t{entry.topic}" for entry in entries]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")


def read_starter(path: Path) -> tuple[StarterEntry, ...]:
    """The entries of a file that `write_entries` wrote, in its order.

    Raises:
        DataError: If it can't be read, or a line has another format.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 3 or not all(parts):
            raise DataError(
                f"{path}, line {number}: not a hashtag, its source and its topic between tabs; "
                "build the file again: ggm corpus hashtags"
            )
        entries.append(StarterEntry(*parts))
    return tuple(entries)


def shipped_starter(*, forms: bool = True) -> tuple[StarterEntry, ...]:
    """The entries that come along with the package.

    Args:
        forms: With what creators make of a word, such as ``gorillalover``.

    Raises:
        DataError: If the file is damaged.
    """
    entries = read_starter(SHIPPED)
    return entries if forms else tuple(one for one in entries if not one.topic.startswith(FORMS))
