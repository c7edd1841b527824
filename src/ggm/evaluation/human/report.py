"""From ratings to the figures of the paper's table 6, and whether its two claims held.

An item's score is the mean of its raters (appendix B.2); everything else is over items, or over
posts where the two kinds are compared, since each post has one item of either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from ggm.errors import DataError
from ggm.evaluation.bootstrap import Comparison, Interval, bootstrap_mean, paired_bootstrap
from ggm.evaluation.human.answers import KINDS, AnswerKey, Kind
from ggm.evaluation.human.ratings import SCALES, Rating
from ggm.evaluation.human.statistics import ordinal_alpha, wilcoxon_p
from ggm.evaluation.human.study import Item, Study

ABOVE: Final = 4.0
"""What the paper calls a high understandability."""
SIGNIFICANT: Final = 0.05
"""The paper's level of significance."""

RatingsByRater = Mapping[str, Mapping[str, Rating]]
"""By rater, then by item."""


@dataclass(frozen=True)
class ScaleResult:
    """One scale of table 6; what has no ratings to be computed from is None.

    Args:
        means: Of each kind, over items.
        comparison: Novel minus ground truth on the posts where both were rated.
        wilcoxon_p: Of the same posts.
        agreement: Krippendorff's alpha, ordinal, over all items.
    """

    means: dict[Kind, Interval | None]
    comparison: Comparison | None
    wilcoxon_p: float | None
    agreement: float | None


@dataclass(frozen=True)
class RaterResult:
    """One rater.

    Args:
        name: As the ratings' file is called.
        num_rated: Items.
        num_skipped: Items that couldn't be judged.
        num_missing: Items neither rated nor skipped.
        means: By scale, then by kind, over the items rated.
    """

    name: str
    num_rated: int
    num_skipped: int
    num_missing: int
    means: dict[str, dict[Kind, float | None]]


@dataclass(frozen=True)
class ItemResult:
    """One item, unblinded.

    Args:
        id: Of the item.
        post: Id of its post.
        hashtag: As raters saw it.
        kind: Where it came from.
        num_ratings: How many rated it.
        num_skipped: How many couldn't judge it.
        means: By scale, over the raters.
    """

    id: str
    post: str
    hashtag: str
    kind: Kind
    num_ratings: int
    num_skipped: int
    means: dict[str, float | None]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and whether it held here.

    Args:
        text: The claim.
        held: None where there are no ratings to say.
        found: The figures it is judged by.
    """

    text: str
    held: bool | None
    found: str


@dataclass(frozen=True)
class HumanReport:
    """Everything that is said of a study.

    Args:
        system: That coined the novel hashtags.
        num_posts: Of the study.
        num_items: Of the study.
        num_items_rated: Items with at least one rating.
        num_wanted: Ratings for a complete study.
        num_ratings: Ratings that there are.
        num_skipped: Times that a rater couldn't judge.
        num_missing: Ratings that are still to be made; 0 in a complete study.
        scales: By name.
        claims: The paper's.
        raters: In order of name.
        items: In order of id.
        drawn: How the items were drawn.
    """

    system: str
    num_posts: int
    num_items: int
    num_items_rated: int
    num_wanted: int
    num_ratings: int
    num_skipped: int
    num_missing: int
    scales: dict[str, ScaleResult]
    claims: tuple[Claim, ...]
    raters: tuple[RaterResult, ...]
    items: tuple[ItemResult, ...]
    drawn: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether each item was rated, or skipped, as often as the study asks for."""
        return self.num_missing == 0

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, ready for JSON."""
        return {"complete": self.complete, **asdict(self)}


def make_report(
    study: Study,
    answer_key: AnswerKey,
    ratings: RatingsByRater,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> HumanReport:
    """Count a study; an incomplete one gives the figures that there are.

    Args:
        study: What was rated.
        answer_key: Of the study.
        ratings: Of all raters.
        num_resamples: See `ggm.evaluation.bootstrap.bootstrap_mean`.
        confidence: Of all intervals.
        seed: Of the draws.

    Raises:
        DataError: If nobody rated an item.
        MissingDependencyError: If `nltk` or `scipy` isn't installed.
    """
    items = tuple(_item(item, answer_key, ratings) for item in study.items)
    num_ratings = sum(item.num_ratings for item in items)
    if not num_ratings:
        raise DataError(f"{study.folder}: no item was rated yet; rate with `ggm human rate`")
    options = {"num_resamples": num_resamples, "confidence": confidence, "seed": seed}
    scales = {scale: _scale(items, ratings, scale, options) for scale in SCALES}
    missing = (max(0, study.raters - item.num_ratings - item.num_skipped) for item in items)
    return HumanReport(
        system=answer_key.system,
        num_posts=len({item.post for item in items}),
        num_items=len(items),
        num_items_rated=sum(item.num_ratings > 0 for item in items),
        num_wanted=study.raters * len(items),
        num_ratings=num_ratings,
        num_skipped=sum(item.num_skipped for item in items),
        num_missing=sum(missing),
        scales=scales,
        claims=(_understandable(scales["understandability"]), _more_relevant(scales["relevancy"])),
        raters=tuple(_rater(name, ratings[name], answer_key) for name in sorted(ratings)),
        items=items,
        drawn=dict(answer_key.drawn),
    )


def p_text(p_value: float) -> str:
    """A p-value with its sign, such as ``= 0.031``, or ``< 0.001`` for all that would round to 0."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def _item(item: Item, answer_key: AnswerKey, ratings: RatingsByRater) -> ItemResult:
    given = [by_item[item.id] for by_item in ratings.values() if item.id in by_item]
    rated = [rating for rating in given if not rating.skipped]
    answer = answer_key.answers[item.id]
    return ItemResult(
        id=item.id,
        post=answer.post,
        hashtag=item.hashtag,
        kind=answer.kind,
        num_ratings=len(rated),
        num_skipped=len(given) - len(rated),
        means={scale: _mean([rating.value(scale) for rating in rated]) for scale in SCALES},
    )


