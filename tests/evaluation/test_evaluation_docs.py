"""docs/evaluation.md speaks of what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from ggm.evaluation.bertscore import DEFAULT_MODEL, MAX_TOKENS
from ggm.evaluation.novel import MIN_OVERLAP
from ggm.evaluation.predict import RANKED
from ggm.evaluation.score import RECALL_AT, NovelScores, Scores
from ggm.serving.cli import app

TEXT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")


@pytest.mark.parametrize("field", [field.name for kind in (Scores, NovelScores) for field in fields(kind)])
def test_every_figure_is_defined(field: str) -> None:
    words = {"system", "num_posts", "top", "precision", "recall", "novel"}  # not by their names in code
    assert field in words or f"`{field}`" in TEXT


def test_numbers_are_those_of_the_code() -> None:
    assert f"`{DEFAULT_MODEL}`" in TEXT
    assert f"k = {', '.join(map(str, RECALL_AT))}" in TEXT
    assert f"Files hold {RANKED} hashtags" in TEXT
    assert f"cut after {MAX_TOKENS} tokens" in TEXT
    assert f"counts from {MIN_OVERLAP} on" in TEXT


def test_options_exist() -> None:
    """Those that the text names; whole commands are tested with every document's."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {
        option
        for name in ("score", "evaluate")
        for parameter in commands[name].params
        for option in parameter.opts
    }
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) <= known
