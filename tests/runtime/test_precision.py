"""A bundle in fewer bits: which parts change, and by how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoints import write_base_checkpoints
from ggm.bundle import Bundle, load_bundle
from ggm.errors import ConfigError
from ggm.generator.packing import PRECISIONS, Precision, check_precision, has_bf16
from ggm.media import decode_video
from ggm.recommend import Recommender
from ggm.records import Video
from ggm.runtime.export import export_bundle
from ggm.runtime.precision import with_precision
from ggm.runtime.session import with_export
from systems import random_bundle

EXAMPLES = Path(__file__).parents[2] / "examples"
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16")


def a_video(bundle: Bundle) -> Video:
    return decode_video(EXAMPLES / "cat.mp4", short_side=bundle.extractor.short_side)


@needs_bf16
@pytest.mark.parametrize("name", ["tiny", "base", "compact"])
def test_features_are_near_those_of_float32(name: str, tmp_path: Path) -> None:
    if name == "compact":
        bundle = load_bundle("compact")
    else:
        bundle = random_bundle(write_base_checkpoints(tmp_path) if name == "base" else name)
    video = a_video(bundle)
    half = with_precision(bundle, "bf16")
    mine, theirs = half.extractor.extract(video), bundle.extractor.extract(video)
    for part in ("frame_embeddings", "frame_pooled", "frame_tokens"):
        own, other = getattr(mine, part), getattr(theirs, part)
        assert own.dtype == np.float32
        assert np.linalg.norm(own - other) < 0.05 * np.linalg.norm(other), part
        assert not np.array_equal(own, other)
    assert half.extractor.fingerprint != bundle.extractor.fingerprint  # other features, another cache
    assert half.extractor.hashtags is bundle.extractor.hashtags


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_compact_system_recommends_alike(precision: Precision) -> None:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bf16")
    with Recommender.from_pretrained("compact", precision=precision) as quick:
        found = quick.recommend(EXAMPLES / "cat.mp4", "first snow", top=5)
    with Recommender(load_bundle("compact")) as plain:
        expected = plain.recommend(EXAMPLES / "cat.mp4", "first snow", top=5)
    mine, theirs = ({item.text: item.score for item in answer.hashtags} for answer in (found, expected))
    if precision == "fp32":
        assert list(mine) == list(theirs)
        assert mine == pytest.approx(theirs, abs=1e-3)
    else:
        assert len(mine.keys() & theirs.keys()) >= 4
        assert all(mine[text] == pytest.approx(theirs[text], abs=0.1) for text in mine.keys() & theirs.keys())


def test_precision_beside_an_export_changes_the_decoder_alone(tmp_path: Path) -> None:
    bundle = random_bundle("tiny")
    exported = with_export(bundle, export_bundle(bundle, tmp_path / "graphs"))
    reader = bundle.generator.text_reader if bundle.generator else None
    both = with_precision(exported, "int8")
    assert both.extractor is exported.extractor
    assert both.generator is not None
    assert both.generator.text_reader is reader
    assert both.generator.writer is not None


def test_training_goes_on_with_the_weights_themselves() -> None:
    bundle = with_precision(random_bundle("tiny"), "int8")
    generator = bundle.generator
    assert generator is not None
    features = bundle.extractor.extract(a_video(bundle))
    (guidance,) = bundle.guide([features])
    batch = bundle.batch([features], ["first snow"], [guidance])
    generator.train()
    labels = torch.tensor([[*generator.layout.labels(["winter"])]])
    assert generator.loss(batch, labels).dtype == torch.float32
    assert generator.encode(batch).states.dtype == torch.float32
    generator.eval()
    assert generator.encode(batch).states.dtype == torch.float32


def test_what_cant_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="precision must be one of"):
        Recommender.from_pretrained("compact", precision="fp64")
    bundle = random_bundle("tiny")
    monkeypatch.setattr("ggm.runtime.precision.device_of", lambda _: torch.device("cuda"))
    assert with_precision(bundle, "fp32") is bundle
    with pytest.raises(ConfigError, match="for the CPU"):
        with_precision(bundle, check_precision("int8"))
