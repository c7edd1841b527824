"""The rating page in a real browser, driven by the keyboard alone.

With GGM_SCREENSHOTS=FOLDER the picture of the documentation is written there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ggm
from browsers import CHROMIUM, FLAGS
from ggm.evaluation.human.ratings import Rating, read_ratings
from ggm.evaluation.human.study import Item, Study, open_study, write_study
from videos import write_video

ROOT = Path(ggm.__file__).parents[1]
EXAMPLES = ROOT.parent / "examples"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="the rating page isn't tested without Chromium; Debian: apt-get install chromium",
    ),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A page of a browser that was never used before."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS.split(),
            viewport={"width": 1180, "height": 760},
        )
        try:
            page = context.pages[0]
            page.set_default_timeout(20_000)
            yield page
        finally:
            context.close()


class Server:
    """`ggm human rate` in a process of its own."""

    def __init__(self, study: Path) -> None:
        command = [sys.executable, "-m", "ggm", "human", "rate", str(study), "--rater", "ann"]
        self._process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        found = re.search(r"http://\S+", self._process.stdout.readline())
        assert found is not None
        self.url = found.group()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    servers: list[Server] = []

    def start(study: Path) -> Server:
        servers.append(Server(study))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two real films of three seconds, with two hashtags each."""
    folder = tmp_path / "study"
    folder.mkdir()
    videos = [write_video(folder / f"{number}.mp4", seconds=3, size=(160, 120)) for number in range(2)]
    items = [
        Item(f"{video.stem}{tag}", f"tag{tag}{video.stem}", "A film <b>&</b> more", video)
        for video in videos
        for tag in ("one", "two")
    ]
    write_study(folder, items, raters=1)
    return open_study(folder)


def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.02)


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def place(page: Any) -> str:
    return str(page.locator("#place").inner_text())


def at(page: Any, number: int) -> None:
    until(lambda: place(page).startswith(f"Hashtag {number} of 4"))


def chosen(page: Any) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('.scale input:checked')].map(i => i.value)"))


def seconds_shown(page: Any) -> float:
    return float(page.evaluate("document.getElementById('video').currentTime"))


