"""All hashtags of a folder as one CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

HEADER = ("video", "hashtags", "scores")


def table_of(rows: Iterable[tuple[str, list[str], list[float]]]) -> bytes:
    """The file, in UTF-8.

    Args:
        rows: The video's path below the folder, its hashtags without number signs, their scores.

    Returns:
        A header and a line a video in the order of their names: hashtags with number signs and scores to
        three digits, each set apart by spaces.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for video, hashtags, scores in sorted(rows):
        writer.writerow(
            (video, " ".join(f"#{tag}" for tag in hashtags), " ".join(f"{score:.3f}" for score in scores))
        )
    return text.getvalue().encode("utf-8", "surrogateescape")
