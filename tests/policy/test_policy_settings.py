"""The policy as a value: it checks itself, and comes out of TOML and JSON as it went in."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from ggm.errors import ConfigError
from ggm.policy import Limits, Policy, platforms
from ggm.policy.harmful import LANGUAGES
from ggm.policy.wordlists import word_lists

FULL: dict[str, Any] = {
    "novel": "forbid",
    "platform": "instagram",
    "max_count": 4,
    "max_length": 30,
    "max_total_length": 100,
    "min_score": 0.01,
    "aliases": {"nyc": "newyorkcity"},
    "block": ["*sale*"],
    "allow": ["essex"],
    "harmful": False,
    "harmful_languages": ["english", "german"],
    "harmful_words": ["rival*"],
    "generic_factor": 0.5,
    "generic": ["mychannel"],
    "merge_duplicates": True,
    "scripts": ["Latin", "Han"],
}


def test_json_and_back() -> None:
    policy = Policy.from_dict(FULL)
    assert policy.to_dict() == FULL
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert Policy.from_dict({}) == Policy.from_dict(Policy().to_dict()) == Policy()


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('novel = "flag"\nblock = ["*sale*"]\nmin_score = 0\n[aliases]\nnyc = "newyorkcity"\n')
    assert Policy.load(path) == Policy(novel="flag", block=("*sale*",), aliases={"nyc": "newyorkcity"})


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().novel = "flag"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"novel = ", "policy.toml: not TOML"),
        (b"\xff\xfe", "policy.toml: not TOML"),
        (b"colour = 1", "policy.toml: unknown key colour"),
        (b"min_score = 'high'", r"policy.toml.min_score: expected float, got 'high'"),
        (b"block = 'sale'", r"policy.toml.block"),
        (b"novel = 'never'", r"policy.toml.novel: expected .*'never'"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        Policy.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: can't read the policy: No such file"):
        Policy.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"novel": "never"}, "policy.novel must be one of allow, flag, forbid, got 'never'"),
        ({"platform": "myspace"}, "no preset 'myspace'; there are tiktok, instagram"),
        ({"max_count": 0}, "max_count must be at least 1"),
        ({"max_length": 0}, "max_length must be at least 1"),
        ({"max_total_length": 1}, "max_total_length must be at least 2"),
        ({"min_score": 1.1}, "policy.min_score must be within 0 and 1"),
        ({"min_score": float("nan")}, "policy.min_score must be within 0 and 1"),
        ({"generic_factor": -0.1}, "policy.generic_factor must be within 0 and 1"),
        ({"aliases": {"nyc": "NYC"}}, "'nyc' is an alias of itself"),
        ({"aliases": {"a": "b", "b": "c", "c": "a"}}, "a -> b -> c -> a is a circle"),
        ({"aliases": {"nyc": "newyork", "NYC": "bigapple"}}, "'NYC' has two meanings"),
        ({"aliases": {"nyc": "!!"}}, "policy.aliases: '!!' is not a hashtag"),
        ({"block": ("*",)}, r"policy.block: '\*' has no letter or digit"),
        ({"block": ("big sale",)}, "policy.block: 'big sale' matches no hashtag: none has ' '"),
        ({"allow": ("",)}, "policy.allow: '' has no letter or digit"),
        ({"generic": ("a.b",)}, "policy.generic: 'a.b' matches no hashtag"),
        ({"harmful_words": ("_?_",)}, "policy.harmful_words: '_[?]_' has no letter or digit"),
        (
            {"harmful_languages": ("klingon",)},
            "policy.harmful_languages: no list of 'klingon'; there are arabic",
        ),
        ({"scripts": ("Elvish",)}, "policy.scripts: 'Elvish' is no Unicode script"),
        ({"scripts": ("Latin}a",)}, "policy.scripts: 'Latin}a' is no Unicode script"),
        ({"scripts": ("",)}, "policy.scripts: '' is no Unicode script"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Policy(**values)


def test_every_preset_is_a_policy() -> None:
    assert {
        "tiktok",
        "instagram",
        "youtube",
        "youtube-shorts",
        "x",
        "linkedin",
        "pinterest",
        "threads",
    } <= set(platforms())
    for name, limits in platforms().items():
        assert Policy(platform=name).limits == limits
    assert platforms()["instagram"].max_count == 5
    assert platforms()["x"].recommended == ("max_count",)


def test_own_limits_take_the_place_of_the_presets() -> None:
    limits = Policy(platform="x", max_count=3).limits
    assert (limits.max_count, limits.max_total_length, limits.recommended) == (3, 280, ())
    assert Policy().limits == Limits(separators="-_")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"separators": "."}, "separators must be of - and _"),
        ({"recommended": ("colour",)}, "names no limit: colour"),
    ],
)
def test_limits_check_themselves(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Limits(**values)


def test_the_lists_that_come_along_are_used() -> None:
    lists = word_lists()
    assert Policy().compiled.generic.match("FYP") == "fyp*"
    assert all(
        len(set(words)) == len(words) for words in (lists.generic, lists.spared, lists.added, lists.safe)
    )


def test_languages_are_those_of_the_library() -> None:
    from glin_profanity.data.dictionary import DictionaryLoader

    assert set(DictionaryLoader.LANGUAGE_FILES) == set(LANGUAGES)
