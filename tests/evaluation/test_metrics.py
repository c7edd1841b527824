"""Scores by hand, against slow twins, and by their properties."""

import random
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.errors import HashtagError, MissingDependencyError
from ggm.evaluation import metrics
from ggm.hashtags import split_words

ALPHABET = ["cat", "dog", "snow", "cold-weather", "cold", "weather", "new_york", "日本", "méxico", "हिन्दी"]
LISTS = st.lists(st.sampled_from(ALPHABET), max_size=6, unique=True)
FULL = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=6, unique=True)


def words_of(hashtags: list[str]) -> list[str]:
    return [word for hashtag in hashtags for word in split_words(hashtag)]


def slow_rouge(predicted: list[str], reference: list[str], n: int) -> float:
    """F1 of n-grams with counts, from the definition; the words are in their final order."""
    grams = [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for words in (predicted, reference)
    ]
    overlap = sum((grams[0] & grams[1]).values())
    if overlap == 0:
        return 0.0
    precision, recall = (overlap / sum(counter.values()) for counter in grams)
    return 2 * precision * recall / (precision + recall)


@given(predicted=LISTS, reference=FULL)
@settings(max_examples=150, deadline=None)
def test_rouge_1_equals_the_slow_twin(predicted: list[str], reference: list[str]) -> None:
    score = metrics.rouge([predicted], reference=[reference]).rouge_1[0]
    assert score == pytest.approx(slow_rouge(words_of(predicted), words_of(reference), 1))


