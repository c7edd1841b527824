"""Policies on the whole way from a file to hashtags, with a system of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ggm.bundle import Bundle
from ggm.errors import PoolError
from ggm.generator.decoding import DecodingConfig
from ggm.hashtags import key
from ggm.policy import Policy
from ggm.pool import LivingPool
from ggm.ranking import Ranked
from ggm.recommend import Recommender
from ggm.records import GeneratedHashtag, Recommendation
from systems import HASHTAGS, random_bundle

MANY = (*HASHTAGS, "ice", "frost", "icicle", "sleet", "blizzard", "hail", "glacier", "skating", "sledge",
        "hot", "sun", "beach", "sand", "waves", "surf", "holiday", "travel", "train")  # fmt: skip


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny")


@pytest.fixture(scope="module")
def recommender(bundle: Bundle) -> Iterator[Recommender]:
    with Recommender(bundle) as recommender:
        yield recommender


def wrote(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Let the generator write these."""

    def write(*_arguments: object, **_options: object) -> list[list[GeneratedHashtag]]:
        return [[GeneratedHashtag(text, 0.9 - 0.01 * n, True) for n, text in enumerate(texts)]]

    monkeypatch.setattr("ggm.recommend.generate", write)


def texts(answer: Recommendation) -> list[str]:
    return [item.text for item in answer.hashtags]


def test_no_policy_is_the_default_one(recommender: Recommender, clips: list[Path]) -> None:
    default = recommender.recommend(clips[0], "first snow")
    assert default.changes == ()
    assert recommender.recommend(clips[0], "first snow", policy=Policy()).hashtags == default.hashtags
    (answer,) = recommender.recommend_many([(clips[0], "first snow")], policy=Policy(harmful=False))
    assert isinstance(answer, Recommendation)
    assert answer.hashtags == default.hashtags


def test_what_is_removed_is_reported_and_its_place_filled(
    recommender: Recommender, clips: list[Path]
) -> None:
    free = recommender.recommend(clips[0], top=4)
    blocked = free.hashtags[0]
    answer = recommender.recommend(clips[0], top=4, policy=Policy(block=(blocked.text,)))
    assert len(answer.hashtags) == 4
    assert texts(answer)[:3] == texts(free)[1:]
    (change,) = answer.changes
    assert (change.text, change.action, change.rule, change.matched) == (
        blocked.text, "removed", "block", blocked.text,
    )  # fmt: skip
    assert change.score == blocked.score


