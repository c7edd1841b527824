"""Which pictures show the same: groups for a split, and what must never lie in two of its parts.

Words that name the same thing, the same emoji, and pictures that look alike belong together. Followed
to the end, such links join nearly all icons (a stop sign is a square, which is a checkbox): groups
therefore only grow to a limit. Links that were cut at it are kept, and whoever splits leaves out the
posts that they would tear apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.corpus.art.items import ArtItem
from ggm.corpus.art.names import base_words
from ggm.corpus.series import near_pairs

LARGEST_SHARE: Final = 0.02
"""Of all pictures, that a group may hold by links; those with one name stay together whatever they are."""

LEAST_LARGEST: Final = 50

_MOST_NAME_WORDS: Final = 4  # a longer title is a sentence, whose last word says little
_LEAST_KEYWORDS: Final = 4  # that are the same, all of them, by no coincidence
_KEPT_FIRST: Final = ("train", "test", "validation")


@dataclass(frozen=True)
class Concepts:
    """Groups of pictures.

    Args:
        groups: Of each picture, named by the smallest id in it.
        links: Pictures that belong together, whether or not their group holds them all.
    """

    groups: Mapping[str, str]
    links: tuple[tuple[str, ...], ...]

    def torn(self, splits: Mapping[str, str]) -> set[str]:
        """What to leave out so that no link leads from one split to another.

        Of a link's pictures those stay that are for training, else those for testing.

        Args:
            splits: Of each picture; those without one are left out already.
        """
        left_out: set[str] = set()
        for link in self.links:
            names = {splits[id_] for id_ in link if id_ in splits and id_ not in left_out}
            if len(names) > 1:
                kept = min(names, key=_KEPT_FIRST.index)
                left_out.update(id_ for id_ in link if id_ in splits and splits[id_] != kept)
        return left_out


def name_key(item: ArtItem) -> str | None:
    """The one word that an item is filed under; None for a title that is none or a sentence."""
    words = base_words(item.title)
    if not 0 < len(words) <= _MOST_NAME_WORDS:
        return None
    return words[-1] if item.natural else words[0]


def _phrases(item: ArtItem) -> set[tuple[str, ...]]:
    """The words of its title, and the two that say most ("ice cream" of "soft ice cream")."""
    words = base_words(item.title)
    return {phrase for phrase in (words, words[-2:] if item.natural else words[:2]) if phrase}


def find_concepts(
    items: Sequence[ArtItem],
    hashtags: Mapping[str, Sequence[str]],
    hashes: Sequence[npt.NDArray[np.uint8]],
) -> Concepts:
    """Groups items by their names, their own keys, their hashtags and their looks.

    Args:
        items: Whose ids differ.
        hashtags: Of each, by id, all that could be had of its keywords.
        hashes: Of each, as `ggm.corpus.series.difference_hash` gives them.
    """
    firm: dict[str, list[str]] = defaultdict(list)
    loose: dict[str, list[str]] = defaultdict(list)
    for item in items:
        for key in item.alike:
            firm[key].append(item.id)
        if (name := name_key(item)) is not None:
            firm[f"name:{name}"].append(item.id)
        for words in _phrases(item):
            loose[f"words:{' '.join(sorted(words))}"].append(item.id)
        if len(hashtags[item.id]) >= _LEAST_KEYWORDS:
            loose[f"hashtags:{' '.join(sorted(hashtags[item.id]))}"].append(item.id)
    pairs = near_pairs(np.stack(hashes)) if len(hashes) > 1 else []
    distances = [int(np.bitwise_count(hashes[one] ^ hashes[other]).sum()) for one, other in pairs]
    by_look = [
        (items[one].id, items[other].id)
        for _, (one, other) in sorted(zip(distances, pairs, strict=True), key=lambda pair: pair[0])
    ]
    union = _CappedUnion([item.id for item in items], max(LEAST_LARGEST, round(LARGEST_SHARE * len(items))))
    for members in firm.values():
        union.join(members, capped=False)
    links = [tuple(members) for members in loose.values() if len(members) > 1] + by_look
    for link in links:
        union.join(link, capped=True)
    return Concepts(union.groups(), tuple(links))


class _CappedUnion:
    """Union-find whose sets grow to a limit."""

    def __init__(self, ids: Iterable[str], largest: int) -> None:
        self._parent = {id_: id_ for id_ in ids}
        self._size = Counter(self._parent.keys())
        self._largest = largest

    def join(self, members: Sequence[str], *, capped: bool) -> None:
        """Joins each with the first, or as many as there is room for."""
        for member in members[1:]:
            one, other = self._root(members[0]), self._root(member)
            size = self._size[one] + self._size[other]
            if one != other and not (capped and size > self._largest):
                self._parent[max(one, other)] = min(one, other)
                self._size[min(one, other)] = size

    def groups(self) -> dict[str, str]:
        """The set of each, named by its smallest id."""
        return {id_: self._root(id_) for id_ in self._parent}

    def _root(self, id_: str) -> str:
        while self._parent[id_] != id_:
            self._parent[id_] = self._parent[self._parent[id_]]
            id_ = self._parent[id_]
        return id_
