"""Creators' language, through the whole of it: emoji and hashtags in a description are made use of."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ggm.bundle import Bundle
from ggm.descriptions import MAX_OFFERED
from ggm.policy import Policy
from ggm.recommend import Recommender
from ggm.records import Video, VideoFeatures
from ggm.scorer import MEASURES, Scorer, Weights
from systems import random_bundle

EXAMPLES = Path(__file__).parents[1] / "benchmarks" / "creator_language.toml"


def naming_scorer() -> Scorer:
    """Ranks what a description names first, then what is like it."""
    weight = tuple({"named": 5.0, "description_similarity": 1.0}.get(name, 0.0) for name in MEASURES)
    own = Weights((0.0,) * len(MEASURES), (1.0,) * len(MEASURES), weight, 0.0)
    return Scorer(own, own)


class Quick(Recommender):
    """Looks at a video once."""

    seen: tuple[Video, VideoFeatures] | None = None

    def decode(self, path: str | Path) -> Video:
        if self.seen is None:
            video = super().decode(path)
            self.seen = video, super().features(video)
        return self.seen[0]

    def features(self, video: Video) -> VideoFeatures:
        assert self.seen is not None
        return self.seen[1]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return replace(random_bundle("tiny"), scorer=naming_scorer())


@pytest.fixture(scope="module")
def recommender(bundle: Bundle) -> Iterator[Recommender]:
    with Quick(bundle) as quick:
        yield quick


def texts(answer: object) -> list[str]:
    return [item.text for item in answer.hashtags]  # type: ignore[attr-defined]


def test_hashtags_of_the_description_are_candidates(recommender: Recommender, clips: list[Path]) -> None:
    answer = recommender.recommend(clips[0], "so cold #zzyzx #winter #viral")
    assert set(texts(answer)[:2]) == {"zzyzx", "winter"}
    assert answer.description == "so cold"
    assert answer.notices == (
        "hashtags in the description were taken as candidates: #zzyzx #winter",
        "hashtags in the description were set aside: #viral",
    )
    assert "viral" not in texts(answer)  # says nothing of a video
    new = next(item for item in answer.hashtags if item.text == "zzyzx")
    assert new.source == "description"
    known = next(item for item in answer.hashtags if item.text == "winter")
    assert known.source in ("guidance", "vocabulary")


def test_what_the_creator_wrote_was_not_coined(recommender: Recommender, clips: list[Path]) -> None:
    # A policy that flags what is coined leaves it alone; written and used before, it counts as written.
    flag = Policy(novel="flag")
    answer = recommender.recommend(clips[0], "#zzyzx", policy=flag, history=["#zzyzx #zzyzy"] * 50, top=50)
    found = {item.text: item for item in answer.hashtags}
    assert (found["zzyzx"].source, found["zzyzy"].source) == ("description", "history")
    assert not found["zzyzx"].flagged
    # A renamed one comes from where the one before came from.
    renamed = Policy(aliases={"zzyzx": "zzyzw"})
    answer = recommender.recommend(clips[0], "#zzyzx", policy=renamed)
    assert {item.text: item.source for item in answer.hashtags}["zzyzw"] == "description"


def test_a_policy_has_the_last_word_on_them(recommender: Recommender, clips: list[Path]) -> None:
    assert "zzyzx" not in texts(recommender.recommend(clips[0], "#zzyzx", policy=Policy(novel="forbid")))
    assert "zzyzx" not in texts(recommender.recommend(clips[0], "#zzyzx", policy=Policy(block=("zzyzx",))))
    assert "bullshit" not in texts(recommender.recommend(clips[0], "#bullshit"))


def test_without_a_scorer_they_are_set_aside(bundle: Bundle, clips: list[Path]) -> None:
    with Quick(replace(bundle, scorer=None)) as plain:
        answer = plain.recommend(clips[0], "#zzyzx")
    assert "zzyzx" not in texts(answer)
    assert answer.notices == ("hashtags in the description were set aside: #zzyzx",)


def test_emoji_are_read(recommender: Recommender, clips: list[Path]) -> None:
    by_emoji = recommender.recommend(clips[0], "so cold ⛄")
    by_words = recommender.recommend(clips[0], "so cold snowman")
    assert by_emoji.description == "so cold ⛄"  # shown as it was typed
    assert [(i.text, i.score) for i in by_emoji.hashtags] == [(i.text, i.score) for i in by_words.hashtags]


def test_no_more_than_some_are_taken(recommender: Recommender, clips: list[Path]) -> None:
    many = " ".join(f"#zz{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200))
    answer = recommender.recommend(clips[0], many, top=200)
    assert sum(text.startswith("zz") for text in texts(answer)) <= MAX_OFFERED


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
def test_any_text_gives_an_answer(recommender: Recommender, clips: list[Path], text: str) -> None:
    answer = recommender.recommend(clips[0], text)
    assert answer.hashtags
    answer.description.encode()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from("#＃@🐱❤️👩🏽🇫🇷\u200d\u200b\u0301\u202e\0\ud83d3a sS-_.:/日ह"), max_size=80)
)
def test_odd_characters_give_an_answer(recommender: Recommender, clips: list[Path], text: str) -> None:
    assert recommender.recommend(clips[0], text).hashtags


def test_all_examples_give_an_answer(recommender: Recommender, clips: list[Path]) -> None:
    examples = tomllib.loads(EXAMPLES.read_text("utf-8"))["posts"]
    assert len(examples) == 50
    assert all(recommender.recommend(clips[0], example["text"]).hashtags for example in examples)
