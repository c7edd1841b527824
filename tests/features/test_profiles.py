from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from ggm.errors import ConfigError
from ggm.features.profiles import PROFILES, Profile, profile
from ggm.settings import from_dict


def test_base_names_the_papers_checkpoints() -> None:
    assert profile("base") == Profile(
        "base",
        retriever="openai/clip-vit-base-patch32",
        vision="google/vit-base-patch16-224-in21k",
        audio="laion/clap-htsat-unfused",
        text="facebook/bart-base",
    )


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_survives_a_bundles_json(name: str) -> None:
    assert from_dict(Profile, asdict(profile(name))) == profile(name)


def test_a_part_is_replaced_by_name() -> None:
    mine = replace(profile("base"), name="mine", text="facebook/mbart-large-50")
    assert profile(mine) is mine
    assert mine.retriever == profile("base").retriever


def test_unknown_profile() -> None:
    with pytest.raises(ConfigError, match="no profile 'huge'; there are base, compact, synthetic, tiny"):
        profile("huge")


@pytest.mark.parametrize("part", ["retriever", "vision", "audio", "text", "name"])
def test_an_empty_part_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        replace(profile("base"), **{part: ""})


def test_the_parts_of_compact_are_fixed() -> None:
    with pytest.raises(ConfigError, match="give the changed profile another name"):
        replace(profile("compact"), text="facebook/bart-base")
