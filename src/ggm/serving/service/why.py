"""Why a hashtag was recommended: the guidance closest to it in meaning."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.hashtags import key
from ggm.records import Hit, Recommendation

Why = tuple[Hit, ...]
"""Guidance in descending similarity to one hashtag."""

_NEAREST: Final = 3
_MOST_VECTORS: Final = 10_000

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


class WhyFinder:
    """Compares hashtags by their vectors, which are remembered. For one thread.

    Args:
        embed: Gives unit vectors.
        most_vectors: How many are remembered; the longest unused are forgotten.
    """

    def __init__(self, embed: Embed, *, most_vectors: int = _MOST_VECTORS) -> None:
        self._embed = embed
        self._most_vectors = most_vectors
        self._vectors: OrderedDict[str, npt.NDArray[Any]] = OrderedDict()

    def of(self, found: Recommendation) -> list[Why]:
        """For each recommended hashtag the three of the guidance closest to it, itself left out."""
        guidance = found.guidance.texts
        if not guidance or not found.hashtags:
            return [()] * len(found.hashtags)
        texts = [hashtag.text for hashtag in found.hashtags]
        vectors = self._lookup([*texts, *guidance])
        cosines = vectors[: len(texts)] @ vectors[len(texts) :].T  # (hashtags, guidance)
        answers: list[Why] = []
        for text, row in zip(texts, cosines, strict=True):
            order = [place for place in np.argsort(-row, kind="stable") if key(guidance[place]) != key(text)]
            answers.append(tuple(Hit(guidance[place], float(row[place])) for place in order[:_NEAREST]))
        return answers

    def _lookup(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        fresh = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if fresh:
            self._vectors.update(zip(fresh, self._embed(fresh), strict=True))
        for text in texts:
            self._vectors.move_to_end(text)
        rows = np.stack([self._vectors[text] for text in texts])
        while len(self._vectors) > self._most_vectors:
            self._vectors.popitem(last=False)
        return rows
