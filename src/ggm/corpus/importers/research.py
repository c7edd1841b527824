"""The JSON Lines that were released with the paper's code, in both spellings of their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

from ggm.corpus.importers.cells import read_hashtags, read_id, read_text
from ggm.corpus.importers.drafts import Context, Draft, Found, Rejected, Row, until_broken
from ggm.corpus.importers.json_values import json_files, read_values
from ggm.corpus.importers.reasons import RowError
from ggm.hashtags import parse_caption

_HASH_SIGNS: Final = ("#", "＃", "﹟")
_SEPARATOR: Final = "[sep]"


@dataclass(frozen=True)
class ResearchPosts:
    """The readme's keys and the code's: ``hashtag`` or ``filtered_hashtag``, ``video_file_path`` or
    ``image_path`` (frames).

    The labels are those that are listed; words of the text that begin with ``#`` go, as the code
    drops them. The retrieved hashtags (``50_constrains``) are kept in ``sources.jsonl``.
    """

    name: ClassVar[str] = "research-jsonl"

    def read(self, source: str, context: Context) -> Iterator[Found]:
        """Reads objects of a file, or of all JSON files of a folder; see `Importer`.

        Raises:
            DataError: If it can't be read.
        """
        files = json_files(source)
        for path in files:
            yield from until_broken(self._read(path, context), str(path), alone=len(files) == 1)

    def _read(self, path: Path, context: Context) -> Iterator[Found]:
        for number, text, value in read_values(path, context):
            row = Row(str(path), number, text or value)
            try:
                if isinstance(value, RowError):
                    raise value
                if not isinstance(value, Mapping):
                    raise RowError("an object is expected", f"got {type(value).__name__}")
                draft = _draft(row, value)
                if not draft.paths and value.get("image_path"):
                    try:  # frames alone: their video may lie in the videos folder, under the id
                        context.videos.find((), draft.names)
                    except RowError as error:
                        raise RowError(
                            "frames but no video",
                            f"put {draft.id or 'the video'}.mp4 into a folder and name it by --videos",
                        ) from error
                yield draft
            except RowError as error:
                yield Rejected(row, error.reason, error.detail)


def _draft(row: Row, value: Mapping[str, Any]) -> Draft:
    post_id = read_id(value.get("id"))
    video = value.get("video_file_path")
    path = read_text(video[0] if isinstance(video, list) and video else video or None)
    hashtags = value.get("filtered_hashtag") or value.get("hashtag")
    facts = {
        "url": read_text(value.get("url")),
        "guidance": list(_separated(value.get("50_constrains"))),
    }
    return Draft(
        row=row,
        id=post_id,
        paths=(path,) if path else (),
        # Paths are of the authors' machine, so the file's name and the id count as well.
        names=tuple(name for name in (PurePosixPath(path).name, post_id) if name),
        description=_without_hashtags(read_text(value.get("text"))),
        hashtags=_separated(hashtags),
        facts={name: fact for name, fact in facts.items() if fact},
    )


def _without_hashtags(text: str) -> str:
    """A text without its words that begin with ``#``, and without the hashtags within words."""
    kept = (word for word in text.split() if not word.startswith(_HASH_SIGNS))
    return parse_caption(" ".join(kept)).description


def _separated(value: object) -> tuple[str, ...]:
    """Hashtags of a list, or of a text that joins them by ``[sep]``."""
    if isinstance(value, str) and _SEPARATOR in value:
        return tuple(part.strip() for part in value.split(_SEPARATOR) if part.strip())
    return read_hashtags(value)
