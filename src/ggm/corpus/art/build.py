"""The art corpus as a dataset folder."""

from __future__ import annotations

import hashlib
import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ggm.corpus import render
from ggm.corpus.art import drawings
from ggm.corpus.art.concepts import Concepts, find_concepts
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.journal import Journal, building_folder
from ggm.corpus.art.keywords import describe, draw_hashtags, item_hashtags
from ggm.corpus.art.looks import FRAMES_PER_SECOND, NUM_FRAMES
from ggm.corpus.art.renderer import Renderer
from ggm.corpus.art.sources import KEYWORD_LICENCES, LEFT_OUT, SOURCES, ArtSource
from ggm.corpus.art.svg import load_resvg
from ggm.corpus.clipart import open_drawings
from ggm.corpus.jsonlines import write_json, write_json_lines
from ggm.corpus.manifest import MANIFEST_NAME, METADATA_NAME, write_manifest
from ggm.corpus.npm import fetch_npm_package, find_npm_package, read_npm_package
from ggm.corpus.splits import grouped_split
from ggm.errors import ConfigError, DataError
from ggm.hashtags import key
from ggm.records import Post

FORMAT_VERSION: Final = 1
SOURCES_NAME: Final = "sources.jsonl"
VIDEOS_FOLDER: Final = "videos"

Progress = Callable[[str, int, int], None]
"""Is told the stage (``fetch``, ``read``, ``render``, ``group``), how much is done, and of how much."""

_ID: Final = re.compile(r"[\w+~-][\w.+~-]*(?:/[\w+~-][\w.+~-]*)+")
_LICENCE_NOTE: Final = (
    "Each set has a licence of its own, named in sources; all of them allow that weights trained on the "
    "pictures are shipped, those of Creative Commons with attribution."
)


@dataclass(frozen=True)
class ArtSummary:
    """What was built.

    Args:
        folder: The dataset.
        posts_per_split: Number of posts by split name.
        pictures_per_source: Number of pictures by the key of their set.
        groups: Number of groups of pictures that show the same.
        hashtags: Number of different hashtags.
        frequent_hashtags: Number of those that five or more posts carry.
        widespread_hashtags: Number of those that pictures of five or more groups carry.
        dropped: Number of pictures left out, by reason.
    """

    folder: Path
    posts_per_split: dict[str, int]
    pictures_per_source: dict[str, int]
    groups: int
    hashtags: int
    frequent_hashtags: int
    widespread_hashtags: int
    dropped: dict[str, int]


@dataclass
class _Pictures:
    """What was read, and what became of it."""

    items: list[ArtItem]
    stated: dict[str, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)


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
    chosen = _choose_sources(catalogue, config)
    with tempfile.TemporaryDirectory(prefix="ggm-art-") as scratch:
        folder = None if source is None else Path(source)
        pictures, origin = _read(chosen, config, folder, Path(scratch), report)
        build = _fingerprint(config, chosen, origin, renderer_version)
        with building_folder(out, build) as (building, journal):
            _render(pictures.items, building, journal, config, workers, report)
            summary = _finish(out, building, journal, pictures, chosen, config, origin, report)
    return summary


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _choose_sources(catalogue: Sequence[ArtSource], config: ArtConfig) -> tuple[ArtSource, ...]:
    known = [drawings.KEY, *(source.key for source in catalogue)]
    if unknown := set(config.only) - set(known):
        raise ConfigError(f"no set {min(unknown)!r}; there are {', '.join(known)}")
    return tuple(source for source in catalogue if not config.only or source.key in config.only)


