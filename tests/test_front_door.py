"""`import ggm` and what the documents promise of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import ggm
from ggm.records import Recommendation

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "av", "numpy")


def python_of_the_docstring() -> str:
    (block,) = re.findall(r"(?:^ {4}.*\n|^\n)+", ggm.__doc__ or "", re.MULTILINE)
    return textwrap.dedent(block).strip()


def python_of_the_readme() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, ggm; dir(ggm); print(ggm.__version__, *set({HEAVY}) & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout.strip(), result.stderr) == (ggm.__version__, "")


@pytest.mark.parametrize("name", [name for name in ggm.__all__ if name != "__version__"])
def test_each_name_is_the_one_of_its_module(name: str) -> None:
    value = getattr(ggm, name)
    assert value.__name__ == name
    assert getattr(sys.modules[value.__module__], name) is value
    assert name in dir(ggm)


def test_names_are_listed_once_and_in_both_places() -> None:
    assert sorted(set(ggm.__all__)) == sorted(ggm.__all__)
    assert {*ggm._HOMES, "__version__"} == set(ggm.__all__)
    namespace: dict[str, Any] = {}
    exec("from ggm import *", namespace)
    assert set(ggm.__all__) <= set(namespace)


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'ggm' has no attribute 'Recomender'"):
        _ = ggm.Recomender
    with pytest.raises(ImportError, match="Recomender"):
        exec("from ggm import Recomender")


def test_the_version_is_that_of_the_package() -> None:
    assert f'version = "{ggm.__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8").splitlines()


def test_the_three_lines_work(
    tiny_bundle_dir: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code = python_of_the_docstring()
    assert len([line for line in code.splitlines() if line]) == 3
    assert 'Recommender.from_pretrained("compact")' in code
    assert '.recommend("clip.mp4", "first snow")' in code
    (tmp_path / "clip.mp4").write_bytes(clips[2].read_bytes())
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(code.replace('"compact"', repr(str(tiny_bundle_dir))), namespace)
    recommender = namespace["recommender"]
    with recommender:
        answer = recommender.recommend("clip.mp4", "first snow")
    assert isinstance(answer, Recommendation)
    assert capsys.readouterr().out == f"{answer.hashtags}\n"


def test_the_readme_shows_them_too() -> None:
    blocks = python_of_the_readme()
    for block in blocks:
        compile(block, "README.md", "exec")
        for names in re.findall(r"^from ggm import (.*)$", block, re.MULTILINE):
            assert {name.strip() for name in names.split(",")} <= set(ggm.__all__)
    assert any(
        'Recommender.from_pretrained("compact")' in block and ".recommend(" in block for block in blocks
    )
