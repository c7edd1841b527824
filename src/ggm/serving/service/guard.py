"""Around the application: what is refused unread, what every answer says, what is counted and logged."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from ggm.serving.service.access import Access, Client
from ggm.serving.service.errors import Refusal, internal_error
from ggm.serving.service.metrics import Metrics
from ggm.serving.service.settings import ServiceSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_TEXT_BYTES: Final = 4 * 1024**2
"""Of a body that holds no video."""

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_JSON_PATHS: Final = {"/v1/pool"}
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")

_log = logging.getLogger("ggm.serve")


class Guard:
    """The application as the world sees it.

    A page elsewhere can neither let its own name point here (the ``Host`` must be one of ours; a number
    is no name) nor send anything from a browser (``Origin`` must be ours). There is no CORS.

    Args:
        app: What answers.
        access: Who may ask.
        metrics: Counted in.
        settings: Names of the service, and how much and how slowly may be sent.
        timer: Seconds since whenever.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        metrics: Metrics,
        settings: ServiceSettings,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._settings = settings
        self._hosts = {"localhost", *(name.lower().rstrip(".") for name in settings.hosts)}
        self._timer = timer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        await _Exchange(self, scope, receive, send).run()

    def check(self, scope: Scope, headers: Headers) -> Client:
        """Refuse what needs no reading.

        Raises:
            Refusal: 4xx; see there.
        """
        method, path = scope["method"], scope["path"]
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refusal(
                421, "wrong_host", "the service isn't known by this name; start it with --host-name NAME"
            )
        if method not in _SAFE:
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2] != host:
                raise Refusal(403, "cross_site", "pages of other sites can't ask this service")
            if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                raise Refusal(403, "cross_site", "pages of other sites can't ask this service")
            if headers.get("content-encoding", "identity") != "identity":
                raise Refusal(415, "unsupported_media_type", "send the body without Content-Encoding")
            # Pages of other sites may send what says that it is text, without asking first.
            if path in _JSON_PATHS and not says_json(headers.get("content-type", "application/json")):
                raise Refusal(415, "unsupported_media_type", "send JSON, as application/json")
        client = scope.get("client")
        return self._access.admit(
            method,
            path,
            authorization=headers.get("authorization"),
            address=client[0] if client else "local",
        )

    def max_body_bytes(self, path: str, content_type: str) -> int:
        """How much may be sent there; JSON, which is read into memory, holds no videos."""
        videos = {"/v1/recommend": 1, "/v1/recommend/batch": self._settings.max_batch_uploads}.get(path, 0)
        return (0 if says_json(content_type) else videos) * self._settings.max_upload_bytes + MAX_TEXT_BYTES

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = Headers(scope=scope)
        self._id = secrets.token_hex(8)
        self._started = guard._timer()
        self._status = 0
        self._num_bytes = 0
        self._max_bytes = guard.max_body_bytes(scope["path"], self._headers.get("content-type", ""))
        self._has_all = False
        self._code: str | None = None
        self._client: Client | None = None

    async def run(self) -> None:
        self._scope.setdefault("state", {})["request_id"] = self._id
        self._scope["state"]["fields"] = {}
        try:
            self._client = self._guard.check(self._scope, self._headers)
            self._scope["state"]["client"] = self._client
            length = self._headers.get("content-length", "")
            if length.isascii() and length.isdigit() and int(length) > self._max_bytes:
                raise _body_too_large(self._max_bytes)
            await self._guard._app(self._scope, self._receive_limited, self._send_marked)
        except asyncio.CancelledError:
            self._code = "cut_off"
            raise
        except Exception as error:
            refusal = error if isinstance(error, Refusal) else internal_error()
            if not isinstance(error, Refusal):
                _log.error("failed", extra={"fields": {"request_id": self._id}}, exc_info=error)
            if not self._status:
                response = JSONResponse(refusal.body(self._id), refusal.status, refusal.headers)
                self._scope["state"]["code"] = refusal.code
                await response(self._scope, self._receive, self._send_marked)
        finally:
            self._count()

    async def _receive_limited(self) -> Message:
        """The next piece of the body, if it comes in time and isn't too much."""
        if self._has_all:
            return await self._receive()
        settings = self._guard._settings
        allowed = settings.upload_grace_seconds + self._num_bytes / settings.upload_bytes_per_second
        try:
            async with asyncio.timeout(max(0.0, self._started + allowed - self._guard._timer())):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(
                408,
                "upload_too_slow",
                f"the body came too slowly: after {settings.upload_grace_seconds:g} s it must come at "
                f"{settings.upload_bytes_per_second:,.0f} bytes a second; try again or send less",
                headers={"Connection": "close"},
            ) from None
        if message["type"] == "http.request":
            self._num_bytes += len(message.get("body", b""))
            self._has_all = not message.get("more_body", False)
            if self._num_bytes > self._max_bytes:
                raise _body_too_large(self._max_bytes)
        return message

    async def _send_marked(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers["X-Request-ID"] = self._id
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    def _count(self) -> None:
        metrics, scope = self._guard._metrics, self._scope
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        seconds = self._guard._timer() - self._started
        code = self._code or scope["state"].get("code")
        status = scope["state"].get("status", self._status)  # of events what they say
        metrics.requests.labels(route, method, str(status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        metrics.received_bytes.inc(self._num_bytes)
        if code is not None:
            metrics.refusals.labels(code).inc()
        fields: dict[str, Any] = {
            "request_id": self._id,
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
            "received_bytes": self._num_bytes,
        }
        if code is not None:
            fields["code"] = code
        if self._client is not None and self._client.key_id is not None:
            fields["key"] = self._client.key_id
        _log.info("request", extra={"fields": fields | scope["state"]["fields"]})


def says_json(content_type: str) -> bool:
    """Whether a body is JSON, by its header."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _body_too_large(max_bytes: int) -> Refusal:
    return Refusal(413, "too_large", f"a body has at most {max_bytes:,} bytes here; send less")
