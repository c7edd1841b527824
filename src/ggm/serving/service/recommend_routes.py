"""The routes that recommend: one video, with or without events of its progress, or several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ggm.descriptions import MAX_DESCRIPTION_CHARACTERS
from ggm.errors import ConfigError, HashtagError, MissingDependencyError
from ggm.history import History
from ggm.serving.service import schemas
from ggm.serving.service.answers import recommended
from ggm.serving.service.errors import Refusal, client_gone
from ggm.serving.service.guard import says_json
from ggm.serving.service.jobs import Answer, Job, Stage
from ggm.serving.service.state import Service
from ggm.serving.service.uploads import Form, UploadLimits, read_form
from ggm.serving.service.wishes import MOST_BEAMS, MOST_HASHTAGS, Wish, narrowed

try:
    from fastapi import FastAPI, Query, Request
    from fastapi.responses import StreamingResponse
    from pydantic import ValidationError
except ImportError as error:
    raise MissingDependencyError("the service needs fastapi: pip install 'ggm[serve]'") from error

FORMATS: Final = ("mp4", "mov", "m4v", "webm", "mkv", "avi", "gif", "3gp", "mpeg", "ts", "flv", "wmv", "ogv")
_ALIVE_SECONDS: Final = 10.0
_EVENTS: Final = "text/event-stream"

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["progress", "result", "error"]},
        "data": {"type": "string", "description": "JSON."},
    },
    "required": ["event", "data"],
}

_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "video": {"type": "string", "format": "binary"},
                        "path": {"type": "string", "description": "In place of a video, where allowed."},
                        "description": {"type": "string", "maxLength": MAX_DESCRIPTION_CHARACTERS},
                        "history": {
                            "type": "array",
                            "maxItems": schemas.MOST_HISTORY,
                            "items": {"type": "string", "maxLength": MAX_DESCRIPTION_CHARACTERS},
                            "description": "The hashtags of an earlier post; repeated, oldest first.",
                        },
                        "options": {"type": "string", "description": "JSON, see the schema Options."},
                    },
                },
                "example": {
                    "video": "(bytes of a file)",
                    "description": "first snow",
                    "options": '{"max_hashtags": 5, "platform": "instagram"}',
                },
            }
        },
    }
}
_BATCH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": schemas.Batch.model_json_schema(ref_template="#/components/schemas/{model}")
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "video": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "items": {"type": "string", "description": "JSON: a list with an item a video."},
                    },
                }
            },
        },
    }
}


def add_routes(app: FastAPI, errors: dict[int | str, dict[str, Any]]) -> None:
    """Add them.

    Args:
        app: To this.
        errors: How refusals are described.
    """
    with_events: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "Hashtags; or, if asked for, events: `progress`, then a `result` or an `error`.",
            "content": {_EVENTS: {"schema": _EVENT}},
        }
    }
    app.post(
        "/v1/recommend",
        response_model=schemas.Recommended,
        response_model_exclude_none=True,
        responses=errors | with_events,
        openapi_extra=_FORM,
        summary="Hashtags for one video",
    )(recommend)
    app.post(
        "/v1/recommend/batch",
        response_model=schemas.BatchAnswer,
        response_model_exclude_none=True,
        responses=errors,
        openapi_extra=_BATCH,
        summary="Hashtags for several videos",
    )(recommend_batch)
    app.get("/v1/limits", response_model=schemas.Limits, responses=errors, summary="What may be sent")(limits)


async def limits(request: Request) -> schemas.Limits:
    """What may be sent."""
    service: Service = request.app.state.service
    return schemas.Limits(
        max_upload_bytes=service.settings.max_upload_bytes,
        max_duration_seconds=service.settings.max_duration_seconds,
        formats=list(FORMATS),
        max_hashtags=MOST_HASHTAGS,
        max_beams=MOST_BEAMS,
        max_items=service.settings.max_items,
        max_description_characters=MAX_DESCRIPTION_CHARACTERS,
        max_history=schemas.MOST_HISTORY,
        paths=bool(service.settings.roots),
        pool_changes=service.living_pool is not None,
    )


async def recommend(
    request: Request,
    stream: bool = Query(False, description="Send events of the progress; also by the header Accept."),
    frames: bool = Query(False, description="Show what the model looked at."),
) -> Any:
    """Recommend hashtags for the video of a form."""
    service: Service = request.app.state.service
    service.access.count_recommendations(request.state.client)
    with ExitStack() as held:
        held.enter_context(service.queue.take())
        form = held.enter_context(await _form(request, service, max_videos=1))
        item, path = _one_item(form, service)
        work = _Work(service, request.state.request_id, item, path, frames)
        if stream or _wants_events(request.headers.get("accept", "")):
            return _Events(work, held.pop_all())
        return work.shown(await _awaited(request, work.submit()), request)


async def recommend_batch(request: Request) -> schemas.BatchAnswer:
    """Recommend for several videos, one answer each, in order; those that can't be used have an error."""
    service: Service = request.app.state.service
    own_id = request.state.request_id
    service.access.count_recommendations(request.state.client)
    with ExitStack() as held:
        is_json = says_json(request.headers.get("content-type", ""))
        paths: Sequence[Path | Refusal]
        # How many videos come is known at the end; until then the places are for what the body may weigh.
        with service.queue.take(1 if is_json else service.settings.max_batch_uploads):
            if is_json:
                items = _json_items(await request.body(), service)
                paths = [_path_of(item, service) for item in items]
            else:
                form = await _form(request, service, max_videos=service.settings.max_items)
                held.enter_context(form)
                items, paths = _form_items(form), form.videos
        if len(items) > 1:
            service.access.count_recommendations(request.state.client, len(items) - 1)
        held.enter_context(service.queue.take(len(items)))
        answers = await asyncio.gather(
            *(
                _item_answer(request, service, f"{own_id}-{number}", item, path)
                for number, (item, path) in enumerate(zip(items, paths, strict=True))
            )
        )
    if any(answer.error is not None and answer.error.code == client_gone().code for answer in answers):
        raise client_gone()  # for the log
    return schemas.BatchAnswer(id=own_id, items=answers)


