"""The log: a JSON object a line, without anything that a user wrote."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final, TextIO

_LOGGERS: Final = ("ggm.serve", "uvicorn.error")


class JsonLines(logging.Formatter):
    """One line a record: time, level, event, and the record's ``fields``.

    Of an exception its kind and where it was raised are written, not its words: these may hold a
    description or the name of a file.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            kind, error, trace = record.exc_info
            line["error"] = type(error).__name__ if kind is None else kind.__name__
            line["where"] = [
                f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(trace)
            ]
        return json.dumps(line, ensure_ascii=True, default=str)


def log_to(stream: TextIO) -> None:
    """Let the service and its web server write to a stream, and to nothing else. For programs."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
