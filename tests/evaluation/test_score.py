"""All figures of a file: each against its metric, by hand, and without any model."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggm.errors import DataError, MissingDependencyError
from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import bootstrap_f1_of_means, bootstrap_mean, bootstrap_ratio
from ggm.evaluation.metrics import BertScores
from ggm.evaluation.novel import open_set_gain
from ggm.evaluation.predictions import Prediction, write_predictions
from ggm.evaluation.score import Draws, MeasuredPosts, Scores, compare_predictions, measure, score_predictions

FEW = Draws(num_resamples=50)


def prediction(post: str, hashtags: str, reference: str, **options: Any) -> Prediction:
    texts = tuple(hashtags.split())
    scores = tuple(1.0 - 0.1 * rank for rank in range(len(texts)))
    return Prediction(post, options.pop("system", "ggm"), texts, scores, tuple(reference.split()), **options)


ONE = prediction("1", "cat dog", "cat snow", guidance=("cat", "sun", "snow"))
TWO = prediction("2", "kat", "cat", guidance=("dog",))
THREE = prediction("3", "", "日本")
ALL = [ONE, TWO, THREE]


def share_of_words(predicted: Sequence[str], reference: Sequence[str]) -> BertScores:
    """In place of a model: precision and recall of the words' letters."""
    pairs = [(set(a), set(b)) for a, b in zip(predicted, reference, strict=True)]
    precision = np.array([len(a & b) / max(len(a), 1) for a, b in pairs])
    recall = np.array([len(a & b) / len(b) for a, b in pairs])
    return BertScores(precision, recall, (precision + recall) / 2)


def test_scores_worked_by_hand() -> None:
    scores = score_predictions(
        ALL,
        known=["cat", "DOG"],
        unseen=["Cat", "snow", "cat"],
        recall_at=(1, 3),
        draws=Draws(num_resamples=200),
    )
    assert (scores.system, scores.num_posts) == ("ggm", 3)
    # Matches: 1 of {cat, dog} and {cat, snow}; none; none.
    assert scores.precision.mean == pytest.approx((1 / 2) / 3)
    assert scores.recall.mean == pytest.approx((1 / 2) / 3)
    assert scores.f1.mean == pytest.approx((1 / 2) / 3)
    assert scores.rouge_1.mean == pytest.approx((1 / 2) / 3)
    assert scores.rouge_2.mean == 0.0
    assert {k: value.mean for k, value in scores.recall_at.items()} == pytest.approx({1: 1 / 6, 3: 1 / 6})
    assert {k: v.mean for k, v in scores.guidance_recall_at.items()} == pytest.approx({1: 1 / 6, 3: 1 / 3})
    assert scores.mean_count.mean == 1.0
    # Both means are 1/6, and so is their harmonic mean.
    assert scores.f1_of_means.mean == pytest.approx(1 / 6)
    assert scores.novel is not None
    assert scores.novel.share.mean == pytest.approx(1 / 3)  # kat, of three
    assert scores.novel.well_formed.mean == 0
    assert (scores.novel.credited.mean, scores.novel.gain_exact.mean, scores.novel.gain_soft.mean) == (
        0,
        0,
        0,
    )
    assert (scores.unseen_recalled, scores.num_unseen) == (1, 2)
    assert scores.f1.num_posts == 3
    assert scores.f1.low <= scores.f1.mean <= scores.f1.high
    assert scores.f1.low == 0.0


def test_what_was_not_said_is_not_scored() -> None:
    scores = score_predictions([THREE], draws=FEW)
    assert (scores.novel, scores.unseen_recalled, scores.num_unseen) == (None, None, None)
    assert (scores.bert_precision, scores.bert_recall, scores.bert_f1) == (None, None, None)
    assert scores.guidance_recall_at == {}
    assert set(scores.recall_at) == {1, 5, 10, 50, 100}
    assert json.loads(json.dumps(scores.to_dict()))["f1"] == {"mean": 0, "low": 0, "high": 0, "num_posts": 1}


