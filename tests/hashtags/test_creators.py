"""What creators type, made readable; plain prose stays as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.hashtags import readable
from ggm.hashtags.emoji_words import emoji_words, with_words


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("my 🐱🐱 in the ❄️", "my cat in the snowflake"),
        ("🐱 and 🐶 and 🐱", "cat and dog and"),
        ("so cute😍!", "so cute love !"),
        ("👩🏽‍🍳🏄‍♂️", "cook surfing"),
        ("👨‍👩‍👧‍👦", "family"),
        ("I ❤️ NY 🇫🇷", "I love NY france"),
        ("1️⃣ ✨💯🔥👉", ""),
        ("sooooo cuuuute yaaaay", "so cute yay"),
        ("goooood mooorning", "good morning"),
        ("SOOOO GOOOOD", "SO GOOD"),
        ("muhteşemmmm", "muhteşem"),
        ("b3st k1tt3n 3v3r", "best kitten ever"),
        ("see https://youtu.be/a?b=c and t.co/xyz now", "see and now"),
        ("thx @ride.iceland. mail me@example.com", "thx . mail"),
        ("𝓼𝓾𝓷𝓼𝓮𝓽 ｖｉｂｅｓ", "sunset vibes"),
        ("c\u200bo\u200bf\u200bfee \u202etime", "coffee time"),
        ("b̷̢̛͇u̸̡̦͆ĝ̶͖", "bug"),
    ],
)
def test_it_becomes_readable(typed: str, read: str) -> None:
    assert readable(typed) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A visitor in the garden",
        "plain, prose — with café, ½ ﬁne naïve  double  spaces",
        "4k mp3 1st 2nd 90s covid19 h2o 5pm gr8 s01e05 100m 10k $100 B17 y2k",
        "II III www aaa",
        "C# and a & b @ home, 3 > 2 :) <3",
        "猫かわいいいい",
        "नमस्ते क्‍ष می‌خواهم",
        "tiến lên café cafe\u0301",
        "tab\tand\nnew line",
    ],
)
def test_what_is_plain_stays(text: str) -> None:
    assert readable(text) == text


@given(st.text(st.sampled_from("abcdefgh ,.!?'é日ह")))
def test_prose_stays(text: str) -> None:
    """Letters that aren't stretched, in any order."""
    calm = "".join(c for i, c in enumerate(text) if text[i - 1 : i] != c)
    assert readable(calm) == calm


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    read = readable(text)
    assert isinstance(read, str)
    assert read == text or read == " ".join(read.split())


@given(st.text(st.sampled_from("🐱🦋❤️‍👩🏽🇫🇷🇬1️⃣#ab \ufe0f\u200d\x01")))
def test_emoji_in_any_order_leave_words(text: str) -> None:
    words = with_words(text)
    assert not set(words) & set("🐱🦋")
    assert ("cat" in words) == ("🐱" in text)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 5000,
        "a@" * 2500,
        "a." * 2500,
        "@" * 5000,
        "aaab1" * 1000,
        "3" * 5000,
        "🐱" * 5000,
        "e\u0301" * 2500,
    ],
)
def test_long_text_is_read_soon(text: str) -> None:
    readable("first")
    started = time.process_time()
    readable(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cat_face", "cat"),
        ("hot_air_balloon", "hot air balloon"),
        ("woman_running_dark_skin_tone", "running"),
        ("face_with_tears_of_joy", "funny"),
        ("thumbs_up_light_skin_tone", ""),
        ("Japan", "japan"),
        ("fire", ""),
    ],
)
def test_what_an_emoji_says(name: str, words: str) -> None:
    assert emoji_words(name) == words
