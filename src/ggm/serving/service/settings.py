"""What may be asked of the service, and by whom."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from ggm.errors import ConfigError
from ggm.policy import Policy

MAX_UPLOAD_BYTES: Final = 200_000_000
_BATCH_UPLOADS: Final = 4


@dataclass(frozen=True)
class ServiceSettings:
    """Limits of the service; all numbers are above 0.

    Args:
        hosts: Names by which the service may be asked besides ``localhost`` and addresses in numbers.
        roots: Folders whose videos may be named by path; none by default.
        policy: What may be recommended; requests may narrow it down.
        max_upload_bytes: Size of one video.
        max_duration_seconds: Length of one video.
        max_items: Videos of one batch request.
        max_waiting: Videos that are uploaded, wait or are worked on at once; more are refused.
        wait_seconds: How long a video may have to wait, by what others took of late; if it would be
            longer, more are refused before there are ``max_waiting``.
        max_batch: Videos that the model takes at once.
        decoders: Decoding processes.
        decode_seconds: Longest time to decode one video.
        request_seconds: Longest time between a video's arrival and its turn at the model.
        upload_grace_seconds: How long an upload may take however slow it is.
        upload_bytes_per_second: How fast it must be, on average, after that.
        recommendations_per_minute: Videos, of one key or address.
        recommendations_at_once: How many of them may come in a burst.
        requests_per_minute: Other requests, of one key or address.
        failed_keys_per_minute: Wrong keys, of one address.
        max_pool_changes: Hashtags (or posts) in one request that changes the pool.
        compact_bytes: Size of a living pool's journal from which it is compacted.
        drain_seconds: How long requests may take to end when the service is stopped.

    Raises:
        ConfigError: If a value is out of range.
    """

    hosts: tuple[str, ...] = ()
    roots: tuple[Path, ...] = ()
    policy: Policy = field(default_factory=Policy)
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    max_duration_seconds: float = 600.0
    max_items: int = 16
    max_waiting: int = 32
    wait_seconds: float = 10.0
    max_batch: int = 4
    decoders: int = 2
    decode_seconds: float = 30.0
    request_seconds: float = 60.0
    upload_grace_seconds: float = 15.0
    upload_bytes_per_second: float = 100_000.0
    recommendations_per_minute: float = 120.0
    recommendations_at_once: int = 40
    requests_per_minute: float = 1200.0
    failed_keys_per_minute: float = 20.0
    max_pool_changes: int = 1000
    compact_bytes: int = 64 * 1024**2
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float) and not value > 0:
                raise ConfigError(f"serve: {one.name} must be above 0, got {value}")
        for root in self.roots:
            if not root.is_dir():
                raise ConfigError(f"serve: {root}: no such folder; videos were to be taken from it")
        if self.max_items > self.max_waiting:
            raise ConfigError(
                f"serve: max_items ({self.max_items}) is more than max_waiting ({self.max_waiting})"
            )

    @property
    def max_batch_uploads(self) -> int:
        """How many videos of the largest size the body of a batch holds; it takes as many places."""
        return min(_BATCH_UPLOADS, self.max_items)


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_reach(host: str, *, has_keys: bool) -> None:
    """See that nobody from elsewhere could ask without a key.

    Raises:
        ConfigError: If other computers reach the host, and there are no keys.
    """
    if not has_keys and not is_loopback(host):
        raise ConfigError(
            f"serve: other computers reach {host}, so that keys are needed: "
            "`ggm serve keys create --keys FILE`, then --keys FILE; or leave --host out"
        )
