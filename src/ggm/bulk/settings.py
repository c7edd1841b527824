"""What is wanted of a run, and what a resumed one must want as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ggm.errors import ConfigError
from ggm.media.sample import FrameChoice
from ggm.policy import Policy


@dataclass(frozen=True)
class Settings:
    """Settings of a bulk run.

    Args:
        model: A shipped bundle's name, or a folder.
        hashtags: Whether hashtags are recommended.
        features: Whether features are kept, see `ggm.bulk.folder`.
        top: How many hashtags at most, 1 or more.
        fitting: Fewer where fewer promise a better F1.
        policy: What may be recommended.
        pool: Folder of a living pool, in place of the bundle's own.
        frames: Which frames are looked at.
        runtime: Folder of exported encoders that run in place of torch's.
        shard_rows: Rows of the manifest in a shard, 1 or more.
        batch_size: Rows that are worked on together, 1 or more; their frames are in memory.
        device: A torch device.

    Raises:
        ConfigError: If a number is out of range, nothing is wanted, or the features wouldn't be those
            of the bundle's own encoders and frames.
    """

    model: str = "compact"
    hashtags: bool = True
    features: bool = False
    top: int = 5
    fitting: bool = False
    policy: Policy = field(default_factory=Policy)
    pool: str | None = None
    frames: FrameChoice = "exact"
    runtime: str | None = None
    shard_rows: int = 256
    batch_size: int = 16
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("top", "shard_rows", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.hashtags and not self.features:
            raise ConfigError("neither hashtags nor features are wanted; there is nothing to do")
        if self.features and (self.frames != "exact" or self.runtime is not None):
            raise ConfigError(
                "features for training are of the exact frames and of the bundle's own encoders; "
                "leave out --frames and --runtime"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "policy": self.policy.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The reverse of `to_dict`."""
        return cls(**{**values, "policy": Policy.from_dict(values["policy"])})

    def identity(self, *, bundle_fingerprint: str, manifest_digest: str) -> dict[str, Any]:
        """What the output depends on, as JSON: neither where it is made nor how the model is called.

        Args:
            bundle_fingerprint: Of the model; its name may mean another one tomorrow.
            manifest_digest: Of the manifest's bytes.
        """
        values = {name: value for name, value in self.to_dict().items() if name != "device"}
        return {**values, "model": bundle_fingerprint, "manifest": manifest_digest}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two runs' settings differ, each as ``name: before, now``."""
    names = sorted({*before, *now})
    return [
        f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if before.get(name) != now.get(name)
    ]
