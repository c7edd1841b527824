"""The page on which a study is rated, for one rater on this computer: Starlette and Uvicorn.

Nobody else can use it: it listens on the loopback interface alone; each address holds a secret
token; requests must name this server as their host (a page elsewhere that lets its own name point
here is refused), and ratings must come from the page itself. The page may load nothing from
anywhere else.
"""

from __future__ import annotations

import json
import mimetypes
import secrets
import socket
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Self

from ggm.errors import ConfigError, DataError, MissingDependencyError
from ggm.evaluation.human.ratings import Rating, RatingLog

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingDependencyError(
        "rating needs the packages starlette and uvicorn: pip install 'ggm[human]'"
    ) from error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 4096
_PAGE: Final = files("ggm.serving") / "pages" / "rating"
_STATIC: Final = {
    "": ("index.html", "text/html"),
    "style.css": ("style.css", "text/css"),
    "script.js": ("script.js", "text/javascript"),
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class RatingServer:
    """Serves the page of one rater until it is stopped.

    Args:
        log: Where ratings are kept.
        port: 0 takes a free one.

    Raises:
        ConfigError: If the port can't be opened.
    """

    def __init__(self, log: RatingLog, *, port: int = 0) -> None:
        try:
            self._socket = socket.create_server((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} can't be opened: {error.strerror or error}; choose another one, or 0"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://{HOST}:{self.port}/{token}/"
        config = uvicorn.Config(
            create_app(log, port=self.port, token=token),
            log_config=None,  # logging is the application's to set up
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Answer requests until `stop` or Ctrl+C."""
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:  # Uvicorn has ended in order by then
            return

    def stop(self) -> None:
        """Let `run` return; from another thread."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def create_app(log: RatingLog, *, port: int, token: str) -> ASGIApp:
    """The page as an application, guarded.

    Args:
        log: Where ratings are kept.
        port: That the server is reached by.
        token: First part of every address.
    """
    rater = _Rater(log)
    routes = [
        *(
            Route(f"/{token}/{name}", _static(file, media_type), methods=["GET"])
            for name, (file, media_type) in _STATIC.items()
        ),
        Route(f"/{token}/items", rater.items, methods=["GET"]),
        Route(f"/{token}/ratings", rater.rate, methods=["POST"]),
        Route(f"/{token}/videos/{{video}}", rater.video, methods=["GET"]),
    ]
    return _Guard(Starlette(routes=routes), hosts=(f"{HOST}:{port}", f"localhost:{port}"))


class _Rater:
    """What the page asks for."""

    def __init__(self, log: RatingLog) -> None:
        self._log = log
        self._items = log.study.order(log.rater)
        paths = sorted({item.video for item in self._items})
        self._videos = {str(number): path for number, path in enumerate(paths)}
        self._video_ids = {path: name for name, path in self._videos.items()}

    async def items(self, _: Request) -> Response:
        """All items in this rater's order, with what was said of them."""
        latest = self._log.latest
        rows = [
            {
                "id": item.id,
                "hashtag": item.hashtag,
                "description": item.description,
                "video": f"videos/{self._video_ids[item.video]}",
                "rating": latest[item.id].to_dict() if item.id in latest else None,
            }
            for item in self._items
        ]
        return JSONResponse({"rater": self._log.rater, "items": rows})

    async def rate(self, request: Request) -> Response:
        """Keep one rating; the answer is sent when it is on the disk."""
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                return _refusal(413, "a rating isn't that long")
        try:
            rating = Rating.from_dict(_json_object(bytes(body)))
        except DataError as error:
            return _refusal(400, str(error))
        if rating.item not in {item.id for item in self._items}:
            return _refusal(404, f"the study has no item {rating.item!r}")
        try:
            self._log.add(rating)
        except DataError as error:
            return _refusal(507, str(error))
        return JSONResponse({"done": len(self._log.latest)})

    async def video(self, request: Request) -> Response:
        """One of the study's videos, whole or a range of it."""
        path = self._videos.get(request.path_params["video"])
        if path is None:
            return _refusal(404, "the study has no such video")
        if not path.is_file():
            return _refusal(404, f"{path.name} isn't where the study says")
        media_type = mimetypes.guess_type(path.name)[0] or ""
        known = media_type.startswith("video/")
        return FileResponse(path, media_type=media_type if known else "application/octet-stream")


class _Guard:
    """Refuses what doesn't come from the page, and says in each answer what the page may do."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refuse(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refuse(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            return _refusal(421, "this server only answers for itself")
        if method in ("GET", "HEAD"):
            return None
        same_site = headers.get("sec-fetch-site", "same-origin") == "same-origin"
        if headers.get("origin") != f"http://{host}" or not same_site:
            return _refusal(403, "ratings are only taken from the page itself")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refusal(415, "a rating is JSON")
        return None


def _static(file: str, media_type: str) -> Any:
    async def answer(_: Request) -> Response:
        return Response((_PAGE / file).read_bytes(), media_type=media_type)

    return answer


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError("a rating is JSON in UTF-8") from error
    if not isinstance(values, dict):
        raise DataError("a rating is a JSON object")
    return values


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status_code=status)
