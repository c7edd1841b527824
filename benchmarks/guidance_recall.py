"""What the benchmarks of guidance share: their arguments, the posts that they ask for, and recall."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ggm.features.posts import PostFeatures
from ggm.hashtags import key


def parser(description: str | None) -> argparse.ArgumentParser:
    """RETRIEVER DATA [--posts 800] [--cache FOLDER]."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("retriever", type=Path)
    made.add_argument("data", type=Path)
    made.add_argument("--posts", type=int, default=800)
    made.add_argument("--cache", type=Path)
    return made


def drawn(data: PostFeatures, number: int) -> list[int]:
    """The same rows every time."""
    rows: list[int] = np.random.default_rng(0).permutation(len(data))[:number].tolist()
    return rows


def wanted(data: PostFeatures, rows: Sequence[int]) -> list[set[str]]:
    """Keys of the hashtags that each post's creator chose."""
    return [{key(text) for text in data.posts[row].hashtags} for row in rows]


def recall(own: Sequence[set[str]], found: Sequence[Sequence[str]], cut: int) -> npt.NDArray[np.float64]:
    """What share of its hashtags each post finds among the first ``cut``."""
    return np.array([len(a & set(b[:cut])) / len(a) for a, b in zip(own, found, strict=True)])
