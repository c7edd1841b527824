"""What platforms take: ``platforms.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ggm.errors import ConfigError
from ggm.settings import from_dict


@dataclass(frozen=True)
class Limits:
    """How many hashtags, how long, and of what.

    Args:
        max_count: Hashtags at most, 1 or more; None for any number.
        max_length: Characters of one hashtag without its ``#``, 1 or more; None for any.
        max_total_length: Characters of all hashtags with their ``#`` and the spaces between them, 2
            or more; None for any.
        separators: Which of ``-`` and ``_`` may stand inside a hashtag; others are taken out.
        recommended: Names of those of the above that are advice, not the platform's rule.

    Raises:
        ConfigError: If a value is out of range.
    """

    max_count: int | None = None
    max_length: int | None = None
    max_total_length: int | None = None
    separators: str = "_"
    recommended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in {"max_count": 1, "max_length": 1, "max_total_length": 2}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"limits: {name} must be at least {least}, got {value}")
        if set(self.separators) - set("-_"):
            raise ConfigError(f"limits: separators must be of - and _, got {self.separators!r}")
        known = {field.name for field in fields(self)} - {"recommended"}
        if unknown := sorted(set(self.recommended) - known):
            raise ConfigError(f"limits: recommended names no limit: {', '.join(unknown)}")


NO_LIMITS = Limits(separators="-_")
"""Without a platform."""


@cache
def platforms() -> Mapping[str, Limits]:
    """The presets by name."""
    values = tomllib.loads(files("ggm.policy").joinpath("platforms.toml").read_text("utf-8"))
    return MappingProxyType(
        {name: from_dict(Limits, table, where=f"platforms.toml [{name}]") for name, table in values.items()}
    )
