"""Every figure of a file of predictions, with its interval; comparisons of two files.

No model is needed, but for BERTScore, whose scorer is handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from ggm.errors import DataError
from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import (
    Comparison,
    Interval,
    bootstrap_f1_of_means,
    bootstrap_means,
    bootstrap_ratio,
    paired_bootstrap,
    paired_bootstrap_f1_of_means,
)
from ggm.evaluation.calibration import Calibration, calibration
from ggm.evaluation.novel import num_well_formed, open_set_gain
from ggm.evaluation.predictions import Prediction
from ggm.hashtags import key

RECALL_AT: Final = (1, 5, 10, 50, 100)


class TextScorer(Protocol):
    """Scores pairs of texts; see `ggm.evaluation.bertscore.BertScorer`."""

    def __call__(self, predicted: Sequence[str], reference: Sequence[str]) -> metrics.BertScores:
        """Score as many predicted as reference texts."""


@dataclass(frozen=True)
class NovelScores:
    """What there is to say of the hashtags outside of the training vocabulary.

    Args:
        share: Of all recommended hashtags.
        well_formed: Share of them that are made of words.
        credited: Share of them that match a reference hashtag, exactly or in part.
        gain_exact: Share of a post's reference that they match exactly.
        gain_soft: Share of a post's reference that they match in part, beyond what known hashtags do.
    """

    share: Interval
    well_formed: Interval
    credited: Interval
    gain_exact: Interval
    gain_soft: Interval


@dataclass(frozen=True)
class Scores:
    """Every figure of one system on one set of posts, shares and scores from 0 to 1.

    Args:
        system: Its name.
        num_posts: How many posts.
        top: How many of each ranked list were scored; None for all.
        rouge_1: ROUGE-1 F1.
        rouge_2: ROUGE-2 F1.
        precision: Of whole hashtags.
        recall: Of whole hashtags.
        f1: Of whole hashtags: the mean of each post's F1.
        f1_of_means: Of whole hashtags: the F1 of mean precision and mean recall.
        recall_at: By k: the share of a post's hashtags among the first k recommended, whatever `top`.
        guidance_recall_at: By k, among the first k of the guidance; empty if no post has guidance.
        mean_count: Hashtags a post.
        bert_precision: BERTScore's precision; None where it wasn't asked for.
        bert_recall: Its recall.
        bert_f1: Its F1, which is called BERTScore.
        novel: None where it wasn't said which hashtags are known.
        unseen_recalled: How many different unseen hashtags were recommended correctly at least
            once, None where it wasn't said which are unseen. It has no interval: draws with
            replacement hold fewer different hashtags than the posts do.
        num_unseen: Of how many.
        calibration: Of the scores of the hashtags that count; None where they aren't meant as
            probabilities, or there is none.
    """

    system: str
    num_posts: int
    top: int | None
    rouge_1: Interval
    rouge_2: Interval
    precision: Interval
    recall: Interval
    f1: Interval
    f1_of_means: Interval
    recall_at: dict[int, Interval]
    guidance_recall_at: dict[int, Interval]
    mean_count: Interval
    bert_precision: Interval | None = None
    bert_recall: Interval | None = None
    bert_f1: Interval | None = None
    novel: NovelScores | None = None
    unseen_recalled: int | None = None
    num_unseen: int | None = None
    calibration: Calibration | None = None

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class MeasuredPosts:
    """One system's predictions with what was measured of each post.

    Args:
        predictions: A post each.
        top: How many of each ranked list were measured; None for all.
        rouge: Of each post.
        match: Of each post.
        bert: Of each post; None where it wasn't asked for.
    """

    predictions: tuple[Prediction, ...]
    top: int | None
    rouge: metrics.RougeScores
    match: metrics.MatchScores
    bert: metrics.BertScores | None

    @property
    def system(self) -> str:
        """Its name."""
        return self.predictions[0].system

    @property
    def found(self) -> list[tuple[str, ...]]:
        """The hashtags of each post that were measured."""
        return [prediction.hashtags[: self.top] for prediction in self.predictions]

    @property
    def wanted(self) -> list[tuple[str, ...]]:
        """The reference hashtags of each post."""
        return [prediction.reference for prediction in self.predictions]


@dataclass(frozen=True)
class Draws:
    """How intervals are made; see `ggm.evaluation.bootstrap.bootstrap_mean`."""

    num_resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


_DRAWS: Final = Draws()


def measure(
    predictions: Sequence[Prediction],
    *,
    top: int | None = None,
    bert_scorer: TextScorer | None = None,
    seed: int = 0,
) -> MeasuredPosts:
    """Measure each post of one system.

    Args:
        predictions: Of one system, a post each, at least one.
        top: How many of each ranked list count; None for all.
        bert_scorer: For BERTScore.
        seed: Of the shuffle of hashtags (see `ggm.evaluation.metrics.word_texts`).

    Raises:
        DataError: If there is none, they are of several systems, or a post comes twice.
        MissingDependencyError: If `rouge-score` isn't installed.
        ValueError: If top is below 1.
    """
    _check_one_system(predictions)
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    found = [prediction.hashtags[:top] for prediction in predictions]
    wanted = [prediction.reference for prediction in predictions]
    bert = None
    if bert_scorer is not None:
        texts = metrics.word_texts(found, reference=wanted, seed=seed)
        bert = bert_scorer(texts.predicted, texts.reference)
    return MeasuredPosts(
        predictions=tuple(predictions),
        top=top,
        rouge=metrics.rouge(found, reference=wanted, seed=seed),
        match=metrics.exact_match(found, reference=wanted),
        bert=bert,
    )


def score_predictions(
    predictions: Sequence[Prediction] | MeasuredPosts,
    *,
    known: Collection[str] | None = None,
    unseen: Collection[str] | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    draws: Draws = _DRAWS,
) -> Scores:
    """Score the predictions of one system.

    Args:
        predictions: Of one system, a post each, at least one; measured already, or as they are.
        known: Hashtags of the training posts, for the figures of novel hashtags.
        unseen: Hashtags that were kept out of training, for those recalled.
        recall_at: The k of recall@k, which is always of the whole ranked list.
        draws: How intervals are made.

    Raises:
        DataError: If there is none, they are of several systems, or a post comes twice.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    posts = predictions if isinstance(predictions, MeasuredPosts) else measure(predictions)
    match, found, wanted, options = posts.match, posts.found, posts.wanted, asdict(draws)
    lists = {"recall": [prediction.hashtags for prediction in posts.predictions]}
    if any(prediction.guidance for prediction in posts.predictions):
        lists["guidance"] = [prediction.guidance for prediction in posts.predictions]
    values = {
        "rouge_1": posts.rouge.rouge_1,
        "rouge_2": posts.rouge.rouge_2,
        "precision": match.precision,
        "recall": match.recall,
        "f1": match.f1,
        "mean_count": metrics.num_predicted(found),
    }
    if posts.bert is not None:
        bert = {"precision": posts.bert.precision, "recall": posts.bert.recall, "f1": posts.bert.f1}
        values |= {f"bert_{name}": value for name, value in bert.items()}
    for name, ranked in lists.items():
        for k in recall_at:
            values[f"{name}@{k}"] = metrics.recall_at(ranked, reference=wanted, k=k)
    means = bootstrap_means(values, **options)
    recalls = {name: {k: means.pop(f"{name}@{k}") for k in recall_at} for name in lists}
    recalled = None
    if unseen is not None:
        recalled = len(metrics.unseen_recalled(found, reference=wanted, unseen=unseen))
    return Scores(
        system=posts.system,
        num_posts=len(posts.predictions),
        top=posts.top,
        **means,
        f1_of_means=bootstrap_f1_of_means(match.precision, match.recall, **options),
        recall_at=recalls["recall"],
        guidance_recall_at=recalls.get("guidance", {}),
        novel=None if known is None else _novel_scores(posts, known, draws),
        unseen_recalled=recalled,
        num_unseen=None if unseen is None else len(set(map(key, unseen))),
        calibration=calibration_of([posts], draws=draws),
    )


