"""Datasets made from others in two passes: the first gathers light keys, the second writes.

Neither pass holds the posts, so that the manifest may be of any size. The videos stay where they
are: the new dataset is a folder with a manifest that leads to them, and the old one isn't touched.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from ggm.corpus import assignment
from ggm.corpus.assignment import DEFAULT_RATIOS, Assignment, Ratios
from ggm.corpus.atomic import replacing
from ggm.corpus.examine import VIDEOS_NAME
from ggm.corpus.grouping import GroupKeys, author_keys, near_duplicate_keys, read_groups, video_keys
from ggm.corpus.keys import Links, PostKeys, gather_keys
from ggm.corpus.manifest import (
    BadRow,
    claim_folder,
    count_rows,
    derive_metadata,
    find_manifest,
    manifest_name_like,
    read_manifest,
    write_manifest,
)
from ggm.errors import DataError
from ggm.records import Post

GROUPINGS: Mapping[str, GroupKeys] = {
    "author": author_keys,
    "video": video_keys,
    "near-duplicates": near_duplicate_keys,
}
METHODS = ("random", "time", *GROUPINGS, "existing")
"""How posts can be split."""

Progress = Callable[[str, int, int], None]
"""Is told the pass (``read``, ``write``), how many rows are done, and of how many."""

_REPORTED_ROWS = 1000


@dataclass(frozen=True)
class DerivedSummary:
    """What was made of a dataset.

    Args:
        folder: The new dataset.
        posts_read: Usable posts of the old one.
        posts_written: Of them, those that the new one has.
        posts_per_split: Number of posts by split; empty without splits.
        unseen_hashtags: Number of hashtags that only the split ``unseen`` carries.
        bad_rows: Rows of the old manifest that can't be used.
        first_bad_row: The first of them.
    """

    folder: Path
    posts_read: int
    posts_written: int
    posts_per_split: dict[str, int]
    unseen_hashtags: int
    bad_rows: int
    first_bad_row: BadRow | None


def filter_dataset(
    dataset: Path | str, out: Path | str, *, minimum: int = 5, progress: Progress | None = None
) -> DerivedSummary:
    """Drops the posts all of whose hashtags are rare (paper, section 4.1).

    Args:
        dataset: A dataset folder, or a manifest. Videos are not looked at.
        out: Folder of the new dataset.
        minimum: Of posts that must carry a hashtag, at least 1; case is ignored.
        progress: Is told how far each pass is.

    Returns:
        What was made.

    Raises:
        DataError: If the manifest can't be read, no post is left, the minimum is less than 1, or
            `out` holds a dataset or can't be written.
        MissingDependencyError: If the manifest is Parquet and pyarrow isn't installed.
    """
    source = _Source(dataset, out, progress)
    keys = gather_keys(source.posts())
    kept = assignment.has_frequent_hashtag(keys, minimum=minimum)
    if not kept.any():
        raise DataError(
            f"{source.manifest}: none of {len(keys):,} posts has a hashtag that {minimum:,} posts carry; "
            "ask for fewer"
        )
    return source.write(compress(source.again(keys), kept), keys, {"command": "filter", "minimum": minimum})


def split_dataset(
    dataset: Path | str,
    out: Path | str,
    *,
    by: str = "random",
    groups: Path | str | None = None,
    ratios: Ratios = DEFAULT_RATIOS,
    seed: int = 0,
    unseen: int = 0,
    max_share: float = 0.2,
    progress: Progress | None = None,
) -> DerivedSummary:
    """Gives each post a split; same posts, same seed, same split, in whatever order they stand.

    Args:
        dataset: A dataset folder, or a manifest. Videos are not looked at.
        out: Folder of the new dataset.
        by: One of `METHODS`: ``random``; ``time``, the newest posts for testing; ``author``,
            ``video`` or ``near-duplicates``, which stay together; ``existing``, to keep the splits
            that the posts have.
        groups: A file of groups that stay together, see `read_groups`; goes with ``random`` alone.
        ratios: Shares of train, validation and test; at least 0, sum 1.
        seed: Of the shuffle, and of the draw of unseen hashtags.
        unseen: How many hashtags no training post shall carry; see `ggm.corpus.splits.unseen_split`.
        max_share: Of training posts that may be moved for it, 0 to 1.
        progress: Is told how far each pass is.

    Returns:
        What was made.

    Raises:
        DataError: If the manifest or the groups can't be read, there is no post, posts lack what the
            method needs, an argument is out of range, or `out` holds a dataset or can't be written.
        MissingDependencyError: If the manifest is Parquet and pyarrow isn't installed.
    """
    if by not in METHODS:
        raise DataError(f"posts can't be split by {by!r}; there are {', '.join(METHODS)}")
    if groups is not None and by != "random":
        raise DataError(f"groups from a file are split at random, not by {by}; leave one out")
    if unseen < 0:
        raise DataError(f"the number of unseen hashtags must be at least 0, got {unseen}")
    assignment.check_ratios(ratios)
    source = _Source(dataset, out, progress)
    links = Links(read_groups(groups) if groups is not None else GROUPINGS.get(by, _alone))
    keys = gather_keys(links.watch(source.posts()))
    if not len(keys):
        raise DataError(f"{source.manifest}: no usable post")
    splits = _assign(keys, links, by=by, ratios=ratios, seed=seed)
    step: dict[str, Any] = {"command": "split", "by": by, "ratios": list(ratios), "seed": seed}
    if groups is not None:
        step["groups"] = Path(groups).name
    if unseen:
        splits = assignment.assign_unseen(keys, splits, count=unseen, seed=seed, max_share=max_share)
        step |= {"max_share": max_share, "unseen_hashtags": list(splits.unseen_hashtags)}
    return source.write(_assigned(source.again(keys), splits), keys, step, splits=splits)


def _assign(keys: PostKeys, links: Links, *, by: str, ratios: Ratios, seed: int) -> Assignment:
    if by == "time":
        return assignment.assign_by_time(keys, ratios=ratios)
    if by == "existing":
        return assignment.assign_as_before(keys)
    return assignment.assign_groups(keys, links.groups(), ratios=ratios, seed=seed)


def _alone(_post: Post) -> tuple[()]:
    return ()


def _assigned(posts: Iterable[Post], splits: Assignment) -> Iterator[Post]:
    for row, post in enumerate(posts):
        yield replace(post, split=splits.name_of(row))


class _Source:
    """A dataset that is read twice, and the place of what is made of it."""

    def __init__(self, dataset: Path | str, out: Path | str, progress: Progress | None) -> None:
        self.manifest = find_manifest(dataset)
        self._progress = progress or _silent
        self._num_rows = count_rows(self.manifest)
        self._out = claim_folder(out)
        self._bad_rows: list[BadRow] = []
        self._num_bad = 0

    def posts(self) -> Iterator[Post]:
        """The first pass, which notes bad rows."""
        return self._read("read", self._note)

    def again(self, keys: PostKeys) -> Iterator[Post]:
        """The second pass, over the same posts."""
        row = 0
        for row, post in enumerate(self._read("write", _ignore), start=1):
            if row > len(keys) or post.id != keys.ids[row - 1]:
                raise DataError(f"{self.manifest}: changed while it was read; run the command again")
            yield post
        if row != len(keys):
            raise DataError(f"{self.manifest}: changed while it was read; run the command again")

    def write(
        self, posts: Iterable[Post], keys: PostKeys, step: dict[str, Any], *, splits: Assignment | None = None
    ) -> DerivedSummary:
        """Writes the new dataset; its manifest appears last."""
        counts: Counter[str] = Counter(dict.fromkeys(splits.names, 0) if splits else {})

        def counted() -> Iterator[Post]:
            for post in posts:
                if post.split is not None:
                    counts[post.split] += 1
                yield post
            derive_metadata(self.manifest.parent, self._out, step, posts_per_split=dict(counts))

        self._copy_records()
        name = manifest_name_like(self.manifest)
        written = write_manifest(counted(), self._out / name, root=self.manifest.parent)
        return DerivedSummary(
            folder=self._out,
            posts_read=len(keys),
            posts_written=written,
            posts_per_split=dict(counts),
            unseen_hashtags=len(splits.unseen_hashtags) if splits else 0,
            bad_rows=self._num_bad,
            first_bad_row=self._bad_rows[0] if self._bad_rows else None,
        )

    def _copy_records(self) -> None:
        """What a check found out about the videos stays known."""
        records = self.manifest.parent / VIDEOS_NAME
        if records.exists():
            with replacing(self._out / VIDEOS_NAME) as partial:
                shutil.copyfile(records, partial)

    def _read(self, stage: str, on_bad_row: Callable[[BadRow], None]) -> Iterator[Post]:
        posts = read_manifest(self.manifest, check_videos=False, on_bad_row=on_bad_row)
        for done, post in enumerate(posts, start=1):
            yield post
            if done % _REPORTED_ROWS == 0:
                self._progress(stage, done, self._num_rows)
        self._progress(stage, self._num_rows, self._num_rows)

    def _note(self, row: BadRow) -> None:
        self._num_bad += 1
        if self._num_bad == 1:
            self._bad_rows.append(row)


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _ignore(_row: BadRow) -> None:
    return None
