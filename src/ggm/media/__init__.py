"""A video file becomes frames and sound (paper, section 4.2).

`ggm.media.probe` looks at a file, `decode_video` reads it in this process, and `DecodingWorker`
reads it in a process of its own, with limits of time and memory, for files from strangers. The
names load on first use, so that a program which only uses the worker never loads the decoders.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggm.media.decode import decode_video
    from ggm.media.guard import DecodingWorker
    from ggm.media.limits import MediaLimits
    from ggm.media.probe import MediaProbe
    from ggm.media.sample import sample_timestamps
    from ggm.media.workers import DecodingWorkers

__all__ = [
    "DecodingWorker",
    "DecodingWorkers",
    "MediaLimits",
    "MediaProbe",
    "decode_video",
    "sample_timestamps",
]

_OWNERS = {
    "DecodingWorker": "guard",
    "DecodingWorkers": "workers",
    "MediaLimits": "limits",
    "MediaProbe": "probe",
    "decode_video": "decode",
    "sample_timestamps": "sample",
}


def __getattr__(name: str) -> Any:
    if name not in _OWNERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OWNERS[name]}"), name)
