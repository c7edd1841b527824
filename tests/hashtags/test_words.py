"""Splitting a hashtag into words, and showing it readably."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ggm.errors import HashtagError
from ggm.hashtags import display_form, english_words, normalise, same, split_words
from ggm.hashtags.canonical import letters_only
from ggm.hashtags.lexicon import CREATOR_WORDS, JOINED_PHRASES, SHORT_WORDS

KEPT_WHOLE = (
    *("fyp", "ootd", "yolo", "selfie", "twerk", "smh", "tbt", "funnny", "lol", "lmao", "omg", "grwm", "asmr"),
    *(
        "diy",
        "vlog",
        "tiktok",
        "instagram",
        "youtube",
        "pov",
        "nsfw",
        "anime",
        "emoji",
        "blog",
        "kpop",
        "bts",
    ),
    *("bokeh", "relatable", "unboxing", "fortnite", "iphone", "remix", "loop", "snowboarding", "pizzaa"),
    *("zzzxqj", "méxico", "köln"),
)


@pytest.mark.parametrize(
    ("hashtag", "words"),
    [
        # joined words
        ("coldweather", "cold weather"),
        ("photooftheday", "photo of the day"),
        ("foryoupage", "for you page"),
        ("dontjudgeme", "dont judge me"),
        ("furrypride", "furry pride"),
        ("whatieatinaday", "what i eat in a day"),
        ("howto", "how to"),
        ("iloveyou", "i love you"),  # stands in the frequency list as if it were one word
        ("worldcup2022", "world cup 2022"),
        ("winter", "winter"),
        ("weather", "weather"),
        # creators' words, which a plain frequency list tears apart or misreads
        ("catsofinstagram", "cats of instagram"),
        ("tiktokmademebuyit", "tiktok made me buy it"),
        ("selfietime", "selfie time"),
        ("twerkteam", "twerk team"),
        ("slimeasmr", "slime asmr"),
        # case
        ("ColdWeather", "cold weather"),
        ("TheRealFamily", "the real family"),
        ("ADayInMyLife", "a day in my life"),
        ("NYCMarathon", "nyc marathon"),
        ("NASAlaunch", "nasa launch"),
        ("DIYproject", "diy project"),
        ("POVs", "povs"),
        ("NASA", "nasa"),
        ("ILOVEYOU", "i love you"),
        ("sPoNgEbOb", "spongebob"),
        ("iPhone15", "iphone 15"),
        ("YouTubeChannel", "youtube channel"),
        ("TikTokMadeMeBuyIt", "tiktok made me buy it"),
        ("PhD", "phd"),
        ("LetsGoAtNight", "lets go at night"),  # goat is a word too
        ("CaféColdweather", "café cold weather"),
        ("ПриветМир", "привет мир"),
        ("X\u030cuY\u030ca", "x\u030cu y\u030ca"),  # capitals with an accent that has no letter of its own
        # separators
        ("cold-weather", "cold weather"),
        ("cold_weather", "cold weather"),
        ("café-del__mar", "café del mar"),
        ("tik-tok", "tik tok"),
        # digits
        ("6secondcover", "6 second cover"),
        ("100daysofcode", "100 days of code"),
        ("covid19", "covid 19"),
        ("in2024", "in 2024"),
        ("4kvideo", "4k video"),
        ("3dprinting", "3d printing"),
        ("60seconds", "60 seconds"),
        ("my1stvlog", "my 1st vlog"),
        ("21stbirthday", "21st birthday"),
        ("90s", "90s"),
        ("mp3", "mp3"),
        ("b2b", "b2b"),
        ("gr8", "gr8"),
        ("k9unit", "k9 unit"),
        # scripts
        ("日本", "日本"),
        ("日本Trip", "日本 trip"),
        ("キャンプ飯", "キャンプ飯"),
        ("ラーメン大好き", "ラーメン大好き"),
        ("привет", "привет"),
        ("नमस्ते", "नमस्ते"),
        ("สวัสดี", "สวัสดี"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_split_words(hashtag: str, words: str) -> None:
    assert " ".join(split_words(hashtag)) == words


@pytest.mark.parametrize("hashtag", KEPT_WHOLE)
def test_kept_whole(hashtag: str) -> None:
    """Regression: the frequency list alone gives "fy p", "oo td", "self ie", "t we rk", "m xico"."""
    assert split_words(hashtag) == (hashtag,)


@pytest.mark.parametrize("split", [split_words, display_form])
@pytest.mark.parametrize("text", ["", "2024", "❄️"])
def test_what_is_no_hashtag_is_refused(split, text: str) -> None:
    with pytest.raises(HashtagError):
        split(text)


@pytest.mark.parametrize(
    ("hashtag", "shown"),
    [
        ("coldweather", "ColdWeather"),
        ("#coldweather", "ColdWeather"),
        ("Coldweather", "ColdWeather"),
        ("COLDWEATHER", "ColdWeather"),
        ("likeaboss", "LikeABoss"),
        ("6secondcover", "6SecondCover"),
        ("4kvideo", "4kVideo"),
        ("ColdWeather", "ColdWeather"),
        ("coldWeather", "coldWeather"),
        ("iPhone", "iPhone"),
        ("winter", "winter"),
        ("Winter", "Winter"),
        ("NASA", "NASA"),
        ("NASA2024", "NASA2024"),
        ("covid19", "covid19"),
        ("fyp", "fyp"),
        ("cold-weather", "cold-weather"),
        ("cold_weather", "cold_weather"),
        ("日本", "日本"),
        ("méxico", "méxico"),
    ],
)
def test_display_form(hashtag: str, shown: str) -> None:
    assert display_form(hashtag) == shown


hashtags = st.one_of(
    st.from_regex(r"[a-z]{1,14}", fullmatch=True),
    st.lists(
        st.sampled_from(sorted(CREATOR_WORDS | JOINED_PHRASES | SHORT_WORDS | {"1", "20", "-", "_"})),
        max_size=5,
    ).map("".join),
    st.text(st.sampled_from("aAbIiSsTtéÉßǰŉΐİıÖд冬ーक्ษّ\u0301\u0345\u200d019-_"), max_size=12),
    st.text(max_size=12),
)


@settings(deadline=None)  # the first call may load the word list
@given(hashtags)
def test_words_are_the_letters_of_the_hashtag(text: str) -> None:
    try:
        canonical = normalise(text)
    except HashtagError:
        return
    words = split_words(text)
    assert words
    assert all(words)
    assert letters_only("".join(words)) == letters_only(canonical)
    assert all(word == word.lower() for word in words)
    assert split_words(canonical) == words


@settings(deadline=None)  # the first call may load the word list
@given(hashtags)
@example("ΐक")  # its capital is three characters
@example("ıक")  # its capital is another letter's
@example("İ0ai")  # its lower case is two characters
def test_display_form_is_the_same_hashtag(text: str) -> None:
    try:
        normalise(text)
    except HashtagError:
        return
    shown = display_form(text)
    assert same(shown, text)
    assert display_form(shown) == shown


def test_lexicon_is_lower_case_latin() -> None:
    for words in (CREATOR_WORDS, JOINED_PHRASES, SHORT_WORDS):
        assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert not CREATOR_WORDS & JOINED_PHRASES


@pytest.mark.parametrize("word", sorted(CREATOR_WORDS))
def test_creator_words_are_one_word_alone_and_in_company(word: str) -> None:
    assert split_words(word) == split_words(word.upper()) == split_words(word.capitalize()) == (word,)
    assert split_words(f"My{word.capitalize()}") == ("my", word)


def test_english_words_are_those_that_hashtags_are_split_by() -> None:
    words = english_words()
    assert {"cold", "weather", "tiktok", "ootd", "a", "of"} <= words
    assert not {"qzxv", "fy", "funnny", "worldcup"} & words
    assert all(word == word.lower() and word.isascii() for word in words)
    assert set(split_words("coldweatherday")) <= words
