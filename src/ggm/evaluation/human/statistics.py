"""The two figures of a study that libraries give: agreement (NLTK) and a rank test (SciPy)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from ggm.errors import MissingDependencyError

_INSTALL = "pip install 'ggm[human]'"


def ordinal_alpha(ratings: Mapping[str, Mapping[str, int]]) -> float | None:
    """Krippendorff's alpha of ordinal ratings, by NLTK: 1 is full agreement, 0 is chance.

    The ordinal distance of two values grows with the number of ratings between them, so that a
    step that everybody makes weighs more than one into a value that nobody uses (Krippendorff,
    2004, chapter 11). Items of a single rating play no part.

    Args:
        ratings: By item, then by rater; any may be missing.

    Returns:
        Alpha; None if no item has two ratings, or all ratings are one value.

    Raises:
        MissingDependencyError: If `nltk` isn't installed.
    """
    try:
        from nltk.metrics.agreement import AnnotationTask
    except ImportError as error:
        raise MissingDependencyError(f"Krippendorff's alpha needs the package nltk: {_INSTALL}") from error
    paired = {item: by_rater for item, by_rater in ratings.items() if len(by_rater) > 1}
    counts = Counter(value for by_rater in paired.values() for value in by_rater.values())
    if len(counts) < 2:
        return None
    values = sorted(counts)
    until = dict(zip(values, accumulate(counts[value] for value in values), strict=True))

    def distance(one: int, other: int) -> float:
        low, high = min(one, other), max(one, other)
        between = until[high] - until[low] + counts[low]  # both ends included
        return float((between - (counts[low] + counts[high]) / 2) ** 2)

    triples = [(rater, item, value) for item, by_rater in paired.items() for rater, value in by_rater.items()]
    return float(AnnotationTask(triples, distance=distance).alpha())


def wilcoxon_p(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of Wilcoxon's signed-rank test, by SciPy.

    Args:
        differences: One a pair; pairs without a difference play no part, as Wilcoxon has it.

    Returns:
        The p-value, 1 if no pair differs; None if there is no pair.

    Raises:
        MissingDependencyError: If `scipy` isn't installed.
    """
    try:
        from scipy.stats import wilcoxon
    except ImportError as error:
        raise MissingDependencyError(f"Wilcoxon's test needs the package scipy: {_INSTALL}") from error
    if not len(differences):
        return None
    # Means of three ratings differ by noise in the last digit where they are equal on paper.
    rounded = np.round(np.asarray(differences, dtype=np.float64), 9)
    different = rounded[rounded != 0]
    return float(wilcoxon(different).pvalue) if different.size else 1.0
