"""What people do on the page, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

import ggm
from ggm.hashtags import parse_caption
from ggm.media.probe import probe
from page_service import RISING, StandIn, refusal

EXAMPLES = Path(ggm.__file__).parents[2] / "examples"
COFFEE = EXAMPLES / "coffee.mp4"

pytestmark = pytest.mark.browser


def suggest(page: Any, *, description: str = "First cup of the day", platform: str = "") -> None:
    """Fill in the form and send it."""
    page.set_input_files("#file", COFFEE)
    page.fill("#description", description)
    if platform:
        page.select_option("#platform", platform)
    page.click("#submit")


def hashtags(page: Any) -> list[str]:
    return list(page.locator("#hashtags .hashtag").all_inner_texts())


def ticked(page: Any) -> list[str]:
    return list(page.locator("#hashtags li:has(input:checked) .hashtag").all_inner_texts())


def clipboard(page: Any) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_a_video_becomes_hashtags_to_copy(context: Any, page: Any) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#video-facts")).to_contain_text("0:06")
    page.locator("#description").press_sequentially("First cup of the day #morning")
    expect(page.locator("#description-count")).to_have_text("29 characters")
    expect(page.locator("#typed li")).to_have_text(["#morning"])
    page.click("#submit")
    expect(page.locator("#result")).to_be_visible(timeout=60_000)

    shown = hashtags(page)
    assert shown
    assert ticked(page) == shown
    for score in page.locator("#hashtags .score").all_inner_texts():
        assert "%" in score
    assert page.locator("#frames img").count() > 1
    assert page.evaluate("[...document.querySelectorAll('#frames img')].every(i => i.naturalWidth > 0)")

    page.locator("#hashtags input").first.uncheck()
    expect(page.locator("#outcome")).to_have_text(" ".join(shown[1:]) or "Nothing is ticked yet.")
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert clipboard(page) == " ".join(shown[1:])
    page.click("#copy-caption")
    expect(page.locator("#copy-caption")).to_have_text("Copied")
    added = [hashtag for hashtag in shown[1:] if hashtag != "#morning"]  # it is in the description already
    assert clipboard(page) == " ".join(["First cup of the day #morning", *added])


def test_what_is_sent(page: Any, stand_in: StandIn) -> None:
    page.click("text=Options")
    page.fill("#max-hashtags", "4")
    page.select_option("#novel", "forbid")
    page.locator("#min-score").fill("15")
    page.click("text=My own hashtags")
    page.fill("#history", "#oldest\n#TabbyCat, tabbycat  ＃barista 123\n456\n\nlatteart\n#barista")
    suggest(page, description="  First cup #day ", platform="instagram")
    expect(page.locator("#result")).to_be_visible()
    (posted,) = stand_in.posted
    assert posted.video == COFFEE.read_bytes()
    assert (posted.video_name, posted.video_type) == ("coffee.mp4", "video/mp4")
    assert posted.description == "First cup #day"
    assert posted.history == ["#TabbyCat #barista", "#latteart", "#barista"], "the last three posts"
    assert posted.options == {
        "max_hashtags": 4,
        "min_score": 0.15,
        "platform": "instagram",
        "novel": "forbid",
    }
    assert hashtags(page) == ["#beverage", "#cup", "#coffee", "#food"]


def test_nothing_but_the_video_is_sent_unless_it_is_set(page: Any, stand_in: StandIn) -> None:
    suggest(page, description="")
    expect(page.locator("#result")).to_be_visible()
    (posted,) = stand_in.posted
    assert (posted.description, posted.history, posted.options) == ("", [], {})


def test_each_stage_is_shown(page: Any, stand_in: StandIn) -> None:
    stand_in.step_seconds = 0.1
    page.evaluate("""() => {
      window.stages = []; window.values = [];
      new MutationObserver(() => {
        const now = document.querySelector('#steps [aria-current=step]')?.dataset.stage;
        if (now && window.stages.at(-1) !== now) window.stages.push(now);
        window.values.push(document.getElementById('progress').value);
      }).observe(document.getElementById('working'), {subtree: true, attributes: true});
    }""")
    suggest(page)
    expect(page.locator("#working")).to_be_visible()
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("window.stages") == ["uploading", "queued", "decoding", "encoding", "writing"]
    values = page.evaluate("window.values")
    assert values == sorted(values)
    assert max(values) > 0.8


def test_a_service_without_events_is_used_as_well(page: Any, stand_in: StandIn) -> None:
    stand_in.streams = False
    suggest(page)
    expect(page.locator("#result")).to_be_visible()
    assert len(stand_in.posted) == 1
    assert len(hashtags(page)) == 7


@pytest.mark.parametrize("way", ["broken off", "refused"])
def test_a_stream_that_fails_is_followed_by_a_plain_request(page: Any, stand_in: StandIn, way: str) -> None:
    if way == "broken off":
        stand_in.breaks_off = 1
    else:
        stand_in.refusals = [refusal(406, "not_acceptable", "no events here")]
    suggest(page)
    expect(page.locator("#result")).to_be_visible()
    assert [posted.streamed for posted in stand_in.posted] == [True, False]


def test_it_can_be_cancelled(page: Any, stand_in: StandIn) -> None:
    stand_in.step_seconds = 1.0
    suggest(page)
    page.click("#cancel")
    expect(page.locator("#empty")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "submit"
    stand_in.step_seconds = 0
    page.click("#submit")
    expect(page.locator("#result")).to_be_visible()


def test_by_keyboard_alone(context: Any, page: Any) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.on("filechooser", lambda _: None)  # from here on, since the browser takes a while to be told
    keys = page.keyboard

    def tab_to(identity: str) -> None:
        for _ in range(40):
            keys.press("Tab")
            if page.evaluate("document.activeElement.id") == identity:
                return
        raise AssertionError(f"{identity} isn't reached by Tab")

    keys.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    tab_to("file")
    with page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files(COFFEE)
    expect(page.locator("#video-chosen")).to_be_visible()
    tab_to("description")
    keys.type("First cup of the day")
    tab_to("platform")
    keys.press("Control+Enter")
    expect(page.locator("#result")).to_be_visible(timeout=60_000)
    page.locator("#result-title").focus()
    tab_to("pick-0")
    shown = hashtags(page)
    keys.press("Space")
    assert ticked(page) == shown[1:]
    keys.press("Tab")
    keys.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    expect(page.locator("#why-0")).to_be_visible()
    keys.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "pick-1"
    keys.press("ArrowUp")
    keys.press("Space")
    keys.press("c")
    expect(page.locator("#status")).to_have_text(f"Copied: {' '.join(shown)}")
    assert clipboard(page) == " ".join(shown)


def test_the_focus_follows_what_happens(page: Any, stand_in: StandIn) -> None:
    page.click("#submit")
    expect(page.locator("#video-problem")).to_contain_text("Add a video first")
    assert page.evaluate("document.activeElement.id") == "file"
    suggest(page)
    expect(page.locator("#result")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "result-title"

    # Somebody who types on while it works is left alone.
    stand_in.step_seconds = 0.05
    page.click("#submit")
    page.focus("#description")
    expect(page.locator("#result")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "description"


def test_where_each_hashtag_comes_from(page: Any, stand_in: StandIn) -> None:
    suggest(page)
    expect(page.locator("#result")).to_be_visible()
    assert page.locator("#hashtags .source").all_inner_texts() == [
        *["Guidance"] * 3, *["Known"] * 2, "Guidance", "New"
    ]  # fmt: skip
    chip = page.locator("#hashtags li").last
    assert chip.locator(".score").inner_text().startswith("< 1 %")
    colours = page.evaluate(
        "[...document.querySelectorAll('#hashtags .source')].map(s => getComputedStyle(s).color)"
    )
    assert len(set(colours)) == 3
    why = chip.get_by_role("button", name="Why #MorningCupOfCoffee")
    why.click()
    expect(chip.locator(".why")).to_contain_text("the model coined it")
    expect(chip.locator(".near")).to_have_text("#coffee (0.43), #beverage (0.41)")
    why.click()
    expect(chip.locator(".why")).to_be_hidden()
    page.get_by_role("button", name="Why #coffee").click()
    expect(page.locator("#hashtags li").nth(2).locator(".why")).to_contain_text(
        re.compile(r"Number 1 of 4 in .*, 0\.43 similar.*Closest to it there: #beverage \(0\.41\)")
    )

    expect(page.locator("#changes-title")).to_have_text("What the rules changed (2)")
    page.click("#changes-title")
    assert page.locator("#changes li").all_inner_texts() == [
        "Merged\n#drink into #drinks: it says the same as a better one",
        "Removed\n#BigSale2025: it is on the list of blocked ones (*sale*)",
    ]
    page.click("#guidance-part summary")
    expect(page.locator("#guidance li").first).to_contain_text("#coffee")
    expect(page.locator("#facts")).to_have_text("Model compact · 1.1 seconds · request req-0001")


def test_limits_of_platforms_are_counted_live(page: Any, stand_in: StandIn) -> None:
    suggest(page)
    expect(page.locator("#count-hashtags")).to_have_text("7 hashtags")
    page.select_option("#platform", "x")
    expect(page.locator("#platform-note")).to_have_text(
        "2 hashtags recommended, 280 characters with the text"
    )
    expect(page.locator("#count-hashtags")).to_have_text("7 of 2 recommended hashtags, 5 too many")
    expect(page.locator("#status")).to_have_text("7 of 2 recommended hashtags, 5 too many")
    page.click("#tick-none")
    expect(page.locator("#count-hashtags")).to_have_text("0 of 2 recommended hashtags")
    expect(page.locator("#copy")).to_have_attribute("aria-disabled", "true")
    page.locator("#pick-0").check()
    # "First cup of the day #beverage"
    expect(page.locator("#count-characters")).to_have_text("30 of 280 characters")
    page.fill("#description", "First cup of the day #Beverage #coffee")
    expect(page.locator("#count-hashtags")).to_have_text("2 of 2 recommended hashtags")
    expect(page.locator("#count-characters")).to_have_text("38 of 280 characters")
    page.fill("#description", "a" * 275)
    expect(page.locator("#count-characters")).to_have_text("285 of 280 characters, 5 too many")

    # What a platform takes is ticked from the start, no more.
    page.fill("#description", "#one")
    page.click("#submit")
    expect(page.locator("#result")).to_be_visible()
    assert ticked(page) == ["#beverage"]

    page.fill("#add-text", "w" * 60)
    page.click("#add-button")
    page.select_option("#platform", "threads")
    expect(page.locator("#hashtags li").last.locator(".too-long")).to_be_visible()
    page.select_option("#platform", "")
    expect(page.locator("#hashtags li").last.locator(".too-long")).to_be_hidden()


def test_own_hashtags_are_added(page: Any, stand_in: StandIn) -> None:
    suggest(page)
    expect(page.locator("#result")).to_be_visible()
    page.fill("#add-text", "#Cold Brew!")
    page.press("#add-text", "Enter")
    assert hashtags(page)[-1] == "#ColdBrew"
    page.fill("#add-text", "CUP")
    page.press("#add-text", "Enter")
    assert len(hashtags(page)) == 8
    page.fill("#add-text", "123")
    page.press("#add-text", "Enter")
    assert len(hashtags(page)) == 8
    expect(page.locator("#add-text")).to_have_value("123")
    page.click("#submit")  # they stay for the next suggestions
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#hashtags .hashtag").last).to_have_text("#ColdBrew")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(page: Any, stand_in: StandIn, status: int) -> None:
    stand_in.refusals = [refusal(status, "busy", "Others are first: wait a little.", retry_after=2)]
    suggest(page)
    expect(page.locator("#failed-title")).to_have_text("Busy right now")
    expect(page.locator("#failed-message")).to_have_text("Others are first: wait a little.")
    expect(page.locator("#countdown-text")).to_have_text("Trying again in 2 s")
    expect(page.locator("#countdown-text")).to_have_text("Trying again in 1 s")
    expect(page.locator("#result")).to_be_visible()
    assert len(stand_in.posted) == 2


def test_a_countdown_is_cut_short_or_given_up(page: Any, stand_in: StandIn) -> None:
    busy = [refusal(429, "rate_limited", "Too many at once.", retry_after=500) for _ in range(2)]
    stand_in.refusals = busy[:1]
    suggest(page)
    page.click("text=Try now")
    expect(page.locator("#result")).to_be_visible()
    stand_in.refusals = busy[1:]
    page.click("#submit")
    page.click("text=Stop trying")
    expect(page.locator("#result")).to_be_visible()
    assert len(stand_in.posted) == 3


def test_errors_say_what_to_do_and_which_request(page: Any, stand_in: StandIn) -> None:
    stand_in.refusals = [
        refusal(422, "not_a_video", "the video: no video in it; send mp4, webm or mov.", request_id="r-42")
    ]
    suggest(page)
    expect(page.get_by_role("alert").filter(has_text="no video in it")).to_be_visible()
    expect(page.locator("#failed-title")).to_have_text("The service can't use this")
    expect(page.locator("#failed-id")).to_contain_text("r-42")
    page.click("#retry")
    expect(page.locator("#result")).to_be_visible()

    stand_in.event_errors = [
        {"code": "not_a_video", "message": "The file breaks off.", "request_id": "r-43", "status": 422}
    ]
    page.click("#submit")
    expect(page.locator("#failed-message")).to_have_text("The file breaks off.")
    expect(page.locator("#failed-id-text")).to_have_text("r-43")
    expect(page.locator("#failed-title")).to_have_text("The service can't use this")


def test_a_service_that_is_gone(page: Any) -> None:
    page.route("**/v1/recommend*", lambda route: route.abort())
    suggest(page)
    expect(page.locator("#failed-message")).to_contain_text("The service doesn't answer")
    page.unroute("**/v1/recommend*")
    page.click("#retry")
    expect(page.locator("#result")).to_be_visible()


def test_a_page_of_a_proxy_is_no_answer(page: Any) -> None:
    page.route(
        "**/v1/recommend*", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>" + "x" * 99)
    )
    suggest(page)
    expect(page.locator("#failed-message")).to_have_text("The service refused with status 502.")
    expect(page.locator("#failed-id")).to_be_hidden()


def test_a_key_is_asked_for_and_kept_in_the_tab(page: Any, stand_in: StandIn) -> None:
    stand_in.key = "let-me-in"
    page.reload()
    expect(page.locator("#service")).to_contain_text("asks for a key")
    suggest(page)
    expect(page.locator("#failed-title")).to_have_text("A key is needed")
    page.click("#failed-key")
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.type("let-me-in")
    page.keyboard.press("Enter")
    expect(page.locator("#key-open")).to_have_text("Key set")
    expect(page.locator("#platform option")).to_have_count(12)
    page.click("#retry")
    expect(page.locator("#result")).to_be_visible()
    assert page.evaluate("[sessionStorage['ggm.key'], localStorage.length]") == ["let-me-in", 0]
    page.click("#key-open")
    page.click("#key-forget")
    assert page.evaluate("sessionStorage.length") == 0


def test_own_hashtags_are_remembered_on_request_only(page: Any) -> None:
    page.click("text=My own hashtags")
    page.fill("#history", "#barista #latteart")
    expect(page.locator("#history-count")).to_have_text("2")
    assert page.evaluate("localStorage.length") == 0
    page.check("#history-keep")
    assert page.evaluate("localStorage['ggm.history']") == "#barista #latteart"
    page.reload()
    expect(page.locator("#history-count")).to_have_text("2")
    page.click("text=My own hashtags")
    page.uncheck("#history-keep")
    assert page.evaluate("localStorage.length") == 0


def test_what_cannot_be_sent_is_told_before(page: Any, stand_in: StandIn, tmp_path: Path) -> None:
    expect(page.locator("#video-hint")).to_have_text(
        "or take one from this device: mp4, mov, webm, gif, up to 20.0 MB, at most 10 minutes"
    )
    (tmp_path / "notes.txt").write_text("no film")
    page.set_input_files("#file", tmp_path / "notes.txt")
    expect(page.locator("#video-problem")).to_contain_text("notes.txt doesn't look like a video")
    (tmp_path / "broken.mkv").write_bytes(b"no film")
    page.set_input_files("#file", tmp_path / "broken.mkv")
    expect(page.locator("#unplayable")).to_be_visible()
    stand_in.limits |= {"max_upload_bytes": 100_000, "max_duration_seconds": 5}
    page.reload()
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#video-problem")).to_contain_text("the service takes up to 100 KB")
    stand_in.limits |= {"max_upload_bytes": 1_000_000}
    page.reload()
    page.set_input_files("#file", COFFEE)
    expect(page.locator("#video-problem")).to_contain_text("the service takes at most 5 seconds")
    page.click("#submit")
    assert stand_in.posted == []
    page.click("#video-remove")
    expect(page.locator("#video-empty")).to_be_visible()
    expect(page.locator("#video-problem")).to_be_hidden()


def test_a_video_is_dropped(page: Any) -> None:
    page.evaluate("""() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(['film'], 'dropped.mp4', {type: 'video/mp4'}));
      for (const name of ['dragenter', 'dragover', 'drop'])
        document.getElementById('drop').dispatchEvent(
          new DragEvent(name, {bubbles: true, cancelable: true, dataTransfer: transfer}));
    }""")
    expect(page.locator("#video-name")).to_have_text("dropped.mp4")


def test_a_video_is_recorded(context: Any, page: Any, stand_in: StandIn, tmp_path: Path) -> None:
    context.grant_permissions(["camera", "microphone"])
    page.click("#record")
    expect(page.locator("#video-recording")).to_be_visible()
    expect(page.locator("#record-limit")).to_have_text("of at most 10:00")
    expect(page.locator("#record-time")).to_have_text("0:02")
    page.click("#record-stop")
    expect(page.locator("#video-name")).to_contain_text("recording.")
    page.click("#submit")
    expect(page.locator("#result")).to_be_visible()
    (posted,) = stand_in.posted
    film = tmp_path / posted.video_name
    film.write_bytes(posted.video)
    assert probe(film).has_sound
    page.click("#video-remove")
    page.click("#record")
    page.click("#record-cancel")
    expect(page.locator("#video-empty")).to_be_visible()


def test_a_camera_that_is_not_allowed(page: Any) -> None:
    for error, told in (
        ("NotAllowedError", "The camera isn't allowed here."),
        ("NotFoundError", "There is no camera"),
        ("NotReadableError", "in use by another program"),
    ):
        page.evaluate(
            "name => { navigator.mediaDevices.getUserMedia ="
            " async () => { throw new DOMException('', name); } }",
            error,
        )
        page.click("#record")
        expect(page.locator("#video-problem")).to_contain_text(told)
        expect(page.locator("#video-empty")).to_be_visible()
    page.evaluate("delete MediaRecorder; window.MediaRecorder = undefined")
    page.click("#record")
    expect(page.locator("#video-problem")).to_contain_text("This browser can't record video")


def test_the_pool_is_searched_and_used(page: Any, stand_in: StandIn) -> None:
    page.click("nav >> text=Explore")
    expect(page.locator("#trends .hashtag")).to_have_text([f"#{row['hashtag']}" for row in RISING])
    expect(page.locator("#trends li").first).to_contain_text("× 5.3 · 13 a day")
    page.fill("#pool-text", "#snow")
    expect(page.locator("#pool-results .hashtag")).to_have_text(
        ["#snow", "#snowman", "#snowflake", "#snowboard"]
    )
    expect(page.locator("#pool-status")).to_have_text("4 hashtags found")
    page.get_by_role("button", name="Use #snowman").first.click()
    page.get_by_label("Means", exact=True).check()
    expect(page.locator("#pool-results li").first).to_contain_text("similarity 0.60")
    expect(page.locator("#pool-status")).to_have_text("The 20 closest of 24 hashtags")
    page.click("#pool-more")
    expect(page.locator("#pool-status")).to_have_text("The 24 closest of 24 hashtags")
    expect(page.locator("#pool-results li")).to_have_count(24)
    expect(page.locator("#pool-more")).to_be_hidden()
    page.fill("#pool-text", "nothing like it")
    page.get_by_label("Begins with").check()
    expect(page.locator("#pool-status")).to_have_text("Nothing in the pool begins with “nothing like it”.")
    page.click("nav >> text=Recommend")
    assert ticked(page) == ["#snowman"]
    for part in ("frames-part", "changes-part", "guidance-part", "nothing"):
        expect(page.locator(f"#{part}")).to_be_hidden()
    page.go_back()
    expect(page.locator("#view-pool")).to_be_visible()


def test_hashtags_are_recognised_as_by_the_library(page: Any) -> None:
    captions = [
        "So cold! #winter #ColdWeather", "#a#b", "C# and a#b", "#1 #2nd #3", "see https://x.org/#part #real",
        "&#39; #it's", "#new-york #new--york #-x- #_y_", "今日は#猫 です ＃犬", "#Café #cafe\u0301 #CAFÉ",
        "#\ufe0fheart ##double", "no hashtag at all", "", "#snow. #snow, (#Snow)", "#" + "x" * 101,
        "/#path _#x",
    ]  # fmt: skip
    found = page.evaluate(
        "async captions => { const {typedHashtags} = await import('./hashtags.js');"
        " return captions.map(typedHashtags); }",
        captions,
    )
    assert found == [list(parse_caption(caption).hashtags) for caption in captions]


def test_events_are_read_from_any_pieces(page: Any) -> None:
    text = ": hello\r\n\r\nevent: progress\r\ndata: {}\r\n\r\n"
    text += "data: 1\ndata: 2\n\nid: 7\n\nevent: result\ndata:3\n\n"
    expected = [["progress", "{}"], ["message", "1\n2"], ["result", "3"]]
    for step in (1, 2, 3, 7, 1000):
        pieces = [text[start : start + step] for start in range(0, len(text), step)]
        read = page.evaluate(
            "async pieces => { const {eventReader} = await import('./events.js'); const read = [];"
            " const take = eventReader((...event) => read.push(event)); pieces.forEach(take); return read; }",
            pieces,
        )
        assert read == expected, step


def test_what_the_service_says_is_text_and_never_markup(page: Any, stand_in: StandIn) -> None:
    evil = "<img src=x onerror=alert(1)>"
    hit = {"hashtag": evil, "similarity": 0.1}
    stand_in.answer = lambda posted: {
        "hashtags": [{"hashtag": evil, "display": evil, "score": 0.5, "source": evil, "why": [hit]}],
        "changes": [{"hashtag": evil, "action": evil, "rule": evil, "reason": evil}],
        "guidance": [hit],
        "notices": [evil],
        "seconds": {"total": 1},
        "bundle": {"name": evil},
        "id": evil,
    }
    suggest(page)
    expect(page.locator("#notices li")).to_have_text(evil)
    assert page.locator("#result img").count() == 0
