"""An export gives the numbers of torch, and belongs to one bundle."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoints import write_base_checkpoints
from ggm.bundle import Bundle, load_bundle
from ggm.errors import BundleError, MissingDependencyError
from ggm.generator.decoding import remember
from ggm.media import decode_video
from ggm.recommend import Recommender
from ggm.records import Guidance, Hit, Video
from ggm.runtime.export import export_bundle
from ggm.runtime.session import with_export
from systems import random_bundle

EXAMPLES = Path(__file__).parents[2] / "examples"


def a_bundle(name: str, folder: Path) -> Bundle:
    if name == "compact":
        return load_bundle("compact")
    return random_bundle(write_base_checkpoints(folder) if name == "base" else name)


@pytest.fixture(scope="module", params=["compact", "base", "tiny"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, Bundle, Path]:
    """A bundle, the same one run by its export, and the export."""
    folder = tmp_path_factory.mktemp("export")
    first, second = (a_bundle(request.param, folder / "checkpoints") for _ in range(2))
    export = export_bundle(first, folder / "graphs")
    return first, with_export(second, export), export


def a_video(bundle: Bundle) -> Video:
    extractor = bundle.extractor
    return decode_video(
        EXAMPLES / "cat.mp4", short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz
    )


def test_features_are_those_of_torch(exported: tuple[Bundle, Bundle, Path]) -> None:
    eager, graphs, _ = exported
    video = a_video(eager)
    mine, theirs = graphs.extractor.extract(video), eager.extractor.extract(video)
    for name in ("frame_embeddings", "frame_pooled", "frame_tokens"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=2e-4, err_msg=name)
    if theirs.sound_tokens is not None:
        assert mine.sound_tokens is not None
        np.testing.assert_allclose(mine.sound_tokens, theirs.sound_tokens, atol=1e-5)
    assert graphs.extractor.fingerprint == eager.extractor.fingerprint


def test_texts_of_any_length_are_those_of_torch(exported: tuple[Bundle, Bundle, Path]) -> None:
    eager, graphs, _ = exported
    for texts in (
        ["cat"],
        ["snow", "first snow on the highest mountain of all"],
        ["a", "b", "cold weather", "c"],
    ):
        mine, theirs = (bundle.extractor.embed_descriptions(texts) for bundle in (graphs, eager))
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_memories_are_those_of_torch(exported: tuple[Bundle, Bundle, Path]) -> None:
    eager, graphs, _ = exported
    features = eager.extractor.extract(a_video(eager))
    guidance = [Guidance((Hit("cat", 0.5), Hit("snow", 0.4))), Guidance()]
    for descriptions in (["first snow of the year", ""], ["", "cats and dogs"]):
        memories = [
            remember(bundle.generator, bundle.batch([features, features], descriptions, guidance))
            for bundle in (graphs, eager)
            if bundle.generator is not None
        ]
        real = memories[1].mask.bool()
        torch.testing.assert_close(memories[0].states[real], memories[1].states[real], atol=2e-4, rtol=1e-3)


def test_hashtags_and_scores_are_those_of_torch(exported: tuple[Bundle, Bundle, Path]) -> None:
    eager, graphs, _ = exported
    answers = []
    for bundle in (eager, graphs):
        with Recommender(bundle) as recommender:
            answers.append(recommender.recommend(EXAMPLES / "cat.mp4", "first snow"))
    assert [item.text for item in answers[0].hashtags] == [item.text for item in answers[1].hashtags]
    scores = [item.score for item in answers[0].hashtags]
    assert [item.score for item in answers[1].hashtags] == pytest.approx(scores, abs=1e-3)


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Bundle, Path]:
    bundle = random_bundle("tiny")
    return bundle, export_bundle(bundle, tmp_path / "graphs")


def test_other_weights_are_refused(tiny: tuple[Bundle, Path]) -> None:
    bundle, folder = tiny
    assert bundle.generator is not None
    with torch.no_grad():
        next(bundle.generator.text_model.get_encoder().parameters()).add_(1)
    with pytest.raises(BundleError, match=r"another text encoder.*ggm export"):
        with_export(bundle, folder)
    with torch.no_grad():
        next(bundle.extractor.frames.parameters()).add_(1)
    bundle.extractor.weights_changed()
    with pytest.raises(BundleError, match=r"other encoders.*ggm export"):
        with_export(bundle, folder)


def test_a_damaged_export_is_refused(tiny: tuple[Bundle, Path]) -> None:
    bundle, folder = tiny
    with pytest.raises(BundleError, match="no export there"):
        with_export(bundle, folder / "elsewhere")
    graph = folder / "frames.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + b"?")
    with pytest.raises(BundleError, match=r"frames.onnx is not the file"):
        with_export(bundle, folder)
    graph.unlink()
    with pytest.raises(BundleError, match=r"frames.onnx is missing"):
        with_export(bundle, folder)
    graph.write_bytes(content)
    manifest = folder / "export.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values | {"format": 2}))
    with pytest.raises(BundleError, match="format 2"):
        with_export(bundle, folder)
    manifest.write_text("{}")
    with pytest.raises(BundleError, match="damaged export"):
        with_export(bundle, folder)


def test_only_an_export_is_replaced(tiny: tuple[Bundle, Path], tmp_path: Path) -> None:
    bundle, folder = tiny
    assert export_bundle(bundle, folder) == folder
    with_export(bundle, folder)
    other = tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="isn't an export"):
        export_bundle(bundle, other)
    assert [path.name for path in other.iterdir()] == ["letter.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graphs", "letters"]


@pytest.mark.parametrize("moved", range(2))
def test_an_export_that_dies_in_the_end_can_be_made_again(
    tiny: tuple[Bundle, Path], moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with half of the graphs was left, and taken for somebody else's ever after."""
    bundle, folder = tiny
    moves: list[Path] = []
    replace_path = Path.replace

    def die(self: Path, target: Path) -> Path:
        if len(moves) == moved:
            raise KeyboardInterrupt
        moves.append(self)
        return replace_path(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            export_bundle(bundle, folder)
    with_export(bundle, export_bundle(bundle, folder))
    assert [path.name for path in folder.parent.iterdir()] == ["graphs"]


def test_a_folder_that_cannot_be_written(tiny: tuple[Bundle, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="can't be written"):
        export_bundle(tiny[0], tmp_path / "file" / "graphs")


def test_missing_packages_are_named(tiny: tuple[Bundle, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, folder = tiny
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"ggm\[export\]"):
        with_export(bundle, folder)
    with pytest.raises(MissingDependencyError, match=r"ggm\[export\]"):
        export_bundle(bundle, folder)


def test_a_bundle_without_generator(tmp_path: Path) -> None:
    bundle = replace(random_bundle("tiny"), generator=None, text=None)
    folder = export_bundle(bundle, tmp_path / "graphs")
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "frames.onnx", "hashtags.onnx"]
    graphs = with_export(bundle, folder)
    assert graphs.embed_hashtags(["cat"]).shape == bundle.embed_hashtags(["cat"]).shape
