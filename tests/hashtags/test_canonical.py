"""One canonical form a hashtag, whatever script it is in and however it was typed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import HashtagError
from ggm.hashtags import MAX_LENGTH, key, normalise, same

# Text that is rich in what can go wrong: signs, marks, joiners, several scripts, expansions.
tricky_text = st.text(
    st.one_of(
        st.sampled_from("#＃-_ \t\u200b\u200c\u200d\ufe0f\u0301\u0345\u20e3ßẞİıſſŉǰΐﷺ½²Ⅷｱﾞれन्मสाำ❄️🇨🇭1a A"),
        st.characters(codec="utf-8"),
    ),
    max_size=20,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("winter", "winter"),
        ("#winter", "winter"),
        ("##winter", "winter"),
        ("＃冬", "冬"),
        ("﹟winter", "winter"),
        ("  #ColdWeather\n", "ColdWeather"),
        ("cold weather", "coldweather"),
        ("cold-weather", "cold-weather"),
        ("cold_weather_2024", "cold_weather_2024"),
        ("cold\u2011weather", "cold-weather"),  # the hyphen that doesn't break lines
        ("--cold--", "cold"),
        ("_cold_", "cold"),
        ("ｗｉｎｔｅｒ", "winter"),  # full width
        ("ﬁre", "fire"),  # ligature
        ("x²", "x2"),
        ("don't!", "dont"),
        ("don´t", "dont"),  # an acute accent on its own is punctuation, no accent of the n
        ("rock&roll", "rockroll"),
        ("C++", "C"),
        ("winter❄️fun", "winterfun"),
        ("me\u0301xico", "méxico"),  # decomposed
        ("me\u200bxi\u00adco", "mexico"),  # zero-width space, soft hyphen
        ("\u202ewinter\u202c", "winter"),  # text direction controls
        ("win\x00ter\x7f", "winter"),
        ("नमस्ते", "नमस्ते"),  # vowel signs and virama are marks
        ("สวัสดี", "สวัสดี"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian needs the non-joiner
        ("क्\u200dष", "क्\u200dष"),  # Devanagari needs the joiner
        ("co\u200cld", "cold"),  # Latin does not
        ("\u200cمی\u200c", "می"),  # nor does an edge
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),  # and one is enough
        ("한국\u3164어", "한국어"),  # the invisible Hangul filler
        ("葛\U000e0100", "葛"),  # ideographic variation selector
        ("\u0301winter", "winter"),  # an accent without a letter
        ("!\u0301winter", "winter"),
        ("\ud800winter", "winter"),  # a lone surrogate can't be written to a file
        ("2024vibes", "2024vibes"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize("text", ["", "#", "  ", "!!!", "-_-", "❄️", "👨‍👩‍👧", "\u0301", "\u200d", "\u3164"])
def test_text_without_a_letter_is_no_hashtag(text: str) -> None:
    with pytest.raises(HashtagError, match="no letter"):
        normalise(text)


@pytest.mark.parametrize("text", ["2024", "#1", "20-24", "1️⃣", "٢٠٢٤", "①"])
def test_digits_alone_are_no_hashtag(text: str) -> None:
    with pytest.raises(HashtagError, match="only digits"):
        normalise(text)


def test_length_is_limited_after_normalisation() -> None:
    longest = "a" * MAX_LENGTH
    assert normalise("# " + " ".join(longest)) == longest
    with pytest.raises(HashtagError, match="longer than 100"):
        normalise(longest + "b")
    with pytest.raises(HashtagError, match="not a hashtag"):
        normalise("a\u0301" * 1_000_000)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("#ColdWeather", "coldweather"),
        ("STRASSE", "straße"),
        ("STRAẞE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),  # the final sigma
        ("İstanbul", "i̇stanbul"),  # Python's lower case of the dotted capital
        ("ПРИВЕТ", "привет"),
        ("MÉXICO", "me\u0301xico"),
        ("ΑΙ", "ᾳ"),  # the iota subscript
        ("می\u200cخواهم", "میخواهم"),  # joiners are how it looks, not what it is
        ("ｗｉｎｔｅｒ", "WINTER"),
    ],
)
def test_same_hashtag(a: str, b: str) -> None:
    assert same(a, b)
    assert same(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [("cold-weather", "coldweather"), ("cold_weather", "cold-weather"), ("mexico", "méxico"), ("ı", "i")],
)
def test_different_hashtags(a: str, b: str) -> None:
    assert not same(a, b)


@pytest.mark.parametrize("compare", [key, lambda text: same(text, "a"), lambda text: same("a", text)])
def test_key_and_same_refuse_what_is_no_hashtag(compare) -> None:
    with pytest.raises(HashtagError):
        compare("!")


def normalised_or_none(text: str) -> str | None:
    try:
        return normalise(text)
    except HashtagError:
        return None


@settings(deadline=None)
@given(tricky_text)
def test_canonical_form_is_stable_and_clean(text: str) -> None:
    canonical = normalised_or_none(text)
    if canonical is None:
        return
    assert normalise(canonical) == canonical
    assert normalise(f"# {canonical} ") == canonical
    assert unicodedata.is_normalized("NFKC", canonical)
    assert 0 < len(canonical) <= MAX_LENGTH
    assert canonical[0] not in "-_"
    assert canonical[-1] not in "-_"
    for character in canonical:
        kind = unicodedata.category(character)
        assert kind[0] in "LMN" or character in "-_\u200c\u200d", (character, kind)


@settings(deadline=None)
@given(tricky_text)
def test_key_is_stable(text: str) -> None:
    canonical = normalised_or_none(text)
    if canonical is None:
        return
    folded = key(text)
    assert key(canonical) == folded
    assert key(folded) == folded
    assert same(canonical, canonical.lower())


def test_every_unusual_character_is_normalised_once_and_for_all() -> None:
    """All of the first plane that changes by NFKC or case folding, or belongs to its neighbours."""
    unusual = [
        character
        for character in map(chr, range(0x80, 0x10000))
        if unicodedata.category(character) in {"Mn", "Mc", "Cf"}
        or unicodedata.normalize("NFKC", character.casefold()) != character
    ]
    assert len(unusual) > 5_000
    for character in unusual:
        text = f"ス{character}b"
        canonical = normalise(text)
        assert normalise(canonical) == canonical, hex(ord(character))
        folded = key(text)
        assert key(folded) == key(canonical) == folded, hex(ord(character))