def test_a_study_is_rated_by_keyboard_over_a_crash(
    page: Any, serve: Callable[[Path], Server], study: Study
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    server, order = serve(study.folder), study.order("ann")
    ratings = study.folder / "ratings" / "ann.jsonl"
    page.goto(server.url)
    at(page, 1)

    # The film plays, and can be sought in.
    if page.evaluate("document.getElementById('video').paused"):
        press(page, "Space")
    until(lambda: seconds_shown(page) > 0.2)
    assert page.evaluate("document.getElementById('video').videoWidth") == 160
    page.evaluate("document.getElementById('video').currentTime = 2.5")
    until(lambda: not page.evaluate("document.getElementById('video').seeking"))
    press(page, "Space")
    assert page.evaluate("document.getElementById('video').paused")

    # Two digits and Enter, then a digit alone, which isn't enough, then the other one.
    assert page.locator("h1:visible").inner_text() == f"#{order[0].hashtag}"
    assert page.locator("#description").inner_text() == "A film <b>&</b> more"
    press(page, "4 2 Enter")
    at(page, 2)
    assert read_ratings(ratings, study) == {order[0].id: Rating(order[0].id, 4, 2)}
    assert chosen(page) == []
    press(page, "5 Enter")
    until(lambda: "Choose 1 to 5 for relevancy" in page.locator("#problem").inner_text())
    press(page, "1 Enter")
    at(page, 3)

    # Back, correct the second scale alone, and forward.
    press(page, "b")
    at(page, 2)
    assert place(page).endswith("rated")
    assert chosen(page) == ["5", "1"]
    press(page, "ArrowDown 3 Enter")
    at(page, 3)
    assert read_ratings(ratings, study)[order[1].id] == Rating(order[1].id, 5, 3)
    press(page, "s")
    at(page, 4)
    assert page.locator("#count").inner_text() == "3 of 4 done"
    assert complaints == []

    # The program dies; what is chosen isn't lost silently.
    server.kill()
    press(page, "1 1 Enter")
    until(lambda: "Not saved: the rating program doesn't answer" in page.locator("#problem").inner_text())
    assert chosen(page) == ["1", "1"]

    # It is started again, and goes on where it was.
    again = serve(study.folder)
    page.goto(again.url)
    at(page, 4)
    assert page.locator("#count").inner_text() == "3 of 4 done"
    press(page, "2 5 Enter")
    until(page.locator("#done").is_visible)
    assert page.locator("#summary").inner_text() == "3 rated, 1 marked as “can't judge”."
    assert read_ratings(ratings, study) == {
        order[0].id: Rating(order[0].id, 4, 2),
        order[1].id: Rating(order[1].id, 5, 3),
        order[2].id: Rating(order[2].id, None, None),
        order[3].id: Rating(order[3].id, 2, 5),
    }
    press(page, "b")
    at(page, 4)
    assert all(url.startswith((server.url, again.url)) or url == "data:," for url in asked)


def test_screen_readers_and_keys_of_the_browser_itself(
    page: Any, serve: Callable[[Path], Server], study: Study
) -> None:
    page.goto(serve(study.folder).url)
    at(page, 1)
    assert page.get_by_role("progressbar", name="Items done").count() == 1
    assert page.evaluate("document.activeElement.id") == "hashtag"  # so that it is read out
    for name in ("Understandability", "Relevancy"):
        group = page.get_by_role("group", name=name)
        assert group.get_by_role("radio").count() == 5
        assert group.get_by_role("radio", name="5, fully").count() == 1
    for name in ("Back", "Can't judge", "Save and next"):
        assert page.get_by_role("button", name=name).count() == 1
    press(page, "4")
    assert page.get_by_role("status").inner_text() == "understandability 4"

    # Without the page's own keys, those of the browser do it all.
    page.get_by_role("checkbox", name="Shortcuts").focus()
    press(page, "Space")
    page.locator("#hashtag").focus()
    press(page, "1 5 b s")
    assert chosen(page) == ["4"]
    press(page, "Tab ArrowRight Tab Space")  # the checked button of the first scale, then the other
    assert chosen(page) == ["5", "1"]
    press(page, "Enter")
    at(page, 2)
    kept = read_ratings(study.folder / "ratings" / "ann.jsonl", study)
    assert list(kept.values()) == [Rating(study.order("ann")[0].id, 5, 1)]


def test_a_video_that_cannot_be_played_is_told(
    page: Any, serve: Callable[[Path], Server], study: Study
) -> None:
    study.order("ann")[0].video.write_bytes(b"no film")
    page.goto(serve(study.folder).url)
    at(page, 1)
    until(page.locator("#unplayable").is_visible)


def test_it_looks_as_documented(page: Any, serve: Callable[[Path], Server], tmp_path: Path) -> None:
    """In light and dark, and on a narrow window nothing stands out to the right."""
    folder = tmp_path / "study"
    folder.mkdir()
    item = Item("1", "morningespresso", "Monday, slowly", EXAMPLES / "coffee.mp4")
    write_study(folder, [item], raters=1)
    page.emulate_media(reduced_motion="reduce")
    page.goto(serve(folder).url)
    until(lambda: page.evaluate("document.getElementById('video').readyState") >= 2)
    assert page.evaluate("document.getElementById('video').paused")  # as people who ask for it like it
    press(page, "5")
    brightness = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=tmp_path / f"{scheme}.png")
        with Image.open(tmp_path / f"{scheme}.png") as picture:
            brightness[scheme] = sum(picture.convert("L").getpixel((x, 740)) for x in range(900, 1000)) / 100
    assert brightness["light"] > 220
    assert brightness["dark"] < 50
    if target := os.environ.get("GGM_SCREENSHOTS"):
        with Image.open(tmp_path / "light.png") as picture:
            small = picture.convert("RGB").quantize(128)
            small.save(Path(target) / "human-evaluation.png", optimize=True)
    page.set_viewport_size({"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
