"""What training aims at: a post's hashtags as places in the training vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ggm.hashtags import Vocabulary, key
from ggm.records import Post


def vocabulary_of(posts: Sequence[Post]) -> Vocabulary:
    """The hashtags of some posts with their counts: by default the pool (paper, section 3.1)."""
    return Vocabulary.from_posts(post.hashtags for post in posts)


def hashtag_indices(posts: Sequence[Post], hashtags: Sequence[str]) -> list[list[int]]:
    """For each post the places of its hashtags in a list, each once; those not in it are left out."""
    place = {key(hashtag): index for index, hashtag in enumerate(hashtags)}
    keys = [dict.fromkeys(map(key, post.hashtags)) for post in posts]
    return [[place[hashtag] for hashtag in once if hashtag in place] for once in keys]


def target_distributions(places: Sequence[Sequence[int]], *, num_hashtags: int) -> Tensor:
    """What a classifier aims at: 1/k on each of a post's k hashtags (paper, appendix A).

    Args:
        places: Of each post's hashtags, as `hashtag_indices` gives them.
        num_hashtags: How many hashtags there are.

    Returns:
        float32 (posts, num_hashtags); all zero for a post without hashtags.
    """
    targets = torch.zeros(len(places), num_hashtags)
    for row, hashtags in enumerate(places):
        targets[row, list(hashtags)] = 1 / max(1, len(hashtags))
    return targets
