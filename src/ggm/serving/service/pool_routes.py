"""The routes of the pool: search it, see what trends, change it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ggm.errors import DataError, HashtagError, MissingDependencyError, PoolError
from ggm.hashtags import key
from ggm.pool.changing import ChangingPool
from ggm.pool.posts import learn, read_post_uses
from ggm.serving.service import schemas
from ggm.serving.service.errors import Refusal
from ggm.serving.service.state import Service

try:
    from fastapi import FastAPI, Query, Request
except ImportError as error:
    raise MissingDependencyError("the service needs fastapi: pip install 'ggm[serve]'") from error

if TYPE_CHECKING:
    from ggm.corpus.rows import BadRow

T = TypeVar("T")

_MOST_ROWS: Final = 1000
_MOST_TOLD: Final = 20
_COMPACTING: Final = "ggm-serve-compact"

_log = logging.getLogger("ggm.serve")


def add_routes(app: FastAPI, errors: dict[int | str, dict[str, Any]]) -> None:
    """Add them.

    Args:
        app: To this.
        errors: How refusals are described.
    """
    path = "/v1/pool"
    usual: dict[str, Any] = {"response_model_exclude_none": True, "responses": errors}
    changed = usual | {"response_model": schemas.PoolState}
    app.get(path, response_model=schemas.PoolRows, summary="Search the pool", **usual)(search)
    app.get(f"{path}/trends", response_model=schemas.Trends, summary="What is rising", **usual)(trends)
    app.post(path, summary="Add hashtags, give them other names, count uses", **changed)(change)
    app.delete(path, summary="Take hashtags out", **changed)(remove)


async def search(
    request: Request,
    prefix: str = Query("", max_length=200, description="How they begin; those that trend first."),
    meaning: str = Query("", max_length=1000, description="Words that they shall be close to."),
    limit: int = Query(20, ge=1, le=_MOST_ROWS),
    offset: int = Query(0, ge=0, le=10_000_000),
) -> schemas.PoolRows:
    """Find hashtags by how they begin or by meaning; with neither, list them."""
    service: Service = request.app.state.service
    if prefix.strip() and meaning.strip():
        raise Refusal(422, "invalid_request", "ask by prefix or by meaning, not by both")
    if meaning.strip():
        return await _in_thread(service, lambda: _by_meaning(service, meaning, limit, offset))
    return await _in_thread(service, lambda: _by_prefix(service, prefix.strip(), limit, offset))


async def trends(
    request: Request,
    limit: int = Query(20, ge=1, le=_MOST_ROWS),
    smoothing: float = Query(1.0, gt=0, le=1e9, allow_inf_nan=False, description="See docs/pool.md."),
) -> schemas.Trends:
    """Hashtags that are used more than usual."""
    service: Service = request.app.state.service
    pool: object = service.recommender.bundle.pool
    if not isinstance(pool, ChangingPool):
        return schemas.Trends(rising=[])
    found = await _in_thread(service, lambda: pool.rising(smoothing=smoothing, top_k=limit))
    return schemas.Trends(
        rising=[
            schemas.Rising(
                hashtag=item.text,
                rise=round(item.rise, 6),
                per_day=round(item.per_day, 6),
                per_day_before=round(item.per_day_before, 6),
                uses=item.uses.num_uses,
            )
            for item in found
        ]
    )


async def change(request: Request, wanted: schemas.PoolChange) -> schemas.PoolState:
    """Change the pool; when the answer comes it is on disk, and the next video sees it.

    The parts are done in order: what comes before one that fails stays done.
    """
    service: Service = request.app.state.service
    pool = _writable(service)
    others = sum(map(len, wanted.alias.values())) + len(wanted.alias)
    _check_number(service, len(wanted.add) + others + len(wanted.observe))
    if not (wanted.add or wanted.alias or wanted.observe):
        raise Refusal(422, "invalid_request", "nothing is asked for: give add, alias or observe")
    state = await _in_thread(service, lambda: _change(pool, wanted))
    _count(service, pool, add=len(wanted.add), alias=others, observe=len(wanted.observe))
    return state


async def remove(request: Request, wanted: schemas.PoolRemoval) -> schemas.PoolState:
    """Take hashtags out, with their other names; posts that use them don't bring them back."""
    service: Service = request.app.state.service
    pool = _writable(service)
    _check_number(service, len(wanted.hashtags))
    state = await _in_thread(service, lambda: _remove(pool, wanted.hashtags))
    _count(service, pool, remove=len(wanted.hashtags))
    return state


def _change(pool: ChangingPool, wanted: schemas.PoolChange) -> schemas.PoolState:
    for text in (*wanted.add, *wanted.alias, *(text for texts in wanted.alias.values() for text in texts)):
        key(text)  # all of it is hashtags, before anything is done
    before = len(pool)
    if wanted.add:
        pool.add(wanted.add)
    for hashtag, others in wanted.alias.items():
        pool.alias(hashtag, *others)
    observed = _observe(pool, wanted) if wanted.observe else None
    return schemas.PoolState(
        hashtags=len(pool), added=max(0, len(pool) - before), removed=0, observed=observed
    )


