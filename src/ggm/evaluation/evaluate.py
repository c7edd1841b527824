"""Several systems on the same posts: their predictions on disk, and one report of them.

A folder of an evaluation holds

    evaluation.json     of what it is; another one may not go on in the same folder
    predictions/*.jsonl a file a system; what is there isn't made again
    scores.json         every figure
    scores.md           the same for people
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggm.corpus.jsonlines import write_json
from ggm.errors import DataError, HashtagError
from ggm.evaluation.bootstrap import Comparison
from ggm.evaluation.predictions import Prediction, read_predictions, write_predictions
from ggm.evaluation.score import (
    MeasuredPosts,
    Scores,
    TextScorer,
    compare_predictions,
    measure,
    score_predictions,
)
from ggm.hashtags import key, normalise
from ggm.records import Post


@dataclass(frozen=True)
class Evaluation:
    """Systems on the same posts.

    Args:
        scores: Of each system.
        comparisons: The first system with each of the others, by metric.
    """

    scores: tuple[Scores, ...]
    comparisons: tuple[dict[str, Comparison], ...]

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, ready for JSON."""
        return {
            "scores": [scores.to_dict() for scores in self.scores],
            "first_minus": {
                other.system: {name: asdict(value) for name, value in comparison.items()}
                for other, comparison in zip(self.scores[1:], self.comparisons, strict=True)
            },
        }


def evaluate(
    systems: Sequence[Sequence[Prediction]],
    *,
    top: int | None = None,
    known: Collection[str] | None = None,
    unseen: Collection[str] | None = None,
    bert_scorer: TextScorer | None = None,
) -> Evaluation:
    """Score systems and compare the first one to the others.

    Args:
        systems: The predictions of each, for the same posts.
        top: How many of each ranked list count, but for recall@k; None for all.
        known: See `ggm.evaluation.score.score_predictions`.
        unseen: See there.
        bert_scorer: For BERTScore.

    Raises:
        DataError: If systems predicted for different posts, or one has no prediction.
        MissingDependencyError: If `rouge-score` isn't installed.
        ValueError: If top is below 1.
    """
    measured: list[MeasuredPosts] = [
        measure(predictions, top=top, bert_scorer=bert_scorer) for predictions in systems
    ]
    return Evaluation(
        scores=tuple(score_predictions(posts, known=known, unseen=unseen) for posts in measured),
        comparisons=tuple(compare_predictions(measured[0], posts) for posts in measured[1:]),
    )


def fingerprint_of(posts: Iterable[Post]) -> str:
    """A hash of all that an evaluation reads of posts but their videos."""
    digest = hashlib.sha256()
    for post in posts:
        digest.update(json.dumps([post.id, post.description, post.hashtags]).encode() + b"\n")
    return digest.hexdigest()


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder of an evaluation, or go on in it.

    Args:
        folder: Where.
        settings: Of what it is, ready for JSON.

    Raises:
        DataError: If it is the folder of another evaluation, holds something else, or can't be made.
    """
    path = folder / "evaluation.json"
    wanted = json.loads(json.dumps(settings))
    try:
        if not path.exists():
            if folder.exists() and any(not found.name.startswith(".") for found in folder.iterdir()):
                raise DataError(f"{folder}: holds something that isn't an evaluation; name another folder")
            folder.mkdir(parents=True, exist_ok=True)
            write_json(wanted, path)
        (folder / "predictions").mkdir(exist_ok=True)
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: can't be used for an evaluation: {error}") from error
    if before != wanted:
        known = before if isinstance(before, dict) else {}
        others = sorted(name for name in {*known, *wanted} if known.get(name) != wanted.get(name))
        raise DataError(
            f"{folder}: holds an evaluation with another {', '.join(others)}; "
            "name another folder, or delete this one"
        )


def predicted(folder: Path, name: str, make: Callable[[], Iterable[Prediction]]) -> list[Prediction]:
    """The predictions of one system, from its file where there is one.

    Args:
        folder: Of the evaluation.
        name: Of the system.
        make: Called to predict where there is no file yet.

    Raises:
        DataError: If the file can't be read or written.
    """
    path = folder / "predictions" / f"{name}.jsonl"
    if not path.exists():
        write_predictions(path, make())
    return read_predictions(path)


def read_hashtags(path: str | Path) -> list[str]:
    """Read a list of hashtags.

    Args:
        path: Text with a hashtag a line; or JSON: a list of hashtags, or what a split of a dataset
            wrote, in which the lists named ``unseen_hashtags`` are taken, however deep.

    Returns:
        Canonical hashtags, each once.

    Raises:
        DataError: If it can't be read, holds no hashtag, or something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: can't read hashtags: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error}") from error
    try:
        listed = _listed(json.loads(text)) if text.lstrip()[:1] in {"[", "{"} else text.splitlines()
        found: dict[str, str] = {}
        for item in filter(str.strip, listed):
            found.setdefault(key(item), normalise(item))
    except (ValueError, TypeError, AttributeError, HashtagError) as error:
        raise DataError(f"{path}: not a list of hashtags: {error}") from error
    if not found:
        raise DataError(f"{path}: holds no hashtag; write one a line")
    return list(found.values())


def _listed(document: Any) -> list[str]:
    """The hashtags of a JSON document: a list of texts, or what it calls unseen, however deep."""
    if isinstance(document, list) and all(isinstance(item, str) for item in document):
        return document
    return _unseen_in(document)


def _unseen_in(document: Any) -> list[str]:
    if not isinstance(document, dict | list):
        return []
    own = document.get("unseen_hashtags", []) if isinstance(document, dict) else []
    parts = document.values() if isinstance(document, dict) else document
    return [*own, *(hashtag for part in parts for hashtag in _unseen_in(part))]
