"""Makes the pictures of the page in docs: what the compact model really says of the example videos.

    python tests/page_pictures.py docs

Needs Chromium. `ggm serve` runs with the compact model; hashtags that the model writes differ only with
its versions. Inter is used where it is installed (Debian: fonts-inter).
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from services import ServiceProcess

EXAMPLES = Path(__file__).parents[1] / "examples"
POLICY = 'block = ["*alcohol*", "*drug*"]'


@dataclass(frozen=True)
class Shot:
    """One picture: who looks at what, and how."""

    name: str
    video: str
    description: str
    platform: str
    most: int
    scheme: Any
    size: tuple[int, int]
    scale: float = 1


SHOTS = (
    Shot("light", "coffee", "First cup of the day #morning", "instagram", 5, "light", (1280, 1060)),
    Shot("dark", "cat", "She has been staring at me like this all morning", "", 9, "dark", (1280, 1060)),
    Shot("phone", "coffee", "First cup of the day #morning", "instagram", 5, "light", (360, 760), 2),
)


def take(page: Page, shot: Shot) -> bytes:
    """Use the page as a person does, and take its picture."""
    page.set_input_files("#file", EXAMPLES / f"{shot.video}.mp4")
    page.fill("#description", shot.description)
    page.select_option("#platform", shot.platform)
    page.click("text=Options")
    page.fill("#max-hashtags", str(shot.most))
    page.click("text=Options")
    page.click("#submit")
    page.wait_for_selector("#result:not([hidden])")
    page.locator(".why-button").nth(2).click()
    if page.locator("#changes-part").is_visible():
        page.click("#changes-title")
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    is_phone = shot.size[0] < 600
    page.evaluate("document.getElementById('answer').scrollIntoView()" if is_phone else "scrollTo(0, 0)")
    page.wait_for_timeout(500)
    return page.screenshot()


def reduced(picture: Image.Image) -> Image.Image:
    """In 256 colours: the page's own, which are the most used ones, exactly, the rest for photographs.

    Half of the rest is by use, half by how far colours are spread, for the few pixels of the icon.
    """
    pixels = np.asarray(picture)
    colours, places, counts = np.unique(
        pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    used = colours[np.argsort(-counts)[:96]]
    spread = np.unique(colours // 16, axis=0) * 16 + 8
    medians = [
        np.reshape(image.quantize(80).getpalette(), (-1, 3))
        for image in (picture, Image.fromarray(spread.astype(np.uint8)[None]))
    ]
    palette = np.concatenate([used, *medians])
    nearest = [
        np.argmin(((part[:, None].astype(int) - palette) ** 2).sum(-1), axis=1)
        for part in np.array_split(colours, 1 + len(colours) // 4096)
    ]
    small = Image.fromarray(np.concatenate(nearest)[places].reshape(pixels.shape[:2]).astype(np.uint8), "P")
    small.putpalette(palette.ravel().tolist())
    return small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as own:
        policy = Path(own) / "policy.toml"
        policy.write_text(POLICY, "utf-8")
        with (
            ServiceProcess("compact", Path(own) / "log", "--policy", str(policy)) as service,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            for shot in SHOTS:
                width, height = shot.size
                page = browser.new_page(
                    viewport={"width": width, "height": height},
                    color_scheme=shot.scheme,
                    device_scale_factor=shot.scale,
                    reduced_motion="reduce",
                )
                page.goto(service.url)
                with Image.open(io.BytesIO(take(page, shot))) as picture:
                    reduced(picture.convert("RGB")).save(folder / f"page-{shot.name}.png", optimize=True)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
