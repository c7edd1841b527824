"""The document names every knob with its default, every source and what is left out."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.sources import LEFT_OUT, SOURCES
from ggm.corpus.words import WordsConfig

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "corpora.md").read_text("utf-8")


def shown(value: object) -> str:
    return "" if value == () else f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(("config", "heading"), [(ArtConfig, "## art"), (WordsConfig, "## words")])
def test_every_knob_is_documented_with_its_default(config: type, heading: str) -> None:
    section = DOCUMENT.partition(heading)[2].partition("\n## ")[0]
    rows = {
        name: value.strip()
        for name, value in re.findall(r"^\| `([a-z_]+)` \| ([^|]*)\| [A-Z]", section, re.MULTILINE)
    }
    assert rows == {field.name: shown(field.default) for field in fields(config)}


def test_every_source_is_documented_and_named() -> None:
    notice = " ".join((ROOT / "NOTICE").read_text("utf-8").split())
    for source in SOURCES:
        package = source.packages["pictures"]
        facts = (source.key, f"`{package.name}`", package.version, source.licence, source.attribution)
        assert f"| {' | '.join(facts)} |" in DOCUMENT
        if source.licence.startswith("CC-BY"):
            assert f"{source.title} ({source.attribution}, {source.licence})" in notice
    for one in LEFT_OUT:
        assert f"| {one.name} | {one.licence} | {one.reason} |" in DOCUMENT