@dataclass(frozen=True)
class _Work:
    """One video that was received."""

    service: Service
    id: str
    item: schemas.Item
    path: Path
    with_frames: bool

    def submit(self, tell: Any = lambda _: None) -> Job:
        """Let it wait for its turn.

        Raises:
            Refusal: 422 if the options can't be had, or the history isn't one.
        """
        job = Job(
            self.path,
            self.item.path or "the video",
            self.item.description,
            _wish(self.item.options, self.service),
            _history(self.item.history),
            with_frames=self.with_frames,
            on_stage=tell,
        )
        self.service.queue.submit(job)
        return job

    def shown(self, answer: Answer, request: Request) -> schemas.Recommended:
        """The answer, and what of it is logged."""
        fields = request.state.fields
        fields["videos"] = fields.get("videos", 0) + 1
        fields["batch"] = answer.batch
        fields["stages"] = {name: round(value, 4) for name, value in answer.seconds.items()}
        bundle = self.service.recommender.bundle
        return recommended(
            answer,
            answer_id=self.id,
            bundle=schemas.BundleName(name=bundle.name, fingerprint=bundle.pool.retriever_fingerprint[:16]),
        )


async def _item_answer(
    request: Request, service: Service, item_id: str, item: schemas.Item, path: Path | Refusal
) -> schemas.ItemAnswer:
    try:
        if isinstance(path, Refusal):
            raise path
        work = _Work(service, item_id, item, path, with_frames=False)
        answer = await _awaited(request, work.submit())
        return schemas.ItemAnswer(result=work.shown(answer, request))
    except Refusal as refusal:
        return schemas.ItemAnswer(error=schemas.ItemError(**refusal.event(item_id)["error"]))


