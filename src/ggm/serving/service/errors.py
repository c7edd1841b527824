"""The one shape of every refusal: ``{"error": {"code", "message", "request_id"}}``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ggm.errors import MediaError, MediaFormatError, MediaLimitError, MediaNotFoundError, MediaTimeoutError

CODES_OF_STATUS: Final = {
    400: "bad_json",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}


class Refusal(Exception):  # noqa: N818 - not every refusal is an error of somebody
    """A request that isn't answered as was wished.

    Args:
        status: HTTP status, 4xx, or 503 for what passes.
        code: For programs, such as ``queue_full``.
        message: For people: what, why, what to do. Goes to the client, not to the log.
        retry_after: Seconds after which it may be tried again.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        self.extra_headers = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer."""
        wait = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return self.extra_headers | wait

    def body(self, request_id: str) -> dict[str, Any]:
        """The answer as JSON."""
        return {"error": {"code": self.code, "message": self.message, "request_id": request_id}}

    def event(self, request_id: str) -> dict[str, Any]:
        """The same among server-sent events, where no status or header can say the rest."""
        wait = {} if self.retry_after is None else {"retry_after": self.retry_after}
        return {"error": self.body(request_id)["error"] | {"status": self.status} | wait}


def client_gone() -> Refusal:
    """Nobody reads this; the log does."""
    return Refusal(408, "client_gone", "the connection was closed before the answer came")


def internal_error() -> Refusal:
    """A bug of ours; the log has its place, under the request's id."""
    return Refusal(500, "internal_error", "something went wrong in the service; its log says where")


def media_refusal(error: MediaError, path: str, name: str) -> Refusal:
    """Why a video can't be used, without the path that it has here.

    Args:
        error: What decoding raised.
        path: Of the file, as decoding was given it.
        name: What the client calls it.
    """
    message = str(error).replace(path, name)
    if isinstance(error, MediaNotFoundError):
        return Refusal(404, "video_not_found", message)
    if isinstance(error, MediaFormatError):
        return Refusal(422, "not_a_video", message)
    if isinstance(error, MediaLimitError):
        return Refusal(413, "video_over_limit", message)
    if isinstance(error, MediaTimeoutError):
        return Refusal(422, "decoding_gave_up", message)
    return Refusal(503, "decoding_unavailable", "videos can't be decoded just now; try again", retry_after=5)
