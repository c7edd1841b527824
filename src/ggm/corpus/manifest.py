"""Manifests: JSON Lines or Parquet, one post a row. A dataset is a folder with a manifest and its videos.

folder/
  manifest.jsonl     {"id", "video", "description", "hashtags", "author"?, "created_at"?, "split"?}
                     or manifest.parquet, with the same fields as columns
  dataset.json       how it was made, if known
  videos/            or wherever the manifest's paths lead, from the folder
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggm.corpus import jsonlines, parquet
from ggm.corpus.jsonlines import write_json, write_json_lines
from ggm.corpus.rows import BadRow, Clip, Place, Problem, RawRow, RowError, to_rows
from ggm.errors import DataError
from ggm.records import Post
from ggm.scenes import SCENES_KEY

__all__ = [
    "MANIFEST_NAME",
    "MANIFEST_NAMES",
    "METADATA_NAME",
    "BadRow",
    "Clip",
    "Dataset",
    "Place",
    "claim_folder",
    "count_rows",
    "derive_metadata",
    "find_manifest",
    "load_dataset",
    "manifest_name_like",
    "read_manifest",
    "read_metadata",
    "read_placed_rows",
    "read_raw_rows",
    "write_json",
    "write_json_lines",
    "write_manifest",
]

MANIFEST_NAME = "manifest.jsonl"
MANIFEST_NAMES = (MANIFEST_NAME, "manifest.parquet")
METADATA_NAME = "dataset.json"


@dataclass(frozen=True, repr=False)
class Dataset:
    """A dataset that was read.

    Args:
        folder: Where it lies.
        posts: All of them, in the manifest's order.
        metadata: What ``dataset.json`` says; empty without it.
        rows: Of each post the row of the manifest, from 1; empty where that isn't known.
    """

    folder: Path
    posts: tuple[Post, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[int, ...] = ()

    @property
    def splits(self) -> dict[str, tuple[Post, ...]]:
        """Posts by the name of their split, in the manifest's order; those without one left out."""
        parts: dict[str, list[Post]] = {}
        for post in self.posts:
            if post.split is not None:
                parts.setdefault(post.split, []).append(post)
        return {name: tuple(part) for name, part in parts.items()}

    def split(self, name: str) -> tuple[Post, ...]:
        """The posts of one split.

        Raises:
            DataError: If no post belongs to it.
        """
        splits = self.splits
        if name not in splits:
            raise DataError(f"{self.folder}: no split {name!r}; there is {', '.join(splits) or 'none'}")
        return splits[name]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={len(posts)}" for name, posts in self.splits.items())
        return f"Dataset({str(self.folder)!r}, posts={len(self.posts)}{', ' + sizes if sizes else ''})"


def find_manifest(dataset: Path | str) -> Path:
    """The manifest of a dataset.

    Args:
        dataset: Its folder, or the manifest itself.

    Returns:
        The manifest; ``manifest.jsonl`` where there is none, which reading it will say.

    Raises:
        DataError: If the folder holds two.
    """
    dataset = Path(dataset)
    if dataset.is_file():
        return dataset
    found = [dataset / name for name in MANIFEST_NAMES if (dataset / name).exists()]
    if len(found) > 1:
        raise DataError(f"{dataset}: holds {' and '.join(MANIFEST_NAMES)}; remove one of them")
    return found[0] if found else dataset / MANIFEST_NAME


def claim_folder(out: Path | str) -> Path:
    """The folder of a new dataset, made if it isn't there.

    Args:
        out: Where to; it may hold anything but a manifest.

    Raises:
        DataError: If it holds a manifest, such as the one that is read, or can't be made.
    """
    out = Path(out)
    for name in MANIFEST_NAMES:
        if (out / name).exists():
            raise DataError(f"{out / name}: exists already; name another folder or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: can't be made: {error.strerror or error}") from error
    return out


def manifest_name_like(path: Path) -> str:
    """The name of a dataset's manifest in the format of another."""
    return MANIFEST_NAMES[_is_parquet(path)]


def count_rows(path: Path | str) -> int:
    """How many rows a manifest has at most: empty lines of JSON Lines are counted.

    Raises:
        DataError: If the manifest can't be read.
        MissingDependencyError: If it is Parquet and pyarrow isn't installed.
    """
    path = Path(path)
    return parquet.count_rows(path) if _is_parquet(path) else jsonlines.count_rows(path)


