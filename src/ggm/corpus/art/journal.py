"""What was rendered already: a build that was ended goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from ggm.corpus.atomic import lock_file
from ggm.errors import DataError

_NAME: Final = ".rendered.jsonl"


class Journal:
    """The answers of the renderer, by item.

    Args:
        path: JSON Lines; its first line is what the build is of. Lines of another build, and one that
            was cut off, play no part.
        build: Stands for all that decides what is rendered.

    Raises:
        DataError: If it can't be read or written.
    """

    def __init__(self, path: Path, build: str) -> None:
        self.answers: dict[str, dict[str, str]] = {}
        self._out: IO[str]
        try:
            lines = list(_read(path)) if path.exists() else []
            goes_on = lines[:1] == [{"build": build}]
            if goes_on:
                self.answers = {line.pop("id"): line for line in lines[1:] if "id" in line}
            # What is there is never written anew, so that being ended here loses nothing.
            self._out = path.open("a" if goes_on else "w", encoding="utf-8")
            self._out.write("\n" if goes_on else json.dumps({"build": build}) + "\n")
            self._out.flush()
        except OSError as error:
            raise DataError(f"{path}: can't be read and written: {error.strerror or error}") from error

    def add(self, id_: str, answer: dict[str, str]) -> None:
        """Keeps an answer, also if this process ends after it."""
        self.answers[id_] = answer
        self._out.write(json.dumps({"id": id_, **answer}) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Closes the file."""
        self._out.close()


def _read(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


@contextmanager
def building_folder(out: Path, build: str) -> Iterator[tuple[Path, Journal]]:
    """A folder beside the final one, which is kept if the build fails, for the next to go on.

    Args:
        out: The final one; the folder beside it takes its place when the block ends well.
        build: As for `Journal`; what another build left is removed.

    Yields:
        The folder and its journal.

    Raises:
        DataError: If another process builds there, or nothing can be written.
    """
    folder = out.parent / f".{out.name}.building"
    lock_path = out.parent / f".{out.name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_path.open("ab")
    except OSError as error:
        raise DataError(f"{folder}: can't be made: {error.strerror or error}") from error
    with lock:
        if not lock_file(lock):
            raise DataError(f"{out}: is being built by another process")
        journal = Journal(folder / _NAME, build)
        if not journal.answers:
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != _NAME:
                    path.unlink()
        try:
            yield folder, journal
        finally:
            journal.close()
        (folder / _NAME).unlink()
        if out.exists():
            out.rmdir()
        folder.replace(out)
        lock_path.unlink(missing_ok=True)
