"""Who asks, and what they may: keys, roles, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ggm.serving.service.errors import Refusal
from ggm.serving.service.keys import KeyFile, Role
from ggm.serving.service.rates import RateLimiter, client_of_address
from ggm.serving.service.settings import ServiceSettings

_BURST_SECONDS: Final = 10


@dataclass(frozen=True)
class Client:
    """Who asks.

    Args:
        name: What is counted by: a key's id, or an address.
        key_id: None without keys.
    """

    name: str
    key_id: str | None = None


def needed_role(method: str, path: str) -> Role | None:
    """What a request takes; None for what anybody may ask."""
    if path == "/metrics":
        return "manage"
    if path == "/v1/pool" and method not in ("GET", "HEAD"):
        return "manage"
    return "recommend" if path.startswith("/v1/") else None


class Access:
    """Decides about requests. For one thread.

    Args:
        keys: Who may ask; None if everybody who reaches the service may do everything.
        settings: How often.
    """

    def __init__(self, keys: KeyFile | None, settings: ServiceSettings) -> None:
        self._keys = keys
        per_minute = settings.requests_per_minute
        self._requests = RateLimiter(per_minute, max(1.0, per_minute * _BURST_SECONDS / 60))
        self._recommendations = RateLimiter(
            settings.recommendations_per_minute, max(settings.recommendations_at_once, settings.max_items)
        )
        failures = settings.failed_keys_per_minute
        self._failures = RateLimiter(failures, max(1.0, failures))

    def admit(self, method: str, path: str, *, authorization: str | None, address: str) -> Client:
        """Let a request in.

        Raises:
            Refusal: 401 without a key that counts, 403 without the role, 429 if too often.
        """
        role = needed_role(method, path)
        address = client_of_address(address)
        client = Client(address)
        if role is None:
            return client
        if self._keys is not None:
            client = self._identified(authorization, role, address)
        if wait := self._requests.take(client.name):
            raise _too_often(wait)
        return client

    def count_recommendations(self, client: Client, count: int = 1) -> None:
        """Count videos.

        Raises:
            Refusal: 429 if there were too many.
        """
        if wait := self._recommendations.take(client.name, count):
            raise _too_often(wait)

    def _identified(self, authorization: str | None, role: Role, address: str) -> Client:
        assert self._keys is not None
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Refusal(
                401,
                "key_missing",
                "this service needs a key: send it as `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if wait := self._failures.wait(address):
            raise Refusal(429, "too_many_wrong_keys", "too many wrong keys came from there", retry_after=wait)
        key = self._keys.find(text.strip())
        if key is None:
            self._failures.take(address)
            raise Refusal(
                401,
                "key_unknown",
                "the key isn't known here, or was revoked; ask whoever runs the service for one",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        if role == "manage" and key.role != "manage":
            raise Refusal(403, "role_missing", "this takes a key of the role `manage`")
        return Client(f"key {key.id}", key.id)


def _too_often(wait: float) -> Refusal:
    return Refusal(429, "too_many_requests", "too many requests; wait before the next one", retry_after=wait)
