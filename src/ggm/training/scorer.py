"""Fitting of a bundle's scorer, on posts that neither its retriever nor its generator was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.bundle import Bundle, load_bundle, save_bundle
from ggm.candidates import measure_candidates
from ggm.errors import ConfigError, DataError
from ggm.evaluation.calibration import Reliability, reliability
from ggm.evaluation.predict import Progress
from ggm.features.posts import PostFeatures
from ggm.generator.decoding import generate, remember
from ggm.hashtags import key
from ggm.hashtags.plurals import singular_key
from ggm.ranking import Candidate
from ggm.scorer import MEASURES, Scorer, Weights, measures_of
from ggm.training.dataset import TRAIN, VALIDATION, Bar, Warn, no_bar, no_warning, open_features
from ggm.training.model_card import model_card

FOLDS: Final = 5
PENALTY: Final = 3.0
"""Of squared weights, in units of one post's log-likelihood: with few posts weights stay small."""

_MOST_STEPS: Final = 100
_BATCH: Final = 16


@dataclass(frozen=True)
class ScorerSource:
    """Posts to fit on.

    Args:
        data: Dataset folder.
        split: Of it; never one that was trained on, nor one that is tested on.
        weight: What a post counts, above 0.
        loose: Whether singular and plural are the same: for hashtags that were written down as
            fitting, instead of being taken from posts.

    Raises:
        ConfigError: If the weight is out of range, or the split is that of training.
    """

    data: Path
    split: str = VALIDATION
    weight: float = 1.0
    loose: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ConfigError(f"scorer: a weight must be above 0, got {self.weight}")
        if self.split == TRAIN:
            raise ConfigError("scorer: fitted on training posts it would trust the generator too much")


@dataclass(frozen=True)
class JudgedPost:
    """A post's candidates, and which of them are right.

    Args:
        candidates: At least one.
        right: As many.
        described: Whether its description was read.
        weight: What the post counts.
        measured: Whether calibration is measured on it.
    """

    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]
    described: bool
    weight: float = 1.0
    measured: bool = True


def judged_posts(
    bundle: Bundle, data: PostFeatures, source: ScorerSource, *, progress: Progress | None = None
) -> Iterator[JudgedPost]:
    """Measure the candidates of each post, with its description (if it has one) and without.

    Args:
        bundle: With a generator.
        data: Posts with features of this bundle's extractor.
        source: Where they come from.
        progress: Called as progress(done, total).

    Raises:
        BundleError: If the bundle holds no generator.
    """
    for start in range(0, len(data), _BATCH):
        rows = range(start, min(start + _BATCH, len(data)))
        features = [data.features(row) for row in rows]
        posts = [data.posts[row] for row in rows]
        for described in (True, False):
            descriptions = [post.description if described else "" for post in posts]
            guidance = bundle.guide(features, descriptions)
            batch = bundle.batch(features, descriptions, guidance)
            assert bundle.generator is not None  # batch checked it
            memory = remember(bundle.generator, batch)
            measured = measure_candidates(
                bundle,
                features,
                batch,
                generated=generate(
                    bundle.generator,
                    batch,
                    decoding=bundle.decoding,
                    vocabulary=bundle.vocabulary,
                    memory=memory,
                ),
                guidance=guidance,
                descriptions=descriptions,
                memory=memory,
            )
            for post, text, candidates in zip(posts, descriptions, measured, strict=True):
                if candidates and bool(text.strip()) == described:
                    right = _right(candidates, post.hashtags, loose=source.loose)
                    yield JudgedPost(tuple(candidates), right, described, source.weight, not source.loose)
        if progress:
            progress(rows[-1] + 1, len(data))


def _right(candidates: Sequence[Candidate], wanted: Sequence[str], *, loose: bool) -> tuple[bool, ...]:
    fold = singular_key if loose else key
    known = {fold(text) for text in wanted}
    return tuple(fold(item.text) in known for item in candidates)


def fit_scorer(posts: Sequence[JudgedPost], *, penalty: float = PENALTY) -> Scorer:
    """Fit both logistic regressions by Newton's method.

    Args:
        posts: Some with description and some without.
        penalty: Of squared weights, above 0.

    Raises:
        ConfigError: If the penalty is out of range.
        DataError: If there is no post of one kind, or none of them has a right candidate and a wrong one.
    """
    if not 0 < penalty < float("inf"):
        raise ConfigError(f"scorer: the penalty must be above 0, got {penalty}")
    kinds = {
        kind: [post for post in posts if post.described == described]
        for kind, described in (("with", True), ("without", False))
    }
    fitted = []
    for kind, own in kinds.items():
        right = {value for post in own for value in post.right}
        if len(right) < 2:
            raise DataError(f"scorer: posts {kind} description must have right and wrong candidates")
        fitted.append(_fit(own, penalty))
    return Scorer(*fitted)