def test_harmful_language_is_neither_recommended_nor_shown(
    bundle: Bundle, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = bundle.rebuilt_pool(["bullshit", "snow", "ice"])
    with Recommender(replace(bundle, pool=pool)) as recommender:
        wrote(monkeypatch, "BullShit", "dumbass", "frost")
        answer = recommender.recommend(clips[0], top=9)
        assert sorted(texts(answer)) == ["frost", "ice", "snow"]
        assert sorted(answer.guidance.texts) == ["ice", "snow"]
        assert sorted((c.text, c.rule, c.matched) for c in answer.changes) == [
            ("BullShit", "harmful", "shit"), ("dumbass", "harmful", "ass"),
        ]  # fmt: skip
        # Hidden from the guidance even where it would not have been recommended anyway.
        first = recommender.recommend(clips[0], top=1, policy=Policy(block=("*w", "*o*t", "bull*")))
        assert {"bullshit", "snow"} <= {change.text.casefold() for change in first.changes}
        assert not {"bullshit", "snow"} & set(first.guidance.texts)
        kept = recommender.recommend(clips[0], top=9, policy=Policy(harmful=False))
        assert {"BullShit", "dumbass"} <= set(texts(kept))
        assert "bullshit" in kept.guidance.texts


def test_novel_hashtags_are_marked(
    recommender: Recommender, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote(monkeypatch, "coined", "snow")
    answer = recommender.recommend(clips[0], top=20, policy=Policy(novel="flag"))
    flagged = {item.text: item.flagged for item in answer.hashtags}
    assert flagged.pop("coined")
    assert not any(flagged.values())
    assert not any(item.flagged for item in recommender.recommend(clips[0], top=20).hashtags)


def test_a_renamed_hashtag_comes_from_where_it_came_from(
    recommender: Recommender, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote(monkeypatch, "coined", "snow")
    policy = Policy(novel="flag", aliases={"snow": "freshsnow", "coined": "winter"})
    hashtags = {item.text: item for item in recommender.recommend(clips[0], top=20, policy=policy).hashtags}
    assert hashtags["freshsnow"].source != "novel"
    assert hashtags["winter"].source != "novel"
    assert not any(item.flagged for item in hashtags.values())


def test_more_candidates_are_looked_for_when_a_policy_takes_too_many(
    bundle: Bundle, clips: list[Path]
) -> None:
    """Four stand in the guidance; with these removed the pool has others."""
    with Recommender(replace(bundle, pool=bundle.rebuilt_pool(MANY))) as recommender:
        found = recommender.recommend(clips[0], policy=Policy(novel="forbid"), top=4)
        policy = Policy(novel="forbid", block=(*texts(found), *found.guidance.texts))
        answer = recommender.recommend(clips[0], policy=policy, top=4)
        assert len(answer.hashtags) == 4
        assert not set(texts(answer)) & set(policy.block)
        assert {item.source for item in answer.hashtags} == {"vocabulary"}
        scores = [item.score for item in answer.hashtags]
        assert scores == sorted(scores, reverse=True)


def test_a_platform_that_takes_fewer_says_so(recommender: Recommender, clips: list[Path]) -> None:
    answer = recommender.recommend(clips[0], top=4, policy=Policy(platform="x"))
    assert len(answer.hashtags) == 2
    assert answer.notices == ("x: no more than 2 advised, 4 hashtags were asked for",)
    threads = recommender.recommend(clips[0], top=4, policy=Policy(platform="threads"))
    assert threads.notices == ("threads: no more than 1 allowed, 4 hashtags were asked for",)
    for policy in (Policy(platform="x", max_count=2), Policy(platform="tiktok")):
        assert recommender.recommend(clips[0], top=4, policy=policy).notices == ()


def test_select_is_a_stage(recommender: Recommender) -> None:
    ranked = [Ranked("shit", 0.5), Ranked("snow", 0.4), Ranked("coined", 0.1)]
    assert recommender.select(ranked).kept == tuple(ranked[1:])
    assert recommender.select(ranked, top=1, policy=Policy(harmful=False)).kept == (ranked[0],)
    assert recommender.select(ranked, policy=Policy(novel="forbid")).kept == (ranked[1],)
    with pytest.raises(ValueError, match="top must be at least 1"):
        recommender.select(ranked, top=0)


# The guarantee


@pytest.mark.parametrize("num_beams", [1, 5])
def test_forbidden_is_never_written(bundle: Bundle, clips: list[Path], num_beams: int) -> None:
    decoding = DecodingConfig(num_beams=num_beams, max_new_tokens=12)
    for pool in (["ColdWeather"], ["初雪", "снег"], ["cat", "Snow_Day", "quizzical"], HASHTAGS, MANY):
        changed = replace(bundle, decoding=decoding, pool=bundle.rebuilt_pool(pool))
        with Recommender(changed) as recommender:
            for clip in clips[:2]:
                answer = recommender.recommend(clip, "first snow", top=50, policy=Policy(novel="forbid"))
                assert answer.hashtags
                assert set(texts(answer)) <= set(pool)
                assert "novel" not in {item.source for item in answer.hashtags}


def test_the_pool_lives(bundle: Bundle, clips: list[Path]) -> None:
    """What is added may be written at once, and what is taken out no longer."""
    pool = bundle.rebuilt_pool(HASHTAGS)
    with Recommender(replace(bundle, pool=pool)) as recommender:
        features = recommender.features(recommender.decode(clips[0]))
        guidance = recommender.guide(features)
        policy = Policy(novel="forbid")

        def written() -> set[str]:
            found = recommender.generate(features, "", guidance, policy=policy)
            return {item.text for item in found}

        before = written()
        assert before <= set(HASHTAGS)
        pool.remove(sorted(before))
        after = written()
        assert after <= set(HASHTAGS) - before
        pool.add(["latecomer"], bundle.embed_hashtags(["latecomer"]))
        pool.remove([text for text in pool.hashtags if text != "latecomer"])
        assert written() == {"latecomer"}


def test_an_empty_pool_is_an_error(bundle: Bundle, clips: list[Path]) -> None:
    pool = bundle.rebuilt_pool(HASHTAGS)
    with Recommender(replace(bundle, pool=pool)) as recommender:
        features = recommender.features(recommender.decode(clips[0]))
        guidance = recommender.guide(features)
        pool.remove(HASHTAGS)
        with pytest.raises(PoolError, match="pool is empty; without novel hashtags"):
            recommender.generate(features, "", guidance, policy=Policy(novel="forbid"))
        with pytest.raises(PoolError, match="pool is empty"):
            recommender.recommend(clips[0], policy=Policy(novel="forbid"))


def test_what_cannot_be_spelled_is_reached_through_the_guidance(
    bundle: Bundle, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recommender(replace(bundle, pool=bundle.rebuilt_pool(["雪", "冬"]))) as recommender:
        monkeypatch.setattr(recommender._pool_trie, "_spell", lambda text: ())
        answer: Any = recommender.recommend(clips[0], policy=Policy(novel="forbid"))
        assert {key(text) for text in texts(answer)} == {"雪", "冬"}


def test_a_living_pools_aliases_count_as_the_policys(
    bundle: Bundle, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        LivingPool.create(tmp_path / "pool", bundle.rebuilt_pool([*HASHTAGS, "newyorkcity"])) as pool,
        Recommender(bundle.with_pool(pool)) as recommender,
    ):
        wrote(monkeypatch, "nyc", "harbour")
        before = recommender.recommend(clips[0], top=20)
        assert "nyc" in texts(before)
        pool.alias("newyorkcity", "NYC")
        for policy in (None, Policy(novel="forbid")):
            answer = recommender.recommend(clips[0], top=20, policy=policy)
            assert "nyc" not in texts(answer)
            assert texts(answer).count("newyorkcity") == 1
            assert [
                (change.action, change.rule, change.result)
                for change in answer.changes
                if change.text == "nyc"
            ] == [("renamed", "alias", "newyorkcity")]
            (renamed,) = (item for item in answer.hashtags if item.text == "newyorkcity")
            assert renamed.source in ("guidance", "vocabulary")
        own = recommender.recommend(clips[0], top=20, policy=Policy(aliases={"nyc": "gotham"}))
        assert "gotham" in texts(own)
        assert ("renamed", "gotham") in [(c.action, c.result) for c in own.changes if c.text == "nyc"]
