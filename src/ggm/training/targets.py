"""What training aims at: a post's hashtags as places in the training vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

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
