"""The art corpus as a dataset folder."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ggm.corpus.art.concepts import Concepts, find_concepts
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.journal import Journal, building_folder
from ggm.corpus.art.keywords import describe, draw_hashtags, item_hashtags
from ggm.corpus.art.metadata import FORMAT_VERSION, ArtSummary, art_metadata
from ggm.corpus.art.pictures import Pictures, Progress, choose_sources, read_pictures
from ggm.corpus.art.renderer import Renderer
from ggm.corpus.art.sources import SOURCES, ArtSource
from ggm.corpus.art.svg import load_resvg
from ggm.corpus.jsonlines import write_json, write_json_lines
from ggm.corpus.manifest import MANIFEST_NAME, METADATA_NAME, write_manifest
from ggm.corpus.splits import grouped_split
from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post

SOURCES_NAME: Final = "sources.jsonl"
VIDEOS_FOLDER: Final = "videos"


def build_art(
    out: Path | str,
    config: ArtConfig | None = None,
    *,
    source: Path | str | None = None,
    catalogue: Sequence[ArtSource] = SOURCES,
    progress: Progress | None = None,
    workers: int = 2,
) -> ArtSummary:
    """Builds the art corpus: clip art, colour emoji and icons with keywords as short videos.

    The same packages and settings give the same manifest byte for byte. Nothing stands at `out` before
    all is done; a build that was ended goes on where it was when it is started again.

    Args:
        out: The dataset folder to make; must not exist, or be empty.
        config: All settings.
        source: Folder with the npm packages (``*.tgz``) and, for the clip art, the Debian packages or
            their unpacked trees; None downloads what is missing (about 220 MB) once.
        catalogue: The sets there are, besides the clip art.
        progress: Is told how far the work is.
        workers: Processes that render, at least 1.

    Returns:
        What was built.

    Raises:
        DataError: If `out` has content, a package can't be had or isn't what it should be, or no
            picture is usable.
        ConfigError: If a setting names a set that there isn't.
        MissingDependencyError: If resvg-py isn't installed.
    """
    out, config = Path(out), config or ArtConfig()
    if workers < 1:
        raise DataError(f"workers must be at least 1, got {workers}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already; name another folder or remove it")
    report = progress or _silent
    renderer_version = str(load_resvg().__version__)
    chosen = choose_sources(catalogue, config)
    with tempfile.TemporaryDirectory(prefix="ggm-art-") as scratch:
        folder = None if source is None else Path(source)
        pictures, origin = read_pictures(chosen, config, folder, Path(scratch), report)
        build = _fingerprint(config, chosen, origin, renderer_version)
        with building_folder(out, build) as (building, journal):
            _render(pictures.items, building, journal, config, workers, report)
            summary = _finish(out, building, journal, pictures, chosen, config, origin, report)
    return summary


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _fingerprint(
    config: ArtConfig, chosen: Sequence[ArtSource], origin: Sequence[str], renderer_version: str
) -> str:
    """Stands for all that decides what is rendered."""
    packages = [package.integrity for source in chosen for package in source.packages.values()]
    facts = [FORMAT_VERSION, asdict(config), packages, list(origin), renderer_version]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _clip_ids(item: ArtItem, config: ArtConfig) -> list[str]:
    return [item.id, *(f"{item.id}~{number}" for number in range(2, config.clips_per_item + 1))]


def _video(building: Path, clip_id: str) -> Path:
    return building / VIDEOS_FOLDER / f"{clip_id}.mp4"


def _is_rendered(item: ArtItem, building: Path, journal: Journal, config: ArtConfig) -> bool:
    answer = journal.answers.get(item.id)
    if answer is None:
        return False
    return "hash" not in answer or all(_video(building, clip).is_file() for clip in _clip_ids(item, config))


def _render(
    items: Sequence[ArtItem],
    building: Path,
    journal: Journal,
    config: ArtConfig,
    workers: int,
    report: Progress,
) -> None:
    missing = [item for item in items if not _is_rendered(item, building, journal, config)]
    done_before = len(items) - len(missing)
    report("render", done_before, len(items))

    def requests() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for item in missing:
            yield (
                item.id,
                {
                    "svg": item.svg,
                    "png": None if item.png is None else str(item.png),
                    "coloured": item.coloured,
                    "seed": config.seed,
                    "clips": {
                        clip: str(_video(building, clip).resolve()) for clip in _clip_ids(item, config)
                    },
                },
            )

    with Renderer(workers) as renderer:
        for done, (id_, answer) in enumerate(renderer.render(requests()), start=done_before + 1):
            journal.add(id_, answer)
            report("render", done, len(items))


def _finish(
    out: Path,
    building: Path,
    journal: Journal,
    pictures: Pictures,
    chosen: Sequence[ArtSource],
    config: ArtConfig,
    origin: list[str],
    report: Progress,
) -> ArtSummary:
    """Everything that is decided when all pictures are there: groups, hashtags, posts, splits."""
    report("group", 0, 1)
    rejected = [
        {"id": item.id, "reason": journal.answers[item.id]["error"]}
        for item in pictures.items
        if "hash" not in journal.answers[item.id]
    ]
    dropped = pictures.dropped + Counter(
        {"picture unusable, see rejected": len(rejected)} if rejected else {}
    )
    items = [item for item in pictures.items if "hash" in journal.answers[item.id]]
    if not items:
        raise DataError(f"no usable picture; dropped: {dict(dropped)}, {rejected[:1]}")
    hashtags = {item.id: item_hashtags(item) for item in items}
    hashes = [np.frombuffer(bytes.fromhex(journal.answers[item.id]["hash"]), np.uint8) for item in items]
    concepts = find_concepts(items, hashtags, hashes)
    kept = widespread(hashtags, concepts.groups, minimum=config.minimum)
    hashtags = {id_: tuple(text for text in own if key(text) in kept) for id_, own in hashtags.items()}
    dropped["no hashtag that is frequent enough"] += sum(not own for own in hashtags.values())
    items = [item for item in items if hashtags[item.id]]
    splits = _split(items, concepts, config, dropped)
    posts = [
        post
        for item in items
        if item.id in splits
        for post in _posts(item, hashtags[item.id], building, config)
    ]
    posts = [replace(post, split=splits[post.id.partition("~")[0]]) for post in posts]
    by_id = {item.id: item for item in items}
    _remove_others(building / VIDEOS_FOLDER, {post.video for post in posts})
    write_manifest(posts, building / MANIFEST_NAME)
    rows = (_source_row(post, by_id[post.id.partition("~")[0]], concepts, pictures.stated) for post in posts)
    write_json_lines(rows, building / SOURCES_NAME)
    summary = _summarise(out, posts, [by_id[id_] for id_ in splits], concepts, dropped)
    write_json(art_metadata(summary, chosen, config, origin, rejected), building / METADATA_NAME)
    report("group", 1, 1)
    return summary


def widespread(
    hashtags: Mapping[str, Sequence[str]], groups: Mapping[str, str], *, minimum: int
) -> frozenset[str]:
    """Keys of the hashtags that pictures of enough groups have.

    Args:
        hashtags: Of each picture, by id.
        groups: Of each picture.
        minimum: Of groups, at least 1.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for id_, own in hashtags.items():
        for text in own:
            found[key(text)].add(groups[id_])
    return frozenset(text for text, members in found.items() if len(members) >= minimum)


