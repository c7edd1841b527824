"""Training pairs of the retriever: a post and one of its hashtags, drawn anew each time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ggm.errors import DataError
from ggm.records import Post
from ggm.training.recipes import RetrieverRecipe
from ggm.training.targets import hashtag_indices
from ggm.training.trainer import Draw


def drawable_posts(posts: Sequence[Post], hashtags: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """The posts that carry a hashtag of a vocabulary.

    Args:
        posts: For training.
        hashtags: The vocabulary, in a fixed order.

    Returns:
        Their indices, and for each the places of its hashtags in the vocabulary.

    Raises:
        DataError: If there is none.
    """
    places = hashtag_indices(posts, hashtags)
    usable = [index for index, found in enumerate(places) if found]
    if not usable:
        raise DataError("no training post carries a hashtag of the vocabulary")
    return usable, [places[index] for index in usable]


class PairDraws:
    """Draws a hashtag for a post; which one depends on seed and position alone.

    Args:
        post_hashtags: For each post the places of its hashtags in the vocabulary, at least one.
        num_hashtags: Size of the vocabulary.
        recipe: How often rare hashtags are drawn, and whether false negatives are masked.
        seed: Of the draws.
    """

    def __init__(
        self,
        post_hashtags: Sequence[Sequence[int]],
        *,
        num_hashtags: int,
        recipe: RetrieverRecipe,
        seed: int,
    ) -> None:
        self.post_hashtags = [np.asarray(indices) for indices in post_hashtags]
        self.most_hashtags = max(map(len, self.post_hashtags))
        self.mask_false_negatives = recipe.mask_false_negatives
        self.seed = seed
        counts = np.bincount(np.concatenate(self.post_hashtags), minlength=num_hashtags)
        self.weights = np.maximum(counts, 1).astype(np.float64) ** -recipe.rare_hashtag_power

    def draw(self, draws: Sequence[Draw]) -> list[int]:
        """For each draw the place of the hashtag that is paired with the post."""
        return [self._one(position, post) for position, post in draws]

    def masks(self, draws: Sequence[Draw], drawn: Sequence[int]) -> dict[str, Tensor]:
        """What `contrast` needs to know false negatives: ``drawn`` and ``carried``, or nothing."""
        if not self.mask_false_negatives:
            return {}
        # As wide in each batch and process, so that processes can share it.
        carried = torch.full((len(draws), self.most_hashtags), -1)
        for row, (_, post) in enumerate(draws):
            carried[row, : len(self.post_hashtags[post])] = torch.from_numpy(self.post_hashtags[post])
        return {"drawn": torch.tensor(drawn), "carried": carried}

    def _one(self, position: int, post: int) -> int:
        choices = self.post_hashtags[post]
        weights = self.weights[choices]
        random = np.random.default_rng((self.seed, position))
        return int(random.choice(choices, p=weights / weights.sum()))
