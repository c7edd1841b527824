"""Taking back what was written into a folder: exactly that, and only where nobody changed it since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ggm.errors import DataError
from ggm.tagging.edits import digest
from ggm.tagging.files import inside, read, write
from ggm.tagging.finding import ENDINGS, TABLE
from ggm.tagging.ledger import Entry, Ledger


@dataclass(frozen=True)
class Undone:
    """What became of a file.

    Args:
        target: Below the folder, with ``/``.
        outcome: ``restored`` to what it was, ``removed`` because there was none before, ``absent`` already,
            or ``kept`` as it is.
        reason: Why it was kept.
    """

    target: str
    outcome: Literal["restored", "removed", "absent", "kept"]
    reason: str = ""


def undo(folder: Path, ledger: Ledger, *, dry_run: bool = False) -> Iterator[Undone]:
    """Take back all that the ledger remembers, and forget it.

    A file that was changed since it was written stays, and so does its entry. Killed at any moment, it
    can be run again.

    Args:
        folder: That was tagged.
        ledger: Of it.
        dry_run: Nothing is written.

    Yields:
        One outcome a file, in the order of their names.

    Raises:
        DataError: While iterating, if the ledger can't be written.
    """
    for entry in sorted(ledger, key=lambda entry: (entry.target or TABLE, entry.video != "")):
        if not entry.target:  # a row of the CSV file, which goes with it
            if not dry_run and ledger.last("csv", "") is None:
                ledger.forget(entry.kind, entry.video)
            continue
        try:
            found = _undo(folder, ledger, entry, dry_run=dry_run)
        except DataError as error:
            found = Undone(entry.target, "kept", str(error))
        if found.outcome != "kept" and not dry_run:
            ledger.forget(entry.kind, entry.video)
        yield found


def _undo(folder: Path, ledger: Ledger, entry: Entry, *, dry_run: bool) -> Undone:
    if not entry.target.endswith((*ENDINGS.values(), TABLE)):
        raise DataError(f"the ledger names {entry.target!r}, which ggm doesn't write")
    path = inside(folder, entry.target)
    content = read(path)
    if content is None:
        return Undone(entry.target, "absent")
    now = digest(content)
    if entry.base is not None and now == entry.base:  # not written yet, or undone before a crash
        return Undone(entry.target, "restored")
    standing = ledger.standing(entry.kind, entry.video, now)
    if standing is None:
        if now == entry.before:  # the write that a crash prevented
            return Undone(entry.target, "restored")
        return Undone(entry.target, "kept", "it was changed since")
    if standing.reversal is None:
        if not dry_run:
            write(path, None)
        return Undone(entry.target, "removed")
    before = standing.reversal(content)
    if digest(before) != standing.base:
        return Undone(entry.target, "kept", "the ledger doesn't fit it")
    if not dry_run and before != content:
        write(path, before)
    return Undone(entry.target, "restored")
