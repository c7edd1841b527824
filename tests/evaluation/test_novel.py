"""Novel hashtags: gain and well-formedness by hand, against a slow twin, and by their properties."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import HashtagError
from ggm.evaluation import metrics
from ggm.evaluation.novel import MIN_OVERLAP, num_well_formed, open_set_gain
from ggm.hashtags import key, split_words

TAGS = [
    "cat", "dog", "cold", "ColdDay", "coldday", "cold-day", "coldSnowDay", "snow_day", "NewYork", "York",
    "日本", "méxico", "México-City", "हिन्दी", "Straße",
]  # fmt: skip
LISTS = st.lists(st.sampled_from(TAGS), max_size=6)
FULL = st.lists(st.sampled_from(TAGS), min_size=1, max_size=5)


def gain(predicted: list[str], reference: list[str], known: list[str], **options: float) -> tuple[float, ...]:
    found = open_set_gain([predicted], reference=[reference], known=known, **options)
    return found.exact[0], found.soft[0], found.num_credited[0], found.num_novel[0]


def test_gain_worked_by_hand() -> None:
    # New and equal: one of two references.
    assert gain(["cat", "Snow"], ["snow", "cat"], ["cat", "dog"]) == pytest.approx((1 / 2, 0, 1, 1))
    # New and of the same words but for one: F1 of {cold, day} and {cold} is 2/3, of one reference.
    assert gain(["ColdDay"], ["cold"], ["dog"]) == pytest.approx((0, 2 / 3, 1, 1))
    # The known "cold" has as much of "cold-day" as there is, so the new "coldest-cold" adds nothing.
    assert gain(["cold", "coldsnow"], ["cold-day"], ["cold"]) == pytest.approx((0, 0, 1, 1))
    # 4/5 by the new one against 2/3 … of {cold, snow, day}: "cold" alone has 1/2, "coldday" 4/5.
    assert gain(["cold", "coldday"], ["cold-snow-day"], ["cold"]) == pytest.approx((0, 0.8 - 0.5, 1, 1))
    # What is matched exactly by a known hashtag can't be gained again.
    assert gain(["cold", "coldday"], ["cold"], ["cold"]) == pytest.approx((0, 0, 1, 1))
    # Below the threshold nothing is earned.
    assert gain(["cold"], ["cold-snow-day"], [], min_overlap=0.51) == (0, 0, 0, 1)
    assert gain(["cold"], ["cold-snow-day"], []) == pytest.approx((0, 0.5, 1, 1))
    # Equal words but not equal hashtags are a full soft match.
    assert gain(["coldday"], ["cold-day"], []) == (0, 1, 1, 1)
    assert gain(["fish", "fishing"], ["cat"], []) == (0, 0, 0, 2)
    assert gain([], ["cat"], []) == (0, 0, 0, 0)


def slow_gain(
    predicted: list[str], reference: list[str], known: list[str], least: float
) -> tuple[float, float]:
    """Soft recall with and without novel hashtags, spelled out with lists and loops."""

    def overlap(one: str, other: str) -> float:
        shared = [word for word in dict.fromkeys(split_words(key(one))) if word in split_words(key(other))]
        sizes = [len(dict.fromkeys(split_words(key(text)))) for text in (one, other)]
        if not shared:
            return 0.0
        precision, recall = (len(shared) / size for size in sizes)
        f1 = 2 * precision * recall / (precision + recall)
        return f1 if f1 > least - 1e-9 else 0.0

    known_keys = [key(text) for text in known]
    exact = soft = 0.0
    references: list[str] = []
    for text in reference:
        if key(text) not in references:
            references.append(key(text))
    for wanted in references:
        old = [text for text in predicted if key(text) in known_keys]
        new = [text for text in predicted if key(text) not in known_keys]
        if any(key(text) == wanted for text in new):
            exact += 1
        elif not any(key(text) == wanted for text in old):
            without = max([overlap(text, wanted) for text in old], default=0)
            everything = max([overlap(text, wanted) for text in predicted], default=0)
            soft += everything - without
    return exact / len(references), soft / len(references)


@given(predicted=LISTS, reference=FULL, known=LISTS, least=st.sampled_from([0.3, MIN_OVERLAP, 0.8, 1.0]))
@settings(max_examples=300)
def test_gain_equals_the_slow_twin(
    predicted: list[str], reference: list[str], known: list[str], least: float
) -> None:
    exact, soft, credited, novel = gain(predicted, reference, known, min_overlap=least)
    assert (exact, soft) == pytest.approx(slow_gain(predicted, reference, known, least))
    assert novel == metrics.num_novel([predicted], known=known)[0]
    assert 0 <= exact * len({*map(key, reference)}) <= credited + 1e-9 <= novel + 1e-9


@given(predicted=LISTS, reference=FULL, known=LISTS)
@settings(max_examples=150)
def test_gain_is_bounded_and_the_exact_part_is_recall_that_is_owed_to_novel_hashtags(
    predicted: list[str], reference: list[str], known: list[str]
) -> None:
    exact, soft, *_ = gain(predicted, reference, known)
    assert 0 <= exact <= exact + soft <= 1 + 1e-9
    names = set(map(key, known))
    familiar = [text for text in predicted if key(text) in names]
    recalls = metrics.exact_match([predicted, familiar], reference=[reference] * 2).recall
    assert exact == pytest.approx(recalls[0] - recalls[1])


@given(predicted=LISTS, reference=FULL, known=LISTS, data=st.data())
@settings(max_examples=150)
def test_gain_never_falls_with_a_novel_hashtag_and_rises_with_a_correct_one(
    predicted: list[str], reference: list[str], known: list[str], data: st.DataObject
) -> None:
    added = data.draw(st.sampled_from([*TAGS, "unheardof"]))
    before = gain(predicted, reference, known)
    after = gain([*predicted, added], reference, known)
    names, found, wanted = (set(map(key, texts)) for texts in (known, predicted, reference))
    if key(added) not in names:
        assert after[0] + after[1] >= before[0] + before[1] - 1e-9
        if key(added) in wanted - found:
            assert after[0] > before[0]


@given(predicted=LISTS, reference=FULL)
@settings(max_examples=60)
def test_gain_is_zero_when_all_are_known(predicted: list[str], reference: list[str]) -> None:
    assert gain(predicted, reference, [*predicted, "dog"]) == (0, 0, 0, 0)


@given(predicted=LISTS, reference=FULL, known=LISTS, shuffler=st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_neither_order_nor_case_plays_a_part(
    predicted: list[str], reference: list[str], known: list[str], shuffler: random.Random
) -> None:
    def changed(texts: list[str]) -> list[str]:
        change = shuffler.choice([str.upper, str.lower, str.swapcase, str.title])
        return [f"#{change(text)}" for text in shuffler.sample(texts, len(texts))]

    other = gain(changed(predicted), changed(reference), changed(known))
    assert other == pytest.approx(gain(predicted, reference, known))
    formed = [
        num_well_formed([found], known=names)[0]
        for found, names in ((predicted, known), (changed(predicted), changed(known)))
    ]
    assert formed[0] == formed[1]


def test_well_formed_worked_by_hand() -> None:
    def count(*hashtags: str, known: tuple[str, ...] = ()) -> float:
        return float(num_well_formed([list(hashtags)], known=known)[0])

    assert count("ColdWeather", "tiktokdance", "best-of-2024", "4kvideo", "day1", "ootd") == 6
    assert count("qzxv", "funnnyy", "cold-qzxv", "skrrt_dog") == 0
    assert count("qzxv-dog", known=("qzxv",)) == 1  # a word of a known hashtag
    assert count("qzxv", "cat", known=("QZXV", "Cat")) == 0  # not novel
    assert count("cat", "Cat", "#CAT") == 1
    # Other scripts: by the known hashtags alone, divided where nothing else divides them.
    assert count("日本旅行") == 0
    assert count("日本旅行", "日本", known=("日本-x", "旅行")) == 1 + 1
    assert count("日本旅", known=("日本", "旅行")) == 0
    assert count("méxicolindo", known=("México", "lindo")) == 1
    assert num_well_formed([[], ["cat"]], known=[]).tolist() == [0, 1]


@given(predicted=LISTS, known=LISTS, more=LISTS)
@settings(max_examples=80)
def test_well_formed_are_some_of_the_novel_and_known_words_only_help(
    predicted: list[str], known: list[str], more: list[str]
) -> None:
    formed = num_well_formed([predicted], known=known)[0]
    assert 0 <= formed <= metrics.num_novel([predicted], known=known)[0]
    # Known hashtags that aren't among the predicted ones add words alone.
    others = [text for text in more if key(text) not in set(map(key, predicted))]
    assert num_well_formed([predicted], known=[*known, *others])[0] >= formed


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions need as many references, got 1"):
        open_set_gain([["a"], ["b"]], reference=[["a"]], known=[])
    with pytest.raises(ValueError, match="reference of post number 0 is empty"):
        open_set_gain([["a"]], reference=[[]], known=[])
    for least in (0, -1, 1.1):
        with pytest.raises(ValueError, match="min_overlap must be above 0 and at most 1"):
            open_set_gain([["a"]], reference=[["a"]], known=[], min_overlap=least)
    for known in ([], ["!"]):
        with pytest.raises(HashtagError):
            open_set_gain([["!"]], reference=[["a"]], known=known)
        with pytest.raises(HashtagError):
            num_well_formed([["!"]], known=known)