def _fit(posts: Sequence[JudgedPost], penalty: float) -> Weights:
    measures = np.concatenate([measures_of(post.candidates) for post in posts])
    right = np.concatenate([np.array(post.right, np.float64) for post in posts])
    counts = np.repeat([post.weight for post in posts], [len(post.right) for post in posts])
    mean, deviation = measures.mean(0), measures.std(0)
    deviation[deviation < 1e-9] = 1.0  # the same for all candidates
    inputs = np.column_stack([(measures - mean) / deviation, np.ones(len(measures))])
    penalties = np.append(np.full(len(MEASURES), penalty), 1e-9)  # none on the bias
    weights = np.zeros(inputs.shape[1])
    for _ in range(_MOST_STEPS):
        step = _newton_step(inputs, right, counts, penalties, weights)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return Weights(
        tuple(mean.tolist()), tuple(deviation.tolist()), tuple(weights[:-1].tolist()), float(weights[-1])
    )


Floats = npt.NDArray[np.float64]


def _newton_step(inputs: Floats, right: Floats, counts: Floats, penalties: Floats, weights: Floats) -> Floats:
    odds = np.clip(inputs @ weights, -30, 30)
    probabilities = 1 / (1 + np.exp(-odds))
    gradient = inputs.T @ (counts * (probabilities - right)) + penalties * weights
    curvature = counts * probabilities * (1 - probabilities)
    hessian = (inputs * curvature[:, None]).T @ inputs + np.diag(penalties)
    return np.asarray(np.linalg.solve(hessian, gradient), np.float64)


def cross_fitted_reliability(
    posts: Sequence[JudgedPost], *, described: bool, penalty: float = PENALTY, folds: int = FOLDS
) -> Reliability:
    """How well probabilities are calibrated on posts that a scorer was not fitted on.

    Args:
        posts: At least as many as folds; all of them are fitted on, in turns.
        described: Which of those that may be are measured.
        penalty: See `fit_scorer`.
        folds: Number of parts, 2 or more.

    Raises:
        DataError: See `fit_scorer`.
    """
    probabilities: list[float] = []
    outcomes: list[bool] = []
    for fold in range(folds):
        scorer = fit_scorer([p for row, p in enumerate(posts) if row % folds != fold], penalty=penalty)
        weights = scorer.described if described else scorer.silent
        for post in posts[fold::folds]:
            if post.described == described and post.measured:
                probabilities += weights.probabilities(measures_of(post.candidates)).tolist()
                outcomes += post.right
    return reliability(probabilities, outcomes)


def run_scorer(
    bundle: str | Path,
    sources: Sequence[ScorerSource],
    out: Path,
    *,
    penalty: float = PENALTY,
    cache: Path | None = None,
    bar: Bar = no_bar,
    warn: Warn = no_warning,
) -> dict[str, Reliability]:
    """Fit a bundle's scorer and write the bundle with it.

    Args:
        bundle: With a generator; a shipped one's name, or a folder.
        sources: Posts to fit on; calibration is measured on those that aren't loose.
        out: Folder of the new bundle.
        penalty: See `fit_scorer`.
        cache: See `open_features`.
        bar: For progress.
        warn: See `open_features`.

    Returns:
        Reliability by cross-fitting, for posts with (``described``) and without (``silent``) description.

    Raises:
        BundleError: If the bundle can't be read, holds no generator, or can't be written.
        DataError: If a dataset can't be used, or has too few posts.
    """
    loaded = load_bundle(bundle)
    posts: list[JudgedPost] = []
    for source in sources:
        data = open_features(source.data, loaded.extractor, cache=cache, bar=bar, warn=warn).split(
            source.split
        )
        posts += judged_posts(loaded, data, source, progress=bar(f"candidates of {source.data.name}"))
    scorer = fit_scorer(posts, penalty=penalty)
    measured = {
        name: cross_fitted_reliability(posts, described=described, penalty=penalty)
        for name, described in (("described", True), ("silent", False))
    }
    record: dict[str, Any] = {
        "sources": [
            {"data": source.data.resolve().name, **{k: v for k, v in asdict(source).items() if k != "data"}}
            for source in sources
        ],
        "posts": len(posts),
        "penalty": penalty,
        "calibration_error": {name: round(found.error, 4) for name, found in measured.items()},
    }
    changed = replace(loaded, scorer=scorer, training={**loaded.training, "scorer": record})
    save_bundle(replace(changed, card=model_card(changed)), out)
    return measured
