"""Each figure worked by hand, and against a slow, obvious twin."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus.examine import VideoFacts
from ggm.corpus.statistics import SplitStatistics, Statistics, gather_statistics
from ggm.corpus.wording import description_words, occurs_in
from ggm.hashtags import key, split_words
from ggm.records import Post


def post(description: str, *hashtags: str, split: str | None = None, video: str = "v") -> Post:
    return Post("a", Path(video), description, hashtags, split=split)


BY_HAND = [
    post("Cold weather today", "ColdWeather", "snow", split="train", video="loud"),
    post("", "Snow", split="train", video="silent"),
    post("snow, snow!", "snow", "cat", "SnowStorm", split="test", video="unknown"),
    post("my cat", "dog", video="bad"),
]
FACTS = {
    "loud": VideoFacts(None, 3.0, True),
    "silent": VideoFacts(None, 6.0, False),
    "bad": VideoFacts("not a video"),
}


def facts_of(one: Post) -> VideoFacts | None:
    return FACTS.get(one.video.name)


def test_figures_worked_by_hand() -> None:
    found = gather_statistics(BY_HAND, facts_of)
    assert list(found.splits) == ["train", "test", ""], "in the order of use"
    assert found.splits["train"] == SplitStatistics(
        posts=2,
        hashtags=3,
        unique_hashtags=2,  # coldweather, snow
        singletons=1,
        frequent_hashtags=0,
        hashtags_per_post=1.5,
        words_per_hashtag=pytest.approx(4 / 3),  # cold weather, snow, snow
        words_per_description=1.5,  # 3, 0
        share_in_description=pytest.approx(1 / 3),  # ColdWeather
        videos_measured=2,
        duration_seconds=4.5,
        share_silent=0.5,
    )
    assert found.splits["test"] == SplitStatistics(
        1, 3, 3, 3, 0, 3.0, pytest.approx(4 / 3), 2.0, pytest.approx(1 / 3)
    )
    assert found.splits[""] == SplitStatistics(1, 1, 1, 1, 0, 1.0, 1.0, 2.0, 0.0), (
        "a video of no use has no length"
    )
    total = found.total
    assert (total.posts, total.hashtags, total.unique_hashtags, total.singletons) == (4, 7, 5, 4)
    assert total.hashtags_per_post == 7 / 4
    assert total.words_per_hashtag == pytest.approx(9 / 7)
    assert total.words_per_description == 7 / 4
    assert total.share_in_description == pytest.approx(2 / 7)
    assert (total.videos_measured, total.duration_seconds, total.share_silent) == (2, 4.5, 0.5)
    assert found.words_per_hashtag == {1: 5, 2: 2}
    assert found.posts_per_hashtag == {1: 4, 3: 1}


def test_five_posts_make_a_hashtag_frequent() -> None:
    found = gather_statistics([post("", "Cat" if n % 2 else "cat", f"only{n}x") for n in range(5)])
    assert (found.total.unique_hashtags, found.total.singletons, found.total.frequent_hashtags) == (6, 5, 1)
    assert gather_statistics([post("", "cat")] * 4).total.frequent_hashtags == 0


def test_no_post_at_all() -> None:
    found = gather_statistics([])
    assert found.splits == {}
    assert found.total == SplitStatistics(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)


def test_one_hashtag_in_two_cases_is_one() -> None:
    assert gather_statistics([post("", "cat", "CAT")]).total.hashtags == 1


def slow_column(posts: Sequence[Post], facts_of: Callable[[Post], VideoFacts | None]) -> dict[str, Any]:
    tags = [
        [tag for n, tag in enumerate(p.hashtags) if key(tag) not in map(key, p.hashtags[:n])] for p in posts
    ]
    uses = [(p, tag) for p, own in zip(posts, tags, strict=True) for tag in own]
    counts = Counter(key(tag) for _, tag in uses)
    videos = [found for p in posts if (found := facts_of(p)) and not found.problem]
    return {
        "posts": len(posts),
        "hashtags": len(uses),
        "unique_hashtags": len(counts),
        "singletons": len([1 for n in counts.values() if n == 1]),
        "frequent_hashtags": len([1 for n in counts.values() if n >= 5]),
        "hashtags_per_post": fmean(map(len, tags)),
        "words_per_hashtag": fmean(len(split_words(tag)) for _, tag in uses),
        "words_per_description": fmean(len(p.description.split()) for p in posts),
        "share_in_description": fmean(occurs_in(tag, description_words(p.description)) for p, tag in uses),
        "videos_measured": len(videos),
        "duration_seconds": fmean(found.duration_seconds or 0 for found in videos) if videos else None,
        "share_silent": fmean(not found.has_sound for found in videos) if videos else None,
    }


some_posts = st.lists(
    st.builds(
        post,
        st.sampled_from(["", "Cold weather", "a cat, my CAT", "снег идёт"]),
        st.sampled_from(["cat", "Cat", "ColdWeather", "снег"]),
        st.sampled_from(["dog", "cold-weather", "CAT", "x1"]),
        split=st.sampled_from([None, "train", "test"]),
        video=st.sampled_from([*FACTS, "unknown"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(posts=some_posts)
def test_they_equal_the_slow_twin(posts: list[Post]) -> None:
    found = gather_statistics(iter(posts), facts_of).to_dict()
    assert found["total"] == pytest.approx(slow_column(posts, facts_of), nan_ok=True)
    assert set(found["splits"]) == {p.split or "" for p in posts}
    for name, column in found["splits"].items():
        assert column == pytest.approx(slow_column([p for p in posts if (p.split or "") == name], facts_of))
    assert sum(found["words_per_hashtag"].values()) == found["total"]["hashtags"]
    assert sum(n * uses for n, uses in found["posts_per_hashtag"].items()) == found["total"]["hashtags"]


def test_they_can_be_written_as_json() -> None:
    found = gather_statistics(BY_HAND, facts_of)
    assert isinstance(found, Statistics)
    assert json.loads(json.dumps(found.to_dict()))["total"]["posts"] == 4