@given(predicted=LISTS, reference=FULL, seed=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_rouge_2_is_the_slow_twin_of_some_order(
    predicted: list[str], reference: list[str], seed: int
) -> None:
    score = metrics.rouge([predicted[:4]], reference=[reference], seed=seed).rouge_2[0]
    orders = _permutations(predicted[:4])
    values = [slow_rouge(words_of(order), words_of(reference), 2) for order in orders]
    assert any(score == pytest.approx(value) for value in values)


def _permutations(items: list[str]) -> list[list[str]]:
    if not items:
        return [[]]
    return [
        [item, *rest] for i, item in enumerate(items) for rest in _permutations(items[:i] + items[i + 1 :])
    ]


def test_rouge_worked_by_hand() -> None:
    scores = metrics.rouge(
        [["coldweather"], ["cold-weather", "snow"], ["dog"], []],
        reference=[["ColdWeather", "winter"], ["cold", "weather"], ["cat"], ["cat"]],
    )
    # "cold weather" against "cold weather winter": precision 1, recall 2/3; bigrams 1 of 1 and 1 of 2.
    # {cold weather, snow} in either order against "cold weather": 2/3 and 1; bigrams 1 of 2 and 1 of 1.
    assert scores.rouge_1 == pytest.approx([0.8, 0.8, 0.0, 0.0])
    assert scores.rouge_2 == pytest.approx([2 / 3, 2 / 3, 0.0, 0.0])


def test_rouge_knows_other_scripts() -> None:
    """The default tokenizer of rouge-score keeps a-z and 0-9 alone: 日本 scored 0 against itself."""
    hashtags = [["日本"], ["café"], ["हिन्दी"], ["привет"]]
    assert metrics.rouge(hashtags, reference=hashtags).rouge_1 == pytest.approx([1, 1, 1, 1])
    assert metrics.rouge([["cafe"]], reference=[["café"]]).rouge_1[0] == 0.0


def test_words_are_not_stemmed() -> None:
    assert metrics.rouge([["cats"]], reference=[["cat"]]).rouge_1[0] == 0.0


def test_a_single_word_has_no_bigram() -> None:
    assert metrics.rouge([["cat"]], reference=[["cat"]]).rouge_2[0] == 0.0


def test_equal_hashtags_are_split_alike_whatever_their_case() -> None:
    """sPoNgE and the like are split by their capitals, so that a perfect prediction scored below 1."""
    reference = [["ColdWeather", "NewYORK", "Straße", "LOLcats"]]
    predicted = [["coldweather", "newyork", "STRASSE", "lolCATS"]]
    assert metrics.rouge(predicted, reference=reference).rouge_1[0] == pytest.approx(1.0)


@given(predicted=LISTS, reference=FULL, shuffler=st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_order_plays_no_part(predicted: list[str], reference: list[str], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(predicted, len(predicted))
    scores = metrics.rouge([predicted, shuffled], reference=[reference, reference])
    assert scores.rouge_1[0] == scores.rouge_1[1]
    assert scores.rouge_2[0] == scores.rouge_2[1]
    match = metrics.exact_match([predicted, shuffled], reference=[reference, reference])
    assert match.f1[0] == match.f1[1]


def test_the_shuffle_depends_on_the_seed_and_undoes_a_lucky_order() -> None:
    hashtags = ["alpha", "bravo", "delta", "echo", "golf", "hotel"]
    by_seed = [metrics.rouge([hashtags], reference=[hashtags], seed=seed).rouge_2[0] for seed in range(8)]
    assert len(set(by_seed)) > 1
    assert np.mean(by_seed) < 0.7
    assert by_seed[3] == metrics.rouge([hashtags], reference=[hashtags], seed=3).rouge_2[0]


@given(posts=st.lists(st.tuples(LISTS, FULL), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_posts_are_scored_on_their_own(posts: list[tuple[list[str], list[str]]]) -> None:
    together = metrics.rouge([p for p, _ in posts], reference=[r for _, r in posts])
    alone = [metrics.rouge([p], reference=[r]) for p, r in posts]
    assert together.rouge_1.tolist() == [scores.rouge_1[0] for scores in alone]
    assert together.rouge_2.tolist() == [scores.rouge_2[0] for scores in alone]


@given(predicted=LISTS, reference=FULL)
@settings(max_examples=150, deadline=None)
def test_exact_match_equals_the_slow_twin(predicted: list[str], reference: list[str]) -> None:
    match = metrics.exact_match([predicted], reference=[reference])
    hits = sum(text in reference for text in predicted)
    precision = hits / len(predicted) if predicted else 0.0
    recall = hits / len(reference)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    assert (match.precision[0], match.recall[0], match.f1[0]) == pytest.approx((precision, recall, f1))


@given(first=FULL, second=FULL)
@settings(max_examples=80, deadline=None)
def test_f1_is_symmetric_and_within_its_bounds(first: list[str], second: list[str]) -> None:
    there, back = (metrics.exact_match([a], reference=[b]) for a, b in ((first, second), (second, first)))
    assert there.f1[0] == back.f1[0]
    assert there.precision[0] == back.recall[0]
    rouge = [metrics.rouge([a], reference=[b]).rouge_1[0] for a, b in ((first, second), (second, first))]
    assert rouge[0] == pytest.approx(rouge[1])
    assert 0 <= there.f1[0] <= 1
    assert 0 <= rouge[0] <= 1


@given(reference=FULL)
@settings(max_examples=40, deadline=None)
def test_perfect_is_one_and_disjoint_is_zero(reference: list[str]) -> None:
    disjoint = [text + "x" for text in ("plane", "train")]
    match = metrics.exact_match([reference, disjoint], reference=[reference] * 2)
    rouge = metrics.rouge([reference, disjoint], reference=[reference] * 2)
    for values in (match.precision, match.recall, match.f1, rouge.rouge_1):
        assert values == pytest.approx([1, 0])


def test_exact_match_worked_by_hand() -> None:
    match = metrics.exact_match(
        [["#Cat", "dog", "sun"], ["cat"], [], ["STRASSE"]],
        reference=[["cat", "snow"], ["cat", "dog", "sun", "sea"], ["cat"], ["Straße"]],
    )
    assert match.precision == pytest.approx([1 / 3, 1, 0, 1])
    assert match.recall == pytest.approx([1 / 2, 1 / 4, 0, 1])
    assert match.f1 == pytest.approx([2 / 5, 2 / 5, 0, 1])


def test_repeating_a_hashtag_gains_nothing() -> None:
    repeated, once = (
        [metrics.exact_match([p], reference=[["cat", "dog"]]), metrics.rouge([p], reference=[["cat", "dog"]])]
        for p in (["cat", "Cat", "CAT"], ["cat"])
    )
    assert repeated == once
    assert metrics.num_predicted([["cat", "Cat", "dog"], []]).tolist() == [2, 0]
    assert metrics.recall_at([["cat", "Cat", "dog"]], reference=[["dog"]], k=2)[0] == 1.0


def test_recall_at_k_worked_by_hand() -> None:
    ranked = [["a", "b", "c", "d"], ["x"], []]
    reference = [["c", "a", "z"], ["X"], ["y"]]
    by_k = {k: metrics.recall_at(ranked, reference=reference, k=k) for k in (1, 2, 3, 50)}
    assert by_k[1] == pytest.approx([1 / 3, 1, 0])
    assert by_k[2] == pytest.approx([1 / 3, 1, 0])
    assert by_k[3] == pytest.approx([2 / 3, 1, 0])
    assert by_k[50] == pytest.approx([2 / 3, 1, 0])


@given(ranked=LISTS, reference=FULL, k=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_recall_never_falls_with_k_and_ends_at_recall(
    ranked: list[str], reference: list[str], k: int
) -> None:
    here, more = (metrics.recall_at([ranked], reference=[reference], k=i)[0] for i in (k, k + 1))
    assert here <= more
    everything = metrics.recall_at([ranked], reference=[reference], k=100)
    assert everything == pytest.approx(metrics.exact_match([ranked], reference=[reference]).recall)


def test_unseen_recalled_counts_different_hashtags_once_and_only_if_correct() -> None:
    recalled = metrics.unseen_recalled(
        [["New", "old"], ["new", "fresh"], ["hot"], ["fresh"]],
        reference=[["new", "old"], ["NEW"], ["cold"], ["Fresh"]],
        unseen=["new", "Fresh", "hot"],
    )
    # "new" twice, "fresh" wrong once and right once, "hot" wrong, "old" not unseen.
    assert recalled == {"new", "fresh"}
    assert metrics.unseen_recalled([["a"]], reference=[["a"]], unseen=[]) == frozenset()


def test_num_novel_worked_by_hand() -> None:
    novel = metrics.num_novel([["Cat", "kat", "KAT"], [], ["dog"]], known=["cat", "DOG"])
    assert novel.tolist() == [1, 0, 0]


@pytest.mark.parametrize("metric", [metrics.rouge, metrics.exact_match])
def test_what_cannot_be_scored_is_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match="2 predictions need as many references, got 1"):
        metric([["a"], ["b"]], reference=[["a"]])
    with pytest.raises(ValueError, match="reference of post number 1 is empty"):
        metric([["a"], ["b"]], reference=[["a"], []])
    with pytest.raises(HashtagError):
        metric([["!"]], reference=[["a"]])


def test_ranked_and_unseen_metrics_refuse_the_same() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        metrics.recall_at([["a"]], reference=[["a"]], k=0)
    with pytest.raises(ValueError, match="as many references"):
        metrics.recall_at([["a"]], reference=[], k=1)
    with pytest.raises(HashtagError):
        metrics.recall_at([["!"]], reference=[["a"]], k=1)
    with pytest.raises(ValueError, match="is empty"):
        metrics.unseen_recalled([["a"]], reference=[[]], unseen=["a"])
    with pytest.raises(HashtagError):
        metrics.unseen_recalled([["a"]], reference=[["a"]], unseen=["!"])
    for count in (metrics.num_predicted, lambda found: metrics.num_novel(found, known=[])):
        with pytest.raises(HashtagError):
            count([["!"]])


def test_no_post_gives_no_score() -> None:
    assert metrics.rouge([], reference=[]).rouge_1.shape == (0,)
    assert metrics.exact_match([], reference=[]).f1.shape == (0,)


def test_without_rouge_score_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    metrics._rouge_scorer.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[eval\]'"):
        metrics.rouge([["a"]], reference=[["a"]])
