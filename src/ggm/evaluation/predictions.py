"""Saved predictions of a system, and the scores of such a file.

One JSON object a line, one line a post:

    {"id": "17", "system": "ggm", "hashtags": [{"text": "snow", "score": 0.9}],
     "reference": ["winter", "snow"], "guidance": ["snow", "ice"]}

``guidance`` may be absent. Systems write such files once; scoring and comparing them needs no model.
"""

from __future__ import annotations

import json
import math
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ggm.errors import DataError, HashtagError
from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import (
    Comparison,
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    paired_bootstrap,
)
from ggm.hashtags import key, normalise

RECALL_AT = (1, 5, 10, 50)


@dataclass(frozen=True)
class Prediction:
    """What one system recommended for one post.

    Args:
        id: Of the post.
        system: Name of the system.
        hashtags: Recommended, best first; may be empty.
        scores: One finite number a hashtag.
        reference: What the creator chose, at least one.
        guidance: What the retriever found, in descending similarity.

    Raises:
        DataError: If the id or the system's name is empty, there is no reference, or scores don't
            fit the hashtags.
    """

    id: str
    system: str
    hashtags: tuple[str, ...]
    scores: tuple[float, ...]
    reference: tuple[str, ...]
    guidance: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.id or not self.system:
            raise DataError("a prediction needs the id of its post and the name of its system")
        if not self.reference:
            raise DataError(f"the prediction for post {self.id!r} has no reference hashtag")
        if len(self.scores) != len(self.hashtags) or not all(map(math.isfinite, self.scores)):
            raise DataError(f"the prediction for post {self.id!r} needs one finite score a hashtag")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        pairs = zip(self.hashtags, self.scores, strict=True)
        return {
            "id": self.id,
            "system": self.system,
            "hashtags": [{"text": text, "score": score} for text, score in pairs],
            "reference": list(self.reference),
            "guidance": list(self.guidance),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prediction:
        """The reverse of `to_dict`; hashtags are normalised.

        Raises:
            DataError: If a field is missing, unknown or not what it should be.
        """
        try:
            if unknown := set(values) - {"id", "system", "hashtags", "reference", "guidance"}:
                raise DataError(f"unknown field {', '.join(sorted(unknown))}")
            if not isinstance(values["id"], str) or not isinstance(values["system"], str):
                raise DataError("id and system must be texts")
            hashtags = values["hashtags"]
            return cls(
                id=values["id"],
                system=values["system"],
                hashtags=tuple(normalise(item["text"]) for item in hashtags),
                scores=tuple(float(item["score"]) for item in hashtags),
                reference=_normalised(values["reference"]),
                guidance=_normalised(values.get("guidance", [])),
            )
        except KeyError as error:
            raise DataError(f"field {error} is missing") from error
        except (TypeError, ValueError, AttributeError, HashtagError) as error:
            raise DataError(str(error)) from error


@dataclass(frozen=True)
class Scores:
    """Every figure of one system on one set of posts, shares and scores from 0 to 1.

    Args:
        system: Its name.
        num_posts: How many posts.
        rouge_1: ROUGE-1 F1.
        rouge_2: ROUGE-2 F1.
        precision: Of whole hashtags.
        recall: Of whole hashtags.
        f1: Of whole hashtags.
        recall_at: By k: the share of a post's hashtags among the first k recommended.
        guidance_recall_at: By k, among the first k of the guidance; empty if no post has guidance.
        mean_count: Hashtags a post.
        novel_share: Share of all recommended hashtags that are novel; None where it wasn't said
            which are known.
        unseen_recalled: How many different unseen hashtags were recommended correctly at least
            once, None where it wasn't said which are unseen. It has no interval: draws with
            replacement hold fewer different hashtags than the posts do.
        num_unseen: Of how many.
    """

    system: str
    num_posts: int
    rouge_1: Interval
    rouge_2: Interval
    precision: Interval
    recall: Interval
    f1: Interval
    recall_at: dict[int, Interval]
    guidance_recall_at: dict[int, Interval]
    mean_count: Interval
    novel_share: Interval | None
    unseen_recalled: int | None
    num_unseen: int | None

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, ready for JSON."""
        return asdict(self)


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write a file of predictions, whole or not at all.

    Raises:
        DataError: If a post comes twice for a system, or the file can't be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    known: set[tuple[str, str]] = set()
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for prediction in predictions:
                _refuse_repetition(prediction, known)
                file.write(json.dumps(prediction.to_dict(), ensure_ascii=False, allow_nan=False) + "\n")
        temporary.replace(target)
    except BaseException as error:  # an interrupted run leaves nothing behind either
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, DataError | OSError):
            raise DataError(f"{path}: can't write predictions: {error}") from error
        raise


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a file of predictions.

    Raises:
        DataError: If the file can't be read, or a line isn't a prediction or repeats a post; the
            message has the number of the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{path}: can't read predictions: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error}") from error
    predictions: list[Prediction] = []
    known: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prediction = Prediction.from_dict(_json_object(line))
            _refuse_repetition(prediction, known)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        predictions.append(prediction)
    return predictions


def first(predictions: Sequence[Prediction], count: int | None) -> list[Prediction]:
    """The same predictions cut to their best hashtags.

    Args:
        predictions: Of any system.
        count: How many hashtags a post; None keeps all.
    """
    return [
        replace(prediction, hashtags=prediction.hashtags[:count], scores=prediction.scores[:count])
        for prediction in predictions
    ]


def score_predictions(
    predictions: Sequence[Prediction],
    *,
    known: Collection[str] | None = None,
    unseen: Collection[str] | None = None,
    recall_at: Sequence[int] = RECALL_AT,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Score the predictions of one system.

    Args:
        predictions: Of one system, a post each, at least one.
        known: Hashtags of the training posts, for the novel share.
        unseen: Hashtags that were kept out of training, for those recalled.
        recall_at: The k of recall@k.
        num_resamples: See `ggm.evaluation.bootstrap.bootstrap_mean`.
        confidence: Of all intervals.
        seed: Of ROUGE's shuffle and of the intervals.

    Raises:
        DataError: If there is none, they are of several systems, or a post comes twice.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    _check_one_system(predictions)
    found = [prediction.hashtags for prediction in predictions]
    wanted = [prediction.reference for prediction in predictions]
    guided = [prediction.guidance for prediction in predictions]

    def interval(scores: metrics.PostScores) -> Interval:
        return bootstrap_mean(scores, num_resamples=num_resamples, confidence=confidence, seed=seed)

    def recalls(ranked: metrics.HashtagLists) -> dict[int, Interval]:
        return {k: interval(metrics.recall_at(ranked, reference=wanted, k=k)) for k in recall_at}

    rouge = metrics.rouge(found, reference=wanted, seed=seed)
    match = metrics.exact_match(found, reference=wanted)
    counts = metrics.num_predicted(found)
    novel_share = None
    if known is not None:
        novel = metrics.num_novel(found, known=known)
        novel_share = bootstrap_ratio(
            novel, counts, num_resamples=num_resamples, confidence=confidence, seed=seed
        )
    recalled = None
    if unseen is not None:
        recalled = len(metrics.unseen_recalled(found, reference=wanted, unseen=unseen))
    return Scores(
        system=predictions[0].system,
        num_posts=len(predictions),
        rouge_1=interval(rouge.rouge_1),
        rouge_2=interval(rouge.rouge_2),
        precision=interval(match.precision),
        recall=interval(match.recall),
        f1=interval(match.f1),
        recall_at=recalls(found),
        guidance_recall_at=recalls(guided) if any(guided) else {},
        mean_count=interval(counts),
        novel_share=novel_share,
        unseen_recalled=recalled,
        num_unseen=None if unseen is None else len(set(map(key, unseen))),
    )


def compare_predictions(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compare two systems on the same posts, first minus second, by ROUGE and F1.

    Args:
        first: Of one system.
        second: Of another one, for the same posts in any order.
        num_resamples: See `ggm.evaluation.bootstrap.paired_bootstrap`.
        confidence: Of the intervals.
        seed: Of ROUGE's shuffle and of the draws.

    Returns:
        The comparison by ``rouge_1``, ``rouge_2`` and ``f1``.

    Raises:
        DataError: If the posts or their reference hashtags differ, or either isn't of one system.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    _check_one_system(first)
    _check_one_system(second)
    others = {prediction.id: prediction for prediction in second}
    if others.keys() != {prediction.id for prediction in first}:
        raise DataError(f"{first[0].system} and {second[0].system} predicted for different posts")
    aligned = [others[prediction.id] for prediction in first]
    for one, other in zip(first, aligned, strict=True):
        if set(map(key, one.reference)) != set(map(key, other.reference)):
            raise DataError(f"post {one.id!r} has other reference hashtags in one file than in the other")
    scores = [_post_scores(predictions, seed) for predictions in (first, aligned)]
    return {
        name: paired_bootstrap(
            scores[0][name],
            scores[1][name],
            num_resamples=num_resamples,
            confidence=confidence,
            seed=seed,
        )
        for name in scores[0]
    }


def _post_scores(predictions: Sequence[Prediction], seed: int) -> dict[str, metrics.PostScores]:
    found = [prediction.hashtags for prediction in predictions]
    wanted = [prediction.reference for prediction in predictions]
    rouge = metrics.rouge(found, reference=wanted, seed=seed)
    match = metrics.exact_match(found, reference=wanted)
    return {"rouge_1": rouge.rouge_1, "rouge_2": rouge.rouge_2, "f1": match.f1}


def _check_one_system(predictions: Sequence[Prediction]) -> None:
    if not predictions:
        raise DataError("there is no prediction to score")
    systems = sorted({prediction.system for prediction in predictions})
    if len(systems) > 1:
        raise DataError(f"predictions of several systems ({', '.join(systems)}); score them one by one")
    post, count = Counter(prediction.id for prediction in predictions).most_common(1)[0]
    if count > 1:
        raise DataError(f"post {post!r} has {count} predictions")


def _refuse_repetition(prediction: Prediction, known: set[tuple[str, str]]) -> None:
    name = (prediction.system, prediction.id)
    if name in known:
        raise DataError(f"post {prediction.id!r} comes twice for system {prediction.system!r}")
    known.add(name)


def _normalised(texts: Any) -> tuple[str, ...]:
    if not isinstance(texts, list | tuple):
        raise DataError(f"expected a list of hashtags, got {texts!r}")
    return tuple(normalise(text) for text in texts)


def _json_object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error}") from error
    if not isinstance(values, dict):
        raise DataError("not a JSON object")
    return values
