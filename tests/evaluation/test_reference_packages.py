"""A thousand random posts each: our figures are those of the packages that others report with.

BERTScore's package is compared in test_bertscore.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import bootstrap_f1_of_means
from ggm.hashtags import key, split_words

POSTS = 1000
ASCII = [
    "cat", "dog", "snow", "winter", "ColdWeather", "coldweather", "cold_day", "new-york", "NewYork", "fyp",
    "day1", "4k", "bestof2024", "iPhone", "TBT", "snowday", "dogsofinstagram", "skrrt", "a1b2", "love",
]  # fmt: skip
SCRIPTS = [*ASCII, "日本", "привет", "méxico", "Straße", "हिन्दी"]


def random_posts(tags: list[str], *, longest: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Predictions, of which some are empty, and references; none repeats a hashtag."""
    choose = random.Random(seed)
    predicted = [_different(choose, tags, choose.randint(0, longest)) for _ in range(POSTS)]
    reference = [_different(choose, tags, choose.randint(1, 5)) for _ in range(POSTS)]
    return predicted, reference


def _different(choose: random.Random, tags: list[str], count: int) -> list[str]:
    by_key = {key(tag): tag for tag in choose.sample(tags, len(tags))}
    return list(by_key.values())[:count]


def test_rouge_is_that_of_rouge_score_with_its_own_tokenizer() -> None:
    """On ASCII hashtags, where its tokenizer loses nothing; the words' order is the shuffled one."""
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    predicted, reference = random_posts(ASCII, longest=6, seed=1)
    ours = metrics.rouge(predicted, reference=reference, seed=7)
    texts = metrics.word_texts(predicted, reference=reference, seed=7)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2"])
    for post, (found, wanted) in enumerate(zip(texts.predicted, texts.reference, strict=True)):
        theirs = scorer.score(wanted, found)
        assert ours.rouge_1[post] == theirs["rouge1"].fmeasure
        assert ours.rouge_2[post] == theirs["rouge2"].fmeasure
    # The texts are the words of the hashtags, in some order of the predicted and in the reference's own.
    for found, wanted, text, other in zip(
        predicted, reference, texts.predicted, texts.reference, strict=True
    ):
        spelled = {key(tag): tag for tag in (*found, *wanted)}  # the reference decides how both are split
        words = [word for tag in found for word in split_words(spelled[key(tag)])]
        assert Counter(text.split()) == Counter(word.casefold() for word in words)
        assert other.split() == [word.casefold() for tag in wanted for word in split_words(tag)]


def test_exact_match_is_that_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    from sklearn.metrics import precision_recall_fscore_support

    predicted, reference = random_posts(SCRIPTS, longest=8, seed=2)
    names = sorted({key(tag) for tag in SCRIPTS})
    binarizer = preprocessing.MultiLabelBinarizer(classes=names)
    found, wanted = (
        binarizer.fit_transform([[key(tag) for tag in tags] for tags in lists])
        for lists in (predicted, reference)
    )
    ours = metrics.exact_match(predicted, reference=reference)
    options = {"average": "samples", "zero_division": 0}
    for post in range(POSTS):
        row = slice(post, post + 1)
        theirs = precision_recall_fscore_support(wanted[row], found[row], **options)[:3]
        assert (ours.precision[post], ours.recall[post], ours.f1[post]) == pytest.approx(theirs)
    precision, recall, f1, _ = precision_recall_fscore_support(wanted, found, **options)
    assert (ours.precision.mean(), ours.recall.mean(), ours.f1.mean()) == pytest.approx(
        (precision, recall, f1)
    )
    of_means = bootstrap_f1_of_means(ours.precision, ours.recall, num_resamples=1).mean
    assert of_means == pytest.approx(2 * precision * recall / (precision + recall))
    assert of_means > f1  # the two definitions aren't one


def test_recall_at_every_k_up_to_100_is_that_of_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    tags = [*SCRIPTS, *(f"tag{chr(97 + i)}{chr(97 + j)}" for i in range(12) for j in range(10))]
    ranked, reference = random_posts(tags, longest=120, seed=3)
    reference = [
        [*wanted, "never_found"] if post % 3 == 0 else wanted for post, wanted in enumerate(reference)
    ]
    cutoffs = range(1, 101)
    evaluator = pytrec_eval.RelevanceEvaluator(
        {str(post): {key(tag): 1 for tag in wanted} for post, wanted in enumerate(reference)},
        {f"recall.{','.join(map(str, cutoffs))}"},
    )
    theirs = evaluator.evaluate(
        {
            str(post): {key(tag): float(-place) for place, tag in enumerate(found)}
            for post, found in enumerate(ranked)
        }
    )
    for k in cutoffs:
        ours = metrics.recall_at(ranked, reference=reference, k=k)
        expected = [theirs.get(str(post), {}).get(f"recall_{k}", 0.0) for post in range(POSTS)]
        assert ours == pytest.approx(expected)


def test_recall_at_every_k_up_to_100_is_the_slow_twin() -> None:
    tags = [f"tag{chr(97 + i)}{chr(97 + j)}" for i in range(15) for j in range(10)]
    ranked, reference = random_posts(tags, longest=130, seed=4)
    places = [[found.index(tag) if tag in found else 1000 for tag in wanted]
              for found, wanted in zip(ranked, reference, strict=True)]  # fmt: skip
    for k in range(1, 101):
        ours = metrics.recall_at(ranked, reference=reference, k=k)
        assert ours == pytest.approx(np.array([np.mean([place < k for place in row]) for row in places]))
