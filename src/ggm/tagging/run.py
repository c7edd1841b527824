"""Tagging the videos of a folder: what is done already is left, what is written can be taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ggm.errors import DataError, GgmError, MediaError
from ggm.records import Recommendation
from ggm.tagging.describing import Describe, description_of
from ggm.tagging.edits import Reversal, digest
from ggm.tagging.files import inside, read, write
from ggm.tagging.finding import ENDINGS, TABLE, FoundVideo, Kind, existing_sidecar, sidecar_names, stamp_of
from ggm.tagging.infojson import with_tags
from ggm.tagging.ledger import Entry, Ledger
from ggm.tagging.table import table_of
from ggm.tagging.xmp import with_keywords


class Recommends(Protocol):
    """What recommends for many videos: `ggm.recommend.Recommender.recommend_many` with its settings."""

    def __call__(self, posts: Iterable[tuple[str | Path, str]], /) -> Iterator[Recommendation | MediaError]:
        """Answers one post after the other.

        Args:
            posts: Pairs of a video's path and its description; each is taken when its turn comes.
        """


@dataclass(frozen=True)
class Job:
    """What is to be done with a folder.

    Args:
        folder: With the videos.
        kind: What is written.
        recommend: Answers posts, one each, in order; taken one by one.
        settings: All that the answers follow from besides video and description; when it changes, videos
            are tagged anew.
        describe: Where descriptions come from.
        dry_run: Nothing is written.
    """

    folder: Path
    kind: Kind
    recommend: Recommends
    settings: dict[str, object] = field(default_factory=dict)
    describe: Describe = "sidecars"
    dry_run: bool = False


@dataclass(frozen=True)
class Tagged:
    """A video that has its hashtags now.

    Args:
        video: Below the folder, with ``/``.
        target: The file that has them, likewise.
        hashtags: Without number signs, best first.
        notices: What the user should know.
    """

    video: str
    target: str
    hashtags: tuple[str, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """A video that had been tagged, and hasn't changed since."""

    video: str


@dataclass(frozen=True)
class Failed:
    """A video that has no hashtags.

    Args:
        video: Below the folder; or the CSV file.
        error: Why.
    """

    video: str
    error: GgmError


Event = Tagged | Done | Failed


@dataclass(frozen=True)
class _Turn:
    """A video whose turn it is."""

    video: FoundVideo
    description: str
    settings: str


def tag_videos(
    job: Job,
    ledger: Ledger,
    videos: Sequence[FoundVideo],
    *,
    report: Callable[[int, int], None] | None = None,
) -> Generator[Event, None, None]:
    """Tag videos, and say of each what became of it. A video or sidecar that can't be used stops nothing.

    Args:
        job: What to do.
        ledger: Of the folder.
        videos: As `ggm.tagging.finding.find_videos` finds them.
        report: Called as report(done, of all) after each.

    Yields:
        One event a video, and at the end a failure if the CSV file can't be written. Events come in no
        certain order.

    Raises:
        DataError: While iterating, if the ledger can't be written.
        GgmError: What is wrong with the system itself, such as an empty pool.
    """
    waiting: list[Event] = []
    turns: list[_Turn] = []
    count = 0

    def posts() -> Iterator[tuple[str | Path, str]]:
        for video in videos:
            found = _turn(job, ledger, video)
            if isinstance(found, _Turn):
                turns.append(found)
                yield video.path, found.description
            else:
                waiting.append(found)

    def told() -> Iterator[Event]:
        nonlocal count
        while waiting:
            count += 1
            if report is not None:
                report(count, len(videos))
            yield waiting.pop(0)

    try:
        for answer in job.recommend(posts()):
            waiting.append(_finish(job, ledger, turns.pop(0), answer))
            yield from told()
        yield from told()
    finally:
        if job.kind == "csv" and not job.dry_run:
            failure = _write_table(job.folder, ledger)
    if job.kind == "csv" and not job.dry_run and failure is not None:
        yield failure


def _turn(job: Job, ledger: Ledger, video: FoundVideo) -> _Turn | Event:
    try:
        description = description_of(job.folder, video, job.describe)
        settings = json.dumps([job.settings, description], sort_keys=True, default=str)
        turn = _Turn(video, description, digest(settings.encode()))
        if _is_done(job, ledger, turn):
            return Done(video.name)
    except DataError as error:
        return Failed(video.name, _about(video, error))
    return turn