def calibration_of(runs: Sequence[MeasuredPosts], *, draws: Draws = _DRAWS) -> Calibration | None:
    """How well scores are calibrated, as the probability that a post carries the hashtag.

    Args:
        runs: Of one system on the same posts in the same order: each post's hashtags of all runs count
            as that post's. Of hashtags that are equal the first one counts.
        draws: How intervals are made.

    Returns:
        None where scores aren't meant as probabilities, or no hashtag was recommended.
    """
    if not all(one.probabilities for run in runs for one in run.predictions):
        return None
    by_run = [[_judged(one, run.top) for one in run.predictions] for run in runs]
    posts = [[pair for judged in post for pair in judged] for post in zip(*by_run, strict=True)]
    if not any(posts):
        return None
    return calibration(
        [[probability for probability, _ in post] for post in posts],
        [[right for _, right in post] for post in posts],
        **asdict(draws),
    )


def _judged(prediction: Prediction, top: int | None) -> list[tuple[float, bool]]:
    """Each different hashtag's score, and whether it is right."""
    wanted, scores = set(map(key, prediction.reference)), dict[str, float]()
    for text, score in zip(prediction.hashtags[:top], prediction.scores, strict=False):
        scores.setdefault(key(text), score)
    return [(score, name in wanted) for name, score in scores.items()]


