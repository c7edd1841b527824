from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ggm.corpus.art.looks import Look, choose_look, compose, picture_tone, to_ink
from ggm.corpus.art.renderer import Renderer
from ggm.corpus.art.svg import MAX_SVG_BYTES, check_svg, draw_svg
from ggm.errors import DataError
from ggm.media.probe import probe

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="20" height="20"/></svg>'


def request(folder: Path, **values: Any) -> dict[str, Any]:
    clips = {"x": str(folder / "videos" / "x.mp4")}
    return {"svg": SQUARE, "png": None, "coloured": False, "seed": 0, "clips": clips, **values}


def test_one_that_kills_its_process_harms_no_other(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    requests = [("killer", {}), ("good", request(tmp_path)), ("bad", request(tmp_path, svg="<svg"))]
    requests.append(("absent", request(tmp_path, svg=None, png=str(tmp_path / "x.png"))))
    with Renderer(1) as renderer:
        answers = dict(renderer.render(requests))
    assert answers["killer"] == {"error": "the renderer died of it, with exit status 1"}
    assert len(bytes.fromhex(answers["good"]["hash"])) == 64
    assert "can't be drawn" in answers["bad"]["error"]
    assert answers["absent"] == {"error": "its picture: can't be read: No such file or directory"}
    facts = probe(tmp_path / "videos" / "x.mp4")
    assert facts.duration_seconds == pytest.approx(2)


def test_one_that_takes_too_long_is_ended() -> None:
    code = (
        "import time; from ggm.corpus.art import render_worker as worker; worker.MAX_SECONDS = 0.05\n"
        "with worker._time_limit(): time.sleep(30)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGALRM


@pytest.mark.parametrize(
    "text",
    [
        SQUARE.replace("<rect", '<image href="data:image/png;base64,AA"/><rect'),
        SQUARE.replace("<rect", "<use xlink:href='file:///etc/passwd'/><rect"),
        SQUARE.replace("<rect", '<rect fill="url(http://a/b#c)"/><rect'),
        SQUARE.replace("<rect", "<style>@import 'a.css';</style><rect"),
        SQUARE.replace("<rect", "<script>1</script><rect"),
        "<!DOCTYPE svg>" + SQUARE,
        SQUARE + " " * MAX_SVG_BYTES,
    ],
)
def test_drawings_that_ask_for_more_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        check_svg(text)


def test_drawings_may_refer_to_themselves() -> None:
    check_svg(SQUARE.replace("<rect", '<use xlink:href="#a"/><rect fill="url(#g)"/><rect'))


def test_a_drawing_is_cropped_to_what_is_seen() -> None:
    pytest.importorskip("resvg_py")
    picture = draw_svg(SQUARE)
    assert picture.mode == "RGBA"
    assert abs(picture.width - 320 * 20 / 24) <= 2


def test_white_is_no_ink() -> None:
    picture = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    picture.putpixel((0, 0), (0, 0, 0, 200))
    assert np.asarray(to_ink(picture))[0].tolist() == [[0, 0, 0, 200], [0, 0, 0, 0]]


@pytest.mark.parametrize("tone", [None, 0.0, 0.3, 0.5, 0.8, 1.0])
def test_pictures_stand_out_from_their_background(tone: float | None) -> None:
    looks = [choose_look(f"clip{number}", seed=0, tone=tone) for number in range(60)]
    for look in looks:
        brightness = tone if look.ink is None else tone_of(look.ink)
        assert brightness is not None
        for colour in (look.top, look.bottom):
            assert abs(brightness - tone_of(colour)) >= (0.25 if look.ink is None else 0.4)
        assert 0 < look.margin < 0.3
    assert len({look.top for look in looks}) > 20
    assert (looks[0].ink is None) == (tone is not None)
    assert looks[0] == choose_look("clip0", seed=0, tone=tone)


def tone_of(colour: tuple[int, int, int]) -> float:
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def test_a_picture_in_its_look() -> None:
    ink = Image.new("RGBA", (40, 40), (0, 0, 0, 255))
    canvas = compose(ink, Look((200, 0, 0), (255, 255, 255), (0, 0, 255), 0.25, 0.0))
    assert canvas.size == (320, 320)
    assert canvas.getpixel((160, 160)) == (200, 0, 0)
    assert canvas.getpixel((0, 0)) == (255, 255, 255)
    assert canvas.getpixel((0, 319)) == (0, 0, 255)
    assert picture_tone(Image.new("RGBA", (4, 4), (255, 255, 255, 255))) == pytest.approx(1)
    assert picture_tone(Image.new("RGBA", (4, 4), (0, 0, 0, 0))) == 0.5
    tilted = compose(ink, Look((200, 0, 0), (255, 255, 255), (255, 255, 255), 0.25, 14.0))
    assert tilted.getpixel((80, 80)) == (255, 255, 255)
