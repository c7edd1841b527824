"""A folder that yt-dlp (or youtube-dl) filled: videos with ``.info.json`` files beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, ClassVar, Final

from ggm.corpus.importers.cells import join_texts, read_hashtags, read_id, read_text
from ggm.corpus.importers.drafts import Context, Draft, Found, Rejected, Row, Skipped
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import is_video, walk
from ggm.errors import DataError

MAX_INFO_BYTES: Final = 64_000_000
"""Of one ``.info.json``; with all comments a few megabytes are usual."""

_ENDING: Final = ".info.json"
_ID_IN_BRACKETS: Final = re.compile(r"\[([^\[\]]+)\]$")
_LISTS: Final = frozenset({"playlist", "multi_video", "channel", "compat_list"})
_AUTHOR_KEYS: Final = ("uploader_id", "channel_id", "uploader", "channel", "creator")
_TIME_KEYS: Final = ("timestamp", "upload_date", "release_timestamp", "release_date")
_FACTS: Final = {"page": "webpage_url", "licence": "license", "extractor": "extractor"}


@dataclass(frozen=True)
class YtDlp:
    """Downloads with ``--write-info-json``: title, description and tags; folders within as well.

    The video is the one of the same stem, else of a file name that the sidecar states, else of the
    id, beside the sidecar; else it is looked for in the videos folder.
    """

    name: ClassVar[str] = "ytdlp"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads sidecars; see `Importer`.

        Raises:
            DataError: If there is no such folder, or no sidecar in it.
        """
        root = Path(source)
        if not root.is_dir():
            raise DataError(f"{root}: not a folder of downloads")
        done = 0
        beside = _Neighbours()
        for path in walk(root):
            if path.name.lower().endswith(_ENDING):
                done += 1
                context.report(done, None)
                yield _read_one(path, path.relative_to(root).as_posix(), beside)
        if not done:
            raise DataError(f"{root}: no {_ENDING} in it; download with yt-dlp --write-info-json")


class _Neighbours:
    """Videos of one folder by stem, file name and id; of the folder that was asked about last."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._videos: dict[str, Path] = {}

    def find(self, folder: Path, names: Iterator[str]) -> Path | None:
        """The first of these that is there."""
        if folder != self._folder:
            self._folder, self._videos = folder, _by_name(folder)
        return next((self._videos[name] for name in names if name in self._videos), None)


def _by_name(folder: Path) -> dict[str, Path]:
    videos: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_video(path.name) or path.name.startswith(".") or not path.is_file():
            continue
        names = [path.name, path.stem]
        if bracketed := _ID_IN_BRACKETS.search(path.stem):
            names.append(bracketed[1])
        if path.stem[-12:-11] == "-":  # youtube-dl's default: TITLE-ID, of 11 characters
            names.append(path.stem[-11:])
        for name in names:
            videos.setdefault(name, path)
    return videos


def _read_one(path: Path, name: str, beside: _Neighbours) -> Found:
    content: Any = None
    try:
        content = _load(path)
        if content.get("_type") in _LISTS or "entries" in content:
            return Skipped("a playlist, no video")
        return _draft(Row(name, 0, _shown(content)), content, path, beside)
    except RowError as error:
        return Rejected(Row(name, 0, _shown(content)), error.reason, error.detail)


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_INFO_BYTES + 1)
        if len(text) > MAX_INFO_BYTES:
            raise RowError("a sidecar that is too large", f"more than {MAX_INFO_BYTES:,} bytes")
        content = json.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise RowError("a sidecar that can't be read", error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise RowError("not JSON", str(error)) from error
    if not isinstance(content, dict):
        raise RowError("an object is expected", f"got {type(content).__name__}")
    return content


def _draft(row: Row, content: Mapping[str, Any], path: Path, beside: _Neighbours) -> Draft:
    video_id = read_id(content.get("id"))
    stem = path.name[: -len(_ENDING)]
    names = [stem, *_stated_names(content), video_id]
    facts = {name: read_text(content.get(key)) for name, key in _FACTS.items()}
    return Draft(
        row=row,
        id=video_id,
        video=beside.find(path.parent, iter(names)),
        names=tuple(name for name in dict.fromkeys(names) if name),
        description=join_texts(read_text(content.get("title")), read_text(content.get("description"))),
        hashtags=read_hashtags(content.get("tags")),
        author=next((read_text(content[key]) for key in _AUTHOR_KEYS if content.get(key)), ""),
        created=next((content[key] for key in _TIME_KEYS if content.get(key)), None),
        facts={name: fact for name, fact in facts.items() if fact},
    )


def _stated_names(content: Mapping[str, Any]) -> Iterator[str]:
    """File names that the sidecar states. Their folders are those of another day or machine."""
    downloads = content.get("requested_downloads")
    places = [item for item in downloads if isinstance(item, Mapping)] if isinstance(downloads, list) else []
    for place in (*places, content):
        for key in ("filepath", "_filename", "filename"):
            value = place.get(key)
            if isinstance(value, str) and value:
                path = PureWindowsPath(value) if "\\" in value else PurePath(value)
                yield path.name
                yield path.stem


def _shown(content: Any) -> Any:
    """What `rejected.jsonl` keeps of a sidecar, which lists formats and subtitles at length."""
    if not isinstance(content, Mapping):
        return content
    kept = ("_type", "id", "title", "description", "tags", "webpage_url", "ext", *_AUTHOR_KEYS, *_TIME_KEYS)
    return {key: content[key] for key in kept if content.get(key) is not None}
