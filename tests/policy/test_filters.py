"""The filters one by one: patterns, harmful words, near-duplicates, scripts."""

from __future__ import annotations

import pytest

from ggm.errors import ConfigError, HashtagError
from ggm.policy.duplicates import signatures
from ggm.policy.harmful import check_languages, harmful_word
from ggm.policy.patterns import Patterns
from ggm.policy.scripts import check_scripts, foreign_character


@pytest.mark.parametrize(
    ("pattern", "matched", "missed"),
    [
        ("*sale*", ["sale", "BigSale2025", "S_A_L_E", "wholesale"], ["sal", "salad"]),
        ("sale", ["Sale", "#SALE", "s-ale"], ["sales", "bigsale"]),
        ("#Sale?", ["sales", "sale1"], ["sale", "sales1"]),
        ("cold_w*", ["coldweather", "cold-winter", "coldw"], ["cold", "warmcold"]),
        ("straße*", ["STRASSE", "strassenbahn"], ["strase"]),
        ("снег*", ["СНЕГ", "снегопад"], ["дождь"]),
        ("*雪*", ["初雪", "雪"], ["冬"]),
        ("Ｗｉｎ*", ["winter"], ["spin"]),
    ],
)
def test_patterns(pattern: str, matched: list[str], missed: list[str]) -> None:
    patterns = Patterns([pattern], where="here")
    assert [patterns.match(text) for text in matched] == [pattern] * len(matched)
    assert [patterns.match(text) for text in missed] == [None] * len(missed)


def test_the_first_pattern_is_named() -> None:
    patterns = Patterns(["s*", "sale", "*ale"], where="here")
    assert patterns.match("sale") == "sale"  # a name before all wildcards
    assert patterns.match("scale") == "s*"
    assert patterns.match("ginger_ale") == "*ale"
    with pytest.raises(HashtagError):
        patterns.match("!!")
    with pytest.raises(ConfigError, match="here: 'a b'"):
        Patterns(["a b"], where="here")


INNOCENT = """
    scunthorpe cockatiel shitake shiitake essex sussex analysis therapist assassin assassinscreed classic
    bassguitar cocktail cocktailhour peacock dickens analytics sexeducation penistone arsenal titanic hancock
    woodcock document cucumber pussycat pussywillow bluetit buttercup bitcoin mobydick dickvandyke donkey
    assignment shoes titmouse nigeria snigger virgin breastcancer gaypride lesbianvisibility queer mainecoon
    mainecoons skeetshooting hardcoremusic bigblackdog montenegro gatonegro cockerspaniel shihtzu cockpit
    hitchcock shuttlecock constitution classof2025 year2000 1st 4x4 3dprint mp3 b52 100days grape drapes
    spicegirls expertsexchange mypenisland Scunthorpe_United cold-weather 雪 снег café
"""

HARMFUL = """
    fuck fuckyou FuckThis motherfuckers cunt cunts niggas faggots bullshit holyshit shitpost bitches whores
    sluts pornhub dickhead wanker retard dumbass dumbasses jackasses pussies orgies
"""

DISGUISED = ["sh1t", "b1tch", "a55hole", "fagg0t", "fuuuck", "f_u_c_k", "S-H-I-T", "fck", "phuck"]


@pytest.mark.parametrize("hashtag", INNOCENT.split())
def test_innocent_hashtags_stay(hashtag: str) -> None:
    assert harmful_word(hashtag) is None


@pytest.mark.parametrize("hashtag", [*HARMFUL.split(), *DISGUISED])
def test_harmful_hashtags_are_found(hashtag: str) -> None:
    assert harmful_word(hashtag)


def test_the_word_is_named() -> None:
    assert harmful_word("FuckThis") == "fuck"
    assert harmful_word("sluts") == "slut"
    with pytest.raises(HashtagError):
        harmful_word("!!")


def test_other_languages_by_name() -> None:
    assert harmful_word("merde") is None
    assert harmful_word("merde", languages=("english", "french")) == "merde"
    assert harmful_word("хуй", languages=("russian",)) == "хуй"
    with pytest.raises(ConfigError, match="no list of 'latin'"):
        check_languages(["english", "latin"])


@pytest.mark.parametrize(
    "group",
    [
        ["dog", "Dogs", "DOG"],
        ["ColdWeather", "cold_weather", "coldweather", "WeatherCold", "cold-weather"],
        ["city", "cities"],
        ["movie", "movies"],
        ["box", "boxes"],
        ["horse", "horses"],
        ["glass", "glasses"],
        ["bus", "buses"],
        ["pie", "pies"],
        ["tomato", "tomatoes"],
        ["dance", "dances"],
        ["beach_party", "BeachParties", "PartyBeach"],
    ],
)
def test_near_duplicates_share_a_signature(group: list[str]) -> None:
    for text in group[1:]:
        assert any(a == b for a, b in zip(signatures(group[0]), signatures(text), strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("news", "new"),
        ("glass", "glas"),
        ("bus", "bu"),
        ("lens", "len"),
        ("dogs", "dog_s_life"),
        ("雪", "初雪"),
    ],
)
def test_others_do_not(one: str, other: str) -> None:
    assert not any(a == b for a, b in zip(signatures(one), signatures(other), strict=True))


def test_what_is_no_hashtag_has_no_signature() -> None:
    with pytest.raises(HashtagError):
        signatures("!!")


def test_scripts() -> None:
    assert foreign_character("snow2025_a", ["Latin"]) is None
    assert foreign_character("снег", ["Latin"]) == "с"
    assert foreign_character("snowснег", ["Latin"]) == "с"
    assert foreign_character("snowснег", ["Latin", "Cyrl"]) is None
    assert foreign_character("ラーメン", ["Katakana"]) is None  # the long vowel mark belongs to two scripts
    assert foreign_character("123", ["Han"]) is None
    with pytest.raises(ConfigError, match="no Unicode script"):
        check_scripts(["Latin", "Klingon"])
