"""The files of the page: whole, by themselves, and fit for a strict policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ggm

PAGE = Path(ggm.__file__).parent / "serving" / "pages" / "recommend"
TEXTS = {path.name: path.read_text("utf-8") for path in sorted(PAGE.iterdir())}


def test_it_names_nothing_outside() -> None:
    assert set(TEXTS) >= {"index.html", "app.js", "style.css", "icon.svg"}
    for name, text in TEXTS.items():
        # An SVG's namespace is a name and not an address.
        assert (
            re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text.replace("http://www.w3.org/2000/svg", "")) == []
        ), name
        assert "@import" not in text, name


def test_it_needs_no_inline_scripts_and_styles() -> None:
    html = TEXTS["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html) == []
    for name, text in TEXTS.items():
        assert not re.search(r"\.innerHTML|\beval\(|new Function|document\.write|insertAdjacentHTML", text), (
            name
        )


def test_all_that_is_referred_to_is_there_and_used() -> None:
    html = TEXTS["index.html"]
    used = set(re.findall(r'(?:src|href)="([\w.-]+)"', html)) | {"index.html"}
    for name, text in TEXTS.items():
        if name.endswith(".js"):
            imported = re.findall(r'from "\./([\w.]+)"', text)
            used |= set(imported)
            for module, names in re.findall(r'import \{([^}]*)\} from "\./([\w.]+)"', text):
                exported = TEXTS[names]
                for one in module.split(","):
                    assert re.search(
                        rf"export (?:async )?(?:const|function|class) {re.escape(one.strip())}(?!\w)",
                        exported,
                    ), one
    assert used == set(TEXTS)
    identities = set(re.findall(r'\bid="([\w-]+)"', html))
    for name, text in TEXTS.items():
        asked = set(re.findall(r'\$\("([\w-]+)"\)', text))
        assert asked <= identities, (name, asked - identities)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js that checks the scripts' syntax")
@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".js")])
def test_scripts_are_understood(name: str, tmp_path: Path) -> None:
    copy = tmp_path / (name if name == "theme.js" else name.replace(".js", ".mjs"))
    copy.write_text(TEXTS[name], "utf-8")
    done = subprocess.run(["node", "--check", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
