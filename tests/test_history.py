"""What a creator used before: which posts count, and what it changes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.bundle import Bundle
from ggm.candidates import with_history
from ggm.errors import ConfigError, HashtagError
from ggm.evaluation.predict import SYSTEMS, System, predict
from ggm.hashtags import key
from ggm.history import HALF_LIFE, MOST_POSTS, History, earlier_posts, preferred, preferred_hits
from ggm.policy import Policy
from ggm.ranking import Ranked
from ggm.recommend import Recommender
from ggm.records import Hit, Post
from ggm.training.dataset import open_features
from systems import random_bundle


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny")


@pytest.mark.parametrize(
    ("text", "hashtags"),
    [
        ("#cat #FirstSnow", ("cat", "FirstSnow")),
        ("cat, snow;dog", ("cat", "snow", "dog")),
        ("So cold! #winter#snow", ("winter", "snow")),
        ("cat Cat #", ("cat",)),
        ("cat CAT ?", ("cat",)),
    ],
)
def test_texts(text: str, hashtags: tuple[str, ...]) -> None:
    if "#" in text and len(hashtags) == 1:
        with pytest.raises(HashtagError, match="no hashtag"):
            History.of([text])
    else:
        assert History.of(["", text, "  "]) == History((hashtags,))
        assert History.of(text) == History((hashtags,))


def test_familiarity_by_hand() -> None:
    posts = [("old", "cat")] + [("filler",)] * (HALF_LIFE - 1) + [("Cat", "cat", "new")]
    history = History(tuple(posts))
    assert history.familiarity["cat"] == pytest.approx(math.log1p(0.5 + 1))
    assert history.familiarity["old"] == pytest.approx(math.log1p(0.5))
    assert history.familiarity["new"] == pytest.approx(math.log1p(1))
    assert list(history.familiarity)[:2] == ["filler", "cat"]
    assert history.hashtags[:2] == ("filler", "cat")
    assert History((("Cat",), ("Cat",), ("cat",))).hashtags == ("Cat",)
    assert "old" not in History((("old",), *[("x",)] * MOST_POSTS)).familiarity


def test_log_odds_are_raised() -> None:
    ranked = [Ranked("dog", 0.5), Ranked("Cat", 0.4), Ranked("one", 1.0), Ranked("none", 0.0)]
    found = preferred(ranked, History((("cat",),)), weight=1.0)
    assert [item.text for item in found] == ["one", "Cat", "dog", "none"]
    odds = 0.4 / 0.6 * math.exp(math.log1p(1))
    assert found[1].score == pytest.approx(odds / (1 + odds))
    assert preferred(ranked, History()) == ranked
    assert preferred(ranked, History((("cat",),)), weight=0.0) == ranked


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    posts=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3).map(tuple), max_size=6),
    weight=st.floats(0, 1000),
)
def test_preferred_scores_stay_probabilities_in_order(
    scores: list[float], posts: list[tuple[str, ...]], weight: float
) -> None:
    ranked = [Ranked("abcdef"[n], score) for n, score in enumerate(sorted(scores, reverse=True))]
    found = preferred(ranked, History(tuple(posts)), weight=weight)
    assert {item.text for item in found} == {item.text for item in ranked}
    values = [item.score for item in found]
    assert values == sorted(values, reverse=True)
    assert all(0 <= value <= 1 for value in values)
    before = {item.text: item.score for item in ranked}
    assert all(item.score >= before[item.text] - 1e-12 for item in found)


def test_hits() -> None:
    hits = [Hit("dog", 0.5), Hit("cat", 0.4)]
    found = preferred_hits(hits, History((("Cat",),)), weight=1.0)
    assert found == [("cat", pytest.approx(0.4 + math.log(2))), ("dog", 0.5)]
    assert preferred_hits(hits, History()) == [("dog", 0.5), ("cat", 0.4)]


def post(name: str, author: str | None, created_at: str | None, split: str = "train") -> Post:
    return Post(name, Path(f"{name}.mp4"), "", (f"h{name}",), author, created_at, split)


def test_only_strictly_earlier_posts_of_the_author_count() -> None:
    posts = [
        post("d", "ann", "2024-01-04T00:00:00+00:00", "test"),
        post("a", "ann", "2024-01-01T00:00:00Z"),
        post("c", "ann", "2024-01-03T00:00:00", "test"),
        post("b", "ann", "2024-01-03T01:00:00+01:00", "test"),  # the same moment as c
        post("x", "ben", "2024-01-02"),
        post("n", None, "2024-01-05"),
        post("t", "ann", None, "test"),
        post("w", "ann", "some day", "test"),
    ]
    histories = earlier_posts(posts, posts)
    assert set(histories) == {"b", "c", "d"}
    assert histories["b"] == histories["c"] == History((("ha",),))
    assert sorted(histories["d"].posts) == [("ha",), ("hb",), ("hc",)]
    assert earlier_posts(posts, [posts[0]]).keys() == {"d"}


@given(
    st.lists(st.tuples(st.sampled_from(["ann", "ben"]), st.integers(1, 9)), max_size=12),
)
def test_earlier_posts_against_a_plain_twin(drawn: list[tuple[str, int]]) -> None:
    posts = [post(f"p{n}", author, f"2024-01-0{day}") for n, (author, day) in enumerate(drawn)]
    histories = earlier_posts(posts, posts)
    for one in posts:
        before = [p.hashtags for p in posts if p.author == one.author and p.created_at < one.created_at]  # type: ignore[operator]
        assert sorted(histories.get(one.id, History()).posts) == sorted(before)


def test_without_a_history_nothing_changes(bundle: Bundle, clips: list[Path]) -> None:
    with Recommender(bundle) as recommender:
        answers = [
            recommender.recommend(clips[0], "first snow", **given)  # type: ignore[arg-type]
            for given in ({}, {"history": []}, {"history": History()}, {"history": ["", " "]})
        ]
    for answer in answers[1:]:
        assert replace(answer, seconds={}) == replace(answers[0], seconds={})


def test_a_history_is_preferred_measured_and_said(bundle: Bundle, clips: list[Path]) -> None:
    past = ["#tabbycat #winter"] * 200 + ["#harbourlife"]
    with Recommender(bundle) as recommender:
        plain = recommender.recommend(clips[0], "first snow", top=100)
        answer = recommender.recommend(clips[0], "first snow", top=100, history=past)
        found = {item.text: item for item in answer.hashtags}
        before = {item.text: item.score for item in plain.hashtags}
        assert "tabbycat" not in before
        assert found["tabbycat"].source == found["harbourlife"].source == "history"
        assert found["winter"].score > before["winter"]
        texts = [item.text for item in answer.hashtags]
        assert texts.index("tabbycat") < texts.index("harbourlife")
        assert found["winter"].source in ("guidance", "vocabulary")
        assert answer.guidance == plain.guidance
        # A policy has the last word: what isn't in the pool stays out of it.
        forbidden = recommender.recommend(
            clips[0], top=100, history=past, policy=Policy(novel="forbid", block=("winter",))
        )
        assert not {"tabbycat", "harbourlife", "winter"} & {item.text for item in forbidden.hashtags}
        with pytest.raises(HashtagError, match="no hashtag"):
            recommender.recommend(clips[0], history=["!!"])


def test_what_a_history_adds_is_measured_as_guidance_is(bundle: Bundle, tiny_dataset: Path) -> None:
    posts = open_features(tiny_dataset, bundle.extractor).split("test")
    features = [posts.features(0)]
    everything = bundle.guide(features, top_k=100)
    first = bundle.guide(features, top_k=2)
    (hits,) = with_history(bundle, features, first, [History((bundle.pool.hashtags,))])
    assert {key(hit.text): pytest.approx(hit.similarity, abs=2e-3) for hit in everything[0].hits} == {
        key(hit.text): hit.similarity for hit in hits
    }
    assert tuple(hits[:2]) == first[0].hits
    assert with_history(bundle, features, first, [History()]) == [list(first[0].hits)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_predictions(bundle: Bundle, tiny_dataset: Path, system: System) -> None:
    posts = open_features(tiny_dataset, bundle.extractor).split("test")
    if system not in ("recommender", "retriever"):
        with pytest.raises(ConfigError, match="histories are for recommender and retriever"):
            list(predict(bundle, posts, system=system, histories={}))
        return
    plain = list(predict(bundle, posts, system=system))
    assert list(predict(bundle, posts, system=system, histories={})) == plain
    histories = {posts.posts[1].id: History((("tabbycat",),) * 50)}
    first, second = predict(bundle, posts, system=system, histories=histories)
    assert first == plain[0]
    assert "tabbycat" in second.hashtags
    assert "tabbycat" not in plain[1].hashtags
    assert second.guidance == plain[1].guidance
