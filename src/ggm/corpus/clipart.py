"""A public corpus, built: the Open Clip Art Library as a dataset of short videos.

Real titles and descriptions become descriptions, real people's tags become hashtags, each drawing
becomes a silent two-second video with motion. Near-duplicates never lie in two splits.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggm.corpus import render
from ggm.corpus.cleaning import CleanItem, clean
from ggm.corpus.debian import cache_folder, fetch_packages, find_package, unpack_package
from ggm.corpus.manifest import MANIFEST_NAME, METADATA_NAME, write_json, write_json_lines, write_manifest
from ggm.corpus.openclipart import PACKAGE_PREFIX, PACKAGES, ClipArt, find_trees, read_clipart
from ggm.corpus.series import connect, difference_hash, near_pairs
from ggm.corpus.splits import grouped_split
from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post

SOURCES_NAME = "sources.jsonl"
FORMAT_VERSION = 1

Progress = Callable[[str, int, int], None]
"""Is told the stage (``fetch``, ``unpack``, ``read``, ``render``), how much is done, and of how much."""

_LICENCE_NOTE = (
    "Each drawing's own RDF block states a public-domain dedication; drawings that state another "
    "licence or none are left out. See sources.jsonl for author and statement of each."
)


@dataclass(frozen=True)
class ClipartSummary:
    """What was built.

    Args:
        folder: The dataset.
        posts_per_split: Number of posts by split name.
        groups: Number of groups of near-duplicates.
        hashtags: Number of different hashtags.
        frequent_hashtags: Number of those that five or more posts carry.
        dropped: Number of drawings left out, by reason.
    """

    folder: Path
    posts_per_split: dict[str, int]
    groups: int
    hashtags: int
    frequent_hashtags: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class _Rendered:
    item: CleanItem
    video: Path
    bits: npt.NDArray[np.uint8]


def build_clipart(
    out: Path | str,
    *,
    source: Path | str | None = None,
    seed: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
    workers: int = 2,
) -> ClipartSummary:
    """Builds the clip-art corpus.

    The same source, seed and limit give the same manifest byte for byte, and with the same
    libx264 the same videos. Nothing stands at `out` before all is done.

    Args:
        out: The dataset folder to make; must not exist, or be empty.
        source: Folder with the .deb files, or with the unpacked trees ``svg/`` and ``png/``;
            None downloads the Debian packages openclipart-png and openclipart-svg (156 MB) once.
        seed: Of motion, backgrounds, split, and the choice that a limit makes.
        limit: Largest number of drawings, at least 1; None for all.
        progress: Is told how far the work is.
        workers: Threads that render, at least 1.

    Returns:
        What was built.

    Raises:
        DataError: If `out` has content, an argument is out of range, the source isn't what it
            should be, it can't be downloaded, or no drawing is usable.
    """
    out = Path(out)
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, got {limit}")
    if workers < 1:
        raise DataError(f"workers must be at least 1, got {workers}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already; name another folder or remove it")
    report = progress or _silent
    out.parent.mkdir(parents=True, exist_ok=True)
    with _building_folder(out) as building:
        trees, origin = open_drawings(None if source is None else Path(source), building / ".source", report)
        items, dropped = _choose(trees, seed=seed, limit=limit, report=report)
        rendered = _render_all(items, building / "videos", seed, workers, report, dropped)
        if not rendered:
            raise DataError(f"{trees}: no usable drawing; dropped: {dict(dropped)}")
        groups = _group(rendered)
        splits = grouped_split(map(_to_post, rendered), groups, seed=seed)
        summary = _summarise(out, splits, groups, dropped)
        _write(building, rendered, splits, groups)
        write_json(_metadata(summary, rendered, origin, seed, limit), building / METADATA_NAME)
        shutil.rmtree(building / ".source", ignore_errors=True)
        if out.exists():
            out.rmdir()
        building.replace(out)
    return summary


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


@contextmanager
def _building_folder(out: Path) -> Iterator[Path]:
    """A folder beside the final one, so that moving it there is one step; gone after a failure."""
    building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.building-"))
    building.chmod(0o755)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def open_drawings(source: Path | None, scratch: Path, report: Progress) -> tuple[Path, list[str]]:
    """The folder with ``svg/`` and ``png/``, and what it was made from.

    Args:
        source: As for `build_clipart`.
        scratch: Folder that is made for what is unpacked.
        report: Is told how far the work is.

    Raises:
        DataError: If the drawings can't be had.
    """
    if source is not None and not source.is_dir():
        raise DataError(f"{source}: not a folder")
    if source is not None and any(find_package(name, folder=source) is None for name in PACKAGES):
        return find_trees(source), ["unpacked folder"]
    if source is None:
        report("fetch", 0, len(PACKAGES))
        packages = fetch_packages(PACKAGES, folder=cache_folder())
        report("fetch", len(PACKAGES), len(PACKAGES))
    else:
        packages = tuple(path for name in PACKAGES if (path := find_package(name, folder=source)))
    scratch.mkdir()
    for index, package in enumerate(packages):
        report("unpack", index, len(packages))
        unpack_package(package, into=scratch, prefix=PACKAGE_PREFIX)
    report("unpack", len(packages), len(packages))
    return find_trees(scratch), [package.name for package in packages]


def _choose(
    trees: Path, *, seed: int, limit: int | None, report: Progress
) -> tuple[tuple[CleanItem, ...], Counter[str]]:
    def counted() -> Iterator[ClipArt | None]:
        total = sum(not path.is_symlink() for path in (trees / "svg").rglob("*.svg"))
        for index, art in enumerate(read_clipart(trees), start=1):
            yield art
            if index % 100 == 0 or index == total:
                report("read", index, total)

    items, dropped = clean(counted())
    if limit is not None and limit < len(items):
        dropped["beyond the limit"] += len(items) - limit
        chosen = random.Random(seed).sample(range(len(items)), limit)
        items = tuple(items[index] for index in sorted(chosen))
    return items, dropped


def _render_all(
    items: Sequence[CleanItem],
    videos: Path,
    seed: int,
    workers: int,
    report: Progress,
    dropped: Counter[str],
) -> list[_Rendered]:
    videos.mkdir()
    rendered: list[_Rendered] = []
    # Threads do: Pillow and the encoder let go of the interpreter lock while they compute.
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            results = pool.map(partial(_render_one, videos=videos, seed=seed), items)
            for index, result in enumerate(results, start=1):
                if isinstance(result, str):
                    dropped[result] += 1
                else:
                    rendered.append(result)
                report("render", index, len(items))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return rendered


def _render_one(item: CleanItem, *, videos: Path, seed: int) -> _Rendered | str:
    """The finished video, or the reason why the picture can't be used."""
    try:
        picture = render.load_picture(item.art.png)
    except DataError:
        return "picture unreadable, too large or too small"
    motion = render.choose_motion(item.art.id, seed=seed, light=render.is_light(picture))
    video = videos / f"{item.art.id}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    render.write_video(render.render_frames(picture, motion), video)
    return _Rendered(item, video, difference_hash(render.flatten(picture)))