def _split(
    items: Sequence[ArtItem], concepts: Concepts, config: ArtConfig, dropped: Counter[str]
) -> dict[str, str]:
    """The split of each picture that stays."""
    stand_ins = [Post(id=item.id, video=Path(item.id), description="", hashtags=("x",)) for item in items]
    parts = grouped_split(stand_ins, concepts.groups, seed=config.seed)
    splits = {post.id: name for name, part in parts.items() for post in part}
    torn = concepts.torn(splits)
    if torn:
        dropped["too like a picture of another split"] += len(torn)
    return {item.id: splits[item.id] for item in items if item.id not in torn}


def _posts(item: ArtItem, hashtags: Sequence[str], building: Path, config: ArtConfig) -> Iterator[Post]:
    for clip_id in _clip_ids(item, config):
        rng = random.Random(f"{config.seed}/post/{clip_id}")
        drawn = draw_hashtags(hashtags, most=config.max_hashtags, rng=rng)
        yield Post(
            id=clip_id,
            video=_video(building, clip_id),
            description=describe(item, drawn, config=config, rng=rng),
            hashtags=drawn,
            author=item.author or None,
        )


def _remove_others(videos: Path, kept: set[Path]) -> None:
    for path in sorted(videos.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()


def _source_row(post: Post, item: ArtItem, concepts: Concepts, stated: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": post.id,
        "source": item.source,
        "picture": item.id,
        "title": item.title,
        "keywords": list(item.keywords),
        "author": item.author,
        "licence": list(item.licence) or [stated[item.source]],
        "group": concepts.groups[item.id],
    }


def _summarise(
    out: Path, posts: Sequence[Post], items: Sequence[ArtItem], concepts: Concepts, dropped: Counter[str]
) -> ArtSummary:
    counts: Counter[str] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    for post in posts:
        for text in post.hashtags:
            counts[key(text)] += 1
            groups[key(text)].add(concepts.groups[post.id.partition("~")[0]])
    return ArtSummary(
        folder=out,
        posts_per_split=dict(Counter(str(post.split) for post in posts)),
        pictures_per_source=dict(Counter(item.source for item in items)),
        groups=len({concepts.groups[item.id] for item in items}),
        hashtags=len(counts),
        frequent_hashtags=sum(count >= 5 for count in counts.values()),
        widespread_hashtags=sum(len(members) >= 5 for members in groups.values()),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
    )
