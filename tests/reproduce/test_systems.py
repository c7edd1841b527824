from __future__ import annotations

from dataclasses import replace

import pytest

from ggm.errors import ConfigError
from ggm.reproduce.systems import SYSTEMS, recipe_of, systems_for
from ggm.training.recipes import GeneratorRecipe, Recipe

RECIPE = Recipe("r", generator=GeneratorRecipe(top_k=25))


def names(**options: object) -> list[str]:
    return [system.name for system in systems_for(RECIPE, **options)]  # type: ignore[arg-type]


def test_all_of_the_papers_systems_are_there() -> None:
    """Section 4.3, and the variants of sections 5.2 and of equation 3."""
    found = {system.name for system in SYSTEMS}
    assert {"BERT", "VLM", "ViT", "ViT-BERT", "BART", "TrOCR-FiD", "VG-BART", "GGM", "GGM-ViT"} <= found
    assert {f"GGM k={k}" for k in (0, 10, 25, 50, 100)} <= found
    assert len({system.slug for system in SYSTEMS}) == len(SYSTEMS)


def test_what_would_be_trained_twice_is_not() -> None:
    with_sound, without = names(has_sound=True), names(has_sound=False)
    assert "GGM k=25" not in with_sound  # the recipe's own
    assert set(with_sound) - set(without) == {"GGM without sound", "GGM audio query", "GGM k=0"}


def test_variants_of_a_recipe_that_has_them_already() -> None:
    joined = replace(RECIPE, generator=replace(RECIPE.generator, pointer=True, description_weight=0.75))
    for recipe, own in ((RECIPE, "GGM one query"), (joined, "GGM joined")):
        variants = {"GGM one query", "GGM two queries", "GGM pointer", "GGM joined"}
        found = {system.name: system for system in systems_for(recipe, has_sound=False)}
        assert variants - found.keys() == {own}
        settings = {
            (
                recipe_of(found[name], recipe, seed=0).generator.pointer,
                recipe_of(found[name], recipe, seed=0).generator.description_weight > 0,
            )
            for name in variants - {own}
        }
        assert settings == {(a, b) for a in (False, True) for b in (False, True)} - {
            (recipe.generator.pointer, recipe.generator.description_weight > 0)
        }
    assert recipe_of(found["GGM two queries"], joined, seed=0).generator.description_weight == 0.75
    plain = recipe_of(found["VG-BART"], joined, seed=0).generator
    assert not plain.guided


def test_some_of_them_by_name() -> None:
    assert names(has_sound=True, only=["vlm", "GGM"]) == ["VLM", "GGM"]
    with pytest.raises(ConfigError, match="no system 'GPT'; there are VLM, BERT"):
        names(has_sound=True, only=["GPT"])


def test_each_differs_from_the_recipe_in_its_own_table_alone() -> None:
    for system in SYSTEMS:
        own = recipe_of(system, RECIPE, seed=7)
        assert own.seed == 7
        assert own.retriever == RECIPE.retriever
        assert (own.generator != RECIPE.generator) == (
            system.kind == "generator" and system.name not in ("GGM", "GGM k=25", "GGM one query")
        )
        assert (own.classifier != RECIPE.classifier) == (
            system.kind == "classifier" and system.name != "ViT-BERT"
        )
