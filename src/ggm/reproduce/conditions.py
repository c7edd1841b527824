"""Under which conditions a report came about: settings that differ, versions, processor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from ggm.training.recipes import Recipe

_PACKAGES: Final = ("ggm", "torch", "transformers", "numpy")


def conditions_of(recipe: Recipe, *, base: Recipe | None = None) -> dict[str, Any]:
    """What a reader needs to know to make the report again, ready for JSON.

    Args:
        recipe: Of GGM.
        base: The recipe as it stands in its file, before settings were changed; None if that isn't known.
    """
    return {
        "recipe": recipe.name,
        "profile": recipe.profile if isinstance(recipe.profile, str) else recipe.profile.name,
        "changed": None if base is None else differences(recipe, base),
        "not_default": differences(recipe, Recipe(recipe.name, recipe.seed, recipe.profile)),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "cores": os.cpu_count(),
    }


def differences(recipe: Recipe, base: Recipe) -> list[dict[str, Any]]:
    """Settings of a recipe that another one has otherwise: ``setting``, ``value`` and ``instead_of``."""
    others = dict(_settings(asdict(base)))
    return [
        {"setting": name, "value": value, "instead_of": others.get(name)}
        for name, value in _settings(asdict(recipe))
        if name not in others or others[name] != value
    ]


def _settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