def test_scores_do_not_depend_on_the_order_of_posts() -> None:
    forward, backward = (score_predictions(posts, draws=FEW) for posts in (ALL, ALL[::-1]))
    assert forward.rouge_2.mean == backward.rouge_2.mean
    assert forward.rouge_1.mean == pytest.approx(backward.rouge_1.mean)


def test_mixed_files_are_refused() -> None:
    with pytest.raises(DataError, match="no prediction to score"):
        score_predictions([])
    with pytest.raises(DataError, match="several systems \\(bart, ggm\\)"):
        score_predictions([ONE, replace(TWO, system="bart")])
    with pytest.raises(DataError, match="post '1' has 2 predictions"):
        score_predictions([ONE, TWO, ONE])


def test_comparing_aligns_posts_by_id() -> None:
    others = [
        prediction("3", "日本", "日本", system="bart"),
        prediction("1", "sea", "Snow cat", system="bart"),
        prediction("2", "", "cat", system="bart"),
    ]
    result = compare_predictions(ALL, others, draws=FEW)
    assert set(result) == {"rouge_1", "rouge_2", "f1", "f1_of_means"}
    # Precision and recall are 1/2, 0, 0 against 0, 0, 1.
    assert result["f1_of_means"].difference == pytest.approx(1 / 6 - 1 / 3)
    assert result["f1"].difference == pytest.approx((0.5 - 1.0) / 3)
    assert result["f1"].num_posts == 3
    assert result["rouge_2"].p_value == 1.0
    back = compare_predictions(others, ALL, draws=FEW)
    assert back["f1"].difference == pytest.approx(-result["f1"].difference)


def test_comparing_different_posts_is_refused() -> None:
    other = [replace(item, system="bart") for item in ALL]
    with pytest.raises(DataError, match="ggm and bart predicted for different posts"):
        compare_predictions(ALL, other[:2])
    with pytest.raises(DataError, match="post '2' has other reference hashtags"):
        compare_predictions(ALL, [other[0], replace(other[1], reference=("dog",)), other[2]])
    with pytest.raises(DataError, match="no prediction"):
        compare_predictions(ALL, [])


