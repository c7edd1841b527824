"""How often one client may ask: buckets that fill evenly and empty by one a request."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST_CLIENTS: Final = 10_000


class RateLimiter:
    """One bucket a client, of which the longest unused are forgotten. For one thread.

    Args:
        per_minute: How fast buckets fill, more than 0.
        at_once: How much a full bucket holds, 1 or more.
        timer: Seconds since whenever.
        most_clients: Of whom buckets are kept.
    """

    def __init__(
        self,
        per_minute: float,
        at_once: float,
        *,
        timer: Callable[[], float] = time.monotonic,
        most_clients: int = _MOST_CLIENTS,
    ) -> None:
        self._per_second = per_minute / 60
        self._at_once = at_once
        self._timer = timer
        self._most_clients = most_clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, cost: float = 1.0) -> float:
        """Take from a client's bucket.

        Args:
            client: Whose.
            cost: How much; more than a bucket holds is never there.

        Returns:
            0 if it was there; else after how many seconds it will be, with nothing taken.
        """
        now = self._timer()
        level = self._level(client, now)
        if level < cost:
            self._keep(client, level, now)
            return (cost - level) / self._per_second
        self._keep(client, level - cost, now)
        return 0.0

    def wait(self, client: str) -> float:
        """After how many seconds a request would be let in; 0 for now. Takes nothing."""
        return max(0.0, (1.0 - self._level(client, self._timer())) / self._per_second)

    def _level(self, client: str, now: float) -> float:
        level, since = self._buckets.get(client, (self._at_once, now))
        return min(self._at_once, level + (now - since) * self._per_second)

    def _keep(self, client: str, level: float, now: float) -> None:
        self._buckets[client] = level, now
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._most_clients:
            self._buckets.popitem(last=False)


def client_of_address(address: str) -> str:
    """An address as one client: of IPv6 the network that one household gets."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
