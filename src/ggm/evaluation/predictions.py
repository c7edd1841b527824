"""Saved predictions of a system.

One JSON object a line, one line a post:

    {"id": "17", "system": "ggm", "hashtags": [{"text": "snow", "score": 0.9}],
     "reference": ["winter", "snow"], "guidance": ["snow", "ice"]}

``guidance`` may be absent. ``"probabilities": true`` says that scores are meant as the probability that
a hashtag is right, so that their calibration can be measured. Systems write such files once; scoring and
comparing them (see `ggm.evaluation.score`) needs no model.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ggm.errors import DataError, HashtagError
from ggm.hashtags import normalise

_FIELDS: Final = {"id", "system", "hashtags", "reference", "guidance", "probabilities"}


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
        probabilities: Whether a score is meant as the probability that its hashtag is right.

    Raises:
        DataError: If the id or the system's name is empty, there is no reference, scores don't
            fit the hashtags, or probabilities aren't from 0 to 1.
    """

    id: str
    system: str
    hashtags: tuple[str, ...]
    scores: tuple[float, ...]
    reference: tuple[str, ...]
    guidance: tuple[str, ...] = ()
    probabilities: bool = False

    def __post_init__(self) -> None:
        if not self.id or not self.system:
            raise DataError("a prediction needs the id of its post and the name of its system")
        if not self.reference:
            raise DataError(f"the prediction for post {self.id!r} has no reference hashtag")
        if len(self.scores) != len(self.hashtags) or not all(map(math.isfinite, self.scores)):
            raise DataError(f"the prediction for post {self.id!r} needs one finite score a hashtag")
        if self.probabilities and not all(0 <= score <= 1 for score in self.scores):
            raise DataError(f"the prediction for post {self.id!r} has a probability that isn't from 0 to 1")

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        pairs = zip(self.hashtags, self.scores, strict=True)
        return {
            "id": self.id,
            "system": self.system,
            "hashtags": [{"text": text, "score": score} for text, score in pairs],
            "reference": list(self.reference),
            "guidance": list(self.guidance),
            **({"probabilities": True} if self.probabilities else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prediction:
        """The reverse of `to_dict`; hashtags are normalised.

        Raises:
            DataError: If a field is missing, unknown or not what it should be.
        """
        try:
            if unknown := set(values) - _FIELDS:
                raise DataError(f"unknown field {', '.join(sorted(unknown))}")
            if not isinstance(values["id"], str) or not isinstance(values["system"], str):
                raise DataError("id and system must be texts")
            if not isinstance(probabilities := values.get("probabilities", False), bool):
                raise DataError("probabilities must be true or false")
            hashtags = values["hashtags"]
            return cls(
                id=values["id"],
                system=values["system"],
                hashtags=tuple(normalise(item["text"]) for item in hashtags),
                scores=tuple(float(item["score"]) for item in hashtags),
                reference=_normalised(values["reference"]),
                guidance=_normalised(values.get("guidance", [])),
                probabilities=probabilities,
            )
        except KeyError as error:
            raise DataError(f"field {error} is missing") from error
        except (TypeError, ValueError, AttributeError, HashtagError) as error:
            raise DataError(str(error)) from error


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
