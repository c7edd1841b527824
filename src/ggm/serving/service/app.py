"""The application: routes, errors of one shape, the page, and around it all the guard."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from ggm.errors import MissingDependencyError
from ggm.policy import platforms
from ggm.recommend import Recommender
from ggm.serving.service import pool_routes, recommend_routes, schemas
from ggm.serving.service.access import Access
from ggm.serving.service.back_end import BackEnd
from ggm.serving.service.errors import CODES_OF_STATUS, Refusal, client_gone, internal_error
from ggm.serving.service.folder import upload_folder
from ggm.serving.service.guard import Guard
from ggm.serving.service.jobs import stopping
from ggm.serving.service.keys import KeyFile
from ggm.serving.service.metrics import CONTENT_TYPE, Metrics
from ggm.serving.service.queue import RecommendQueue
from ggm.serving.service.settings import ServiceSettings
from ggm.serving.service.state import Service

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
except ImportError as error:
    raise MissingDependencyError("the service needs fastapi: pip install 'ggm[serve]'") from error

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_PAGE: Final = files("ggm.serving") / "pages" / "recommend"
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": schemas.Error, "description": description}
    for status, description in {
        400: "The request can't be read.",
        401: "A key is missing or unknown.",
        403: "The key's role doesn't allow it, or a page of another site asked.",
        404: "No such video, hashtag or address.",
        405: "Not with this method.",
        408: "The body came too slowly.",
        409: "The pool can't do that.",
        413: "The body or the video is too large.",
        415: "Not this kind of body.",
        421: "Not by this name.",
        422: "Something that was sent can't be used; the message says what.",
        429: "Too many requests; `Retry-After` says when to ask again.",
        503: "Busy or being stopped; `Retry-After` says when to ask again.",
    }.items()
}


@dataclass(frozen=True)
class App:
    """A service as an application.

    Args:
        asgi: For a server such as Uvicorn.
        service: What its routes share.
    """

    asgi: ASGIApp
    service: Service


def create_app(
    recommender: Recommender,
    settings: ServiceSettings | None = None,
    *,
    keys: KeyFile | None = None,
    back_end: Callable[[Recommender, ServiceSettings, Metrics], BackEnd] = RecommendQueue,
) -> App:
    """Make a service of a recommender. What it starts ends with its lifespan.

    With a living pool that is open for writing, the pool can be changed by requests.

    Args:
        recommender: Its model, and which frames it looks at; its limits of videos are those of the
            settings. The caller closes it, and its pool.
        settings: Its limits.
        keys: Who may ask; None if everybody who reaches it may do everything.
        back_end: Makes what does the work; by default it is done in this process.

    Returns:
        The application.

    Raises:
        ConfigError: If the file of the keys can't be used.
    """
    settings = settings or ServiceSettings()
    if keys is not None:
        keys.all()
    metrics = Metrics()
    metrics.most_places.set(settings.max_waiting)
    metrics.pool_hashtags.set(len(recommender.bundle.pool))
    service = Service(
        recommender=recommender,
        settings=settings,
        access=Access(keys, settings),
        metrics=metrics,
        queue=back_end(recommender, settings, metrics),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with upload_folder() as service.folder:
            service.queue.start()
            try:
                yield
            finally:
                service.stopping = True
                await asyncio.to_thread(service.queue.close)

    api = FastAPI(
        title="ggm",
        version=version("ggm"),
        summary="Hashtags for short videos.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.state.service = service
    _add_errors(api)
    recommend_routes.add_routes(api, _ERRORS)
    pool_routes.add_routes(api, _ERRORS)
    _add_others(api)
    _add_page(api)
    guarded = Guard(api, access=service.access, metrics=metrics, settings=settings)
    return App(guarded, service)


def _add_others(api: FastAPI) -> None:
    async def presets() -> schemas.Presets:
        """What platforms take."""
        return schemas.Presets(
            platforms={
                name: schemas.Preset(
                    max_count=preset.max_count,
                    max_length=preset.max_length,
                    max_total_length=preset.max_total_length,
                    recommended=list(preset.recommended),
                )
                for name, preset in platforms().items()
            }
        )

    async def healthz() -> schemas.Health:
        """Whether the process answers."""
        return schemas.Health(status="ok")

    async def readyz(request: Request) -> schemas.Health:
        """Whether videos can be sent."""
        service: Service = request.app.state.service
        if service.stopping:
            raise stopping()
        if not service.queue.is_healthy:
            raise Refusal(503, "not_ready", "the service can't take videos", retry_after=5)
        return schemas.Health(status="ok")

    async def metrics(request: Request) -> Response:
        """Counters, for Prometheus."""
        service: Service = request.app.state.service
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    api.get("/v1/platforms", response_model=schemas.Presets, responses=_ERRORS)(presets)
    api.get("/healthz", response_model=schemas.Health, responses=_ERRORS)(healthz)
    api.get("/readyz", response_model=schemas.Health, responses=_ERRORS)(readyz)
    # Probes and `curl -I` ask so.
    for address, probe in (("/healthz", healthz), ("/readyz", readyz)):
        api.head(address, include_in_schema=False)(probe)
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    api.get("/metrics", response_class=Response, responses=_ERRORS | text)(metrics)


def _add_page(api: FastAPI) -> None:
    """The files of the page, each at its own address."""
    for file in sorted(_PAGE.iterdir(), key=lambda one: one.name):
        if not file.is_file():
            continue
        content = file.read_bytes()
        media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if file.name.endswith(".js"):
            media_type = "text/javascript"

        def answer(content: bytes = content, media_type: str = media_type) -> Any:
            async def page() -> Response:
                return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

            return page

        addresses = ("/", "/index.html") if file.name == "index.html" else (f"/{file.name}",)
        for address in addresses:
            api.api_route(address, methods=["GET", "HEAD"], include_in_schema=False)(answer())


def _add_errors(api: FastAPI) -> None:
    """Every refusal in one shape, those of the framework too."""

    def answer(request: Request, refusal: Refusal) -> JSONResponse:
        request.scope["state"]["code"] = refusal.code
        body = refusal.body(request.scope["state"].get("request_id", ""))
        return JSONResponse(body, refusal.status, refusal.headers)

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return answer(request, error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = [dict(one) for one in error.errors()]
        if any(one["type"] == "json_invalid" for one in found):
            return answer(request, Refusal(400, "bad_json", "the body isn't JSON"))
        return answer(request, Refusal(422, "invalid_request", schemas.told(found)))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        cause = error.__cause__ or error.__context__
        if isinstance(cause, Refusal):  # raised while the framework read the body
            return answer(request, cause)
        code = CODES_OF_STATUS.get(error.status_code, "refused")
        headers = dict(error.headers or {})
        message = "the body isn't JSON" if error.status_code == 400 else str(error.detail)
        if error.status_code == 404:
            message = "there is nothing at this address; /openapi.json lists what there is"
        if error.status_code == 405:
            allowed = _methods(api, request.url.path)
            headers["Allow"] = ", ".join(allowed)
            message = f"this address takes {' and '.join(allowed)}"
        return answer(request, Refusal(error.status_code, code, message, headers=headers))

    async def on_gone(request: Request, _: Exception) -> Response:
        return answer(request, client_gone())

    async def on_bug(request: Request, _: Exception) -> Response:
        return answer(request, internal_error())

    api.add_exception_handler(Refusal, on_refusal)
    api.add_exception_handler(RequestValidationError, on_invalid)
    api.add_exception_handler(HTTPException, on_http)
    api.add_exception_handler(ClientDisconnect, on_gone)
    api.add_exception_handler(Exception, on_bug)


def _methods(api: FastAPI, path: str) -> list[str]:
    """With which methods an address can be asked: the framework names those of its first route alone."""
    found = {
        method
        for route in api.routes
        if getattr(route, "path", None) == path
        for method in getattr(route, "methods", None) or ()
    }
    return sorted(found)
