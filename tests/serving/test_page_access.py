"""Whoever can't see, can't use a mouse, has a small screen or likes it dark uses the page as well."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import ggm
from page_service import Posted, StandIn, recorded, refusal

COFFEE = Path(ggm.__file__).parents[2] / "examples" / "coffee.mp4"

pytestmark = pytest.mark.browser

# The contrast of each text with what lies behind it, by WCAG 2; colours that let others through are blended.
CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = element.matches('input, select, textarea') ? element.value || element.placeholder
      : [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
    const style = getComputedStyle(element);
    if (!text || !element.checkVisibility({visibilityProperty: true}) || style.clipPath !== 'none'
        || element.closest('[aria-disabled=true], .unseen, svg')) continue;
    const behind = ground(element);
    const ink = over(rgba(style.color), behind);
    const [high, low] = [light(ink), light(behind)].sort((a, b) => b - a);
    found.push([text.slice(0, 30), (high + 0.05) / (low + 0.05)]);
  }
  return found;
}"""


def to_start(page: Any, service: StandIn | None) -> None:
    expect(page.locator("#empty")).to_be_visible()


def to_working(page: Any, service: StandIn | None) -> None:
    if service is None:
        pytest.skip("needs the stand-in, which takes its time")
    service.step_seconds = 2
    page.set_input_files("#file", COFFEE)
    page.fill("#description", "First cup #day")
    page.click("#submit")
    expect(page.locator("#steps [data-stage=decoding]")).to_have_attribute(
        "aria-current", "step", timeout=30_000
    )


def to_failed(page: Any, service: StandIn | None) -> None:
    if service is None:
        pytest.skip("needs the stand-in, which refuses")
    service.refusals = [refusal(429, "busy", "Others are first.", retry_after=99)]
    page.set_input_files("#file", COFFEE)
    page.click("#submit")
    expect(page.locator("#failed")).to_be_visible()


def to_result(page: Any, service: StandIn | None) -> None:
    if service is not None:
        service.step_seconds, service.answer = 0, flagged
    page.set_input_files("#file", COFFEE)
    page.fill("#description", "First cup #day")
    page.click("#submit")
    expect(page.locator("#result")).to_be_visible(timeout=60_000)
    page.fill("#add-text", "a" * 60)
    page.press("#add-text", "Enter")
    page.select_option("#platform", "threads")
    for summary in page.locator("summary:visible").all():
        summary.click()
    for why in page.locator(".why-button").all():
        why.click()
    expect(page.locator("#count-hashtags")).to_have_class("limit numbers over")


def flagged(posted: Posted) -> dict[str, Any]:
    """An answer with all that can be in one."""
    answer = recorded(posted)
    answer["hashtags"][-1]["flagged"] = True
    return {**answer, "notices": ["2 packets were damaged and skipped"]}


def to_pool(page: Any, service: StandIn | None) -> None:
    page.click("nav >> text=Explore")
    page.fill("#pool-text", "s")
    expect(page.locator("#pool-status")).to_contain_text("found")
    expect(page.locator("#trends-status")).not_to_have_text("Looking …")


def to_key(page: Any, service: StandIn | None) -> None:
    page.click("#key-open")
    expect(page.locator("#key-dialog")).to_be_visible()


Reach = Callable[[Any, StandIn | None], None]
STATES: list[Reach] = [to_start, to_working, to_failed, to_result, to_pool, to_key]


@pytest.mark.parametrize("reach", STATES)
def test_it_can_be_read_and_named(page: Any, service: StandIn | None, reach: Reach) -> None:
    reach(page, service)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 5
        assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == [], scheme
    assert unnamed(page) == []
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    ) == page.evaluate("document.querySelectorAll('[id]').length")
    # No heading stands two levels below the one before it.
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter(e => e.checkVisibility())"
        ".map(e => +e.tagName[1])"
    )
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))
    small = page.evaluate("""[...document.querySelectorAll('button, summary, select, a:not(.skip), .button')]
      .filter(e => e.checkVisibility()).map(e => [e.textContent, e.getBoundingClientRect()])
      .filter(([, box]) => box.width < 24 || box.height < 24).map(([text]) => text)""")
    assert small == []