def _scale(
    items: Sequence[ItemResult], ratings: RatingsByRater, scale: str, options: Mapping[str, Any]
) -> ScaleResult:
    by_kind: dict[Kind, dict[str, float]] = {kind: {} for kind in KINDS}
    for item in items:
        mean = item.means[scale]
        if mean is not None:
            by_kind[item.kind][item.post] = mean
    novel, ground_truth = (by_kind[kind] for kind in KINDS)
    both = sorted(novel.keys() & ground_truth.keys())
    first, second = [novel[post] for post in both], [ground_truth[post] for post in both]
    values: dict[str, dict[str, int]] = {}
    for rater, by_item in ratings.items():
        for rating in by_item.values():
            if not rating.skipped:
                values.setdefault(rating.item, {})[rater] = rating.value(scale)
    return ScaleResult(
        means={
            kind: bootstrap_mean(list(scores.values()), **options) if scores else None
            for kind, scores in by_kind.items()
        },
        comparison=paired_bootstrap(first, second, **options) if both else None,
        wilcoxon_p=wilcoxon_p([one - other for one, other in zip(first, second, strict=True)]),
        agreement=ordinal_alpha(values),
    )


def _rater(name: str, by_item: Mapping[str, Rating], answer_key: AnswerKey) -> RaterResult:
    rated = [rating for rating in by_item.values() if not rating.skipped]
    return RaterResult(
        name=name,
        num_rated=len(rated),
        num_skipped=len(by_item) - len(rated),
        num_missing=len(answer_key.answers) - len(by_item),
        means={
            scale: {
                kind: _mean(
                    [rating.value(scale) for rating in rated if answer_key.answers[rating.item].kind == kind]
                )
                for kind in KINDS
            }
            for scale in SCALES
        },
    )


def _understandable(result: ScaleResult) -> Claim:
    text = f"Novel and ground-truth hashtags both have a mean understandability above {ABOVE:g}."
    means = [result.means[kind] for kind in KINDS]
    known = [mean.mean for mean in means if mean is not None]
    if len(known) < len(KINDS):
        return Claim(text, None, "not both kinds were rated")
    found = ", ".join(f"{kind} {mean:.2f}" for kind, mean in zip(KINDS, known, strict=True))
    return Claim(text, all(mean > ABOVE for mean in known), found)


def _more_relevant(result: ScaleResult) -> Claim:
    """The paper doesn't name its test, so that the claim must pass both of ours."""
    text = f"Novel hashtags are more relevant than ground-truth ones, p < {SIGNIFICANT:g}."
    if result.comparison is None or result.wilcoxon_p is None:
        return Claim(text, None, "no post has both kinds rated")
    difference, p_value = result.comparison.difference, result.comparison.p_value
    held = difference > 0 and max(p_value, result.wilcoxon_p) < SIGNIFICANT
    tests = f"p {p_text(p_value)} by the paired bootstrap, {p_text(result.wilcoxon_p)} by Wilcoxon's test"
    return Claim(text, held, f"novel minus ground truth {difference:+.2f}, {tests}")


def _mean(values: Sequence[int]) -> float | None:
    return fmean(values) if values else None