def test_scoring_a_saved_file_needs_no_model(tmp_path: Path) -> None:
    write_predictions(tmp_path / "ggm.jsonl", ALL)
    code = (
        "import sys\n"
        "from ggm.evaluation.evaluate import evaluate\n"
        "from ggm.evaluation.predictions import read_predictions\n"
        "from ggm.evaluation.report import markdown\n"
        f"systems = [read_predictions({str(tmp_path / 'ggm.jsonl')!r})] * 2\n"
        "markdown([evaluate(systems, known=['cat'])])\n"
        "assert not {'torch', 'transformers', 'av'} & sys.modules.keys()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(metrics.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_each_figure_is_its_metric() -> None:
    posts = measure(ALL, bert_scorer=share_of_words, seed=3)
    scores = score_predictions(posts, known=["cat"], draws=FEW)
    found, wanted = [list(p.hashtags) for p in ALL], [list(p.reference) for p in ALL]
    rouge = metrics.rouge(found, reference=wanted, seed=3)
    match = metrics.exact_match(found, reference=wanted)
    texts = metrics.word_texts(found, reference=wanted, seed=3)
    bert = share_of_words(texts.predicted, texts.reference)
    gain = open_set_gain(found, reference=wanted, known=["cat"])
    assert scores.novel is not None
    expected = {
        "rouge_1": rouge.rouge_1, "rouge_2": rouge.rouge_2,
        "precision": match.precision, "recall": match.recall, "f1": match.f1,
        "bert_precision": bert.precision, "bert_recall": bert.recall, "bert_f1": bert.f1,
    }  # fmt: skip
    gains = {"gain_exact": gain.exact, "gain_soft": gain.soft}
    for owner, figures in ((scores, expected), (scores.novel, gains)):
        for name, values in figures.items():
            alone = bootstrap_mean(values, num_resamples=50)
            assert astuple(getattr(owner, name)) == pytest.approx(astuple(alone)), name
    assert scores.novel.credited == bootstrap_ratio(gain.num_credited, gain.num_novel, num_resamples=50)
    assert scores.novel.share == bootstrap_ratio(gain.num_novel, [2, 1, 0], num_resamples=50)
    assert scores.f1_of_means == bootstrap_f1_of_means(match.precision, match.recall, num_resamples=50)
    intervals = [value for value in scores.to_dict().values() if isinstance(value, dict) and "low" in value]
    assert len(intervals) == len(expected) + 2  # F1 of means, and the number of hashtags


def test_top_cuts_everything_but_recall_at_k() -> None:
    posts = [
        prediction("1", "dog cat New", "cat new dog", guidance=("cat",)),
        prediction("2", "snow cat", "cat", guidance=("cat",)),
    ]
    cut = [replace(post, hashtags=post.hashtags[:1], scores=post.scores[:1]) for post in posts]
    options: dict[str, Any] = {"known": ["dog"], "unseen": ["new", "dog"], "draws": FEW}
    whole, first, alone = (
        score_predictions(value, **options) for value in (posts, measure(posts, top=1), cut)
    )
    assert (whole.top, first.top, first.unseen_recalled, whole.unseen_recalled) == (None, 1, 1, 2)
    for field in fields(Scores):
        if field.name == "recall_at":
            means = [{k: value.mean for k, value in s.recall_at.items()} for s in (first, whole, alone)]
            assert means[0] == means[1] != means[2]
        elif field.name != "top":
            assert getattr(first, field.name) == getattr(alone, field.name), field.name
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        measure(posts, top=0)


def test_comparing_what_was_measured() -> None:
    others = [replace(post, system="bart", hashtags=("cat", "snow"), scores=(2.0, 1.0)) for post in ALL]
    one, other = (measure(posts, bert_scorer=share_of_words) for posts in (ALL, others[::-1]))
    assert isinstance(one, MeasuredPosts)
    result = compare_predictions(one, other, draws=FEW)
    assert set(result) == {"rouge_1", "rouge_2", "f1", "f1_of_means", "bert_f1"}
    assert one.bert is not None
    assert other.bert is not None
    assert result["bert_f1"].difference == pytest.approx(one.bert.f1.mean() - other.bert.f1.mean())
    assert "bert_f1" not in compare_predictions(one, others, draws=FEW)
    same = compare_predictions(one, one, draws=FEW)
    assert {(value.difference, value.p_value) for value in same.values()} == {(0, 1)}


def test_posts_are_paired_whatever_their_order() -> None:
    """Paired wrongly, equal systems would seem to differ in some draws."""
    four = prediction("4", "coldday", "cold-day")
    orders = ([*ALL, four], [THREE, four, ONE, TWO])
    one, other = (measure(posts, bert_scorer=share_of_words) for posts in orders)
    for name, value in compare_predictions(one, other, draws=FEW).items():
        assert astuple(value) == (0, 0, 0, 1, 4), name


def test_unseen_hashtags_without_and_with_them_in_the_pool() -> None:
    """Two files of the same posts: one recalls the unseen hashtag, the other never could."""
    without = [prediction("1", "cat", "cat fresh"), prediction("2", "dog", "Fresh hot")]
    within = [prediction("1", "cat fresh", "cat fresh"), prediction("2", "FRESH", "Fresh hot")]
    counts = [
        score_predictions(posts, unseen=["fresh", "hot"], draws=FEW).unseen_recalled
        for posts in (without, within)
    ]
    assert counts == [0, 1]


def test_without_rouge_score_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    metrics._rouge_scorer.cache_clear()
    for call in (lambda: measure(ALL), lambda: score_predictions(ALL), lambda: compare_predictions(ALL, ALL)):
        with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[eval\]'"):
            call()
