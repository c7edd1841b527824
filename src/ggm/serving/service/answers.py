"""Answers as JSON, from what the library gives."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from ggm.records import Frames
from ggm.serving.service import schemas
from ggm.serving.service.jobs import Answer

_THUMBNAIL: Final = (160, 160)
_MOST_GUIDANCE: Final = 50


def recommended(
    answer: Answer,
    *,
    answer_id: str,
    bundle: schemas.BundleName,
) -> schemas.Recommended:
    """One video's answer.

    Args:
        answer: What came of it.
        answer_id: Names it.
        bundle: Which model it is of.
    """
    found = answer.recommendation
    return schemas.Recommended(
        id=answer_id,
        hashtags=_hashtags(answer),
        changes=[
            schemas.Change(
                hashtag=change.text,
                action=change.action,
                rule=change.rule,
                reason=change.matched,
                result=change.result,
            )
            for change in found.changes
        ],
        guidance=[
            schemas.Near(hashtag=hit.text, similarity=round(hit.similarity, 6))
            for hit in found.guidance.hits[:_MOST_GUIDANCE]
        ],
        frames=None if answer.frames is None else _thumbnails(answer.frames),
        notices=list(found.notices),
        seconds=_seconds(answer.seconds),
        bundle=bundle,
    )


def _hashtags(answer: Answer) -> list[schemas.Hashtag]:
    return [
        schemas.Hashtag(
            hashtag=item.text,
            display=item.display,
            score=round(item.score, 6),
            source=item.source,
            known=item.source in ("guidance", "vocabulary"),
            novel=item.source == "novel",
            flagged=item.flagged,
            why=[schemas.Near(hashtag=hit.text, similarity=round(hit.similarity, 6)) for hit in why],
        )
        for item, why in zip(answer.recommendation.hashtags, answer.why, strict=True)
    ]


def _seconds(seconds: dict[str, float]) -> dict[str, float]:
    """In the words of the page: to encode is to make features and find guidance."""
    stages = {
        "queue": seconds["queue"],
        "decode": seconds["decode"],
        "encode": seconds["features"] + seconds["retrieve"],
        "write": seconds["generate"],
    }
    stages["total"] = sum(stages.values())
    return {name: round(value, 4) for name, value in stages.items()}


def _thumbnails(frames: Frames) -> list[schemas.Frame]:
    return [
        schemas.Frame(seconds=round(float(moment), 3), image=_data_url(pixels))
        for moment, pixels in zip(frames.timestamps_seconds, frames.pixels, strict=True)
    ]


def _data_url(pixels: npt.NDArray[np.uint8]) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail(_THUMBNAIL)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
