"""How many replicas there are of each stage, and what each of them takes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from ggm.errors import ConfigError
from ggm.settings import from_dict


@dataclass(frozen=True)
class StageSettings:
    """Replicas of one stage.

    Args:
        min_replicas: How many there are at least, 1 or more.
        max_replicas: How many at most.
        target: Videos that are with a replica on average; with more of them others are started, with
            fewer some are ended.
        max_batch: Videos that a replica takes in one pass.
        batch_wait_seconds: How long a pass that isn't full waits for more; 0 takes what is there.
        cpus: Processors that a replica is given, and threads that its model computes with.
        gpus: Graphics processors; a part of one lets several replicas share it.

    Raises:
        ConfigError: If a value is out of range.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    target: float = 2.0
    max_batch: int = 4
    batch_wait_seconds: float = 0.0
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_replicas", "max_replicas", "target", "max_batch"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"replicas: {name} must be above 0, got {getattr(self, name)}")
        for name in ("batch_wait_seconds", "cpus", "gpus"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"replicas: {name} can't be negative, got {getattr(self, name)}")
        if self.max_replicas < self.min_replicas:
            raise ConfigError(
                f"replicas: max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})"
            )


@dataclass(frozen=True)
class ReplicaSettings:
    """Replicas of all stages.

    Args:
        decode: Files become frames and sound; never in batches.
        features: These become features.
        retrieve: Features find guidance.
        generate: All become hashtags.
        upscale_seconds: How long there must be too few before one is started.
        downscale_seconds: How long there must be too many before one is ended.

    Raises:
        ConfigError: If a value is out of range.
    """

    decode: StageSettings = field(default_factory=lambda: StageSettings(max_replicas=4, max_batch=1))
    # On a processor frames take as long together as one after another: a batch would only wait longer.
    features: StageSettings = field(default_factory=lambda: StageSettings(max_replicas=4, max_batch=1))
    retrieve: StageSettings = field(
        default_factory=lambda: StageSettings(max_replicas=2, target=8.0, max_batch=8, cpus=0.5)
    )
    generate: StageSettings = field(default_factory=lambda: StageSettings(max_replicas=4, target=4.0))
    upscale_seconds: float = 10.0
    downscale_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("upscale_seconds", "downscale_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"replicas: {name} can't be negative, got {getattr(self, name)}")
        if self.decode.max_batch != 1:
            raise ConfigError(
                f"replicas: decode.max_batch must be 1, got {self.decode.max_batch}: "
                "a replica decodes one video at a time; have more of them"
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file with a table for each stage.

        Raises:
            ConfigError: If it can't be read, or a value is unknown or out of range.
        """
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: settings of replicas can't be read: {error}") from error
        for name, usual in cls().stages():
            if isinstance(given := values.get(name), dict):  # what isn't said stays as it is for that stage
                values[name] = {**vars(usual), **given}
        return from_dict(cls, values, where=str(path))

    def stages(self) -> Iterator[tuple[str, StageSettings]]:
        """Names and settings, in the order of the work."""
        for one in fields(self):
            if isinstance(value := getattr(self, one.name), StageSettings):
                yield one.name, value

    @property
    def num_at_work(self) -> int:
        """Videos that may be worked on at once, were there as many replicas as there may be."""
        return sum(stage.max_replicas * stage.max_batch for _, stage in self.stages())
