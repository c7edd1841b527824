"""The report's page in a real browser, on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browsers import CHROMIUM, FLAGS
from ggm.reproduce.report import report_of, write_report
from reproduction import HALF, RIGHT, WRONG, dataset, predicted, reproduction

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="the report's page isn't tested without Chromium; Debian: apt-get install chromium",
    ),
]


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "light"), (1200, "dark")]
)
def test_the_page_fits_and_asks_for_nothing(tmp_path: Path, width: int, scheme: Any) -> None:
    from playwright.sync_api import sync_playwright

    done = reproduction(data=dataset("<script>document.title = 'taken'</script>"), GGM=[RIGHT, ("snowman",)])
    done.predictions["VG-BART"] = {0: predicted("VG-BART", HALF, WRONG)}
    done.predictions["ViT"] = {0: predicted("ViT", RIGHT)}
    write_report(report_of(done), tmp_path)
    told: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        try:
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: told.append(message.text))
            page.on("request", lambda request: told.append(request.url))
            page.goto((tmp_path / "report.html").as_uri())
            assert told == [(tmp_path / "report.html").as_uri()]
            assert page.title() == "The paper's systems on folder"
            assert page.evaluate("document.documentElement.scrollWidth") == width
            ink, paper = page.evaluate(
                "[getComputedStyle(document.querySelector('svg text')).fill,"
                " getComputedStyle(document.body).backgroundColor]"
            )
            brightness = [sum(map(int, colour[4:-1].split(","))) for colour in (ink, paper)]
            assert (brightness[0] > 500, brightness[1] > 500) == (scheme == "dark", scheme == "light")
        finally:
            browser.close()