def read_manifest(
    path: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Iterator[Post]:
    """Reads posts one after another; memory holds only their ids.

    Hashtags come out canonical and without duplicates. Empty lines are passed over.

    Args:
        path: The manifest: Parquet if its name ends with ``.parquet``, else JSON Lines. Relative
            video paths are taken from its folder.
        check_videos: Whether a video that isn't there makes a row bad.
        on_bad_row: Is told of each bad row, and reading goes on; without it the first one raises.

    Yields:
        Posts in order.

    Raises:
        DataError: If the manifest can't be read, or a row is bad and `on_bad_row` is None.
        MissingDependencyError: If it is Parquet and pyarrow isn't installed.
    """
    for _, post in numbered_posts(path, check_videos=check_videos, on_bad_row=on_bad_row):
        yield post


def numbered_posts(
    path: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Iterator[tuple[int, Post]]:
    """Does what `read_manifest` does, and says for each post in which row, from 1, it stands.

    Raises:
        DataError: As for `read_manifest`.
    """
    path = Path(path)
    seen: set[str] = set()
    for row in read_raw_rows(path):
        try:
            post = row.post(path.parent)
            if post.id in seen:
                raise RowError(Problem.DUPLICATED_ID, f"the id {post.id!r} occurs twice")
            # os.path, since a Path raises where a name is too long or a folder may not be read.
            if check_videos and not os.path.isfile(post.video):  # noqa: PTH113
                raise RowError(Problem.NO_VIDEO, f"no video {post.video}")
        except RowError as error:
            if on_bad_row is None:
                raise DataError(f"{path}, row {row.number}: {error}") from error
            on_bad_row(row.bad(error))
            continue
        seen.add(post.id)
        yield row.number, post


def read_raw_rows(path: Path) -> Iterator[RawRow]:
    """Reads the rows of a manifest as they stand there, one after another.

    Raises:
        DataError: If the manifest can't be read.
        MissingDependencyError: If it is Parquet and pyarrow isn't installed.
    """
    return parquet.read_rows(path) if _is_parquet(path) else jsonlines.read_rows(path)


def read_placed_rows(path: Path, start: Place | None = None) -> Iterator[tuple[RawRow, Place]]:
    """Does what `read_raw_rows` does, each row with the place behind it, where another call can go on.

    Hashtags may be missing; see `RawRow.clip`.

    Args:
        path: The manifest.
        start: Where to begin, as another call gave it; at the first row by default.

    Raises:
        DataError: If the manifest can't be read.
        MissingDependencyError: If it is Parquet and pyarrow isn't installed.
    """
    if _is_parquet(path):
        return parquet.read_placed_rows(path, start)
    return jsonlines.read_placed_rows(path, start)


def write_manifest(posts: Iterable[Post], path: Path | str, *, root: Path | None = None) -> int:
    """Writes a manifest, whole or not at all, one post after another.

    Args:
        posts: Videos inside the manifest's folder are written relative to it, others absolute.
        path: Ends with ``.jsonl`` or ``.parquet``, which is the format. Replaced if it exists.
        root: A folder whose videos are written relative as well, see `ggm.corpus.rows.to_rows`.

    Returns:
        Number of posts written.

    Raises:
        DataError: If the suffix is another, a post can't be written as text, or the file can't be
            written.
        MissingDependencyError: If Parquet is wanted and pyarrow isn't installed.
    """
    path = Path(path)
    if path.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"{path}: a manifest's name ends with .jsonl or .parquet, not {path.suffix!r}")
    rows = to_rows(posts, path.parent, root=root)
    return parquet.write_rows(rows, path) if _is_parquet(path) else write_json_lines(rows, path)


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def load_dataset(
    folder: Path | str,
    *,
    check_videos: bool = True,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Dataset:
    """Reads a dataset folder.

    Args:
        folder: With ``manifest.jsonl`` or ``manifest.parquet``, and perhaps ``dataset.json``.
        check_videos: As for `read_manifest`; simulated videos are no files, and not looked for.
        on_bad_row: As for `read_manifest`.

    Returns:
        The dataset.

    Raises:
        DataError: If the manifest or the metadata can't be read, there are two manifests, a row is
            bad, or there is no post.
        MissingDependencyError: If the manifest is Parquet and pyarrow isn't installed.
    """
    folder = Path(folder)
    manifest = find_manifest(folder)
    metadata = read_metadata(folder / METADATA_NAME)
    check_videos = check_videos and SCENES_KEY not in metadata
    numbered = list(numbered_posts(manifest, check_videos=check_videos, on_bad_row=on_bad_row))
    if not numbered:
        raise DataError(f"{manifest}: no usable post")
    return Dataset(
        folder=folder,
        posts=tuple(post for _, post in numbered),
        metadata=metadata,
        rows=tuple(number for number, _ in numbered),
    )


def read_metadata(path: Path) -> dict[str, Any]:
    """What a ``dataset.json`` says; empty without the file.

    Raises:
        DataError: If it can't be read as a JSON object.
    """
    if not path.exists():
        return {}
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read as JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{path}: an object is expected, got {type(metadata).__name__}")
    return metadata


def derive_metadata(source: Path, folder: Path, step: Mapping[str, Any], **facts: Any) -> None:
    """Writes the ``dataset.json`` of a dataset that is made from another.

    Args:
        source: Folder of the other; what its own file says stays true of the new one.
        folder: Of the new one.
        step: How it is made: a command and its settings, added to the list ``steps``.
        facts: More to say, in place of what was said.

    Raises:
        DataError: If the one can't be read, or the other not be written.
    """
    metadata = read_metadata(source / METADATA_NAME)
    steps = metadata.get("steps")
    steps = [*(steps if isinstance(steps, list) else []), step]
    write_json({**metadata, **facts, "steps": steps}, folder / METADATA_NAME)
