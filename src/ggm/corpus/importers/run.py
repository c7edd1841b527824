"""From a source to a dataset folder: what all formats have in common."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ggm.corpus.importers.cells import read_time
from ggm.corpus.importers.drafts import Context, Draft, Found, Importer, Rejected, Report, Row, Skipped
from ggm.corpus.importers.outputs import SideFile, readable
from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.videos import VideoFolder
from ggm.corpus.manifest import (
    MANIFEST_NAME,
    MANIFEST_NAMES,
    METADATA_NAME,
    write_json,
    write_manifest,
)
from ggm.errors import DataError, HashtagError
from ggm.hashtags import key, normalise, parse_caption
from ggm.records import Post

REJECTED_NAME: Final = "rejected.jsonl"
SOURCES_NAME: Final = "sources.jsonl"
FORMAT_VERSION: Final = 1

_MAX_LICENCES: Final = 1_000
_NO_LICENCE: Final = "The source states none; the videos remain their makers'."


@dataclass(frozen=True)
class ImportSummary:
    """What came of an import.

    Args:
        manifest: The file that was written.
        posts: How many it holds.
        rejected: Rows that stand in ``rejected.jsonl``, by reason.
        skipped: What was never meant to become a post, by reason.
        notes: What was left out of posts that were kept, by reason.
        licences: Posts by the licence that the source states, if it states any.
    """

    manifest: Path
    posts: int
    rejected: dict[str, int]
    skipped: dict[str, int]
    notes: dict[str, int]
    licences: dict[str, int]


@dataclass
class _Tally:
    posts: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def summary(self, manifest: Path) -> ImportSummary:
        counts = (
            dict(counter.most_common())
            for counter in (self.rejected, self.skipped, self.notes, self.licences)
        )
        return ImportSummary(manifest, self.posts, *counts)


def import_posts(
    source: Path | str,
    out: Path | str,
    *,
    importer: Importer,
    videos: Path | str | None = None,
    allow_outside: bool = False,
    check_videos: bool = True,
    manifest: str = MANIFEST_NAME,
    progress: Report | None = None,
) -> ImportSummary:
    """Makes a dataset folder of what people have.

    Inline hashtags become labels and leave the description. Rows that can't be used never stop the
    import: they are counted and set aside in ``rejected.jsonl``. Licences and addresses that the
    source states are kept in ``sources.jsonl``, how it was made in ``dataset.json``. Videos stay
    where they are. The manifest comes last: where there is one, all the rest is whole.

    Args:
        source: What the importer reads.
        out: The dataset folder; may hold the videos already, but no manifest.
        importer: Of the source's format (see `make_importer`).
        videos: Folder that relative paths are taken from and names are looked up in; by default
            the source if it is a folder, else the folder it lies in.
        allow_outside: Whether rows may name videos outside of that folder.
        check_videos: Whether a row whose video isn't there is rejected.
        manifest: Name of the manifest.
        progress: Is told how far the reading is.

    Returns:
        What came of it.

    Raises:
        DataError: If the source can't be used, nothing in it can, `out` has a manifest, or
            something can't be written.
        ConfigError: If an option of the importer doesn't suit the source.
    """
    out, name = Path(out), str(source)
    for existing in MANIFEST_NAMES:
        if (out / existing).exists():
            raise DataError(f"{out / existing}: exists already; name another folder or remove it")
    context = Context(
        VideoFolder(_videos_folder(name, out, videos), allow_outside=allow_outside, check=check_videos),
        progress or _silent,
    )
    was_there = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        done = _Import(out, importer, name, context)
        with closing(done.posts()) as posts:
            write_manifest(posts, out / manifest)
    except OSError as error:
        raise DataError(f"{out}: can't be written: {error.strerror or error}") from error
    finally:
        if not was_there and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return done.tally.summary(out / manifest)


def _silent(_done: int, _total: int | None) -> None:
    return None


def _videos_folder(source: str, out: Path, videos: Path | str | None) -> Path:
    if videos is not None:
        if not Path(videos).is_dir():
            raise DataError(f"{videos}: not a folder of videos")
        return Path(videos)
    path = Path(source)
    if path.is_dir():
        return path
    return path.parent if path.exists() else out


class _Import:
    """One run: posts come out, everything else goes to its place."""

    def __init__(self, out: Path, importer: Importer, source: str, context: Context) -> None:
        self.tally = _Tally()
        self._out = out
        self._importer = importer
        self._source = source
        self._context = context
        self._seen: set[str] = set()

    def posts(self) -> Generator[Post, None, None]:
        """All posts; when the last was taken, the other files stand in their places.

        Raises:
            DataError: If there is none.
        """
        with (
            SideFile(self._out / REJECTED_NAME) as rejected,
            SideFile(self._out / SOURCES_NAME) as sources,
        ):
            for found in self._found():
                if isinstance(found, Skipped):
                    self.tally.skipped[found.reason] += 1
                    continue
                if isinstance(found, Rejected):
                    self._set_aside(found, rejected)
                    continue
                try:
                    post = self._to_post(found)
                except RowError as error:
                    self._set_aside(Rejected(found.row, error.reason, error.detail), rejected)
                    continue
                self._keep_facts(post, found, sources)
                self.tally.posts += 1
                yield post
            rejected.commit()
            if not self.tally.posts:
                raise DataError(self._nothing())
            sources.commit()
            write_json(self._metadata(), self._out / METADATA_NAME)

    def _found(self) -> Iterator[Found]:
        try:
            yield from self._importer.read(self._source, self._context)
        except RowError as error:
            yield Rejected(Row(self._source, 0, None), error.reason, error.detail)

    def _set_aside(self, bad: Rejected, rejected: SideFile) -> None:
        self.tally.rejected[bad.reason] += 1
        row: dict[str, Any] = {"file": bad.row.file, "row": bad.row.number, "reason": bad.reason}
        if bad.detail:
            row["detail"] = bad.detail
        rejected.write({**row, "content": readable(bad.row.content)})

    def _to_post(self, draft: Draft) -> Post:
        description, hashtags = self._texts(draft)
        if not hashtags:
            raise RowError("no hashtag")
        video = None if draft.data is not None else self._video(draft)
        post_id = draft.id or self._derived_id(draft, video)
        if post_id in self._seen:
            raise RowError("an id that occurred before", post_id)
        try:
            created = read_time(draft.created)
        except RowError as error:
            self.tally.notes[error.reason] += 1
            created = None
        if video is None:
            video = self._store(draft)
        self._seen.add(post_id)
        return Post(
            id=post_id,
            video=video,
            description=description,
            hashtags=hashtags,
            author=draft.author or None,
            created_at=created,
            split=draft.split or None,
        )

    def _texts(self, draft: Draft) -> tuple[str, tuple[str, ...]]:
        """The description without hashtags, and all hashtags, canonical and once."""
        hashtags: dict[str, str] = {}
        for text in draft.hashtags:
            try:
                hashtags.setdefault(key(text), normalise(text))
            except HashtagError:
                self.tally.notes["a hashtag that is none, such as a number"] += 1
        description = draft.description
        while True:  # what is left when a hashtag went can look like another one
            caption = parse_caption(description)
            description = caption.description
            for text in caption.hashtags:
                hashtags.setdefault(key(text), text)
            if not caption.hashtags:
                return description, tuple(hashtags.values())

    def _video(self, draft: Draft) -> Path:
        video = draft.video
        if video is None:
            video = self._context.videos.find(draft.paths, draft.names)
        if any("\ud800" <= letter <= "\udfff" for letter in str(video)):
            raise RowError("a file name that isn't UTF-8", ascii(str(video)))
        return video

    def _derived_id(self, draft: Draft, video: Path | None) -> str:
        """The video's path in its folder, or what its bytes are called by."""
        if video is None:
            return _content_name(draft)
        folder = self._context.videos.folder
        path = video.relative_to(folder) if video.is_relative_to(folder) else video
        return path.as_posix()

    def _store(self, draft: Draft) -> Path:
        """Writes a video that came within its row, whole or not at all; once, if it comes twice."""
        assert draft.data is not None
        folder = self._out / "videos"
        folder.mkdir(exist_ok=True)
        path = folder / _content_name(draft)
        if not path.exists():
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
            partial = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as video:
                    video.write(draft.data[0])
                partial.chmod(0o644)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        return path

    def _keep_facts(self, post: Post, draft: Draft, sources: SideFile) -> None:
        if not draft.facts:
            return
        sources.write({"id": post.id, **draft.facts})
        licence = draft.facts.get("licence")
        if licence:
            known = licence in self.tally.licences or len(self.tally.licences) < _MAX_LICENCES
            self.tally.licences[str(licence) if known else "others"] += 1

    def _nothing(self) -> str:
        counts = [*self.tally.rejected.most_common(), *self.tally.skipped.most_common()]
        if not counts:
            return f"{self._source}: nothing to import; it is empty"
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counts[:4])
        return f"{self._source}: nothing could be imported: {reasons}; see {self._out / REJECTED_NAME}"

    def _metadata(self) -> dict[str, Any]:
        facts = asdict(self.tally.summary(self._out))
        del facts["manifest"]
        licences = self.tally.licences
        return {
            "name": self._out.resolve().name,
            "format_version": FORMAT_VERSION,
            "importer": self._importer.name,
            "made_from": self._source,
            "videos": str(self._context.videos.folder),
            "licence": "see sources.jsonl" if licences else "unknown",
            "licence_note": "Each post's own, in sources.jsonl." if licences else _NO_LICENCE,
            **facts,
        }


def _content_name(draft: Draft) -> str:
    assert draft.data is not None
    content, suffix = draft.data
    return hashlib.sha256(content).hexdigest()[:32] + suffix
