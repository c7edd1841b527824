"""The service as a process: Uvicorn, with an end in order and refusals in the service's shape."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import socket
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

from ggm.errors import ConfigError, MissingDependencyError
from ggm.serving.service.errors import Refusal
from ggm.serving.service.settings import check_reach

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise MissingDependencyError("the service needs uvicorn: pip install 'ggm[serve]'") from error

if TYPE_CHECKING:
    from ggm.serving.service.app import App

_HEADER_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 15
_MAX_HEADER_BYTES: Final = 32 * 1024
_MAX_CONNECTIONS: Final = 1000
_BACKLOG: Final = 512

_log = logging.getLogger("ggm.serve")


class ServiceServer:
    """Serves an application until SIGTERM, Ctrl+C or `stop`; requests that have begun are answered first.

    Args:
        app: What answers.
        host: An address of this computer.
        port: 0 takes a free one.
        has_keys: Whether requests need keys; without, other computers can't be let in.
        trusted_proxies: Addresses whose ``X-Forwarded-For`` is believed.

    Raises:
        ConfigError: If others could ask without keys, or the port can't be opened.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        has_keys: bool = False,
        trusted_proxies: tuple[str, ...] = (),
    ) -> None:
        check_reach(host, has_keys=has_keys)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"serve: {host} port {port} can't be opened: {error.strerror or error}; choose another, or 0"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        config = uvicorn.Config(
            app.asgi,
            http=_Protocol,
            log_config=None,  # logging is the program's to set up
            access_log=False,
            ws="none",
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=list(trusted_proxies),
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=max(1, round(app.service.settings.drain_seconds)),
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        )
        self.app = app
        self._server = _Server(config, app)

    def run(self) -> None:
        """Answer requests until the end."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return when all that has begun is answered; from another thread."""
        self._server.handle_exit(signal.SIGTERM, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class _Server(uvicorn.Server):
    """Says to the application that the end is near, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second Ctrl+C doesn't wait."""
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self._app.service.stopping = True
        self.should_exit = True


class _Protocol(H11Protocol):
    """One connection. Heads of requests must come in time; what isn't HTTP is refused as all else is."""

    _waiting: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of too many, the last ones are refused."""
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            self._refuse(503, "too_many_connections", "too many connections are open", retry_after=2)
            return
        self._wait(_HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        """See the class."""
        if self._is_refused:
            return
        super().data_received(data)
        if self.transport.is_closing() or self._is_refused:
            return
        if self._is_idle and data:
            if self._waiting is None:
                self._wait(_HEADER_SECONDS)
        elif not self._lingers:
            self._wait(None)

    def on_response_complete(self) -> None:
        """What of a refused body is still coming is read and forgotten for a moment."""
        super().on_response_complete()
        if self._lingers and not self.transport.is_closing():
            self._wait(_LINGER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """See the class."""
        self._wait(None)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What isn't HTTP."""
        del msg
        if not (self.transport.is_closing() or self._is_refused):
            self._refuse(400, "bad_request", "the request isn't HTTP/1.1, or its head is too long")

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered or sent."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    @property
    def _lingers(self) -> bool:
        """Whether the answer is out while the request still comes."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _wait(self, seconds: float | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if (self._is_idle or self._lingers or self._is_refused) and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        refusal = Refusal(status, code, message, retry_after=retry_after)
        body = json.dumps(refusal.body(secrets.token_hex(8))).encode()
        headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
            **refusal.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        # Written past h11, whose state may be any.
        self.transport.write(f"HTTP/1.1 {status} Refused\r\n{head}\r\n".encode() + body)
        # Closed at once, what still comes would make the system take the answer back.
        self._is_refused = True
        self.transport.write_eof()
        self._wait(_LINGER_SECONDS)
        _log.info("request", extra={"fields": {"status": status, "code": code, "route": "none"}})
