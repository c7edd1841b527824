"""Hashtags leave the description, all of them, and take nothing else along."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ggm.hashtags import key, normalise, parse_caption


@pytest.mark.parametrize(
    ("caption", "description", "hashtags"),
    [
        ("So cold! #winter #ColdWeather", "So cold!", ("winter", "ColdWeather")),
        ("", "", ()),
        ("no hashtag  here,\nreally", "no hashtag here, really", ()),
        ("#winter", "", ("winter",)),
        ("#winter is here", "is here", ("winter",)),
        ("I #love you", "I you", ("love",)),
        ("#a#b x", "x", ("a", "b")),
        ("##winter", "", ("winter",)),
        ("＃冬 寒い", "寒い", ("冬",)),
        ("今日は寒い#冬", "今日は寒い", ("冬",)),  # no space in scripts that use none
        ("#话题# hi", "hi", ("话题",)),  # closed by a second sign
        ("#हिन्दी नमस्ते #ไทย", "नमस्ते", ("हिन्दी", "ไทย")),
        ("#می\u200cخواهم", "", ("می\u200cخواهم",)),
        ("#Cold #cold #COLD #snow", "", ("Cold", "snow")),  # each once, as first written
        ("#ice-cream #snow_day #a- b", "b", ("ice-cream", "snow_day", "a")),
        ("#2024vibes #1", "#1", ("2024vibes",)),
        ("brr #winter❄️", "brr ❄️", ("winter",)),
        ("#\ufe0fsnow", "", ("snow",)),  # what some keyboards type
        ("so\u0301#a", "so\u0301#a", ()),  # an accented letter is a letter
    ],
)
def test_parse_caption(caption: str, description: str, hashtags: tuple[str, ...]) -> None:
    parsed = parse_caption(caption)
    assert parsed.description == description
    assert parsed.hashtags == hashtags


@pytest.mark.parametrize(
    "caption",
    [
        "see https://x.y/#frag",
        "see https://x.y/a,#frag now",
        "see WWW.x.y/?a=b&#frag",
        "see x.y/#frag",
        "in C# and F#",
        "in C#minor",
        "we are #1",
        "Tom&#39;s",
        "Tom&#x27;s",
        "a#b",
        "snake_#b",
        "# heading",
        "#",
        "###",
        "#️⃣",
        "#!",
        "#" + "a" * 101,
    ],
)
def test_not_a_hashtag(caption: str) -> None:
    parsed = parse_caption(caption)
    assert parsed.hashtags == ()
    assert parsed.description == caption


def test_link_ends_where_another_script_begins() -> None:
    parsed = parse_caption("https://x.y/abcです#冬")
    assert parsed.hashtags == ("冬",)
    assert parsed.description == "https://x.y/abcです"


@pytest.mark.parametrize(
    ("caption", "description"),
    [
        ("Loving #winter, #snow and #ice!", "Loving and!"),
        ("I love #winter.", "I love."),
        ("So cold! #winter.", "So cold!"),
        ("So cold - #winter", "So cold"),
        ("So cold | #winter | #snow", "So cold"),
        ("Tags: #x, #y", "Tags"),
        ("#a, #b, #c", ""),
        ("#a / #b & #c.", ""),
        ("(#a) hi", "hi"),
        ("hi (#a #b) there", "hi there"),
        ("hi (so #cold) there", "hi (so) there"),
        ("hi (#so cold)", "hi (cold)"),
        ("“#a” he said", "he said"),
        ("#winter: the film", "the film"),
        ("#winter's best day", "best day"),
        ("#don’t stop", "stop"),
        ("so #cold, but fun", "so but fun"),
        ("cold\n\n#a\n#b\n", "cold"),
        ("#a ... and then", "and then"),
        ("wait ... #a", "wait ..."),
    ],
)
def test_gaps_are_closed(caption: str, description: str) -> None:
    assert parse_caption(caption).description == description


@pytest.mark.parametrize(
    "piece",
    [
        "#a ",
        "#",
        "#a#",
        "-\u2010",
        "( #a",
        " ,",
        "&#",
        "#a-",
        "a\u0301",
        " ",
        "#\u0301",
        "https://x #a ",
        "- #a -- ",
    ],
)
def test_time_is_linear(piece: str) -> None:
    """Regression: white space, or links between hashtags, once took quadratic time (here minutes)."""
    parse_caption("#a" + piece * (100_000 // len(piece)) + "#b")


captions = st.text(
    st.one_of(st.sampled_from("##＃aB1_- .,;:!?&/()[]“”'\u2019|\n\0\u0301\u200d\ufe0f冬क्"), st.characters()),
    max_size=40,
)


@settings(deadline=None)
@given(captions)
@example("#a &#b")
@example("#a, &#b #c")
@example("1#a#b")
@example("(#a#)b")
@example("https://#a #b")
def test_no_hashtag_stays(caption: str) -> None:
    parsed = parse_caption(caption)
    again = parse_caption(parsed.description)
    assert again.hashtags == ()
    assert again.description == parsed.description
    assert "\0" not in parsed.description
    keys = [key(hashtag) for hashtag in parsed.hashtags]
    assert len(set(keys)) == len(keys)
    assert all(normalise(hashtag) == hashtag for hashtag in parsed.hashtags)


@settings(deadline=None)
@given(st.text().filter(lambda text: not set(text) & set("#＃﹟\0")))
def test_text_without_number_sign_stays(text: str) -> None:
    assert parse_caption(text).description == " ".join(text.split())


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{1,8}(_[a-z]{1,4})?", fullmatch=True), unique=True))
def test_written_hashtags_are_read_back(hashtags: list[str]) -> None:
    """A slow obvious twin: what we put in comes out, in order, for every way to write lists."""
    for separator in (" ", ", ", " | ", "\n", ""):
        written = separator.join(f"#{hashtag}" for hashtag in hashtags)
        parsed = parse_caption(f"Look! {written}")
        assert parsed.hashtags == tuple(hashtags)
        assert parsed.description == "Look!"