def _is_done(job: Job, ledger: Ledger, turn: _Turn) -> bool:
    """Whether the video was tagged, nothing changed that its hashtags follow from, and they are there.

    A sidecar that somebody changed since is done: its keywords are theirs now.
    """
    entry = ledger.last(job.kind, turn.video.name)
    if entry is None or (entry.stamp, entry.settings) != (turn.video.stamp, turn.settings):
        return False
    if job.kind == "csv":
        return True
    content = read(inside(job.folder, entry.target))
    if content is None:
        return False
    return digest(content) == entry.after or digest(content) not in (entry.before, entry.base)


def _finish(job: Job, ledger: Ledger, turn: _Turn, answer: Recommendation | MediaError) -> Event:
    video = turn.video
    if isinstance(answer, MediaError):
        return Failed(video.name, answer)
    if stamp_of(video.path) != video.stamp:
        changed = DataError(f"{video.path}: was changed while it was looked at; run again when it is whole")
        return Failed(video.name, changed)
    hashtags = tuple(item.display for item in answer.hashtags)
    if job.kind == "csv":
        entry = Entry(
            "csv",
            video.name,
            "",
            video.stamp,
            turn.settings,
            hashtags,
            tuple(i.score for i in answer.hashtags),
        )
        if not job.dry_run:
            ledger.append(entry)
        return Tagged(video.name, TABLE, hashtags, answer.notices)
    target = _target(job, ledger, video)
    try:
        _write_sidecar(job, ledger, turn, target, hashtags)
    except _SidecarError as error:
        return Failed(video.name, DataError(str(error)))
    return Tagged(video.name, target, hashtags, answer.notices)


class _SidecarError(DataError):
    """A sidecar that can't be used, which is the matter of one video."""


def _target(job: Job, ledger: Ledger, video: FoundVideo) -> str:
    """The sidecar that was written before, else one that is there, else a new one."""
    entry = ledger.last(job.kind, video.name)
    if entry is not None:
        return entry.target
    ending: Final = ENDINGS[job.kind]
    return existing_sidecar(job.folder, video, ending) or sidecar_names(video, ending)[0]


def _write_sidecar(job: Job, ledger: Ledger, turn: _Turn, target: str, hashtags: tuple[str, ...]) -> None:
    try:
        path = inside(job.folder, target)
        there = read(path)
        before = None if there is None else digest(there)
        standing = None if before is None else ledger.standing(job.kind, turn.video.name, before)
        base = there
        if standing is not None and there is not None:  # ours: its old hashtags go
            base = None if standing.reversal is None else standing.reversal(there)
        merge: Callable[[bytes | None, Sequence[str]], bytes]
        merge = with_keywords if job.kind == "sidecar" else with_tags
        try:
            after = merge(base, hashtags)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    except DataError as error:
        raise _SidecarError(str(error)) from error
    if job.dry_run:
        return
    ledger.append(
        Entry(
            job.kind,
            turn.video.name,
            target,
            turn.video.stamp,
            turn.settings,
            hashtags,
            base=None if base is None else digest(base),
            before=before,
            after=digest(after),
            reversal=None if base is None else Reversal.of(base, after),
        )
    )
    if after != there:
        try:
            _replace(path, there, after)
        except DataError as error:
            raise _SidecarError(str(error)) from error


def _replace(path: Path, there: bytes | None, after: bytes) -> None:
    """Write a file that is still as it was read."""
    if read(path) != there:
        raise DataError(f"{path}: was changed by another program just now; run again")
    write(path, after)


def _write_table(folder: Path, ledger: Ledger) -> Failed | None:
    """The CSV file from the ledger, unless somebody else wrote or changed it."""
    rows = [entry for entry in ledger if entry.kind == "csv" and entry.video]
    if not rows:
        return None
    after = table_of((row.video, list(row.hashtags), list(row.scores)) for row in rows)
    path = folder / TABLE
    try:
        there = read(path)
        before = None if there is None else digest(there)
        if there == after and ledger.standing("csv", "", before) is not None:
            return None
        if there is not None and ledger.standing("csv", "", before) is None:
            raise DataError(
                f"{path}: was not written by ggm, or changed since; move it away, and run again to write it"
            )
        ledger.append(Entry("csv", "", TABLE, (0, 0), "", before=before, after=digest(after)))
        write(path, after)
    except DataError as error:
        return Failed(TABLE, error)
    return None


def _about(video: FoundVideo, error: DataError) -> DataError:
    """The error with a name in it: of the sidecar if it says one, else of the video."""
    text = str(error)
    return error if str(video.path.parent) in text else DataError(f"{video.path}: its sidecar {text}")
