"""Which posts of a dataset can be used: a clean manifest, and the other rows with their reasons.

Two passes: the first examines every video that a row leads to, the second writes. What the second
writes depends on the manifest and on what is known of the videos, not on the course of the first.

out/
  manifest.jsonl    the good rows, or manifest.parquet like the original
  rejected.jsonl    {"row", "id", "problem", "reason", "text"} of each other row
  videos.jsonl      {"video", "size_bytes", "mtime_ns", "duration_seconds", "has_sound", "problem"}
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggm.corpus.atomic import remove_leftovers
from ggm.corpus.examine import (
    VIDEOS_NAME,
    Journal,
    VideoFacts,
    VideoFile,
    VideoRecords,
    examine,
    to_record,
    unknown_files,
)
from ggm.corpus.jsonlines import json_lines
from ggm.corpus.manifest import (
    MANIFEST_NAMES,
    METADATA_NAME,
    claim_folder,
    count_rows,
    derive_metadata,
    find_manifest,
    manifest_name_like,
    read_metadata,
    read_raw_rows,
    write_manifest,
)
from ggm.corpus.rows import BadRow, Problem, RawRow, RowError
from ggm.errors import DataError
from ggm.records import Post

REJECTED_NAME = "rejected.jsonl"
JOURNAL_NAME = "videos.journal"

Progress = Callable[[str, int, int], None]
"""Is told the pass (``check``, ``write``), how many rows are done, and of how many."""

_REPORTED_ROWS = 1000


@dataclass(frozen=True)
class CheckSummary:
    """What was found.

    Args:
        folder: Of the clean manifest.
        good: Number of its posts.
        bad: Number of other rows, by the kind of their reason, most first.
        videos: Number of distinct video files.
        examined: Of these, how many were examined by this run; the others were known.
    """

    folder: Path
    good: int
    bad: dict[Problem, int]
    videos: int
    examined: int


def check_dataset(
    dataset: Path | str,
    out: Path | str,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> CheckSummary:
    """Checks all rows and videos of a dataset, and writes a new one of the good rows.

    A run that was killed goes on when it is started again, and ends with the same files.

    Args:
        dataset: A dataset folder, or a manifest; it isn't changed.
        out: Folder of the new dataset: a new one, or that of an earlier check of the same.
        workers: Processes that decode, at least 1.
        progress: Is told how far each pass is.

    Returns:
        What was found.

    Raises:
        DataError: If the manifest can't be read, no row is good, another run writes `out`, `out`
            holds another dataset or can't be written, or `workers` is less than 1.
        MediaError: If no decoding process can be started.
        MissingDependencyError: If the manifest is Parquet and pyarrow isn't installed.
    """
    manifest = find_manifest(dataset)
    num_rows = count_rows(manifest)
    folder = Path(out)
    step = {"command": "check", "of": os.path.relpath(manifest.parent.resolve(), folder.resolve())}
    _claim(folder, manifest, step)

    def rows(stage: str) -> Iterator[RawRow]:
        for row in read_raw_rows(manifest):
            yield row
            if progress and row.number % _REPORTED_ROWS == 0:
                progress(stage, row.number, num_rows)
        if progress:
            progress(stage, num_rows, num_rows)

    with Journal(folder / JOURNAL_NAME) as journal:
        for name in (*MANIFEST_NAMES, METADATA_NAME, REJECTED_NAME, VIDEOS_NAME):
            remove_leftovers(folder / name)
        records = VideoRecords(folder / VIDEOS_NAME, folder / JOURNAL_NAME)
        files = unknown_files(_posts(rows("check"), manifest.parent), records)
        examined = 0
        for file, facts in examine(files, workers=workers):
            records.add(file, facts)
            journal.add(file, facts)
            examined += 1
        derive_metadata(manifest.parent, folder, step)
        summary = _write(rows("write"), manifest, folder, records, examined)
        journal.discard()
    if not summary.good:
        (folder / manifest_name_like(manifest)).unlink()
        raise DataError(f"{manifest}: no usable post; the reasons are in {folder / REJECTED_NAME}")
    return summary


def _claim(folder: Path, manifest: Path, step: Mapping[str, Any]) -> None:
    """Make the folder, unless an earlier check of the same dataset did, which may have been killed."""
    if (folder / manifest.name).exists() and (folder / manifest.name).samefile(manifest):
        raise DataError(f"{manifest}: can't be checked into its own folder; name another one")
    steps = read_metadata(folder / METADATA_NAME).get("steps")
    if not isinstance(steps, list) or steps[-1:] != [step]:
        claim_folder(folder)
    for name in MANIFEST_NAMES:
        if name != manifest_name_like(manifest):
            (folder / name).unlink(missing_ok=True)  # of a check while the manifest had the other format


def _posts(rows: Iterator[RawRow], folder: Path) -> Iterator[Post]:
    """Those whose row is fine, but for the video perhaps."""
    for row in rows:
        try:
            post = row.post(folder)
        except RowError:
            continue
        yield post


def _write(
    rows: Iterator[RawRow], manifest: Path, folder: Path, records: VideoRecords, examined: int
) -> CheckSummary:
    bad: Counter[Problem] = Counter()
    written: set[bytes] = set()
    with json_lines(folder / VIDEOS_NAME) as record, json_lines(folder / REJECTED_NAME) as reject:

        def on_bad_row(row: BadRow) -> None:
            bad[row.problem] += 1
            reject(
                {
                    "row": row.number,
                    "id": row.id,
                    "problem": row.problem.value,
                    "reason": row.reason,
                    "text": row.text,
                }
            )

        def on_video(file: VideoFile, facts: VideoFacts) -> None:
            if file.identity not in written:
                written.add(file.identity)
                record(to_record(file, facts))

        good = write_manifest(
            _good_posts(rows, manifest.parent, records, on_bad_row, on_video),
            folder / manifest_name_like(manifest),
            root=manifest.parent,
        )
    return CheckSummary(folder, good, dict(bad.most_common()), len(written), examined)


def _good_posts(
    rows: Iterator[RawRow],
    folder: Path,
    records: VideoRecords,
    on_bad_row: Callable[[BadRow], None],
    on_video: Callable[[VideoFile, VideoFacts], None],
) -> Iterator[Post]:
    """As `read_manifest`, but a video must be one that can be used."""
    seen: set[str] = set()
    for row in rows:
        try:
            post = row.post(folder)
            file = VideoFile.at(post.video)
            facts = None if file is None else records.get(file)
            if file is not None and facts is not None:
                on_video(file, facts)
            if post.id in seen:
                raise RowError(Problem.DUPLICATED_ID, f"the id {post.id!r} occurs twice")
            if file is None:
                raise RowError(Problem.NO_VIDEO, f"no video {post.video}")
            if facts is None:
                raise DataError(f"{post.video}: changed while it was checked; run the command again")
            if facts.problem is not None:
                raise RowError(Problem.UNREADABLE_VIDEO, f"{post.video}: {facts.problem}")
        except RowError as error:
            on_bad_row(row.bad(error))
            continue
        seen.add(post.id)
        yield post
