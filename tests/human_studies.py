"""Small studies for tests: posts of one novel and one ground-truth hashtag, and raters who rate them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ggm.corpus.manifest import Dataset, load_dataset, write_manifest
from ggm.evaluation.human.answers import Answer, AnswerKey
from ggm.evaluation.human.ratings import Rating
from ggm.evaluation.human.study import Item, Study, open_study, write_study
from ggm.evaluation.predictions import Prediction
from ggm.records import Post

RatingPair = tuple[int, int]
"""Understandability and relevancy."""


def small_study(folder: Path, *, posts: int = 3, raters: int = 3) -> tuple[Study, AnswerKey]:
    """A study whose items are called ``n0``, ``g0``, ``n1``, ...: novel and ground truth of each post."""
    folder.mkdir(parents=True, exist_ok=True)
    items, answers = [], {}
    for number in range(posts):
        video = folder / f"{number}.mp4"
        video.write_bytes(b"not a film but " + bytes(range(256)))
        for letter, kind in (("n", "novel"), ("g", "ground truth")):
            name = f"{letter}{number}"
            items.append(Item(name, f"{letter}tag{'abcdefghij'[number]}", f"film {number}", video))
            answers[name] = Answer(kind, str(number))  # type: ignore[arg-type]
    fingerprint = write_study(folder, items, raters=raters)
    return open_study(folder), AnswerKey(fingerprint, "ggm", {"seed": 0}, answers)


def rated(by_item: Mapping[str, RatingPair | None]) -> dict[str, Rating]:
    """What one rater said; None is "can't judge"."""
    return {item: Rating(item, *(pair or (None, None))) for item, pair in by_item.items()}


def dataset(folder: Path, *, known: Sequence[str] = ("cat", "Snow"), tests: int = 4) -> Dataset:
    """A dataset of one training post, with the known hashtags, and test posts ``0``, ``1``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    posts = [Post("train", folder / "train.mp4", "", tuple(known), split="train")]
    for number in range(tests):
        reference = ("Cat", f"Mine{'abcdefghij'[number % 10]}")
        posts.append(Post(str(number), folder / f"{number}.mp4", f"film {number}", reference, split="test"))
    for post in posts:
        post.video.write_bytes(post.id.encode())
    write_manifest(posts, folder / "manifest.jsonl")
    return load_dataset(folder)


def predictions(tests: int = 4, *, system: str = "ggm") -> list[Prediction]:
    """Two novel hashtags and a known one for each test post of `dataset`."""
    found = []
    for number in range(tests):
        letter = "abcdefghij"[number % 10]
        hashtags = ("cat", f"NewOne{letter}", f"newTwo{letter}")
        found.append(Prediction(str(number), system, hashtags, (0.9, 0.5, 0.1), ("Cat", f"Mine{letter}")))
    return found
