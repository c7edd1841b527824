"""A command's run, a browser, and the service whose page it opens.

The page is tested against a stand-in that knows no model. With GGM_PAGE_URL=ADDRESS the tests that need
nothing of it but the contract run against the service at that address.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from browsers import CHROMIUM, FLAGS
from commands import Run
from ggm.serving import cli


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `ggm` with arguments in this process, as its script does."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ggm", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, with a camera that shows a test picture."""
    if CHROMIUM is None:
        pytest.skip("the page isn't tested without Chromium; Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS.split(), "--use-fake-device-for-media-stream"],
            timeout=60_000,
        )
        yield browser
        browser.close()


@pytest.fixture
def stand_in() -> Iterator[Any]:
    """The service that does as a test says; such tests don't run against another one."""
    if os.environ.get("GGM_PAGE_URL"):
        pytest.skip("needs the stand-in, and GGM_PAGE_URL names another service")
    from page_service import StandIn

    with StandIn() as service:
        yield service


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Any:
    """The stand-in, or None where GGM_PAGE_URL names another service."""
    return None if os.environ.get("GGM_PAGE_URL") else request.getfixturevalue("stand_in")


@pytest.fixture
def address(service: Any) -> str:
    """Where the page is."""
    url: str = os.environ["GGM_PAGE_URL"] if service is None else service.url
    return url.rstrip("/") + "/"


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """A window that was never used before."""
    context = chromium.new_context(viewport={"width": 1180, "height": 860}, reduced_motion="reduce")
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(context: Any, address: str) -> Iterator[Any]:
    """The page, open. It asks for nothing from elsewhere, and its scripts don't fail."""
    page = context.new_page()
    asked: list[str] = []
    failures: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "console",
        lambda message: (
            failures.append(message.text)
            # Chromium itself reports each refusal of the service so.
            if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    page.goto(address)
    yield page
    assert failures == []
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
