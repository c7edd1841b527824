"""Hashtags in JSON sidecars as yt-dlp names them: ``tags``, and ``hashtags`` beside them.

What is there is edited as text, so that other keys, their order and how numbers are written stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

from ggm.errors import DataError
from ggm.tagging.edits import Edit, edited

KEYS: Final = ("tags", "hashtags")

_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class _Member:
    """A value of the outermost object, and where it stands in the text."""

    value: Any
    start: int
    end: int


def read_info(content: bytes) -> dict[str, Any]:
    """The values of a sidecar.

    Raises:
        DataError: If it isn't a JSON object in UTF-8.
    """
    members, _ = _members(_decoded(content))
    return {name: member.value for name, member in members.items()}


def with_tags(content: bytes | None, hashtags: Sequence[str]) -> bytes:
    """A sidecar with hashtags in it; those that it has, in whatever case, aren't put in again.

    Args:
        content: Its bytes; None makes a new one.
        hashtags: Without number signs.

    Raises:
        DataError: If it isn't a JSON object in UTF-8, or has no list of texts where hashtags go.
    """
    if content is None:
        fresh = {name: list(hashtags) for name in KEYS}
        return (json.dumps(fresh, ensure_ascii=False, indent=1) + "\n").encode()
    text = _decoded(content)
    members, closing = _members(text)
    edits: list[Edit] = []
    added: list[str] = []
    for name in KEYS:
        there = members.get(name)
        if there is None:
            if hashtags:
                added.append(f"{json.dumps(name)}: {_dumped(hashtags)}")
        elif there.value is None:
            if hashtags:
                edits.append(_edit(text, there.start, there.end, _dumped(hashtags)))
        elif isinstance(there.value, list) and all(isinstance(item, str) for item in there.value):
            known = {item.lstrip("#").casefold() for item in there.value}
            fresh_ones = [item for item in hashtags if item.casefold() not in known]
            if fresh_ones:
                inner = ", " * bool(there.value) + _dumped(fresh_ones)[1:-1]
                place = _behind_last(text, there.end - 1)
                edits.append(_edit(text, place, place, inner))
        else:
            raise DataError(f"{name!r} is no list of texts")
    if added:
        place = _behind_last(text, closing)
        edits.append(_edit(text, place, place, ", " * bool(members) + ", ".join(added)))
    return edited(content, edits)


def _dumped(hashtags: Sequence[str]) -> str:
    return json.dumps(list(hashtags), ensure_ascii=False)


def _edit(text: str, start: int, end: int, new: str) -> Edit:
    """From places in the text to places in its bytes."""
    first = len(text[:start].encode())
    return Edit(first, first + len(text[start:end].encode()), new.encode())


def _behind_last(text: str, closing: int) -> int:
    """Behind what stands before a closing bracket, without the white space between."""
    return len(text[:closing].rstrip(" \t\r\n"))


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("isn't in UTF-8") from error


def _members(text: str) -> tuple[dict[str, _Member], int]:
    """The members of the outermost object, of a repeated name the last, and where it closes."""
    decoder = json.JSONDecoder()
    try:
        place = _after_space(text, 1 if text.startswith("\ufeff") else 0)
        place = _after(text, place, "{")
        members: dict[str, _Member] = {}
        while text[place : place + 1] != "}":
            if members:
                place = _after_space(text, _after(text, place, ","))
            name, place = scanstring(text, _after(text, place, '"'), True)
            start = _after_space(text, _after(text, _after_space(text, place), ":"))
            value, end = decoder.raw_decode(text, start)
            members[name] = _Member(value, start, end)
            place = _after_space(text, end)
        if text[place + 1 :].strip(" \t\r\n"):
            raise ValueError("something follows the object")
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no JSON object: {error}") from error
    return members, place


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _after(text: str, place: int, sign: str) -> int:
    """Behind a sign, and for a brace behind the white space that follows."""
    if text[place : place + 1] != sign:
        raise ValueError(f"{sign!r} was expected at character {place}")
    return _after_space(text, place + 1) if sign == "{" else place + 1
