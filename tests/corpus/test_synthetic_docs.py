"""The document names every knob with its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.scenes import SceneSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "synthetic.md"


def shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_knob_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE))
    knobs = {f.name: shown(f.default) for f in fields(SyntheticConfig) if f.name != "scenes"}
    knobs |= {f"scenes.{f.name}": shown(f.default) for f in fields(SceneSettings)}
    assert {name: re.sub(r"(?<=\d),(?=\d{3})", "", value) for name, value in rows.items()} == knobs
