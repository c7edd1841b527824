from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from ggm.records import Post
from ggm.training.targets import hashtag_indices, target_distributions, vocabulary_of


def post(*hashtags: str) -> Post:
    return Post("1", Path("1.mp4"), "", hashtags)


def test_vocabulary_counts_posts_whatever_the_case() -> None:
    vocabulary = vocabulary_of([post("Snow", "cat"), post("snow"), post("SNOW", "dog")])
    assert dict(vocabulary.most_common()) == {"Snow": 3, "cat": 1, "dog": 1}


def test_places_of_hashtags_by_hand() -> None:
    places = hashtag_indices(
        [post("SNOW", "cat", "unknown"), post("unknown"), post("cat", "Cat")], ["cat", "Snow"]
    )
    assert places == [[1, 0], [], [0]]


HASHTAGS = st.lists(st.text("abAB", min_size=1, max_size=3), min_size=1, max_size=5)


@given(st.lists(HASHTAGS, max_size=5), HASHTAGS)
def test_places_equal_a_plain_search(posts: list[list[str]], known: list[str]) -> None:
    known = list({text.casefold(): text for text in known}.values())
    found = hashtag_indices([post(*hashtags) for hashtags in posts], known)
    assert len(found) == len(posts)
    for hashtags, places in zip(posts, found, strict=True):
        assert len(set(places)) == len(places)
        lower = {text.casefold() for text in hashtags}
        assert set(places) == {place for place, text in enumerate(known) if text.casefold() in lower}


def test_target_distributions_by_hand() -> None:
    found = target_distributions([[1, 3], [], [0]], num_hashtags=4)
    assert torch.equal(found, torch.tensor([[0, 0.5, 0, 0.5], [0, 0, 0, 0], [1, 0, 0, 0]]))
    assert target_distributions([], num_hashtags=4).shape == (0, 4)
