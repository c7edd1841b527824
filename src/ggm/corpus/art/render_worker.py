"""The rendering process: `python -m ggm.corpus.art.render_worker`, started by `ggm.corpus.art.renderer`.

It reads requests as JSON lines, each a picture and the clips to make of it, and answers each with a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image

from ggm.corpus import render
from ggm.corpus.art.looks import FRAMES_PER_SECOND, NUM_FRAMES, choose_look, compose, picture_tone, to_ink
from ggm.corpus.art.svg import draw_svg, load_resvg
from ggm.corpus.series import difference_hash
from ggm.errors import DataError

try:
    import resource
except ImportError:  # not on Windows, where nothing limits this process
    resource = None  # type: ignore[assignment]

MAX_SECONDS: Final = 30.0
"""For one picture; the system ends a process that takes longer."""

MAX_ADDRESS_BYTES: Final = 4 * 1024**3

_BROKEN_RENDERER: Final = "PanicException"  # of a Rust library; no Exception, by its maker's choice


def main() -> None:
    """Answers requests until the owner hangs up."""
    # An interrupt in a terminal reaches the whole group; the owner decides what happens to us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints is no answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    load_resvg()
    _limit_memory()
    for line in sys.stdin:
        with _time_limit():
            answer = _answer(json.loads(line))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _limit_memory() -> None:
    if resource is not None:
        # Some systems know a limit but refuse to set it (address space on macOS).
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_BYTES, MAX_ADDRESS_BYTES))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def _time_limit() -> Any:
    """Ends this process if a picture takes too long; the system does it, even in foreign code."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(request: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {"hash": render_item(request)}
    except DataError as error:
        # Where the picture was unpacked says nothing, and differs from run to run.
        return {"error": str(error).replace(str(request.get("png")), "its picture")}
    except MemoryError:
        return {"error": "a picture that needs too much memory"}
    except BaseException as error:
        if type(error).__name__ != _BROKEN_RENDERER:
            raise
        return {"error": f"a drawing that the renderer gives up: {error}"}


def render_item(request: Mapping[str, Any]) -> str:
    """Makes the clips of one picture.

    Args:
        request: ``svg`` or ``png`` (a path), ``coloured``, ``seed``, and ``clips``: path of each by its id.

    Returns:
        The picture's `difference_hash`, in hexadecimal.

    Raises:
        DataError: If the picture can't be used.
    """
    picture = draw_svg(request["svg"]) if request.get("svg") else render.load_picture(Path(request["png"]))
    tone = picture_tone(picture) if request["coloured"] else None
    if tone is None:
        picture = render.crop_picture(to_ink(picture), "a drawing")
    for clip_id, path in request["clips"].items():
        _write_clip(picture, clip_id, Path(path), seed=request["seed"], tone=tone)
    return difference_hash(render.flatten(picture)).tobytes().hex()


def _write_clip(picture: Image.Image, clip_id: str, path: Path, *, seed: int, tone: float | None) -> None:
    canvas = compose(picture, choose_look(clip_id, seed=seed, tone=tone))
    path.parent.mkdir(parents=True, exist_ok=True)
    motion = render.choose_motion(clip_id, seed=seed)
    frames = render.move_camera(canvas, motion, num_frames=NUM_FRAMES)
    render.write_video(frames, path, frames_per_second=FRAMES_PER_SECOND)


if __name__ == "__main__":
    main()
