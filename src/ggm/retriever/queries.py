"""What the pool is asked: the video (paper, equation 2), or the video and its description together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def with_descriptions(
    videos: npt.NDArray[np.float32], descriptions: npt.NDArray[np.float32], *, weight: float
) -> npt.NDArray[np.float32]:
    """Queries that ask for both at once: a hashtag's similarity is the weighted sum of its two cosines.

    Up to a factor, that is: queries are of unit length again, so that similarities stay cosines.

    Args:
        videos: (posts, E), unit vectors of the retriever's space.
        descriptions: (posts, E), theirs in the same space; zeros for a post without description.
        weight: What a description counts beside its video, 0 or more.

    Returns:
        (posts, E). A post without description has its video's vector, bit by bit.
    """
    described = (descriptions != 0).any(axis=1, keepdims=True)  # (posts, 1)
    queries: npt.NDArray[np.float32] = videos + np.float32(weight) * descriptions
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    # Opposite vectors of equal weight leave nothing to ask with.
    usable = described & (lengths > 1e-6)
    return np.where(usable, queries / np.where(usable, lengths, 1), videos).astype(np.float32)
