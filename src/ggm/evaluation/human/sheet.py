"""Draw what people rate: novel hashtags, and as many that creators chose for the same posts."""

from __future__ import annotations

import hashlib
import random
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ggm.corpus.manifest import Dataset
from ggm.errors import DataError
from ggm.evaluation.human.answers import KINDS, Answer, AnswerKey, key_path, write_key
from ggm.evaluation.human.study import Item, write_study
from ggm.evaluation.predictions import Prediction, first
from ggm.hashtags import key, normalise
from ggm.records import Post


@dataclass(frozen=True)
class Candidate:
    """A post with a novel hashtag.

    Args:
        post: The post.
        novel: Hashtags that the system coined, as they are shown.
        ground_truth: Those that the creator chose; each novel one has another one here.
    """

    post: Post
    novel: tuple[str, ...]
    ground_truth: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """What is rated of one post.

    Args:
        post: The post.
        novel: A hashtag that the system coined.
        ground_truth: Another one, that the creator chose.
    """

    post: Post
    novel: str
    ground_truth: str


@dataclass(frozen=True)
class SheetSummary:
    """What came of a sheet.

    Args:
        posts: How many were drawn.
        items: Twice as many.
        candidates: Posts that could be drawn.
        without_video: Posts with a novel hashtag whose video isn't there.
        raters: How many people shall rate each item.
    """

    posts: int
    items: int
    candidates: int
    without_video: int
    raters: int


def make_study(
    predictions: Sequence[Prediction],
    dataset: Dataset,
    folder: str | Path,
    *,
    count: int = 100,
    raters: int = 3,
    seed: int = 0,
    top: int | None = None,
    copy_videos: bool = False,
) -> SheetSummary:
    """Write a blind study and, beside it, its key.

    Novel is what no post of the dataset's training split carries (paper, section 5.4).

    Args:
        predictions: Of one system, for posts of the dataset.
        dataset: With a training split.
        folder: Where the study is written; must not exist.
        count: Posts to draw; where there are fewer, all are taken.
        raters: How many people shall rate each item.
        seed: Of the draw.
        top: Draw novel hashtags among the first so many of each ranked list; None takes all.
        copy_videos: Whether the folder gets the videos, so that it can be given away.

    Raises:
        DataError: If the predictions are none, of several systems or of posts that the dataset
            doesn't have, there is no training split, no post can be drawn, an argument is out of
            range, the folder or its key exists, or a file can't be written.
    """
    target = Path(folder).resolve()
    systems = sorted({prediction.system for prediction in predictions})
    if len(systems) != 1:
        raise DataError(f"predictions of one system are needed, got {', '.join(systems) or 'none'}")
    if count < 1 or raters < 1 or (top is not None and top < 1):
        raise DataError(f"count, raters and top must be at least 1, got {count}, {raters} and {top}")
    for path in (target, key_path(target)):
        if path.exists():
            raise DataError(f"{path} exists already; choose another place for the study")
    known = {key(text) for post in dataset.split("train") for text in post.hashtags}
    candidates = find_candidates(first(predictions, top), dataset.posts, known=known)
    usable = [candidate for candidate in candidates if candidate.post.video.is_file()]
    if not usable:
        raise DataError(
            f"{systems[0]} coined no hashtag that can be rated: {len(candidates)} posts have a novel one "
            "beside one that the creator chose, and none of them a video"
        )
    pairs = draw_pairs(usable, count=count, seed=seed)
    drawn = {"dataset": str(dataset.folder), "seed": seed, "count": count, "top": top}
    try:
        with _folder_and_key(target) as partial:
            items = [_items(pair, partial, copy_videos=copy_videos) for pair in pairs]
            fingerprint = write_study(partial, [item for both in items for item in both], raters=raters)
            answers = _answers(pairs, items)
            write_key(AnswerKey(fingerprint, systems[0], drawn, answers), key_path(target))
    except OSError as error:
        raise DataError(f"{folder}: can't write the study: {error}") from error
    return SheetSummary(len(pairs), 2 * len(pairs), len(usable), len(candidates) - len(usable), raters)


def find_candidates(
    predictions: Sequence[Prediction], posts: Iterable[Post], *, known: Collection[str]
) -> list[Candidate]:
    """The posts for which something novel was recommended beside another hashtag of the creator.

    Args:
        predictions: One a post.
        posts: Among them those that were predicted for.
        known: Hashtags of the training posts.

    Returns:
        In order of the posts' ids.

    Raises:
        DataError: If there is no post of a prediction's id.
    """
    by_id = {post.id: post for post in posts}
    names = {key(text) for text in known}
    candidates = []
    for prediction in sorted(predictions, key=lambda prediction: prediction.id):
        if prediction.id not in by_id:
            raise DataError(f"the dataset has no post {prediction.id!r}; give the one that was predicted for")
        chosen = _shown(prediction.reference)
        novel = {
            name: text
            for name, text in _shown(prediction.hashtags).items()
            if name not in names and chosen.keys() - {name}
        }
        if novel:
            shown = tuple(novel.values()), tuple(chosen.values())
            candidates.append(Candidate(by_id[prediction.id], *shown))
    return candidates


def draw_pairs(candidates: Sequence[Candidate], *, count: int, seed: int) -> tuple[Pair, ...]:
    """Draw posts without replacement, and of each a novel hashtag and one of the creator.

    Args:
        candidates: At least one; their order counts.
        count: How many posts; where there are fewer, all are taken.
        seed: Of the draw.
    """
    draw = random.Random(seed)
    pairs = []
    for candidate in draw.sample(candidates, min(count, len(candidates))):
        novel = draw.choice(candidate.novel)
        others = [text for text in candidate.ground_truth if key(text) != key(novel)]
        pairs.append(Pair(candidate.post, novel, draw.choice(others)))
    return tuple(pairs)


@contextmanager
def _folder_and_key(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place when the block ends well; else its key goes as well."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.exists():
            key_path(target).unlink(missing_ok=True)


def _answers(pairs: Sequence[Pair], items: Sequence[tuple[Item, Item]]) -> dict[str, Answer]:
    return {
        item.id: Answer(kind, pair.post.id)
        for pair, both in zip(pairs, items, strict=True)
        for item, kind in zip(both, KINDS, strict=True)
    }


def _shown(hashtags: Iterable[str]) -> dict[str, str]:
    """Different hashtags by key, all in lower case: capitals could tell who wrote them."""
    return {key(text): normalise(text).lower() for text in hashtags}


def _items(pair: Pair, folder: Path, *, copy_videos: bool) -> tuple[Item, Item]:
    """The two items of a post: the novel one, and the creator's."""
    post, video = pair.post, pair.post.video.absolute()
    if copy_videos:
        video = folder / "videos" / f"{_digest(post.id)}{post.video.suffix.lower()}"
        video.parent.mkdir(exist_ok=True)
        shutil.copyfile(post.video, video)
    one, other = (
        Item(_digest(post.id, hashtag), hashtag, post.description, video)
        for hashtag in (pair.novel, pair.ground_truth)
    )
    return one, other


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
