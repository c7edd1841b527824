from __future__ import annotations

from pathlib import Path

import pytest

from ggm.corpus.cleaning import clean, clean_hashtags, clean_title
from ggm.corpus.openclipart import ClipArt


def art(
    id_: str = "a",
    *,
    title: str = "Swan",
    tags: tuple[str, ...] = ("bird",),
    description: str = "",
    author: str = "Ann Lee",
    free: bool = True,
) -> ClipArt:
    return ClipArt(
        id=id_,
        png=Path(f"{id_}.png"),
        title=title,
        description=description,
        author=author,
        tags=tags,
        licences=("Public Domain",) if free else (),
    )


@pytest.mark.parametrize(
    ("tags", "hashtags"),
    [
        (("birthday cake", "Birthday Cake", "food"), ("birthdaycake", "food")),
        (("black & white", "t-shirt", "map_symbol"), ("blackandwhite", "tshirt", "mapsymbol")),
        (("unsorted", "hash(0xa125)", "HASH(0xa1253c0)", "0xa1253c0", "clip art", "SVG"), ()),
        (("2004", "x", "a" * 25, "!!!", ""), ()),
        (("gijón", "日本", "Ann Lee", "ann"), ("gijón", "日本", "ann")),
    ],
)
def test_tags_become_hashtags(tags: tuple[str, ...], hashtags: tuple[str, ...]) -> None:
    assert clean_hashtags(tags, author="Ann Lee") == hashtags


@pytest.mark.parametrize(
    ("title", "cleaned"),
    [
        ("Clipart by Nicu Buculei - birthday_cake", "birthday cake"),
        ("Flat_Cake_02", "Flat Cake"),
        ("horse#1", "horse"),
        ("Apollo 11 lands", "Apollo 11 lands"),
        ("Gelato all&#39;italiana", "Gelato all'italiana"),
        ("1984", ""),
    ],
)
def test_titles_lose_boilerplate_and_their_number(title: str, cleaned: str) -> None:
    assert clean_title(title) == cleaned


def test_what_is_dropped_is_counted_by_reason() -> None:
    kept, dropped = clean(
        [
            None,
            art("free", free=False),
            art("icon", title="Lemon SVG theme"),
            art("theme", title="Folder", tags=("Theme", "folder")),
            art("untagged", tags=("unsorted",)),
            art("good"),
        ]
    )
    assert [item.art.id for item in kept] == ["good"]
    assert dropped == {
        "unreadable or no PNG": 1,
        "not stated to be public domain": 1,
        "icon series by title": 1,
        "icon theme by tag": 1,
        "no usable tag": 1,
    }


def test_at_most_three_are_kept_of_a_series_of_one_author() -> None:
    series = [art(f"swan_{n:02}", title=f"Swan {n}") for n in range(7)]
    others = [
        art("swan_90", title="Swan 90", author="Bob"),
        art("swan_91", title="Swan 91", tags=("bird", "lake")),
    ]
    kept, dropped = clean(series + others)
    assert [item.art.id for item in kept] == ["swan_00", "swan_01", "swan_02", "swan_90", "swan_91"]
    assert dropped == {"more than 3 alike": 4}


def test_a_series_shares_its_keys_and_strangers_do_not() -> None:
    (one, other, renamed, stranger), _ = clean(
        [
            art("swan_1", title="Swan 1"),
            art("b/swan_2", title="A bird"),
            art("goose", title="Swan_3"),
            art("swan_3", title="Swan", author="Bob"),
        ]
    )
    assert set(one.series) & set(other.series)
    assert set(one.series) & set(renamed.series)
    assert not set(one.series) & set(stranger.series)


def test_an_empty_title_is_no_key_that_a_whole_author_shares() -> None:
    kept, _ = clean([art("one", title=""), art("two", title="42")])
    assert [item.series for item in kept] == [("stem:one|Ann Lee",), ("stem:two|Ann Lee",)]
    assert [item.description for item in kept] == ["one", "two"]


def test_the_file_name_stands_in_for_a_title_that_a_whole_series_shares() -> None:
    drawings = [
        art(f"{name}_ann_l_01", title="Map Symbols") for name in ("left_arrow", "taxi", "toilet", "first_aid")
    ]
    kept, _ = clean(drawings)
    assert [item.description for item in kept] == ["left arrow", "taxi", "toilet", "first aid"]
    kept, _ = clean(drawings[:3])
    assert {item.description for item in kept} == {"Map Symbols"}


def test_a_clipped_file_name_does_not_replace_the_title_that_it_repeats() -> None:
    kept, _ = clean(
        art(
            f"dog_{n}_drawn_with_strai_01", title=f"Dog {n} Drawn With Straight Lines", tags=("dog", f"n{n}x")
        )
        for n in range(5)
    )
    assert kept[4].description == "Dog 4 Drawn With Straight Lines"


@pytest.mark.parametrize(
    ("description", "whole"),
    [
        ("", "Swan"),
        ("swan", "Swan"),
        ("It  swims. HASH(0x12ab) by ann@example.org http://example.org/x", "Swan. It swims. by"),
        ("Best #bird", "Swan. Best bird"),
        ("x" * 400, "Swan. " + "x" * 294),
    ],
)
def test_descriptions_have_no_addresses_and_no_inline_hashtags(description: str, whole: str) -> None:
    (item,), _ = clean([art(description=description)])
    assert item.description == whole
