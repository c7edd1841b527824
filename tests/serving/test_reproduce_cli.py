"""`ggm reproduce` from its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggm.errors import ConfigError
from ggm.serving.reproduce_cli import RECIPES, _recipe_for
from ggm.training.recipes import load_recipe


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
