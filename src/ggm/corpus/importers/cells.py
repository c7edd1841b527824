"""What people write into cells: hashtags, times and names, in whatever notation."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ggm.corpus.importers.reasons import RowError

MAX_HASHTAGS: Final = 1_000
"""Of one row; more are no list of hashtags."""

_NOTHING: Final = frozenset({"", "null", "none", "nan", "nat", "n/a", "[]", "{}", "\\n"})
_HASHTAG_KEYS: Final = ("title", "name", "hashtagName", "hashtag_name", "hashtag", "tag", "text")
_PERSON_KEYS: Final = ("uniqueId", "unique_id", "username", "user_name", "screen_name", "id", "name")
_HASH_SIGNS: Final = re.compile("[#＃﹟]")
_LIST_SEPARATORS: Final = re.compile(r"[,;|\n\r，、；]")
_MAX_LIST: Final = 100_000  # characters of a list that is written in a cell
_ROUNDED: Final = re.compile(r"\d[.,]\d+[eE]\+\d+")
_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d*)?")
_TWITTER_TIME: Final = "%a %b %d %H:%M:%S %z %Y"
_YEARS: Final = range(1971, 2201)


def read_text(value: object) -> str:
    """A cell as text: None and NaN are empty, 7.0 is 7, half of a surrogate pair is replaced.

    Raises:
        RowError: If it is a list or an object.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str):
        value = value.replace("\0", "")
        if value.isascii():
            return value.strip()
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    if isinstance(value, (int, float, date)):
        return str(value)
    raise RowError("text is expected", f"got {type(value).__name__}")


def read_id(value: object) -> str:
    """An id.

    Raises:
        RowError: If a spreadsheet rounded it, so that others have the same, or it is no text.
    """
    text = read_text(value)
    if _ROUNDED.fullmatch(text):
        raise RowError("an id that a spreadsheet rounded", f"{text}; export the column as text")
    return text


def read_person(value: object) -> str:
    """An author: a name, or an object that holds one.

    Raises:
        RowError: If it is a list.
    """
    if isinstance(value, Mapping):
        value = next((value[key] for key in _PERSON_KEYS if value.get(key)), None)
    return read_text(value)


def read_hashtags(value: object) -> tuple[str, ...]:
    """Hashtags as they were typed.

    Args:
        value: A list of texts or of objects such as ``{"title": "winter"}``; or a text: a list in
            JSON or Python notation, ``#a #b``, ``a, b``, ``a; b``, ``a|b`` or ``a b``. Where
            something else separates them, spaces belong to a hashtag of several words.

    Returns:
        Not normalised; empty for a cell that says nothing.

    Raises:
        RowError: If it is something else, or there are more than `MAX_HASHTAGS`.
    """
    hashtags = tuple(text for text in _each_hashtag(value) if text)
    if len(hashtags) > MAX_HASHTAGS:
        raise RowError("too many hashtags", f"{len(hashtags):,}; at most {MAX_HASHTAGS:,}")
    return hashtags


def _each_hashtag(value: object) -> Iterator[str]:
    if isinstance(value, str):
        listed = _listed(value.strip())
        if listed is None:
            yield from _split(value)
            return
        value = listed
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, (list, tuple)):
        for item in value:
            if isinstance(item, Mapping):
                item = next((item[key] for key in _HASHTAG_KEYS if item.get(key)), None)
            yield read_text(item)
        return
    # One hashtag that is a number, or nothing.
    yield read_text(value)


def _listed(text: str) -> list[Any] | None:
    """The list that a text is in JSON or in Python (as pandas writes it), else None."""
    if not (text.startswith("[") and text.endswith("]") and len(text) <= _MAX_LIST):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list):
            return value
    return None


def _split(text: str) -> Iterator[str]:
    if text.strip().casefold() in _NOTHING:
        return
    text = read_text(text)
    parts: list[str] = [text]
    if _LIST_SEPARATORS.search(text):
        parts = _LIST_SEPARATORS.split(text)
    elif _HASH_SIGNS.search(text):
        parts = text.split()
    else:
        yield from text.split()
        return
    for part in parts:
        yield from (hashtag.strip(" \t[]\"'") for hashtag in _HASH_SIGNS.split(part))


def read_time(value: object) -> str | None:
    """When something was posted, in ISO 8601.

    Args:
        value: Seconds, milli-, micro- or nanoseconds since 1970, as a number or a text; ISO 8601;
            ``YYYYMMDD``; as in mail headers; as Twitter writes it; a date or time.

    Returns:
        In UTC where the time zone is known; None if the cell says nothing.

    Raises:
        RowError: If it can't be read.
    """
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if value is not None and not isinstance(value, (str, int, float)):
        raise RowError("a time that can't be read", f"got {type(value).__name__}")
    text = str(value).strip()
    if value is None or text.casefold() in _NOTHING or text in {"0", "0.0"}:
        return None
    try:
        moment = _parse_time(text)
    except (ValueError, OverflowError, OSError, TypeError, IndexError) as error:
        raise RowError("a time that can't be read", text[:100]) from error
    if moment.year not in _YEARS:
        raise RowError("a time that can't be read", text[:100])
    return _iso(moment) if isinstance(moment, datetime) else moment.isoformat()


def _parse_time(text: str) -> datetime | date:
    if re.fullmatch(r"(?:19|20)\d{6}", text):
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        while seconds > 1e11:  # the year 5138; so these are no seconds
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    if text[:1].isdigit():
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
        return datetime.fromisoformat(re.sub(r"\s*(?:UTC|GMT)$", "+00:00", text))
    try:
        return datetime.strptime(text, _TWITTER_TIME)
    except ValueError:
        return parsedate_to_datetime(text)


def _iso(moment: datetime) -> str:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat() + "Z"
    return moment.isoformat()


_ENDING = re.compile(r"(?:\.\.\.|…)?\s*$")


def join_texts(title: str, description: str) -> str:
    """A title and a description as one text; a title that only begins the description goes."""
    beginning = _ENDING.sub("", title)
    if not beginning or description.casefold().startswith(beginning.casefold()):
        return description or title
    if not description:
        return title
    return f"{title}{' ' if title[-1] in '.!?…:。！？' else '. '}{description}"
