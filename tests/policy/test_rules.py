"""What a policy makes of ranked hashtags: cases by hand, and properties of any policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import HashtagError
from ggm.hashtags import key
from ggm.policy import Outcome, Policy, apply, objection
from ggm.ranking import Ranked


def ranking(*texts: str) -> list[Ranked]:
    """Scores of 0.9, 0.8, ..."""
    return [Ranked(text, 0.9 - place / 10) for place, text in enumerate(texts)]


def kept(outcome: Outcome) -> list[str]:
    return [item.text for item in outcome.kept]


def changed(outcome: Outcome) -> list[tuple[str, str, str, str, str | None]]:
    return [(c.text, c.action, c.rule, c.matched, c.result) for c in outcome.changes]


def test_the_default_removes_harmful_language_and_merges_near_duplicates_alone() -> None:
    outcome = apply(Policy(), ranking("snow", "bullshit", "fyp", "Snow_Day", "SnowDays"))
    assert kept(outcome) == ["snow", "fyp", "Snow_Day"]
    assert changed(outcome) == [
        ("bullshit", "removed", "harmful", "bullshit", None),
        ("SnowDays", "merged", "duplicate", "Snow_Day", "Snow_Day"),
    ]
    separate = apply(Policy(merge_duplicates=False), ranking("snow", "Snow_Day", "SnowDays"))
    assert kept(separate) == ["snow", "Snow_Day", "SnowDays"]
    assert apply(Policy(harmful=False), ranking("bullshit")).kept == tuple(ranking("bullshit"))
    assert apply(Policy(), []) == Outcome((), ())


def test_places_of_removed_ones_are_filled_and_the_rest_is_not_looked_at() -> None:
    policy = Policy(block=("*sale*",))
    outcome = apply(policy, ranking("BigSale", "snow", "sales2025", "ice", "s_a_l_e", "cold"), top=2)
    assert kept(outcome) == ["snow", "ice"]
    assert changed(outcome) == [
        ("BigSale", "removed", "block", "*sale*", None),
        ("sales2025", "removed", "block", "*sale*", None),
    ]


def test_the_smaller_of_top_and_limit_counts() -> None:
    texts = ranking("a", "b", "c", "d")
    assert (
        kept(apply(Policy(max_count=2), texts))
        == kept(apply(Policy(max_count=2), texts, top=3))
        == ["a", "b"]
    )
    assert kept(apply(Policy(max_count=3), texts, top=1)) == ["a"]
    assert kept(apply(Policy(platform="x"), texts)) == ["a", "b"]
    assert kept(apply(Policy(platform="x", max_count=3), texts)) == ["a", "b", "c"]


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_positive(top: int) -> None:
    with pytest.raises(ValueError, match="top must be at least 1"):
        apply(Policy(), [], top=top)


def test_aliases_rename_and_merge() -> None:
    policy = Policy(aliases={"#NYC": "NewYorkCity", "bigapple": "nyc"})
    outcome = apply(policy, ranking("nyc", "snow", "BigApple", "newyorkcity"))
    assert kept(outcome) == ["NewYorkCity", "snow"]
    assert outcome.kept[0].score == 0.9
    assert changed(outcome) == [
        ("nyc", "renamed", "alias", "nyc", "NewYorkCity"),
        ("BigApple", "renamed", "alias", "BigApple", "NewYorkCity"),
        ("NewYorkCity", "merged", "duplicate", "NewYorkCity", "NewYorkCity"),
        ("newyorkcity", "merged", "duplicate", "NewYorkCity", "NewYorkCity"),
    ]


def test_aliases_of_spelling() -> None:
    policy = Policy(aliases={"cold_weather": "coldweather"})
    outcome = apply(policy, ranking("Cold-Weather", "ColdWeather"))
    assert kept(outcome) == ["coldweather"]
    assert [(c.text, c.action) for c in outcome.changes] == [
        ("Cold-Weather", "renamed"), ("ColdWeather", "merged"),
    ]  # fmt: skip
    # Nothing is said where the platform undoes it.
    hyphen = Policy(aliases={"coldweather": "cold-weather"}, platform="tiktok")
    assert apply(hyphen, ranking("coldweather")).changes == ()


def test_block_wins_over_allow_and_allow_over_the_filters_of_words() -> None:
    policy = Policy(
        block=("bull*",), allow=("bullshit", "ass", "fyp", "снег"), generic_factor=0.1, scripts=("Latin",)
    )
    outcome = apply(policy, ranking("bullshit", "ass", "fyp", "снег", "лед", "viral"))
    assert kept(outcome) == ["ass", "fyp", "снег", "viral"]
    assert [(c.text, c.rule) for c in outcome.changes] == [
        ("viral", "generic"), ("bullshit", "block"), ("лед", "script"),
    ]  # fmt: skip
    assert kept(apply(Policy(allow=("snow",), min_score=0.95), ranking("snow"))) == []


def test_generic_hashtags_are_damped_and_sink() -> None:
    outcome = apply(Policy(generic_factor=0.5, generic=("mychannel*",)), ranking("FYP", "MyChannel2", "snow"))
    assert [(item.text, item.score, item.damped) for item in outcome.kept] == [
        ("snow", pytest.approx(0.7), False),
        ("FYP", pytest.approx(0.45), True),
        ("MyChannel2", pytest.approx(0.4), True),
    ]
    assert changed(outcome) == [
        ("FYP", "damped", "generic", "fyp* x 0.5", None),
        ("MyChannel2", "damped", "generic", "mychannel* x 0.5", None),
    ]
    assert kept(apply(Policy(generic_factor=0), ranking("viral", "ice"), top=1)) == ["ice"]


def test_minimum_score_counts_after_damping() -> None:
    outcome = apply(Policy(min_score=0.5, generic_factor=0.5), ranking("viral", "snow"))
    assert kept(outcome) == ["snow"]
    assert changed(outcome)[1] == ("viral", "removed", "min_score", "0.45 < 0.5", None)
    assert kept(apply(Policy(min_score=0.9), ranking("snow"))) == ["snow"]  # the bound itself is enough


def test_near_duplicates_merge_with_the_better_one() -> None:
    policy = Policy(merge_duplicates=True)
    outcome = apply(
        policy, ranking("dogs", "ColdWeather", "Dog", "weather_cold", "cold-weather", "new", "news")
    )
    assert kept(outcome) == ["dogs", "ColdWeather", "new", "news"]
    assert changed(outcome) == [
        ("Dog", "merged", "duplicate", "dogs", "dogs"),
        ("weather_cold", "merged", "duplicate", "ColdWeather", "ColdWeather"),
        ("cold-weather", "merged", "duplicate", "ColdWeather", "ColdWeather"),
    ]


def test_of_equally_good_duplicates_the_more_used_one_stays() -> None:
    uses = {"dog": 1, "dogs": 5}
    pair = [Ranked("dog", 0.5), Ranked("dogs", 0.5)]
    policy = Policy(merge_duplicates=True)
    outcome = apply(policy, pair, count=lambda text: uses[text])
    assert kept(outcome) == ["dogs"]
    assert changed(outcome) == [("dog", "merged", "duplicate", "dogs", "dogs")]
    assert kept(apply(policy, pair)) == kept(apply(policy, pair, count=lambda text: 1)) == ["dog"]
    better = [Ranked("dog", 0.6), Ranked("dogs", 0.5)]
    assert kept(apply(policy, better, count=lambda text: uses[text])) == ["dog"]
    # Nor where the longer one doesn't fit: "#dog" has four characters.
    assert kept(apply(Policy(merge_duplicates=True, max_total_length=4), pair, count=lambda t: uses[t])) == [
        "dog"
    ]


def test_lengths_count_number_signs_and_spaces() -> None:
    outcome = apply(
        Policy(max_total_length=12, max_length=6), ranking("snowflake", "winter", "ice", "icy", "cat")
    )
    assert kept(outcome) == ["winter", "ice"]  # "#winter #ice" has twelve
    assert changed(outcome) == [
        ("snowflake", "removed", "length", "9 > 6", None),
        ("icy", "removed", "total_length", "17 > 12", None),
        ("cat", "removed", "total_length", "17 > 12", None),
    ]


def test_separators_that_the_platform_does_not_know_are_taken_out() -> None:
    outcome = apply(Policy(platform="tiktok"), ranking("cold-weather", "snow_day", "a-b_c"))
    assert kept(outcome) == ["coldweather", "snow_day", "ab_c"]
    assert changed(outcome)[0] == ("cold-weather", "renamed", "characters", "-", "coldweather")
    assert kept(apply(Policy(platform="bluesky"), ranking("cold-weather"))) == ["cold-weather"]


def test_scripts() -> None:
    outcome = apply(Policy(scripts=("Latin",)), ranking("café", "снег", "雪2025", "top10", "naïve_cat"))
    assert kept(outcome) == ["café", "top10", "naïve_cat"]
    assert changed(outcome) == [
        ("снег", "removed", "script", "с", None), ("雪2025", "removed", "script", "雪", None),
    ]  # fmt: skip
    policy = Policy(scripts=("Han", "Hiragana", "Katakana"))
    assert kept(apply(policy, ranking("初雪", "ラーメン", "お茶", "ramen"))) == ["初雪", "ラーメン", "お茶"]


def test_forbid_keeps_to_the_pool() -> None:
    pool = {key(text) for text in ("snow", "nyc", "cold-weather", "ice")}
    policy = Policy(novel="forbid", aliases={"nyc": "newyorkcity", "frost": "ice"}, platform="tiktok")
    outcome = apply(
        policy,
        ranking("Snow", "coined", "nyc", "cold-weather", "frost"),
        in_pool=lambda text: key(text) in pool,
    )
    assert kept(outcome) == ["Snow", "nyc", "ice"]  # nyc keeps its name, since its alias isn't in the pool
    assert changed(outcome) == [
        ("coined", "removed", "novel", "not in the pool", None),
        ("cold-weather", "removed", "characters", "-", None),
        ("frost", "renamed", "alias", "frost", "ice"),
    ]
    assert kept(apply(Policy(novel="forbid"), ranking("coined"))) == ["coined"]  # taken for a pool hashtag


def test_objection() -> None:
    policy = Policy(block=("bad*",), harmful_words=("worse?",), allow=("shit",))
    assert objection(policy, "BadThing") == ("block", "bad*")
    assert objection(policy, "worse1") == ("harmful", "worse?")
    assert objection(policy, "bullshit") == ("harmful", "bullshit")
    assert objection(policy, "shit") is objection(policy, "snow") is None
    assert objection(Policy(harmful=False, harmful_words=("worse?",)), "worse1") is None
    with pytest.raises(HashtagError):
        objection(policy, "!!")


# Properties of any policy

NAMES = [
    "snow", "Snows", "snow_day", "SnowDay", "daysnow", "fyp", "viral", "shit", "bull_shit", "nyc",
    "NewYorkCity", "cold-weather", "снег", "雪", "cat", "cats", "ice", "winter2025", "a_b-c", "news", "x",
]  # fmt: skip
PATTERNS = ["*snow*", "s*", "fyp", "?", "cat?", "*shit", "*weather", "news"]

policies = st.builds(
    Policy,
    novel=st.sampled_from(["allow", "flag", "forbid"]),
    platform=st.sampled_from([None, "tiktok", "x", "threads", "bluesky"]),
    max_count=st.none() | st.integers(1, 6),
    max_length=st.none() | st.integers(1, 8),
    max_total_length=st.none() | st.integers(2, 40),
    min_score=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    aliases=st.sampled_from(
        [
            {},
            {"nyc": "NewYorkCity", "snow": "viral", "x": "ice-cold"},
            {"coldweather": "snow", "abc": "ab-c"},
            {"cold_weather": "coldweather", "NewYorkCity": "New_York_City", "a_b-c": "abc"},
        ]
    ),
    block=st.lists(st.sampled_from([p for p in PATTERNS if p != "?"]), max_size=2).map(tuple),
    allow=st.lists(st.sampled_from(["shit", "*snow*", "снег", "fyp"]), max_size=2).map(tuple),
    harmful=st.booleans(),
    generic_factor=st.sampled_from([1.0, 0.5, 0.0]),
    merge_duplicates=st.booleans(),
    scripts=st.sampled_from([(), ("Latin",), ("Latin", "Han")]),
)
rankings = st.lists(
    st.tuples(st.sampled_from(NAMES), st.floats(0, 1)), max_size=15, unique_by=lambda p: p[0]
).map(lambda pairs: sorted((Ranked(*pair) for pair in pairs), key=lambda item: -item.score))
POOL = {key(name) for name in NAMES[::2]}
USES = {key(name): place for place, name in enumerate(NAMES)}


def run(policy: Policy, ranked: Any, top: int | None = None) -> Outcome:
    return apply(
        policy, ranked, top=top, in_pool=lambda t: key(t) in POOL, count=lambda t: USES.get(key(t), 0)
    )


@given(policies, rankings, st.none() | st.integers(1, 8))
def test_whatever_the_policy(policy: Policy, ranked: list[Ranked], top: int | None) -> None:
    outcome = run(policy, ranked, top)
    texts = kept(outcome)
    # Nothing that may not be shown, nothing twice.
    assert all(objection(policy, text) is None for text in texts)
    assert len({key(text) for text in texts}) == len(texts)
    if policy.novel == "forbid":
        assert {key(text) for text in texts} <= POOL
    # Limits and order.
    limits = policy.limits
    assert len(texts) <= min(n for n in (top, limits.max_count, len(ranked)) if n is not None)
    assert all(len(text) <= (limits.max_length or 99) for text in texts)
    assert len(" ".join(f"#{text}" for text in texts)) <= (limits.max_total_length or 9999)
    assert all(set("-_") & set(text) <= set(limits.separators) for text in texts)
    scores = [item.score for item in outcome.kept]
    assert scores == sorted(scores, reverse=True)
    assert all(policy.min_score <= score <= 1 for score in scores)
    # Nothing is lost silently: what is neither kept nor reported stands below the last that was needed.
    accounted = {key(text) for text in texts} | {key(change.text) for change in outcome.changes}
    silent = [item for item in ranked if key(item.text) not in accounted]
    assert not silent or len(texts) == min(n for n in (top, limits.max_count, 10**6) if n is not None)
    assert all(change.matched and 0 <= change.score <= 1 for change in outcome.changes)
    assert all(
        (change.result is not None) == (change.action in ("renamed", "merged")) for change in outcome.changes
    )
    # Once is enough.
    again = run(policy, outcome.kept, top)
    assert again.kept == outcome.kept
    assert again.changes == ()


@given(rankings, st.integers(1, 8))
def test_order_is_kept(ranked: list[Ranked], top: int) -> None:
    """Without damping, what stays stands as it stood; without any rule, all of it does."""
    policy = Policy(block=("*snow*",), merge_duplicates=True)
    texts = [item.text for item in ranked]
    places = [texts.index(text) for text in kept(apply(policy, ranked, top=top))]
    assert places == sorted(places)
    nothing = Policy(harmful=False, merge_duplicates=False)
    assert apply(nothing, ranked, top=top) == Outcome(tuple(ranked[:top]), ())


@given(rankings, st.integers(1, 8))
def test_a_longer_answer_begins_with_the_shorter(ranked: list[Ranked], top: int) -> None:
    policy = Policy(block=("s*",), generic_factor=0.5)
    assert kept(apply(policy, ranked))[:top] == kept(apply(policy, ranked, top=top))


@pytest.mark.parametrize(
    ("own", "pool", "hashtag", "expected"),
    [
        ({}, {"nyc": "newyorkcity"}, "nyc", "newyorkcity"),
        ({"nyc": "ny"}, {"nyc": "newyorkcity"}, "nyc", "ny"),  # the policy's own wins
        ({"ny": "nyc"}, {"nyc": "newyorkcity"}, "ny", "newyorkcity"),
        ({"newyorkcity": "bigapple"}, {"nyc": "newyorkcity"}, "nyc", "bigapple"),
        ({"newyorkcity": "nyc"}, {"nyc": "newyorkcity"}, "nyc", "nyc"),  # a circle, which the policy ends
        ({"newyorkcity": "nyc"}, {"nyc": "newyorkcity"}, "newyorkcity", "nyc"),
        ({}, {"nyc": "newyorkcity"}, "snow", "snow"),
    ],
)
def test_aliases_of_a_pool_join_those_of_the_policy(
    own: dict[str, str], pool: dict[str, str], hashtag: str, expected: str
) -> None:
    policy = Policy(aliases=own)
    outcome = apply(policy, [Ranked(hashtag, 0.5)], pool_alias=pool.get)
    assert [item.text for item in outcome.kept] == [expected]
    again = apply(policy, outcome.kept, pool_alias=pool.get)
    assert (again.kept, again.changes) == (outcome.kept, ())
    assert [(c.action, c.rule, c.text, c.result) for c in outcome.changes] == (
        [] if expected == hashtag else [("renamed", "alias", hashtag, expected)]
    )
