"""Counting hashtags, showing them as people write them, and finding them again from words."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import DataError, HashtagError
from ggm.hashtags import Vocabulary, key, split_words
from ggm.hashtags.canonical import letters_only

POSTS = [
    ["ColdWeather", "snow"],
    ["coldweather", "Snow", "#snow"],
    ["COLDWEATHER", "snow"],
    ["coldweather", "cold-weather"],
    ["fyp"],
]


@pytest.fixture(name="vocabulary")
def _vocabulary() -> Vocabulary:
    return Vocabulary.from_posts(POSTS)


def test_counts_posts_whatever_the_case(vocabulary: Vocabulary) -> None:
    assert vocabulary.count("#ColdWeather") == vocabulary.count("coldweather") == 4
    assert vocabulary.count("snow") == 3  # twice in the second post, but it is one post
    assert vocabulary.count("unknown") == vocabulary.count("!!!") == 0
    assert len(vocabulary) == 4


def test_contains(vocabulary: Vocabulary) -> None:
    assert "FYP" in vocabulary
    assert "cold-weather" in vocabulary
    assert "cold_weather" not in vocabulary
    assert "!!!" not in vocabulary
    assert 5 not in vocabulary


def test_most_common(vocabulary: Vocabulary) -> None:
    everything = [("coldweather", 4), ("snow", 3), ("cold-weather", 1), ("fyp", 1)]
    assert vocabulary.most_common() == everything
    assert vocabulary.most_common(2) == everything[:2]
    assert list(vocabulary) == [hashtag for hashtag, _ in everything]


@pytest.mark.parametrize(
    ("forms", "shown"),
    [
        ({"winter": 2, "Winter": 1}, "winter"),
        ({"winter": 1, "Winter": 2}, "Winter"),
        ({"NASA": 3, "nasa": 1}, "NASA"),
        ({"Winter": 1, "WINTER": 1, "winter": 1}, "Winter"),  # a tie: capitals alone last
        ({"coldweather": 1}, "ColdWeather"),  # all in lower case, several words
        ({"coldweather": 5, "ColdWeather": 1}, "ColdWeather"),
        ({"kpopfordays": 5, "KPopForDays": 1}, "KPopForDays"),  # as people write it, if they do
        ({"coldweather": 5, "Coldweather": 1}, "ColdWeather"),  # the capital C shows no words
        ({"COLDWEATHER": 2, "ColdWeather": 1}, "COLDWEATHER"),  # people write it so
        ({"cold_weather": 2}, "cold_weather"),
        ({"fyp": 9}, "fyp"),
        ({"日本": 9}, "日本"),
    ],
)
def test_display(forms: dict[str, int], shown: str) -> None:
    vocabulary = Vocabulary(forms)
    assert len(vocabulary) == 1
    for form in forms:
        assert vocabulary.display(form) == shown


def test_display_of_an_unknown_hashtag(vocabulary: Vocabulary) -> None:
    assert vocabulary.display("#firstsnow") == "FirstSnow"
    with pytest.raises(HashtagError):
        vocabulary.display("!!!")


@pytest.mark.parametrize(
    ("words", "hashtag"),
    [
        (["cold", "weather"], "coldweather"),
        (["Cold", "WEATHER"], "coldweather"),
        (["cold-", "weather"], "coldweather"),  # known with the hyphen too, but less often
        (["fyp"], "fyp"),
        (["first", "snow"], "firstsnow"),
        (["Erster", "Schnee"], "ErsterSchnee"),
        (["日本", "旅行"], "日本旅行"),
    ],
)
def test_resolve(vocabulary: Vocabulary, words: list[str], hashtag: str) -> None:
    assert vocabulary.resolve(words) == hashtag


@pytest.mark.parametrize("words", [[], [""], ["!"], ["1", "2"]])
def test_resolve_refuses_what_is_no_hashtag(vocabulary: Vocabulary, words: list[str]) -> None:
    with pytest.raises(HashtagError):
        vocabulary.resolve(words)


def test_resolve_finds_separated_hashtags() -> None:
    vocabulary = Vocabulary({"snow-boarding": 1, "Snow_Boarding": 2, "STRASSE": 1})
    assert vocabulary.resolve(["snow", "boarding"]) == "Snow_Boarding"
    assert vocabulary.resolve(["straße"]) == "STRASSE"


def test_json_round_trip(vocabulary: Vocabulary) -> None:
    vocabulary = Vocabulary.from_posts([*POSTS, ["méxico", "日本", "می\u200cخواهم"]])
    text = vocabulary.to_json()
    assert "méxico" in text  # readable
    restored = Vocabulary.from_json(text)
    assert restored == vocabulary
    assert restored.to_json() == text
    assert restored.most_common() == vocabulary.most_common()
    assert [restored.display(h) for h in vocabulary] == [vocabulary.display(h) for h in vocabulary]


def test_empty() -> None:
    vocabulary = Vocabulary()
    assert len(vocabulary) == 0
    assert vocabulary.most_common(5) == []
    assert vocabulary.resolve(["first", "snow"]) == "firstsnow"
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "must be JSON"),
        ("[]", "JSON object"),
        ('{"version": 1}', "JSON object"),
        ('{"version": 1, "hashtags": []}', "JSON object"),
        ('{"version": 2, "hashtags": {}}', "version 2"),
        ('{"hashtags": {}}', "version None"),
        ('{"version": 1, "hashtags": {"!": 1}}', "damaged.*no letter"),
        ('{"version": 1, "hashtags": {"a": 0}}', "damaged.*positive"),
        ('{"version": 1, "hashtags": {"a": "1"}}', "damaged.*positive"),
        ('{"version": 1, "hashtags": {"a": true}}', "damaged.*positive"),
    ],
)
def test_damaged_json_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Vocabulary.from_json(text)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_counts_must_be_positive_integers(count: object) -> None:
    with pytest.raises(ValueError, match="positive integer"):
        Vocabulary({"snow": count})  # type: ignore[dict-item]


def test_what_is_no_hashtag_is_refused() -> None:
    with pytest.raises(HashtagError):
        Vocabulary({"!!!": 1})
    with pytest.raises(HashtagError):
        Vocabulary.from_posts([["snow", "123"]])


def test_repr_and_identity() -> None:
    vocabulary = Vocabulary({"snow": 1, "ice": 2})
    assert repr(vocabulary) == "Vocabulary(2 hashtags)"
    assert vocabulary != {"snow": 1, "ice": 2}
    with pytest.raises(TypeError, match="unhashable"):
        hash(vocabulary)


hashtag_lists = st.lists(
    st.lists(
        st.sampled_from(
            ["snow", "Snow", "SNOW", "coldsnow", "ColdSnow", "cold-snow", "cold_Snow", "ice", "ß", "ss"]
        )
    )
)


@settings(deadline=None)  # the first call may load the word list
@given(hashtag_lists)
def test_against_a_slow_twin(posts: list[list[str]]) -> None:
    vocabulary = Vocabulary.from_posts(posts)
    expected = Counter(folded for post in posts for folded in {key(hashtag) for hashtag in post})
    assert {key(hashtag): count for hashtag, count in vocabulary.most_common()} == expected
    counts = [count for _, count in vocabulary.most_common()]
    assert counts == sorted(counts, reverse=True)
    for hashtag in vocabulary:
        found = vocabulary.resolve(split_words(hashtag))
        equal = [other for other in vocabulary if letters_only(other) == letters_only(hashtag)]
        assert found == max(equal, key=vocabulary.count)
        assert key(vocabulary.display(hashtag)) == key(hashtag)
    # The order of posts plays no part.
    assert Vocabulary.from_posts(posts[::-1]).to_json() == vocabulary.to_json()
    assert json.loads(vocabulary.to_json())["version"] == 1
