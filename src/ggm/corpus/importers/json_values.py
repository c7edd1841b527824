"""Values in JSON files of any size: JSON Lines, arrays, and objects with a list inside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ggm.corpus.importers.drafts import Context
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.text import MAX_LINE, TextFile, is_decoded, open_text, plain_suffix
from ggm.corpus.importers.videos import walk
from ggm.errors import DataError

MAX_OBJECT: Final = 64_000_000
"""Characters of the largest object that is read at once; arrays and lines may go on for ever."""

LINE_SUFFIXES: Final = frozenset({".jsonl", ".ndjson", ".jsonlines"})
JSON_SUFFIXES: Final = LINE_SUFFIXES | {".json"}

_LISTS: Final = ("posts", "videos", "items", "records", "results", "data")
_CHUNK: Final = 1 << 18
_BLANK: Final = " \t\r\n\ufeff"
_TOO_LARGE: Final = (
    f"more than {MAX_OBJECT:,} characters in one object; write its list as JSON Lines, as by jq -c '.posts[]'"
)


def json_files(source: str) -> tuple[Path, ...]:
    """The file, or the JSON files below a folder in order.

    Raises:
        DataError: If there is none.
    """
    path = Path(source)
    if not path.is_dir():
        return (path,)
    files = tuple(file for file in walk(path) if plain_suffix(file) in JSON_SUFFIXES)
    if not files:
        raise DataError(f"{path}: no .json or .jsonl file in this folder")
    return files


def read_values(
    path: Path, context: Context, *, encoding: str = "utf-8"
) -> Iterator[tuple[int, str, Any | RowError]]:
    """The values of one file, one after another.

    Args:
        path: JSON Lines; an array; or an object, with a list of objects somewhere inside or not.
        context: Is told how far the reading is.
        encoding: Unless a byte order mark says otherwise.

    Yields:
        The line's, or the element's, number from 1, its text where it is a line, and its value or
        why it has none.

    Raises:
        DataError: If the file can't be opened.
        RowError: If it breaks off, or can't be understood any further.
    """
    total = path.stat().st_size if path.is_file() else None
    with open_text(path, report=lambda done: context.report(done, total), encoding=encoding) as text:
        # What it is shows in its first two lines.
        first, second = _next_line(text), _next_line(text)
        begun = first + second
        is_lines = bool(second) and (_is_object(first) or _is_object(second))
        start = begun.lstrip(_BLANK)[:1]
        if start == "[" and not is_lines:
            yield from _from_array(JsonScanner(text, begun))
        elif start == "{" and not is_lines and plain_suffix(path) not in LINE_SUFFIXES:
            yield from _from_object(JsonScanner(text, begun))
        else:
            yield from _from_lines(chain(StringIO(begun), text.lines()))


def _next_line(text: TextFile) -> str:
    """The next line that isn't blank, after the blank ones before it."""
    lines = ""
    while line := text.line():
        lines += line
        if line.strip(_BLANK) or len(lines) > MAX_LINE:
            break
    return lines


def _is_object(line: str) -> bool:
    try:
        return isinstance(_loads(line), dict)
    except RowError:
        return False


def _loads(text: str) -> Any:
    try:
        return json.loads(text.strip(_BLANK))
    except (ValueError, RecursionError) as error:
        raise RowError("not JSON", str(error)) from error


def _from_lines(lines: Iterable[str]) -> Iterator[tuple[int, str, Any | RowError]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip(_BLANK):
            continue
        value: Any
        try:
            if not is_decoded(line):
                raise RowError("bytes that can't be decoded", "name the encoding by --encoding")
            value = _loads(line)
        except RowError as error:
            value = error
        yield number, line.rstrip("\r\n"), value


def _from_array(scanner: JsonScanner) -> Iterator[tuple[int, str, Any]]:
    scanner.skip("[")
    number = 0
    if scanner.peek() == "]":
        return
    while True:
        number += 1
        yield number, "", scanner.value()
        if scanner.peek() == "]":
            return
        scanner.skip(",")


def _from_object(scanner: JsonScanner) -> Iterator[tuple[int, str, Any]]:
    whole = scanner.value()
    posts = _longest_list(whole) if isinstance(whole, Mapping) else None
    for number, value in enumerate([whole] if posts is None else posts, start=1):
        yield number, "", value


def _longest_list(value: Mapping[str, Any]) -> list[Any] | None:
    """The longest list of objects in an object, three levels deep; None if the object is a post.

    That it is one shows in that its text, id or video stands at the top, and no list that is
    called one of posts.
    """
    for name in _LISTS:
        listed = value.get(name)
        if isinstance(listed, list) and any(isinstance(element, Mapping) for element in listed):
            return listed
    if {"id", "postId", "postIdStr", "description", "caption", "desc", "video"} & value.keys():
        return None
    found: list[Any] | None = None
    level: list[Mapping[str, Any]] = [value]
    for _depth in range(3):
        deeper: list[Mapping[str, Any]] = []
        for item in (item for mapping in level for item in mapping.values()):
            if isinstance(item, Mapping):
                deeper.append(item)
            elif (
                isinstance(item, list)
                and any(isinstance(element, Mapping) for element in item)
                and (found is None or len(item) > len(found))
            ):
                found = item
        level = deeper
    return found


class JsonScanner:
    """Takes a text apart value by value, with no more of it in memory than one value needs.

    Args:
        text: Read on from where it stands.
        begun: What was read of it already.
    """

    def __init__(self, text: TextFile, begun: str = "") -> None:
        self._text = text
        self._buffer = begun
        self._at = 0
        self._ended = False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that isn't blank; "" at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _BLANK:
                    return self._buffer[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._read(_CHUNK)

    def skip(self, character: str) -> None:
        """Passes over one character.

        Raises:
            RowError: If another one stands there.
        """
        found = self.peek()
        if found != character:
            raise RowError("JSON that is damaged from here on", f"{character!r} expected, got {found!r}")
        self._at += 1

    def value(self) -> Any:
        """The next value.

        Raises:
            RowError: If it is no JSON or too large.
        """
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise RowError("JSON that is damaged from here on", error.msg) from error
            except (ValueError, RecursionError) as error:
                raise RowError("JSON that is damaged from here on", str(error)) from error
            else:
                if end < len(self._buffer) or self._ended:  # else a number may go on
                    self._at = end
                    return value
            held = len(self._buffer) - self._at
            if held > MAX_OBJECT:
                raise RowError("an object that is too large", _TOO_LARGE)
            self._read(max(_CHUNK, held))  # twice as much, so that long values aren't parsed often

    def _read(self, characters: int) -> None:
        more = self._text.read(characters)
        self._ended = not more
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