def _observe(pool: ChangingPool, wanted: schemas.PoolChange) -> schemas.Learned:
    skipped: list[str] = []

    def warn(row: BadRow) -> None:
        skipped.append(f"post {row.number}: {row.problem.value}")

    lines = "\n".join(json.dumps(post.model_dump(exclude_none=True)) for post in wanted.observe)
    posts = read_post_uses(io.BytesIO(lines.encode()), "observe", now=time.time, on_bad_row=warn)
    learned = learn(pool, posts, min_sources=wanted.min_sources)
    return schemas.Learned(
        posts=learned.posts, uses=learned.uses, added=list(learned.added), skipped=skipped[:_MOST_TOLD]
    )


def _remove(pool: ChangingPool, hashtags: list[str]) -> schemas.PoolState:
    missing = [text for text in hashtags if key(text) and text not in pool]
    if missing:
        raise Refusal(404, "not_in_pool", f"not in the pool: {', '.join(missing[:10])}; nothing was removed")
    before = len(pool)
    pool.remove(hashtags)
    return schemas.PoolState(hashtags=len(pool), added=0, removed=max(0, before - len(pool)))


def _by_prefix(service: Service, prefix: str, limit: int, offset: int) -> schemas.PoolRows:
    pool = service.recommender.bundle.pool
    living = pool if isinstance(pool, ChangingPool) else None
    start = key(prefix) if prefix else ""
    found: Sequence[str]
    if start and living is not None:
        found = living.starting_with(prefix, max(1, len(living)))
    else:
        found = sorted((text for text in pool.hashtags if key(text).startswith(start)), key=key)
    rows = [
        schemas.PoolRow(hashtag=text, uses=None if living is None else living.uses(text).num_uses)
        for text in found[offset : offset + limit]
    ]
    return schemas.PoolRows(hashtags=rows, total=len(found))


def _by_meaning(service: Service, meaning: str, limit: int, offset: int) -> schemas.PoolRows:
    bundle = service.recommender.bundle
    if not len(bundle.pool):
        return schemas.PoolRows(hashtags=[], total=0)
    query = bundle.embed_descriptions([meaning])[0]
    hits = bundle.pool.search(query, min(len(bundle.pool), offset + limit))[offset:]
    rows = [schemas.PoolRow(hashtag=hit.text, similarity=round(hit.similarity, 6)) for hit in hits]
    return schemas.PoolRows(hashtags=rows, total=len(bundle.pool))


def _writable(service: Service) -> ChangingPool:
    pool = service.living_pool
    if pool is None:
        raise Refusal(
            409, "pool_not_living", "the pool can't be changed here; start the service with --pool FOLDER"
        )
    return pool


def _check_number(service: Service, count: int) -> None:
    most = service.settings.max_pool_changes
    if count > most:
        raise Refusal(
            422, "too_many_changes", f"at most {most:,} hashtags and posts a request, got {count:,}"
        )


async def _in_thread(service: Service, work: Callable[[], T]) -> T:
    """Work that waits for the disk or for the pool, a few at once."""
    async with service.pool_threads:
        try:
            return await asyncio.to_thread(_up_to_date, service, work)
        except HashtagError as error:
            raise Refusal(422, "no_hashtag", str(error)) from None
        except DataError:
            raise Refusal(422, "invalid_request", "observe: the posts can't be read") from None
        except PoolError as error:
            where = str(getattr(service.recommender.bundle.pool, "where", "the pool"))
            raise Refusal(409, "pool_refused", str(error).replace(where, "the pool")) from None


def _up_to_date(service: Service, work: Callable[[], T]) -> T:
    """Work on what the pool is now, whoever changed it."""
    pool: object = service.recommender.bundle.pool
    if isinstance(pool, ChangingPool):
        pool.refresh()
    return work()


def _count(service: Service, pool: ChangingPool, **changes: int) -> None:
    for kind, count in changes.items():
        if count:
            service.metrics.pool_changes.labels(kind).inc(count)
    service.metrics.pool_hashtags.set(len(pool))
    if pool.info().journal_bytes > service.settings.compact_bytes and not any(
        thread.name == _COMPACTING for thread in threading.enumerate()
    ):
        threading.Thread(target=_compact, args=(pool,), name=_COMPACTING, daemon=True).start()


def _compact(pool: ChangingPool) -> None:
    """While the service goes on. What fails leaves the journal as it was, to be tried again."""
    try:
        pool.compact()
    except PoolError as error:
        _log.warning("compacting failed", extra={"fields": {"error": type(error).__name__}})
