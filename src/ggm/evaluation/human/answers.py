"""Which items of a study are novel: a file beside the study's folder, for nobody who rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from ggm.corpus.jsonlines import write_json
from ggm.errors import DataError
from ggm.evaluation.human.study import Study, read_json_object

Kind = Literal["novel", "ground truth"]
KINDS: Final[tuple[Kind, ...]] = ("novel", "ground truth")
_FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Answer:
    """Where an item came from.

    Args:
        kind: Coined by the system, or chosen by the creator.
        post: Id of its post.
    """

    kind: Kind
    post: str


@dataclass(frozen=True)
class AnswerKey:
    """Where all items of a study came from, and how they were drawn.

    Args:
        study: Fingerprint of the items.
        system: Name of the system that coined the novel ones.
        drawn: What they were drawn from and how, such as the seed, for the record.
        answers: By id of the item.
    """

    study: str
    system: str
    drawn: Mapping[str, object]
    answers: Mapping[str, Answer]


def key_path(study: str | Path) -> Path:
    """Where the key of a study lies: ``study.key.json`` beside ``study``."""
    folder = Path(study).resolve()
    return folder.with_name(f"{folder.name}.key.json")


def write_key(answer_key: AnswerKey, path: Path) -> None:
    """Write a key, whole or not at all.

    Raises:
        DataError: If it can't be written.
    """
    write_json({"version": _FORMAT_VERSION, **asdict(answer_key)}, path)


def read_key(path: Path, study: Study) -> AnswerKey:
    """Read a key.

    Args:
        path: As `write_key` wrote it.
        study: What it must belong to.

    Raises:
        DataError: If it can't be read, is damaged, or belongs to other items.
    """
    document = read_json_object(path)
    try:
        if document["version"] != _FORMAT_VERSION:
            raise DataError(f"{path}: format version {document['version']!r} can't be read")
        answers = {item: Answer(**answer) for item, answer in document["answers"].items()}
        answer_key = AnswerKey(document["study"], document["system"], document["drawn"], answers)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a study's key: {error!r}") from error
    if answer_key.study != study.fingerprint or set(answers) != {item.id for item in study.items}:
        raise DataError(f"{path}: the key of another study than {study.folder}")
    if not all(answer.kind in KINDS for answer in answers.values()):
        raise DataError(f"{path}: not a study's key: kinds are {' and '.join(KINDS)}")
    return answer_key
