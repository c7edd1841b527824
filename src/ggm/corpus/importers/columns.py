"""Which column or key of a table holds what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ggm.corpus.importers.cells import join_texts, read_hashtags, read_id, read_person, read_text
from ggm.corpus.importers.drafts import Draft, Row
from ggm.corpus.importers.videos import VIDEO_SUFFIXES
from ggm.errors import DataError

_NOT_IN_KEYS: Final = re.compile(r"[^a-z0-9.]")

# Names in the order in which they are believed, without case, spaces and underscores. Exports of
# TikTok, Instagram and YouTube tools, and what people call columns themselves.
_KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "video": (
        "video", "videopath", "videofile", "videofilepath", "videofilename", "file", "filename", "filepath",
        "path", "localpath", "media", "mediapath", "mediafile", "uri", "media.0.uri", "mp4", "videourl",
        "webvideourl", "downloadurl", "downloadaddr", "playaddr", "mediaurl", "permalink", "url", "link",
    ),
    "description": (
        "description", "caption", "desc", "videodescription", "text", "captiontext", "caption.text",
        "content", "body", "posttext", "message",
    ),
    "title": ("title", "videotitle", "headline", "media.0.title"),
    "hashtags": (
        "hashtags", "hashtag", "hashtagnames", "hashtaglist", "challenges", "tags", "tag", "usertags",
        "keywords", "labels", "topics",
    ),
    "id": ("id", "videoid", "postid", "awemeid", "itemid", "mediaid", "shortcode", "key", "uuid"),
    "author": (
        "author", "username", "user", "author.uniqueid", "authoruniqueid", "authorname", "uploader",
        "creator", "channel", "owner", "ownerusername", "account", "nickname", "authorid", "userid",
    ),
    "time": (
        "createtime", "createdat", "timestamp", "created", "creationtimestamp", "media.0.creationtimestamp",
        "takenat", "takenattimestamp", "publishedat", "publishtime", "posttime", "postedat", "uploaddate",
        "datetime", "date", "time", "createtimeiso",
    ),
    "split": ("split", "subset", "partition", "fold"),
    "licence": ("licence", "license"),
}  # fmt: skip
_MAX_KINDS: Final = 1_000
_FROM_ADDRESS: Final = frozenset(
    {
        "videourl",
        "webvideourl",
        "downloadurl",
        "downloadaddr",
        "playaddr",
        "mediaurl",
        "permalink",
        "url",
        "link",
    }
)


@dataclass(frozen=True)
class Columns:
    """The columns that the user names; those left out are found by their names.

    In JSON a column may lie deeper: ``author.uniqueId``, ``media.0.uri``.

    Args:
        video: The video's path, file name or address.
        description: What the creator wrote.
        hashtags: Those that stand apart from the description.
        id: The post's id.
        author: Who posted it.
        time: When.
    """

    video: str | None = None
    description: str | None = None
    hashtags: str | None = None
    id: str | None = None
    author: str | None = None
    time: str | None = None

    def named(self) -> dict[str, str]:
        """Those that the user names, by role."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {role: column for role, column in values if column is not None}

    def find(self, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Columns by role, in the order in which they are tried.

        Args:
            keys: Of the table, or of one object (deeper ones joined by dots).
        """
        by_name: dict[str, str] = {}
        for key in keys:
            by_name.setdefault(_NOT_IN_KEYS.sub("", key.lower()), key)
        found = {
            role: tuple(by_name[name] for name in names if name in by_name) for role, names in _KNOWN.items()
        }
        if self.description is not None:
            found["title"] = ()
        return {**found, **{role: (column,) for role, column in self.named().items()}}

    def find_in_header(self, header: Iterable[str], *, file: str) -> dict[str, tuple[str, ...]]:
        """Columns by role, of a table that must have them.

        Raises:
            DataError: If a named column is missing, or none holds videos, or none text or hashtags.
        """
        header = tuple(header)
        listed = ", ".join(column[:40] for column in header[:30]) or "none"
        for role, column in self.named().items():
            if column not in header and column.partition(".")[0] not in header:
                raise DataError(f"{file}: no column {column!r} for the {role}; there are {listed}")
        found = self.find(header)
        if not (found["video"] or found["id"]):
            raise DataError(f"{file}: no column names the video; there are {listed}; use --video-column")
        if not (found["hashtags"] or found["description"] or found["title"]):
            raise DataError(
                f"{file}: no column holds hashtags or a description; there are {listed}; "
                "use --hashtags-column or --description-column"
            )
        return found


def draft_from(row: Row, values: Mapping[str, Any], columns: Mapping[str, tuple[str, ...]]) -> Draft:
    """A draft of one row of a table, or one object.

    Args:
        row: Where it was read.
        values: Cells by column.
        columns: By role, as `Columns.find` gives them.

    Returns:
        The draft; its video is a path, a name, or bytes in a ``{"bytes", "path"}``.

    Raises:
        RowError: If a cell holds what it can't.
    """

    def first(role: str) -> Any:
        for column in columns[role]:
            value = look_up(values, column)
            if value is not None and value not in ("", [], {}):
                return value
        return None

    post_id = read_id(first("id"))
    paths, names, content = _videos(values, columns["video"])
    licence = read_text(first("licence"))
    return Draft(
        row=row,
        id=post_id,
        paths=paths,
        names=(*names, post_id) if post_id else names,
        data=content,
        description=join_texts(_text(first("title")), _text(first("description"))),
        hashtags=read_hashtags(first("hashtags")),
        author=read_person(first("author")),
        created=first("time"),
        split=_text(first("split")),
        facts={"licence": licence} if licence else {},
    )


def _text(value: Any) -> str:
    """A text; a list of texts as its parts."""
    if isinstance(value, (list, tuple)):
        return " ".join(read_text(item) for item in value)
    return read_text(value)


def _videos(
    values: Mapping[str, Any], columns: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[bytes, str] | None]:
    """Paths, names to look up, and the bytes of a video."""
    paths: list[str] = []
    names: list[str] = []
    for column in columns:
        value = look_up(values, column)
        if isinstance(value, Mapping):
            content, path = value.get("bytes"), value.get("path")
            if isinstance(content, (bytes, bytearray)) and content:
                return (), (), (bytes(content), _suffix(path))
            value = path
        if isinstance(value, (bytes, bytearray)) and value:
            return (), (), (bytes(value), ".mp4")
        if not isinstance(value, str) or not (path := read_text(value)):
            continue
        if "://" in path or _NOT_IN_KEYS.sub("", column.lower()) not in _FROM_ADDRESS:
            paths.append(path)
        else:
            names.append(path.rstrip("/").rpartition("/")[2])
    return tuple(paths), tuple(names), None


def _suffix(path: object) -> str:
    suffix = Path(path).suffix.lower() if isinstance(path, str) else ""
    return suffix if suffix in VIDEO_SUFFIXES else ".mp4"


def look_up(values: Mapping[str, Any], column: str) -> Any:
    """What stands under a column, perhaps deeper: ``author.uniqueId``, ``media.0.uri``; else None."""
    if column in values:
        return values[column]
    value: Any = values
    for step in column.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def deep_keys(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of an object, then those one and two levels deeper, joined by dots."""
    deeper: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            deeper += (f"{key}.{inner}" for inner in value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            deeper += (f"{key}.0.{inner}" for inner in value[0])
    return (*(str(key) for key in values), *deeper)


class ColumnFinder:
    """Finds the columns of objects that need not be alike, each kind of object once."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._known: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}

    def __call__(self, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Columns by role (see `Columns.find`)."""
        keys = deep_keys(values)
        if keys not in self._known:
            if len(self._known) >= _MAX_KINDS:
                self._known.clear()
            self._known[keys] = self._columns.find(keys)
        return self._known[keys]