def compare_predictions(
    first: Sequence[Prediction] | MeasuredPosts,
    second: Sequence[Prediction] | MeasuredPosts,
    *,
    draws: Draws = _DRAWS,
) -> dict[str, Comparison]:
    """Compare two systems on the same posts, first minus second.

    Args:
        first: Of one system; measured already, or as they are.
        second: Of another one, for the same posts in any order.
        draws: How intervals are made.

    Returns:
        The comparison by ``rouge_1``, ``rouge_2``, ``f1``, ``f1_of_means`` and, where both were
        measured with it, ``bert_f1``.

    Raises:
        DataError: If the posts or their reference hashtags differ, or either isn't of one system.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    one, other = (posts if isinstance(posts, MeasuredPosts) else measure(posts) for posts in (first, second))
    rows = _rows_alike(one, other)
    options = asdict(draws)
    pairs = {
        "rouge_1": (one.rouge.rouge_1, other.rouge.rouge_1[rows]),
        "rouge_2": (one.rouge.rouge_2, other.rouge.rouge_2[rows]),
        "f1": (one.match.f1, other.match.f1[rows]),
    }
    if one.bert is not None and other.bert is not None:
        pairs["bert_f1"] = (one.bert.f1, other.bert.f1[rows])
    compared = {name: paired_bootstrap(*pair, **options) for name, pair in pairs.items()}
    compared["f1_of_means"] = paired_bootstrap_f1_of_means(
        (one.match.precision, one.match.recall),
        (other.match.precision[rows], other.match.recall[rows]),
        **options,
    )
    return compared


def _novel_scores(posts: MeasuredPosts, known: Collection[str], draws: Draws) -> NovelScores:
    options = asdict(draws)
    gain = open_set_gain(posts.found, reference=posts.wanted, known=known)
    formed = num_well_formed(posts.found, known=known)
    means = bootstrap_means({"gain_exact": gain.exact, "gain_soft": gain.soft}, **options)
    return NovelScores(
        share=bootstrap_ratio(gain.num_novel, metrics.num_predicted(posts.found), **options),
        well_formed=bootstrap_ratio(formed, gain.num_novel, **options),
        credited=bootstrap_ratio(gain.num_credited, gain.num_novel, **options),
        **means,
    )


def _rows_alike(first: MeasuredPosts, second: MeasuredPosts) -> list[int]:
    """For each post of the first, its row in the second."""
    rows = {prediction.id: row for row, prediction in enumerate(second.predictions)}
    if rows.keys() != {prediction.id for prediction in first.predictions}:
        raise DataError(f"{first.system} and {second.system} predicted for different posts")
    for one in first.predictions:
        other = second.predictions[rows[one.id]]
        if set(map(key, one.reference)) != set(map(key, other.reference)):
            raise DataError(f"post {one.id!r} has other reference hashtags in one file than in the other")
    return [rows[prediction.id] for prediction in first.predictions]


def _check_one_system(predictions: Sequence[Prediction]) -> None:
    if not predictions:
        raise DataError("there is no prediction to score")
    systems = sorted({prediction.system for prediction in predictions})
    if len(systems) > 1:
        raise DataError(f"predictions of several systems ({', '.join(systems)}); score them one by one")
    post, count = Counter(prediction.id for prediction in predictions).most_common(1)[0]
    if count > 1:
        raise DataError(f"post {post!r} has {count} predictions")
