from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.corpus.wording import description_words, occurs_in
from ggm.hashtags.canonical import letters_only


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("So COLD today!", ["so", "cold", "today"]),
        ("snow_storm, ice-cold; don't", ["snow", "storm", "ice", "cold", "don", "t"]),
        ("Ｃafé ÉTÉ 4k", ["café", "été", "4k"]),
        ("привет, мир! 日本の夏", ["привет", "мир", "日本の夏"]),
        ("हिन्दी गीत", ["हिन्दी", "गीत"]),
        ("🎉—…", []),
    ],
)
def test_words_of_a_description(text: str, words: list[str]) -> None:
    assert description_words(text) == words


@pytest.mark.parametrize(
    ("hashtag", "text", "occurs"),
    [
        ("cold", "So cold!", True),
        ("Cold", "so cOLD", True),
        ("old", "So cold!", False),
        ("ColdWeather", "cold weather again", True),
        ("cold-weather", "Coldweather again", True),
        ("coldweather", "cold winter weather", False),
        ("coldweather", "cold-weather", True),
        ("snow", "snowing, then snow", True),
        ("aa", "aaa aa", True),
        ("CAFÉ", "a café", True),
        ("日本", "日本 の夏", True),
        ("日本", "日本の夏", False),
        ("cold", "", False),
    ],
)
def test_whether_a_hashtag_occurs(hashtag: str, text: str, occurs: bool) -> None:
    assert occurs_in(hashtag, description_words(text)) is occurs


def slow_occurs_in(hashtag: str, words: list[str]) -> bool:
    runs = ("".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
    return letters_only(hashtag) in runs


@given(
    hashtag=st.from_regex(r"[abé][ab_é]{0,3}[abé]", fullmatch=True),
    words=st.lists(st.text("abé", min_size=1, max_size=3), max_size=7),
)
def test_it_equals_the_slow_twin(hashtag: str, words: list[str]) -> None:
    assert occurs_in(hashtag, words) == slow_occurs_in(hashtag, words)
