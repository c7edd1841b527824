"""A service that knows no model: its answers were recorded, and are checked by the schemas of the real one.

What it does wrong is chosen by each test: refusals, delays, streams that break off.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from importlib.resources import files
from typing import Any, Self

import uvicorn
from PIL import Image
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ggm.policy import platforms
from ggm.serving.service import schemas

PAGE = files("ggm.serving") / "pages" / "recommend"
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# What the compact bundle says of examples/coffee.mp4 and "First cup of the day", and one that it didn't coin.
HASHTAGS: list[dict[str, Any]] = [
    {"hashtag": "beverage", "score": 0.70, "source": "guidance"},
    {"hashtag": "cup", "score": 0.60, "source": "guidance"},
    {"hashtag": "coffee", "score": 0.32, "source": "guidance"},
    {"hashtag": "food", "score": 0.28, "source": "vocabulary"},
    {"hashtag": "day", "score": 0.16, "source": "vocabulary"},
    {"hashtag": "tea", "score": 0.11, "source": "guidance"},
    {"hashtag": "MorningCupOfCoffee", "score": 0.006, "source": "novel"},
]
GUIDANCE: list[dict[str, Any]] = [
    {"hashtag": "coffee", "similarity": 0.43},
    {"hashtag": "beverage", "similarity": 0.41},
    {"hashtag": "drinks", "similarity": 0.37},
    {"hashtag": "tea", "similarity": 0.31},
]
CHANGES: list[dict[str, Any]] = [
    {"hashtag": "drink", "action": "merged", "rule": "duplicate", "reason": "drinks", "result": "drinks"},
    {"hashtag": "BigSale2025", "action": "removed", "rule": "block", "reason": "*sale*"},
]
POOL = [
    "snow", "snowman", "snowflake", "snowboard", "winter", "rain", "rainbow", "umbrella", "storm", "cat",
    "dog", "sun", "sea", "beach", "city", "night", "food", "tea", "cake", "music", "dance", "art", "sky",
    "tree",
]  # fmt: skip
RISING = [
    {"hashtag": "firstsnow", "rise": 5.25, "per_day": 12.5, "per_day_before": 2.1, "uses": 340},
    {"hashtag": "snowman", "rise": 2.5, "per_day": 6.0, "per_day_before": 2.4, "uses": 120},
]


def picture(colour: tuple[int, int, int]) -> str:
    """A small JPEG as a data URL."""
    file = io.BytesIO()
    Image.new("RGB", (90, 120), colour).save(file, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def refusal(
    status: int, code: str, message: str, *, retry_after: int | None = None, request_id: str = "req-7f3a"
) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    error = {"code": code, "message": message, "request_id": request_id}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


@dataclass
class Posted:
    """What one request brought."""

    video_name: str
    video: bytes = field(repr=False)
    video_type: str
    description: str
    history: list[str]
    options: dict[str, Any]
    streamed: bool


def recorded(posted: Posted) -> dict[str, Any]:
    """The answer that is the same for every video."""
    most = posted.options.get("max_hashtags", 7)
    if platform := posted.options.get("platform"):
        most = min(most, platforms()[platform].max_count or most)
    kept = [item for item in HASHTAGS if item["score"] >= posted.options.get("min_score", 0)]
    kept = [
        {
            **item,
            "display": item["hashtag"],
            "known": item["source"] != "novel",
            "novel": item["source"] == "novel",
            "flagged": False,
            "why": GUIDANCE[:2],
        }
        for item in kept
    ][:most]
    answer = {
        "id": "req-0001",
        "hashtags": kept,
        "changes": CHANGES,
        "guidance": GUIDANCE,
        "frames": [{"seconds": 0.5 * index, "image": picture((40 * index, 90, 120))} for index in range(6)],
        "notices": [],
        "seconds": {"decode": 0.2, "encode": 0.4, "write": 0.5, "total": 1.1},
        "bundle": {"name": "compact", "fingerprint": "0123abcd"},
    }
    return checked(schemas.Recommended, answer)


def checked(schema: type[BaseModel], answer: dict[str, Any]) -> dict[str, Any]:
    """An answer, if it is one that the service could give."""
    return schema.model_validate(answer).model_dump(mode="json", exclude_none=True)


@dataclass
class Part:
    """One part of a form."""

    name: str
    file_name: str
    media_type: str
    content: bytes


def form_parts(content_type: str, body: bytes) -> list[Part]:
    """The parts of a multipart form, as browsers write it."""
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    parts = []
    for piece in body.split(boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = message_from_bytes(head)
        parts.append(
            Part(
                name=str(headers.get_param("name", header="content-disposition")),
                file_name=headers.get_filename() or "",
                media_type=headers.get_content_type(),
                content=content.removesuffix(b"\r\n"),
            )
        )
    return parts


@dataclass
class StandIn:
    """The service, in a thread of this process."""

    answer: Callable[[Posted], dict[str, Any]] = recorded
    key: str | None = None
    streams: bool = True
    step_seconds: float = 0.0
    breaks_off: int = 0
    refusals: list[Response] = field(default_factory=list)
    event_errors: list[dict[str, Any]] = field(default_factory=list)
    limits: dict[str, Any] = field(
        default_factory=lambda: {
            "max_upload_bytes": 20_000_000,
            "max_duration_seconds": 600,
            "formats": ["mp4", "mov", "webm", "gif"],
            "max_hashtags": 50,
            "max_beams": 10,
            "max_items": 16,
            "max_description_characters": 5000,
            "max_history": 3,
            "paths": False,
            "pool_changes": False,
        }
    )
    posted: list[Posted] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        app = Starlette(
            routes=[
                Route("/v1/recommend", self.recommend, methods=["POST"]),
                Route("/v1/platforms", self.platforms),
                Route("/v1/limits", self.told_limits),
                Route("/v1/pool/trends", self.trends),
                Route("/v1/pool", self.pool),
                Route("/{name:path}", self.static),
            ]
        )
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"] or "index.html"
        if "/" in name or not (PAGE / name).is_file():
            return refusal(404, "not_found", f"there is no {name}")
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(
            (PAGE / name).read_bytes(), media_type=TYPES[name.rpartition(".")[2]], headers=headers
        )

    def _locked(self, request: Request) -> Response | None:
        if self.key is None or request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return refusal(401, "key_missing", "this service needs a key: send it as a bearer token")

    async def platforms(self, request: Request) -> Response:
        presets = {
            name: {
                "max_count": preset.max_count,
                "max_length": preset.max_length,
                "max_total_length": preset.max_total_length,
                "recommended": list(preset.recommended),
            }
            for name, preset in platforms().items()
        }
        answer = schemas.Presets.model_validate({"platforms": presets})
        return self._locked(request) or JSONResponse(answer.model_dump())

    async def told_limits(self, request: Request) -> Response:
        return self._locked(request) or JSONResponse(checked(schemas.Limits, self.limits))

    async def pool(self, request: Request) -> Response:
        query = request.query_params
        if refused := self._locked(request):
            return refused
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
        if "meaning" in query:
            near = [{"hashtag": text, "similarity": 0.6 - index / 50} for index, text in enumerate(POOL)]
            shown = {"hashtags": near[offset : offset + limit], "total": len(near)}
            return JSONResponse(checked(schemas.PoolRows, shown))
        found = [text for text in POOL if text.startswith(query.get("prefix", ""))]
        rows = [{"hashtag": text, "uses": 10 * len(text)} for text in found[offset : offset + limit]]
        return JSONResponse(checked(schemas.PoolRows, {"hashtags": rows, "total": len(found)}))

    async def trends(self, request: Request) -> Response:
        return self._locked(request) or JSONResponse(checked(schemas.Trends, {"rising": RISING}))

    async def recommend(self, request: Request) -> Response:
        if refused := self._locked(request):
            return refused
        parts = form_parts(request.headers["content-type"], await request.body())
        video = next(part for part in parts if part.name == "video")
        texts = [(part.name, part.content.decode()) for part in parts if part is not video]
        posted = Posted(
            video_name=video.file_name,
            video=video.content,
            video_type=video.media_type,
            description=dict(texts).get("description", ""),
            history=[text for name, text in texts if name == "history"],
            options=json.loads(dict(texts).get("options", "{}")),
            streamed=request.query_params.get("stream") == "1",
        )
        self.posted.append(posted)
        if self.refusals:
            return self.refusals.pop(0)
        if not (posted.streamed and self.streams):
            await asyncio.sleep(self.step_seconds)
            return JSONResponse(self.answer(posted))
        return StreamingResponse(self.events(posted), media_type="text/event-stream")

    async def events(self, posted: Posted) -> AsyncIterator[str]:
        for stage in ("received", "queued", "decoding", "encoding", "writing"):
            for done in (0, 1):
                yield event("progress", {"stage": stage, "done": done})
                await asyncio.sleep(self.step_seconds)
            if stage == "encoding" and self.breaks_off:
                self.breaks_off -= 1
                return
            if stage == "decoding" and self.event_errors:
                yield event("error", {"error": self.event_errors.pop(0)})
                return
        yield ": a comment, as proxies are kept awake by\n\n"
        yield event("result", await asyncio.to_thread(self.answer, posted))


def event(name: str, value: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"
