"""The statistics of a dataset as files: ``stats.json`` and the plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ggm.corpus.examine import VIDEOS_NAME, VideoFacts, VideoFile, VideoRecords, examine, unknown_files
from ggm.corpus.manifest import BadRow, count_rows, find_manifest, read_manifest, write_json
from ggm.corpus.plots import write_plots
from ggm.corpus.statistics import Statistics, gather_statistics
from ggm.errors import DataError
from ggm.records import Post

STATISTICS_NAME = "stats.json"

Progress = Callable[[str, int, int], None]
"""Is told the pass (``videos``, ``count``), how many posts are done, and of how many rows."""

_REPORTED_ROWS = 1000


@dataclass(frozen=True)
class Report:
    """The statistics of a dataset.

    Args:
        statistics: What was counted.
        bad_rows: Number of rows that were left out.
        files: What was written.
    """

    statistics: Statistics
    bad_rows: int
    files: tuple[Path, ...]


def report_dataset(
    dataset: Path | str,
    *,
    out: Path | str | None = None,
    measure_videos: bool = False,
    workers: int = 2,
    progress: Progress | None = None,
) -> Report:
    """Counts a dataset, and writes what was counted if told where.

    Args:
        dataset: A dataset folder, or a manifest. What a check found out about videos is used.
        out: Folder for ``stats.json`` and the plots; None writes nothing.
        measure_videos: Whether to examine the videos of which nothing is known.
        workers: Processes that decode for it, at least 1.
        progress: Is told how far each pass is.

    Returns:
        The statistics.

    Raises:
        DataError: If the manifest can't be read, no post can be used, `workers` is less than 1, or
            `out` can't be written.
        MediaError: If no decoding process can be started.
        MissingDependencyError: If pyarrow is needed, or for plots matplotlib, and isn't installed.
    """
    manifest = find_manifest(dataset)
    num_rows = count_rows(manifest)
    folder = None if out is None else _make(Path(out))
    num_bad = 0

    def on_bad_row(_row: BadRow) -> None:
        nonlocal num_bad
        num_bad += 1

    def posts(stage: str) -> Iterator[Post]:
        nonlocal num_bad
        num_bad = 0
        read = read_manifest(manifest, check_videos=False, on_bad_row=on_bad_row)
        for done, post in enumerate(read, start=1):
            yield post
            if progress and done % _REPORTED_ROWS == 0:
                progress(stage, done, num_rows)
        if progress:
            progress(stage, num_rows, num_rows)

    records = VideoRecords(manifest.parent / VIDEOS_NAME)
    if measure_videos:
        for file, found in examine(unknown_files(posts("videos"), records), workers=workers):
            records.add(file, found)

    statistics = gather_statistics(posts("count"), _lookup(records))
    if not statistics.total.posts:
        raise DataError(f"{manifest}: no usable post")
    files: tuple[Path, ...] = ()
    if folder is not None:
        write_json(statistics.to_dict(), folder / STATISTICS_NAME)
        files = (folder / STATISTICS_NAME, *write_plots(statistics, folder))
    return Report(statistics, num_bad, files)


def known_videos(folder: Path) -> Callable[[Post], VideoFacts | None] | None:
    """What a check found out about the videos of a dataset; None if nothing is known of any.

    Args:
        folder: Of the dataset.
    """
    return _lookup(VideoRecords(folder / VIDEOS_NAME))


def _lookup(records: VideoRecords) -> Callable[[Post], VideoFacts | None] | None:
    def facts_of(post: Post) -> VideoFacts | None:
        file = VideoFile.at(post.video)
        return None if file is None else records.get(file)

    return facts_of if len(records) else None


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: can't be made: {error.strerror or error}") from error
    return folder