async def _awaited(request: Request, job: Job) -> Answer:
    """The answer, unless the client goes before it comes."""
    answer = asyncio.wrap_future(job.answer)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(request))
    waited: set[asyncio.Future[Any]] = {answer, gone}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise client_gone()
        return answer.result()
    finally:
        gone.cancel()
        answer.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Events(StreamingResponse):
    """Events of one video's progress, then its result or an error."""

    def __init__(self, work: _Work, held: ExitStack) -> None:
        super().__init__(self._texts(), media_type=_EVENTS, headers={"X-Accel-Buffering": "no"})
        self._work = work
        self._held = held
        self._request: Request | None = None
        self._is_over = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send them; whatever happens, the video's place and file are given back."""
        self._request = Request(scope)
        try:
            await super().__call__(scope, receive, send)
            if not self._is_over:
                self._log_refusal(client_gone())
        finally:
            self._held.close()

    def _log_refusal(self, refusal: Refusal) -> None:
        """The status that was sent says 200, whatever came later."""
        assert self._request is not None
        self._request.state.code, self._request.state.status = refusal.code, refusal.status

    async def _texts(self) -> AsyncIterator[str]:
        assert self._request is not None
        loop, events = asyncio.get_running_loop(), asyncio.Queue[Stage | None]()

        def tell(stage: Stage | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(events.put_nowait, stage)

        yield _event("progress", {"stage": "received", "done": 1.0})
        job: Job | None = None
        try:
            job = self._work.submit(tell)
            job.answer.add_done_callback(lambda _: tell(None))
            before: Stage | None = None
            while True:
                try:
                    async with asyncio.timeout(_ALIVE_SECONDS):
                        stage = await events.get()
                except TimeoutError:
                    yield ": waiting\n\n"
                    continue
                if before is not None and before != stage:
                    yield _event("progress", {"stage": before, "done": 1.0})
                if stage is None:
                    break
                if stage != before:
                    yield _event("progress", {"stage": stage, "done": 0.0})
                before = stage
            result = self._work.shown(job.answer.result(), self._request)
            self._is_over = True
            yield _event("result", result.model_dump(mode="json", exclude_none=True))
        except Refusal as refusal:
            self._is_over = True
            self._log_refusal(refusal)
            yield _event("error", refusal.event(self._work.id))
        finally:
            if job is not None:
                job.cancel()


def _event(name: str, value: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


def _wants_events(accept: str) -> bool:
    return accept.partition(",")[0].partition(";")[0].strip().lower() == _EVENTS


async def _form(request: Request, service: Service, *, max_videos: int) -> Form:
    return await read_form(
        request.stream(),
        request.headers.get("content-type", ""),
        service.folder,
        UploadLimits(service.settings.max_upload_bytes, max_videos),
    )


def _one_item(form: Form, service: Service) -> tuple[schemas.Item, Path]:
    """What a form asks for, and the file."""
    given = {name: form.text(name) for name in ("path", "description", "options")}
    if unknown := sorted(set(form.texts) - {*given, "history"}):
        raise Refusal(422, "invalid_request", f"{unknown[0][:50]}: isn't known here")
    try:
        options = schemas.parse_options(given["options"])
    except ValueError as error:
        raise Refusal(422, "invalid_request", f"options: {error}") from None
    # Browsers send an empty file where none was chosen.
    video = next((path for path in form.videos if path.stat().st_size), None)
    path = given["path"] or None
    if form.videos and video is None and path is None:
        raise Refusal(422, "no_video", "the file in the part `video` is empty; send a whole video")
    if (video is None) == (path is None):
        raise Refusal(
            422,
            "no_video",
            "send one video in the part `video`" + (", or its `path`" if service.settings.roots else ""),
        )
    try:
        item = schemas.Item(
            path=path,
            description=given["description"] or "",
            history=form.texts.get("history", []),
            options=options,
        )
    except ValidationError as error:
        raise Refusal(422, "invalid_request", schemas.told([dict(one) for one in error.errors()])) from None
    if video is not None:
        return item, video
    found = _path_of(item, service)
    if isinstance(found, Refusal):
        raise found
    return item, found


def _json_items(body: bytes, service: Service) -> list[schemas.Item]:
    try:
        items = schemas.Batch.model_validate_json(body).items
    except ValidationError as error:
        raise Refusal(422, "invalid_request", schemas.told([dict(one) for one in error.errors()])) from None
    _check_number(items, service.settings.max_items)
    return items


def _form_items(form: Form) -> list[schemas.Item]:
    text = form.text("items")
    try:
        items = [schemas.Item()] * len(form.videos) if text is None else schemas.parse_items(text)
    except ValueError as error:
        raise Refusal(422, "invalid_request", f"items: {error}") from None
    if not items or len(items) != len(form.videos) or any(item.path is not None for item in items):
        raise Refusal(
            422,
            "invalid_request",
            f"items: one for each of the {len(form.videos)} videos is needed, without a path",
        )
    return items


def _check_number(items: list[schemas.Item], most: int) -> None:
    if len(items) > most:
        raise Refusal(422, "too_many_videos", f"at most {most} videos a request, got {len(items)}")


def _path_of(item: schemas.Item, service: Service) -> Path | Refusal:
    """The file below one of the allowed folders, links followed; or why not."""
    if item.path is None:
        return Refusal(422, "no_video", "an item needs a path")
    if not service.settings.roots:
        return Refusal(403, "paths_not_allowed", "this service takes no paths; send the video itself")
    for root in service.settings.roots:
        with suppress(OSError, ValueError):  # such as a NUL in it
            path = (root / item.path).resolve()
            if path.is_relative_to(root.resolve()) and path.is_file():
                return path
    return Refusal(404, "video_not_found", "there is no such file in the folders of this service")


def _history(texts: list[str]) -> History:
    try:
        return History.of(texts)
    except HashtagError as error:
        raise Refusal(422, "no_hashtag", str(error)) from None


def _wish(options: schemas.Options, service: Service) -> Wish:
    named: dict[str, Any] = {
        name: value
        for name in ("min_score", "platform", "novel")
        if name in options.model_fields_set and (value := getattr(options, name)) is not None
    }
    if twice := sorted(set(named) & set(options.policy)):
        raise Refusal(422, "invalid_request", f"options: {twice[0]} is given twice")
    try:
        policy = narrowed(service.settings.policy, {**options.policy, **named})
    except ConfigError as error:
        raise Refusal(422, "invalid_request", f"options: {error}") from None
    if options.fitting and service.recommender.bundle.scorer is None:
        raise Refusal(422, "invalid_request", "options: fitting: this model has no scorer; leave it out")
    return Wish(options.max_hashtags, policy, options.beams, options.fitting)
