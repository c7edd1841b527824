"""Vine: posts and profiles as the archive has them, and as Nostr events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from ggm.corpus.importers.cells import read_hashtags, read_id, read_person, read_text
from ggm.corpus.importers.drafts import Context, Draft, Found, Rejected, Row, until_broken
from ggm.corpus.importers.json_values import json_files, read_values
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import address_name

_VIDEO_KEYS: Final = ("videourl", "videolowurl", "videodashurl")
_ID_KEYS: Final = ("postidstr", "postid", "shortid", "id")
_AUTHOR_KEYS: Final = ("username", "useridstr", "userid", "user")


@dataclass(frozen=True)
class Vine:
    """Posts (``archive.vine.co/posts/ID.json``), profiles with ``posts``, or Nostr events (NIP-71).

    As JSON, JSON Lines, or a folder of such files. Keys are recognised in any case. The video is
    looked for by the id of the post and by the file name in its addresses.
    """

    name: ClassVar[str] = "vine"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads posts; see `Importer`.

        Raises:
            DataError: If the source can't be read.
        """
        files = json_files(source)
        for path in files:
            yield from until_broken(_read(path, context), str(path), alone=len(files) == 1)


def _read(path: Path, context: Context) -> Iterator[Found]:
    for number, text, value in read_values(path, context):
        # A profile is one row with many posts.
        for post in _posts(value):
            row = Row(str(path), number, text if post is value and text else post)
            try:
                yield _draft(row, post)
            except RowError as error:
                yield Rejected(row, error.reason, error.detail)


def _posts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        inside = value.get("posts", value.get("records", value.get("data")))
        if isinstance(inside, Mapping):
            yield from _posts(inside)
            return
        if isinstance(inside, list):
            yield from inside
            return
    yield value


def _draft(row: Row, value: Any) -> Draft:
    if isinstance(value, RowError):
        raise value
    if isinstance(value, str):
        raise RowError("the id of a post without the post", value[:100])
    if not isinstance(value, Mapping):
        raise RowError("an object is expected", f"got {type(value).__name__}")
    if "kind" in value and isinstance(value.get("tags"), list):
        return _event(row, value)
    post = {str(key).lower(): item for key, item in value.items()}
    addresses = [read_text(post[key]) for key in _VIDEO_KEYS if post.get(key)]
    ids = [read_id(post[key]) for key in _ID_KEYS if post.get(key)]
    page = next((read_text(post[key]) for key in ("permalinkurl", "shareurl") if post.get(key)), "")
    author = next((post[key] for key in _AUTHOR_KEYS if post.get(key)), None)
    return Draft(
        row=row,
        id=ids[0] if ids else "",
        names=tuple(dict.fromkeys((*ids, address_name(page), *map(address_name, addresses)))),
        description=read_text(post.get("description")),
        author=read_person(author),
        created=post.get("created"),
        facts={"page": page} if page else {},
    )


def _event(row: Row, event: Mapping[str, Any]) -> Draft:
    """A draft of a Nostr event: ``t`` tags are hashtags, ``imeta`` tags have the addresses."""
    tags: dict[str, list[str]] = {}
    addresses: list[str] = []
    for tag in event["tags"]:
        if not (isinstance(tag, list) and len(tag) > 1 and all(isinstance(part, str) for part in tag)):
            continue
        tags.setdefault(tag[0], []).append(tag[1])
        if tag[0] == "imeta":
            addresses += (part.removeprefix("url ") for part in tag[1:] if part.startswith("url "))
    addresses += tags.get("url", [])

    def first(name: str) -> str:
        return read_text(tags.get(name, [""])[0])

    ids = [text for text in (first("d"), read_id(event.get("id"))) if text]
    return Draft(
        row=row,
        id=ids[0] if ids else "",
        names=tuple(dict.fromkeys((*ids, *map(address_name, addresses)))),
        description=read_text(event.get("content")) or first("title"),
        hashtags=read_hashtags(tags.get("t", [])),
        author=read_text(event.get("pubkey")),
        created=first("published_at") or event.get("created_at"),
        facts={"page": first("r")} if first("r") else {},
    )
