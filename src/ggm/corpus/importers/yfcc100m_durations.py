"""How long the videos of YFCC100M last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ggm.corpus.importers.reasons import RowError
from ggm.corpus.importers.text import open_text
from ggm.errors import DataError

_LINE: Final = re.compile(r"([0-9a-f]+)(?:\.mp4)?[\s,]+(\d+):(\d\d):(\d\d(?:\.\d*)?)\s*")


def read_durations(path: Path) -> dict[bytes, float]:
    """Seconds by key, of a file of lines "KEY.mp4 HH:MM:SS.ss"; other lines are passed over.

    Args:
        path: ``video_length.txt``, plain or compressed.

    Returns:
        About a hundred bytes a video.

    Raises:
        DataError: If it can't be read, breaks off, or has no such line.
    """
    seconds: dict[bytes, float] = {}
    try:
        with open_text(path, report=lambda _: None) as text:
            for line in text.lines():
                if match := _LINE.fullmatch(line):
                    key, hours, minutes, rest = match.groups()
                    seconds[key.encode()] = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    except RowError as error:
        raise DataError(f"{path}: {error}") from error
    if not seconds:
        raise DataError(f'{path}: no line "KEY.mp4 HH:MM:SS.ss"; video_length.txt is expected')
    return seconds