def _to_post(rendered: _Rendered) -> Post:
    item = rendered.item
    return Post(
        id=item.art.id,
        video=rendered.video,
        description=item.description,
        hashtags=item.hashtags,
        author=item.art.author or None,
    )


def _group(rendered: Sequence[_Rendered]) -> dict[str, str]:
    """Near-duplicates share an author's stem or title, or look alike."""
    keys: dict[str, list[str]] = {done.item.art.id: list(done.item.series) for done in rendered}
    for one, other in near_pairs(np.stack([done.bits for done in rendered])):
        first, second = rendered[one].item.art.id, rendered[other].item.art.id
        keys[first].append(f"look:{first}|{second}")
        keys[second].append(f"look:{first}|{second}")
    return connect(keys)


def _write(
    building: Path,
    rendered: Sequence[_Rendered],
    splits: dict[str, tuple[Post, ...]],
    groups: dict[str, str],
) -> None:
    posts = sorted((post for part in splits.values() for post in part), key=lambda post: post.id)
    write_manifest(posts, building / MANIFEST_NAME)
    arts = sorted((done.item.art for done in rendered), key=lambda art: art.id)
    write_json_lines((_source_row(art, groups[art.id]) for art in arts), building / SOURCES_NAME)


def _source_row(art: ClipArt, group: str) -> dict[str, Any]:
    return {
        "id": art.id,
        "svg": f"{PACKAGE_PREFIX}svg/{art.id}.svg",
        "png": f"{PACKAGE_PREFIX}png/{art.id}.png",
        "title": art.title,
        "author": art.author,
        "date": art.date,
        "tags": list(art.tags),
        "licence": list(art.licences),
        "group": group,
    }


def _summarise(
    out: Path, splits: dict[str, tuple[Post, ...]], groups: dict[str, str], dropped: Counter[str]
) -> ClipartSummary:
    counts = Counter(key(text) for posts in splits.values() for post in posts for text in post.hashtags)
    return ClipartSummary(
        folder=out,
        posts_per_split={name: len(posts) for name, posts in splits.items()},
        groups=len(set(groups.values())),
        hashtags=len(counts),
        frequent_hashtags=sum(count >= 5 for count in counts.values()),
        dropped=dict(sorted(dropped.items())),
    )


def _metadata(
    summary: ClipartSummary, rendered: Sequence[_Rendered], origin: list[str], seed: int, limit: int | None
) -> dict[str, Any]:
    facts = asdict(summary)
    del facts["folder"]
    licences = Counter(statement for done in rendered for statement in done.item.art.licences)
    return {
        "name": "clipart",
        "format_version": FORMAT_VERSION,
        "title": "Open Clip Art Library as short videos",
        "made_from": origin,
        "seed": seed,
        "limit": limit,
        "licence": "public domain",
        "licence_note": _LICENCE_NOTE,
        "licence_statements": dict(sorted(licences.items())),
        "video": {
            "side": render.SIDE,
            "frames_per_second": render.FRAMES_PER_SECOND,
            "duration_seconds": render.NUM_FRAMES / render.FRAMES_PER_SECOND,
            "has_sound": False,
        },
        **facts,
    }
