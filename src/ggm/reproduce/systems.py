"""The paper's systems (sections 4.3 and 5), each of them the same recipe with a few settings changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from ggm.errors import ConfigError
from ggm.training.recipes import Recipe

Kind = Literal["retriever", "classifier", "generator"]


@dataclass(frozen=True)
class System:
    """One system.

    Args:
        name: As in the report.
        kind: What is trained.
        reads: What it is given, for people.
        changes: Settings of the recipe's table ``kind`` that differ.
        hears: Whether it is another system only where the profile has sound.
    """

    name: str
    kind: Kind
    reads: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    hears: bool = False

    @property
    def slug(self) -> str:
        """Its name as a file's."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.casefold())

    @property
    def gives_probabilities(self) -> bool:
        """Whether each score is meant as the probability that a post carries the hashtag."""
        return self.changes.get("loss") == "sigmoid"


_HEADS_LEARNING_RATE: Final = 1e-3
"""Of a classifier on frozen features, where the recipe's is meant for pretrained encoders."""

_DESCRIPTION_WEIGHT: Final = 0.5
"""Where the recipe says nothing; best for the recall of guidance on drawings (validation); see the log."""

_ALONE: Final = {"guidance": "none", "hears": False}

SYSTEMS: Final[tuple[System, ...]] = (
    System("VLM", "retriever", "video"),
    System("BERT", "classifier", "description", {"inputs": "description"}),
    System("ViT", "classifier", "video", {"inputs": "video"}),
    System("ViT-BERT", "classifier", "video, description", {"inputs": "both"}),
    System("ViT-BERT sigmoid", "classifier", "video, description", {"inputs": "both", "loss": "sigmoid"}),
    System("BART", "generator", "description", {**_ALONE, "inputs": "description"}),
    System("TrOCR-FiD", "generator", "video", {**_ALONE, "inputs": "video"}),
    System("VG-BART", "generator", "video, description", _ALONE),
    System("GGM", "generator", "video, sound, description, guidance"),
    System("GGM without sound", "generator", "video, description, guidance", {"hears": False}, hears=True),
    System(
        "GGM audio query",
        "generator",
        "as GGM, the other reading of equation 3",
        {"audio_fusion": "audio_query"},
        hears=True,
    ),
    System("GGM-ViT", "generator", "as GGM, guidance from ViT", {"guidance": "classifier"}),
    System(
        "GGM one query",
        "generator",
        "the paper's GGM, where the recipe's is more than that",
        {"pointer": False, "description_weight": 0.0},
    ),
    System(
        "GGM pointer",
        "generator",
        "GGM one query, which can copy guidance as a whole",
        {"pointer": True, "description_weight": 0.0},
    ),
    System(
        "GGM two queries",
        "generator",
        "GGM one query, guidance looked for with the description too",
        {"pointer": False, "description_weight": _DESCRIPTION_WEIGHT},
    ),
    System(
        "GGM joined",
        "generator",
        "GGM with pointer and two queries",
        {"pointer": True, "description_weight": _DESCRIPTION_WEIGHT},
    ),
    System("GGM k=0", "generator", "video, sound, description", {"guidance": "none"}, hears=True),
    System("GGM k=10", "generator", "as GGM, 10 hashtags of guidance", {"top_k": 10}),
    System("GGM k=25", "generator", "as GGM, 25 hashtags of guidance", {"top_k": 25}),
    System("GGM k=50", "generator", "as GGM, 50 hashtags of guidance", {"top_k": 50}),
    System("GGM k=100", "generator", "as GGM, 100 hashtags of guidance", {"top_k": 100}),
)


def systems_for(recipe: Recipe, *, has_sound: bool, only: Sequence[str] | None = None) -> list[System]:
    """The systems that differ from each other on some data.

    Without sound, GGM without sound is GGM, and GGM with k=0 is VG-BART. A variant of GGM whose
    settings, such as its k, are the recipe's is GGM itself.

    Args:
        recipe: Of GGM.
        has_sound: Whether the profile hears.
        only: Names of those that are wanted; all by default.

    Raises:
        ConfigError: If a name is unknown.
    """
    names = {system.name.casefold() for system in SYSTEMS}
    if unknown := [name for name in only or () if name.casefold() not in names]:
        listed = ", ".join(system.name for system in SYSTEMS)
        raise ConfigError(f"no system {unknown[0]!r}; there are {listed}")
    wanted = None if only is None else {name.casefold() for name in only}
    return [
        system
        for system in SYSTEMS
        if (has_sound or not system.hears)
        and not _is_ggm(system, recipe)
        and (wanted is None or system.name.casefold() in wanted)
    ]


def _is_ggm(system: System, recipe: Recipe) -> bool:
    changes = _changes(system, recipe)
    return system.name.startswith("GGM ") and all(
        getattr(recipe.generator, name) == value for name, value in changes.items()
    )


def _changes(system: System, recipe: Recipe) -> dict[str, Any]:
    """Settings that differ; a second query counts what it does in the recipe, if it does there."""
    changes = dict(system.changes)
    if changes.get("description_weight"):
        changes["description_weight"] = recipe.generator.description_weight or _DESCRIPTION_WEIGHT
    return changes


def recipe_of(system: System, recipe: Recipe, *, seed: int) -> Recipe:
    """The recipe of one system: GGM's with its changes."""
    own = replace(recipe, name=f"{recipe.name}, {system.name}", seed=seed)
    if system.kind == "generator":
        changes = _changes(system, recipe)
        if changes.get("guidance") == "classifier" and recipe.generator.guidance == "cross_fitted":
            changes["guidance"] = "cross_fitted_classifier"  # the rival's guidance is as honest as GGM's
        if own.classifier.trained == "encoders":  # which a bundle can't hold
            optimiser = replace(own.classifier.optimiser, learning_rate=_HEADS_LEARNING_RATE)
            own = replace(own, classifier=replace(own.classifier, trained="heads", optimiser=optimiser))
        return replace(own, generator=replace(own.generator, **changes))
    if system.kind == "classifier":
        return replace(own, classifier=replace(own.classifier, **system.changes))
    return own


def equivalents(*, has_sound: bool) -> dict[str, str]:
    """Names that stand for another system where the profile hears nothing."""
    return {} if has_sound else {"GGM without sound": "GGM", "GGM k=0": "VG-BART"}