@pytest.mark.skipif("GGM_AXE" not in os.environ, reason="GGM_AXE doesn't name axe.min.js of npm's axe-core")
@pytest.mark.parametrize("reach", STATES)
def test_axe_finds_nothing(page: Any, service: StandIn | None, reach: Reach) -> None:
    reach(page, service)
    page.evaluate(Path(os.environ["GGM_AXE"]).read_text("utf-8") + "; 0")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate("axe.run(document)")["violations"]
        assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in found] == [], scheme


def unnamed(page: Any) -> list[Any]:
    """What can be operated or looked at without a name, by the browser's own accessibility tree."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    roles = {
        "button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton",
        "progressbar", "image", "Video", "DisclosureTriangle", "dialog", "group", "navigation", "region",
        "form",
    }  # fmt: skip
    seen = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(seen) > 3
    inner = {"group", "image"}  # parts of the browser's own video controls and of details have none
    return [
        node for node in seen if not node.get("name", {}).get("value") and node["role"]["value"] not in inner
    ]


def test_landmarks_and_what_is_read_out(page: Any, service: StandIn | None) -> None:
    for role, name in (
        ("banner", None), ("main", None), ("contentinfo", None), ("navigation", "Views"),
        ("form", "Your video"), ("region", "Suggestions"),
    ):  # fmt: skip
        assert page.get_by_role(role, **({"name": name} if name else {})).count() == 1, role
    assert page.locator("html").get_attribute("lang") == "en"
    for name in ("Description", "Where it will be posted"):
        assert page.get_by_label(name, exact=True).count() == 1
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#status")).to_have_text("coffee.mp4 is ready")
    page.click("#submit")
    expect(page.locator("#status")).to_have_text(re.compile(r"\d+ hashtags? suggested"), timeout=60_000)
    box = page.get_by_role("checkbox", name=re.compile(r"^#\w+ (< )?\d+ % sure, \w+"))
    assert box.first.is_checked()
    page.click("nav >> text=Explore")
    assert page.get_by_role("search").count() == 1
    assert page.title() == "Hashtag pool · ggm"
    assert page.get_by_role("link", name="Explore").get_attribute("aria-current") == "page"


def test_the_focus_is_always_seen(page: Any, service: StandIn | None) -> None:
    to_result(page, service)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.locator(".brand").focus()
    passed = 0
    while True:
        page.keyboard.press("Tab")
        here, outlined = page.evaluate("""() => {
          const here = document.activeElement;
          const seen = (e) => {
            const {outlineStyle, outlineWidth} = getComputedStyle(e ?? document.body);
            return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
          };
          // Within a video the browser's own controls have the focus, and show it.
          const isInner = here.matches('video:not(:focus-visible)');
          return [here === document.body ? 'BODY' : here.id || here.textContent || here.tagName,
                  isInner || seen(here) || seen(here.nextElementSibling)];
        }""")
        if here == "BODY" or passed > 80:
            break
        assert outlined, here
        passed += 1
    assert passed > 25


@pytest.mark.parametrize("reach", STATES)
def test_it_fits_a_phone(page: Any, address: str, service: StandIn | None, reach: Reach) -> None:
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 740})
        page.goto("about:blank")
        page.goto(address)
        reach(page, service)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        out = page.evaluate("""width => [...document.querySelectorAll('body *')]
          .filter(e => e.checkVisibility() && !e.closest('.unseen, .skip, video'))
          .filter(e => e.getBoundingClientRect().right > width + 0.5)
          .map(e => e.outerHTML.slice(0, 80))""", width)  # fmt: skip
        assert out == []


def test_colours_follow_the_system_or_the_switch(page: Any, service: StandIn | None) -> None:
    def brightness() -> int:
        colour = str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        return sum(map(int, colour[4:-1].split(",")))

    page.emulate_media(color_scheme="dark")
    assert brightness() < 100
    page.emulate_media(color_scheme="light")
    assert brightness() > 650
    page.get_by_role("radio", name="Dark").check()
    assert brightness() < 100
    page.reload()
    assert brightness() < 100
    assert page.get_by_role("radio", name="Dark").is_checked()
    page.get_by_role("radio", name="Auto").check()
    assert brightness() > 650
    assert page.evaluate("localStorage.length") == 0


def test_nothing_moves_for_who_asks_for_it(page: Any, service: StandIn | None) -> None:
    to_working(page, service)
    running = "document.getAnimations().filter(a => a.playState === 'running').length"
    assert page.evaluate(running) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(running) > 0
