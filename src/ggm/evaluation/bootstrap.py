"""How certain a mean over posts is, and whether two systems differ: the percentile bootstrap.

Posts are drawn with replacement, as many as there are, again and again; the spread of the means
of these draws is that of the mean over other posts of the same kind (Efron, 1979; for the
comparison of two systems on the same posts: Koehn, 2004). What is computed from several means,
such as a share or the F1 of mean precision and mean recall, is computed anew in each draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.ArrayLike
"""One number a post, (posts,)."""

_DRAWS_AT_ONCE = 2_000_000  # bounds the memory: 16 MB of indices


@dataclass(frozen=True)
class Interval:
    """A mean over posts, or what is computed from several means, with its confidence interval.

    Args:
        mean: The figure of all posts.
        low: Lower end of the interval.
        high: Upper end.
        num_posts: How many posts it is of.
    """

    mean: float
    low: float
    high: float
    num_posts: int


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems on the same posts.

    Args:
        difference: The first's figure minus the second's.
        low: Lower end of its confidence interval.
        high: Upper end.
        p_value: Two-sided: twice the share of draws in which the difference isn't of its sign.
        num_posts: How many posts it is of.
    """

    difference: float
    low: float
    high: float
    p_value: float
    num_posts: int


def bootstrap_mean(
    scores: Values, *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The mean of a score with its confidence interval.

    Args:
        scores: One a post, at least one.
        num_resamples: How often posts are drawn.
        confidence: Share of the draws within the interval, between 0 and 1.
        seed: Of the draws.

    Raises:
        ValueError: If there is no post, a score isn't finite, or an argument is out of range.
    """
    values = _checked(scores)
    return bootstrap_ratio(
        values, np.ones_like(values), num_resamples=num_resamples, confidence=confidence, seed=seed
    )


def bootstrap_means(
    scores: Mapping[str, Values], *, num_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """`bootstrap_mean` of several scores of the same posts, in the time of one.

    Args:
        scores: By name, at least one.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: If there is no post, lengths differ, a score isn't finite, or an argument is out
            of range.
    """
    first = next(iter(scores.values()))
    columns = np.stack([_checked(values, like=first) for values in scores.values()], axis=1)
    drawn = _resampled_means(columns, num_resamples, seed)  # (draws, scores)
    return {
        name: Interval(float(columns[:, i].mean()), *_ends(drawn[:, i], confidence), len(columns))
        for i, name in enumerate(scores)
    }


def bootstrap_ratio(
    parts: Values,
    wholes: Values,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A share over all posts, such as novel hashtags among all recommended, with its interval.

    Args:
        parts: Of each post.
        wholes: Of each post, 0 or more. Where all that are drawn are 0, the share is 0.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: If there is no post, lengths differ, a value isn't finite, a whole is negative,
            or an argument is out of range.
    """
    both = np.stack([_checked(parts), _checked(wholes, like=parts)], axis=1)  # (posts, 2)
    if (both[:, 1] < 0).any():
        raise ValueError("wholes must not be negative")
    drawn = _resampled_means(both, num_resamples, seed)
    low, high = _ends(_ratio(drawn), confidence)
    return Interval(float(_ratio(both.mean(axis=0))), low, high, len(both))


def bootstrap_f1_of_means(
    precision: Values,
    recall: Values,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The harmonic mean of mean precision and mean recall, with its interval.

    It isn't the mean of each post's F1, and never below it.

    Args:
        precision: Of each post, 0 or more.
        recall: Of each post, 0 or more. Where both means are 0, so is the F1.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: If there is no post, lengths differ, a value isn't finite or is negative, or an
            argument is out of range.
    """
    both = _precision_and_recall(precision, recall)  # (posts, 2)
    low, high = _ends(_harmonic(_resampled_means(both, num_resamples, seed)), confidence)
    return Interval(float(_harmonic(both.mean(axis=0))), low, high, len(both))


def bootstrap_statistic(
    values: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Whatever is computed from the means of several columns, with intervals.

    Args:
        values: (posts, columns), finite.
        statistic: (draws, columns) of means to (draws, figures). A figure may be nan in draws that
            don't have it; its interval is of the others, and nan if there is none.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Returns:
        An interval a figure.

    Raises:
        ValueError: If there is no post, a value isn't finite, or an argument is out of range.
    """
    columns = np.asarray(values, np.float64)
    if columns.ndim != 2 or not len(columns) or not np.isfinite(columns).all():
        raise ValueError(
            f"values must be finite, (posts, columns), of at least one post; got {columns.shape}"
        )
    whole = statistic(columns.mean(axis=0)[None])[0]
    drawn = statistic(_resampled_means(columns, num_resamples, seed))  # (draws, figures)
    found = []
    for mean, column in zip(whole.tolist(), drawn.T, strict=True):
        known = column[~np.isnan(column)]
        low, high = _ends(known if known.size else np.array([np.nan]), confidence)
        found.append(Interval(mean, low, high, len(columns)))
    return found


def paired_bootstrap(
    first: Values,
    second: Values,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same posts.

    Each draw takes a post's scores of both systems together, so that what makes a post easy or
    hard for both cancels.

    Args:
        first: One score a post.
        second: The other system's, of the same posts in the same order.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: If there is no post, lengths differ, a score isn't finite, or an argument is
            out of range.
    """
    differences = _checked(first) - _checked(second, like=first)
    drawn = _resampled_means(differences[:, None], num_resamples, seed)[:, 0]
    return _comparison(float(differences.mean()), drawn, confidence, num_posts=len(differences))


def unpaired_bootstrap(
    first: Values,
    second: Values,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the means over two sets of posts that have none in common.

    Args:
        first: One score a post.
        second: Of the other posts.
        num_resamples: See `bootstrap_mean`; both sets are drawn anew each time.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Returns:
        The comparison; its number of posts is that of both sets.

    Raises:
        ValueError: If a set is empty, a score isn't finite, or an argument is out of range.
    """
    values = [_checked(first), _checked(second)]
    # Another seed for each: the same draws would tie the two sets to each other.
    drawn = [_resampled_means(v[:, None], num_resamples, 2 * seed + i)[:, 0] for i, v in enumerate(values)]
    difference = float(values[0].mean() - values[1].mean())
    return _comparison(difference, drawn[0] - drawn[1], confidence, num_posts=sum(map(len, values)))


def paired_bootstrap_f1_of_means(
    first: tuple[Values, Values],
    second: tuple[Values, Values],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same posts by the F1 of mean precision and mean recall.

    Args:
        first: Precision and recall of each post.
        second: The other system's, of the same posts in the same order.
        num_resamples: See `bootstrap_mean`.
        confidence: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: If there is no post, lengths differ, a value isn't finite or is negative, or an
            argument is out of range.
    """
    values = np.stack([_precision_and_recall(*first), _precision_and_recall(*second, like=first[0])])
    posts = values.shape[1]
    both = values.transpose(1, 0, 2).reshape(posts, 4)
    drawn = _harmonic(_resampled_means(both, num_resamples, seed).reshape(-1, 2, 2))  # (draws, systems)
    whole = _harmonic(both.mean(axis=0).reshape(2, 2))
    return _comparison(float(whole[0] - whole[1]), drawn[:, 0] - drawn[:, 1], confidence, num_posts=posts)


def _comparison(
    difference: float, drawn: npt.NDArray[np.float64], confidence: float, *, num_posts: int
) -> Comparison:
    low, high = _ends(drawn, confidence)
    # Counting the data themselves as one more draw keeps p above 0, which no number of draws shows.
    tails = [((drawn <= 0).sum() + 1), ((drawn >= 0).sum() + 1)]
    p_value = min(1.0, 2 * float(min(tails)) / (len(drawn) + 1))
    return Comparison(difference, low, high, p_value, num_posts)


def _resampled_means(values: npt.NDArray[np.float64], num_resamples: int, seed: int) -> Any:
    """Means of each column over posts drawn with replacement: (num_resamples, columns)."""
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    posts = len(values)
    means = [counts @ values / posts for counts in _drawn_counts(posts, num_resamples, seed)]
    return np.concatenate(means)


def _drawn_counts(posts: int, num_resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each post is drawn, in blocks of (draws, posts)."""
    random = np.random.default_rng(seed)
    block = max(1, _DRAWS_AT_ONCE // posts)
    for start in range(0, num_resamples, block):
        draws = min(block, num_resamples - start)
        indices = random.integers(posts, size=(draws, posts))
        indices += np.arange(draws)[:, None] * posts
        yield np.bincount(indices.ravel(), minlength=draws * posts).reshape(draws, posts).astype(np.float64)


def _ratio(sums: npt.NDArray[np.float64]) -> Any:
    parts, wholes = sums[..., 0], sums[..., 1]
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes != 0)


def _harmonic(means: npt.NDArray[np.float64]) -> Any:
    precision, recall = means[..., 0], means[..., 1]
    both = precision + recall
    return np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both != 0)


def _precision_and_recall(
    precision: Values, recall: Values, *, like: Values | None = None
) -> npt.NDArray[np.float64]:
    """Both, side by side: (posts, 2)."""
    both = np.stack([_checked(precision, like=like), _checked(recall, like=precision)], axis=1)
    if (both < 0).any():
        raise ValueError("precision and recall must not be negative")
    return both


def _ends(drawn: npt.NDArray[np.float64], confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _checked(scores: Values, *, like: Values | None = None) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"scores must be finite, one a post, for at least one post; got shape {values.shape}"
        )
    if like is not None and values.shape != np.shape(like):
        raise ValueError(f"both need one value a post, got {np.size(like)} and {values.size}")
    return values
