"""What an importer says of each row of its source, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import VideoFolder
from ggm.errors import DataError

Report = Callable[[int, int | None], None]
"""Is told how much is done and of how much (None: unknown): bytes, files or rows."""


@dataclass(frozen=True)
class Row:
    """Where something was read.

    Args:
        file: As the source names it.
        number: Of the row (of a text: its line) from 1; 0 stands for the file as a whole.
        content: The row itself: text, or what JSON can hold.
    """

    file: str
    number: int
    content: Any


@dataclass(frozen=True)
class Rejected:
    """A row that can't become a post.

    Args:
        row: Which one.
        reason: Of a small number of reasons, by which rows are counted.
        detail: What is particular to this row; may be empty.
    """

    row: Row
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Skipped:
    """What was never meant to become a post, such as a photograph; it is counted, not set aside."""

    reason: str


@dataclass(frozen=True)
class Draft:
    """A post as its source has it: nothing is checked, normalised or looked up yet.

    The video is whichever is found first of `video`, `paths`, `names` and `data`.

    Args:
        row: Where it was read.
        id: May be empty; the video's path stands in for it then.
        video: A file that the importer itself found.
        paths: Where the row says that the video lies. Not to be trusted.
        names: File names, with or without suffix, to look for in the videos folder.
        data: The video's own bytes, and the suffix of the file they are to be in.
        description: With inline hashtags, as it was typed.
        hashtags: Those that stand apart from the description, as they were typed.
        author: Who posted it; may be empty.
        created: When, in any notation that `read_time` knows.
        split: Name of the split it belongs to; may be empty.
        facts: What ``sources.jsonl`` keeps beside the id, such as the licence.
    """

    row: Row
    id: str = ""
    video: Path | None = None
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    data: tuple[bytes, str] | None = None
    description: str = ""
    hashtags: tuple[str, ...] = ()
    author: str = ""
    created: object = None
    split: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


Found = Draft | Rejected | Skipped


@dataclass(frozen=True)
class Context:
    """What an importer works with.

    Args:
        videos: Where the videos lie.
        report: Is told how far the reading is.
    """

    videos: VideoFolder
    report: Report


class Importer(Protocol):
    """Reads one format."""

    name: ClassVar[str]

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads rows one after another; memory holds no more than a few of them.

        Args:
            source: A path, or whatever else the format takes.
            context: What there is to work with.

        Yields:
            What became of each row, in order.

        Raises:
            DataError: If the source can't be used at all.
        """
        ...


def until_broken(found: Iterator[Found], file: str, *, alone: bool = True) -> Iterator[Found]:
    """What could be read of a file, and a `Rejected` for the rest if it breaks off.

    Args:
        found: What is read.
        file: Of which.
        alone: Whether it is all that the source has; if not, it is no reason to stop that it can't
            be opened.

    Raises:
        DataError: If it can't be opened and is alone.
    """
    try:
        yield from found
    except RowError as error:
        yield Rejected(Row(file, 0, None), error.reason, error.detail)
    except DataError as error:
        if alone:
            raise
        yield Rejected(Row(file, 0, None), "a file that can't be read", str(error))
