"""Recipes as files, for commands that are run in processes of their own."""

from __future__ import annotations

import json
from dataclasses import asdict

from ggm.training.recipes import Recipe


def toml(recipe: Recipe) -> str:
    """A recipe as TOML, by way of JSON: strings, numbers and lists are written alike."""
    lines: list[str] = []

    def table(name: str, values: dict[str, object]) -> None:
        lines.append(f"[{name}]" if name else "")
        lines.extend(
            f"{key} = {json.dumps(value)}"
            for key, value in values.items()
            if not isinstance(value, dict) and value is not None
        )
        for key, value in values.items():
            if isinstance(value, dict):
                table(f"{name}.{key}".strip("."), value)

    table("", asdict(recipe))
    return "\n".join(lines)
