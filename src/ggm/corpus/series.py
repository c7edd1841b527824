"""Near-duplicates: which drawings belong to one series, so that a split can keep them together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_SIDE = 16
HASH_BITS = 2 * HASH_SIDE * HASH_SIDE

MAX_HASH_DISTANCE = 16
"""Bits, of 512. Found by looking at pairs: up to here they are recolourings and small variants."""


def difference_hash(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Perceptual hash: whether each cell of a small grey copy is darker than its neighbours.

    Args:
        image: Any mode without transparency.

    Returns:
        Packed bits, uint8 of shape (HASH_BITS / 8,). Size and recolouring hardly change them.
    """
    side = HASH_SIDE + 1
    grey = np.asarray(image.convert("L").resize((side, side), Image.Resampling.BOX), dtype=np.int16)
    # A margin, so that the flat parts of drawings don't flicker with the resampling.
    right = grey[:-1, 1:] > grey[:-1, :-1] + 2
    down = grey[1:, :-1] > grey[:-1, :-1] + 2
    return np.packbits(np.concatenate([right.ravel(), down.ravel()]))


def near_pairs(
    hashes: npt.NDArray[np.uint8], *, max_distance: int = MAX_HASH_DISTANCE
) -> list[tuple[int, int]]:
    """All pairs of hashes that differ in few bits.

    Args:
        hashes: (items, bytes), as `difference_hash` gives them.
        max_distance: Largest number of differing bits.

    Returns:
        Index pairs, smaller index first, in order.
    """
    pairs: list[tuple[int, int]] = []
    words = np.ascontiguousarray(hashes)
    if words.shape[1] % 8 == 0:
        words = words.view(np.uint64)
    # One row against the rest: quadratic, about 20 seconds for 35,000 items.
    for index in range(len(words) - 1):
        distances = np.bitwise_count(words[index + 1 :] ^ words[index]).sum(axis=1)
        pairs += [(index, index + 1 + int(offset)) for offset in np.flatnonzero(distances <= max_distance)]
    return pairs


def connect(keys: Mapping[str, Sequence[Hashable]]) -> dict[str, str]:
    """Groups of ids that share a key, directly or through others (union-find).

    Args:
        keys: The keys of each id; an id without keys stands alone.

    Returns:
        The group of each id, named by its smallest id.
    """
    parent = {id_: id_ for id_ in keys}

    def root(id_: str) -> str:
        while parent[id_] != id_:
            parent[id_] = parent[parent[id_]]
            id_ = parent[id_]
        return id_

    first_with: dict[Hashable, str] = {}
    for id_, own in keys.items():
        for key in own:
            one, other = root(id_), root(first_with.setdefault(key, id_))
            parent[max(one, other)] = min(one, other)
    return {id_: root(id_) for id_ in keys}