def _read(
    chosen: Sequence[ArtSource],
    config: ArtConfig,
    folder: Path | None,
    scratch: Path,
    report: Progress,
) -> tuple[_Pictures, list[str]]:
    """All pictures that may be used, in order of their ids, and the packages that they are from."""
    pictures, origin = _Pictures([]), []
    found: list[ArtItem] = []
    for number, source in enumerate(chosen):
        report("read", number, len(chosen) + 1)
        items, stated = _read_source(source, folder)
        found += items
        pictures.stated[source.key] = stated
        origin += [package.file_name for package in source.packages.values()]
    report("read", len(chosen), len(chosen) + 1)
    if not config.only or drawings.KEY in config.only:
        trees, packages = open_drawings(folder, scratch / "drawings", _silent)
        found += drawings.read_drawings(trees)
        origin += packages
    report("read", len(chosen) + 1, len(chosen) + 1)
    taken: set[str] = set()
    for item in sorted(found, key=lambda item: item.id):
        if not _ID.fullmatch(item.id):
            pictures.dropped["odd name"] += 1
        elif item.id.casefold() in taken:  # where case doesn't tell files apart, one would replace the other
            pictures.dropped["name twice"] += 1
        elif not item_hashtags(item):
            pictures.dropped["no usable keyword"] += 1
        else:
            taken.add(item.id.casefold())
            pictures.items.append(item)
    if config.limit is not None and config.limit < len(pictures.items):
        pictures.dropped["beyond the limit"] += len(pictures.items) - config.limit
        places = random.Random(config.seed).sample(range(len(pictures.items)), config.limit)
        pictures.items = [pictures.items[place] for place in sorted(places)]
    return pictures, sorted(set(origin))


def _read_source(source: ArtSource, folder: Path | None) -> tuple[list[ArtItem], str]:
    """The items of a set, and the licence that its package states."""
    files = {}
    for part, package in source.packages.items():
        path = fetch_npm_package(package) if folder is None else find_npm_package(package, folder=folder)
        files[part] = read_npm_package(path, wanted=lambda name, part=part: source.is_wanted(part, name))  # type: ignore[misc]
    try:
        stated = str(json.loads(files["pictures"]["package.json"])["license"])
        if stated != source.stated_licence:
            raise DataError(
                f"{source.packages['pictures'].file_name}: states the licence {stated!r}, not "
                f"{source.stated_licence!r}, under which it is known here"
            )
        return list(source.read(files)), stated
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{source.packages['pictures'].file_name}: isn't in its format: {error!r}") from error


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
    pictures: _Pictures,
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
    write_json(_metadata(summary, chosen, config, origin, rejected), building / METADATA_NAME)
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


def _metadata(
    summary: ArtSummary,
    chosen: Sequence[ArtSource],
    config: ArtConfig,
    origin: list[str],
    rejected: list[dict[str, str]],
) -> dict[str, Any]:
    facts = asdict(summary)
    del facts["folder"]
    counts = facts.pop("pictures_per_source")
    return {
        "name": "art",
        "format_version": FORMAT_VERSION,
        "title": "Clip art, emoji and icons as short videos",
        "made_from": origin,
        "settings": asdict(config),
        "licence": "several, see sources",
        "licence_note": _LICENCE_NOTE,
        "sources": [
            *_source_facts(chosen, counts),
            *_clipart_facts(counts),
        ],
        "keyword_sources": KEYWORD_LICENCES,
        "left_out": [asdict(one) for one in LEFT_OUT],
        "video": {
            "side": render.SIDE,
            "frames_per_second": FRAMES_PER_SECOND,
            "duration_seconds": NUM_FRAMES / FRAMES_PER_SECOND,
            "has_sound": False,
        },
        **facts,
        "rejected": rejected,
    }


def _source_facts(chosen: Sequence[ArtSource], counts: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for source in chosen:
        yield {
            "key": source.key,
            "title": source.title,
            "packages": [asdict(package) for package in source.packages.values()],
            "licence": source.licence,
            "attribution": source.attribution,
            "pictures": counts.get(source.key, 0),
        }


def _clipart_facts(counts: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    if counts.get(drawings.KEY):
        yield {
            "key": drawings.KEY,
            "title": drawings.TITLE,
            "packages": ["openclipart-png", "openclipart-svg"],
            "licence": drawings.LICENCE,
            "attribution": "each drawing's author, in sources.jsonl",
            "pictures": counts[drawings.KEY],
        }
