"""`ggm reproduce` from its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ggm.errors import ConfigError, DataError
from ggm.serving.cli import app
from ggm.serving.reproduce_cli import RECIPES, _recipe_for
from ggm.training.recipes import load_recipe
from reproduction import HALF, RIGHT, SILENT, reproduction


def test_a_profile_has_a_recipe_that_ships() -> None:
    for profile, name in RECIPES.items():
        assert load_recipe(name).profile == profile
    assert _recipe_for(None, None) == RECIPES["compact"]
    assert _recipe_for("base", None) == RECIPES["base"]
    assert _recipe_for(None, Path("mine.toml")) == Path("mine.toml")


def test_a_profile_without_recipe_or_with_two_is_refused() -> None:
    with pytest.raises(ConfigError, match="no recipe ships for profile 'tiny'"):
        _recipe_for("tiny", None)
    with pytest.raises(ConfigError, match="either --profile or --recipe"):
        _recipe_for("base", Path("mine.toml"))


def test_what_people_said_is_read_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "ratings.json").write_text("{}")
    options = ["reproduce", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--human"]
    found = CliRunner().invoke(app, [*options, str(tmp_path / "ratings.json")])
    assert isinstance(found.exception, DataError)
    assert "not the JSON of `ggm human report`" in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_options_reach_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])
    monkeypatch.setattr("ggm.reproduce.runs.reproduce", lambda *_a, **_n: done)
    arguments = [
        "reproduce", "--data", str(tmp_path), "--out", str(tmp_path), "--bert-score", "minilm",
        "--set", "generator.top_k=20",
    ]  # fmt: skip
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "claims: 2 held, 0 did not" in found.output
    saved = json.loads((tmp_path / "report.json").read_text())
    assert (saved["bert_score"], saved["systems"]["GGM"]["bert_score"]) == ("minilm", 100.0)
    assert saved["conditions"]["changed"] is not None
    assert "BERTScore by minilm" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.html").exists()
