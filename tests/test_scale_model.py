"""The model of costs: the page shows what it prints, and it reckons as it says."""

from __future__ import annotations

import copy
import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scale_model() -> Any:
    spec = importlib.util.spec_from_file_location("scale_model", ROOT / "benchmarks" / "scale_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_model"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(scale_model: Any) -> Any:
    return scale_model.read(ROOT / "benchmarks" / "scale.toml", ROOT / "benchmarks" / "measured.toml")


def test_the_page_shows_what_the_program_prints(scale_model: Any, model: Any) -> None:
    page = (ROOT / "docs" / "scale.md").read_text("utf-8")
    assert page == scale_model.written(page, scale_model.tables(model)), (
        "run: python benchmarks/scale_model.py --write docs/scale.md"
    )
    with pytest.raises(SystemExit, match="no marks"):
        scale_model.written("nothing", "figures")


def test_it_reckons_as_it_says(scale_model: Any, model: Any) -> None:
    gpu, work = model.assumed["gpu"]["A100"], model.measured["base_gflop"]
    seconds = model.gpu_seconds("A100")["features"]
    assert seconds == pytest.approx(
        (work["frames"] + work["sound"]) / 1000 / (gpu["tflops"] * gpu["encoder_share"])
    )
    hours = 100_000_000 * sum(model.gpu_seconds("A100").values()) / 3600
    assert scale_model.number(hours) in scale_model.tables(model)
    twice = scale_model.Model(copy.deepcopy(model.assumed), model.measured)
    twice.assumed["gpu"]["A100"]["tflops"] *= 2
    assert twice.gpu_seconds("A100")["features"] == pytest.approx(seconds / 2)
    assert model.bits_of_vectors["fp32"] == 4 * model.assumed["pool"]["dimensions"]
    # Numbers keep three digits.
    shown = [scale_model.number(value) for value in (0, 0.0123456, 1.5, 12.34, 123.4, 12345.6)]
    assert shown == ["0", "0.0123", "1.50", "12.3", "123", "12,346"]


def test_each_assumption_has_its_source() -> None:
    """Or a word of what it is; but for those that are the question itself."""
    text = (ROOT / "benchmarks" / "scale.toml").read_text("utf-8")
    assert tomllib.loads(text)["workload"]["posts"] == 100_000_000
    lines = [line for line in text.splitlines() if " = " in line and not line.startswith("#")]
    unsaid = {line.partition(" = ")[0] for line in lines if "#" not in line}
    asked = {"pool_hashtags", "requests_per_second", "rate", "p99_seconds", "memory_gb"}
    assert unsaid <= asked | {"decode", "features", "retrieve", "generate"}  # whose table has a comment
