"""The file of ratings: what was acknowledged is there, whatever happened after."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import human_studies
from ggm.errors import DataError
from ggm.evaluation.human.ratings import Rating, RatingLog, read_all_ratings, read_ratings
from ggm.evaluation.human.study import Study

VALUES = st.integers(1, 5)
ITEMS = st.sampled_from(["n0", "g0", "n1", "g1", "n2", "g2"])
RATINGS = st.one_of(st.builds(Rating, ITEMS, VALUES, VALUES), st.builds(Rating, ITEMS, st.none(), st.none()))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return human_studies.small_study(tmp_path / "study")[0]


@given(ratings=st.lists(RATINGS))
def test_the_last_rating_of_an_item_counts(
    tmp_path_factory: pytest.TempPathFactory, ratings: list[Rating]
) -> None:
    study, _ = human_studies.small_study(tmp_path_factory.mktemp("study"))
    log = RatingLog(study, "ann")
    for rating in ratings:
        log.add(rating)
    wanted = {rating.item: rating for rating in ratings}
    assert log.latest == RatingLog(study, "ann").latest == wanted
    assert read_all_ratings(study) == {"ann": wanted}
    assert len(log.path.read_text().splitlines()) == len(ratings)  # nothing is ever taken away


@given(ratings=st.lists(RATINGS, min_size=1), cut=st.integers(0))
def test_a_crash_anywhere_loses_at_most_what_was_not_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, ratings: list[Rating], cut: int
) -> None:
    """Cut the file after any byte: whole lines count, and what is written next is read."""
    study, _ = human_studies.small_study(tmp_path_factory.mktemp("study"))
    log = RatingLog(study, "ann")
    for rating in ratings:
        log.add(rating)
    content = log.path.read_bytes()
    cut %= len(content) + 1
    log.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    at_least = {rating.item: rating for rating in ratings[:whole]}
    complete = content[cut : cut + 1] == b"\n"  # only the end of the line is missing
    wanted = {rating.item: rating for rating in ratings[: whole + complete]}
    assert read_ratings(log.path, study) == (wanted if complete else at_least)
    again = RatingLog(study, "ann")
    assert again.latest == (wanted if complete else at_least)
    again.add(Rating("n0", 3, 3))
    assert read_ratings(log.path, study) == {**again.latest, "n0": Rating("n0", 3, 3)}
    assert log.path.read_bytes().endswith(b"\n")


def test_what_stands_in_the_file(study: Study) -> None:
    log = RatingLog(study, "ann-1")
    log.add(Rating("n0", 4, 2))
    log.add(Rating("g0", None, None))
    assert log.path == study.folder / "ratings" / "ann-1.jsonl"
    one, other = map(json.loads, log.path.read_text().splitlines())
    assert one.pop("at") <= other.pop("at")
    assert one == {"item": "n0", "understandability": 4, "relevancy": 2}
    assert other == {"item": "g0", "skipped": True}
    assert Rating("n0", 4, 2).value("relevancy") == 2
    for rating, scale in ((Rating("n0", 4, 2), "beauty"), (Rating("g0", None, None), "relevancy")):
        with pytest.raises(ValueError, match=f"has no number for '{scale}'"):
            rating.value(scale)


def test_each_rating_is_on_the_disk_before_it_is_acknowledged(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    log = RatingLog(study, "ann")
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(log.path.read_bytes()))
    log.add(Rating("n0", 1, 5))
    assert len(synced) == 1
    assert b'"n0"' in synced[0]


def test_a_full_disk_is_an_error_and_leaves_no_half_line(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RatingLog(study, "ann")
    log.add(Rating("n0", 1, 5))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
        with pytest.raises(DataError, match=r"ann\.jsonl: can't keep a rating: the disk is full"):
            log.add(Rating("g0", 2, 2))
    assert log.latest == read_ratings(log.path, study) == {"n0": Rating("n0", 1, 5)}
    log.add(Rating("g0", 3, 3))
    assert len(log.path.read_text().splitlines()) == 2


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", ".hidden", "-x", "a" * 41, "a\n", "CON:"])
def test_a_name_that_is_no_file_name(study: Study, name: str) -> None:
    with pytest.raises(DataError, match="a rater's name must be 1 to 40 letters"):
        RatingLog(study, name)
    assert not (study.folder / "ratings").exists()


def test_a_place_where_nothing_can_be_kept(study: Study) -> None:
    (study.folder / "ratings").write_text("")
    with pytest.raises(DataError, match=r"ann\.jsonl: can't keep ratings"):
        RatingLog(study, "ann")
    with pytest.raises(DataError, match="can't read ratings"):
        read_ratings(study.folder / "ratings" / "ann.jsonl", study)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"item": 3, "skipped": true}', "item must be the id"),
        ('{"item": "n0"}', "a rating has item, understandability and relevancy, or item and skipped"),
        ('{"item": "n0", "skipped": false}', "a rating has item"),
        ('{"item": "n0", "understandability": 3, "relevancy": 3, "skipped": true}', "a rating has item"),
        ('{"item": "n0", "understandability": 3}', "a rating has item"),
        ('{"item": "n0", "understandability": null, "relevancy": null}', "is written as skipped"),
        ('{"item": "n0", "understandability": 0, "relevancy": 3}', "whole numbers from 1 to 5, got 0 and 3"),
        ('{"item": "n0", "understandability": 3, "relevancy": 6}', "whole numbers"),
        ('{"item": "n0", "understandability": 3.0, "relevancy": 3}', "whole numbers"),
        ('{"item": "n0", "understandability": true, "relevancy": 3}', "whole numbers"),
        ('{"item": "n0", "understandability": 3, "relevancy": null}', "whole numbers"),
        ('{"item": "zz", "skipped": true}', "the study has no item 'zz'; these are ratings of another"),
        ("\udcff", "not JSON in UTF-8"),
    ],
)
def test_a_damaged_line_is_named(study: Study, line: str, message: str) -> None:
    path = study.folder / "ratings" / "ann.jsonl"
    path.parent.mkdir()
    good = '{"item": "g2", "skipped": true}'
    path.write_bytes(f"{good}\n{line}\n{good}\n".encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        read_ratings(path, study)
    assert f"{path}, line 2: " in str(caught.value)
    with pytest.raises(DataError, match="line 2"):
        RatingLog(study, "ann")
    with pytest.raises(DataError, match="line 2"):
        read_all_ratings(study)


def test_an_item_of_another_study_is_not_kept(study: Study) -> None:
    log = RatingLog(study, "ann")
    with pytest.raises(DataError, match="the study has no item 'zz'"):
        log.add(Rating("zz", 1, 1))
    assert log.path.read_bytes() == b""


@given(rating=RATINGS)
def test_a_rating_survives_its_dict(rating: Rating) -> None:
    values: dict[str, Any] = json.loads(json.dumps(rating.to_dict()))
    assert Rating.from_dict(values | {"at": "2026-01-01T00:00:00Z"}) == rating
