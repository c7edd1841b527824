from __future__ import annotations

import socket
from pathlib import Path

import pytest

from checkpoints import write_base_checkpoints
from ggm.bundle import load_bundle, save_bundle
from ggm.errors import BundleError
from ggm.features.parameter_counts import PartCount, number_of_parameters
from ggm.features.text import TextModelConfig
from ggm.model_info import part_counts
from systems import random_bundle


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_base_has_the_published_sizes_and_the_two_attentions() -> None:
    """An attention over 768 wide tokens: four projections of 768 by 768 with a bias."""
    attention = 4 * (768 * 768 + 768)
    assert attention == 2_362_368
    assert part_counts("base") == [
        PartCount("retriever", "openai/clip-vit-base-patch32", 151_277_313, 0, 151_277_313),
        PartCount("vision", "google/vit-base-patch16-224-in21k", 86_389_248, 0, 86_389_248),
        PartCount("audio", "laion/clap-htsat-unfused", 27_534_488, 0, 153_492_890),
        PartCount("text", "facebook/bart-base", 139_420_416, 139_420_416, 139_420_416),
        PartCount("attention, sound to video (equation 3)", "new", attention, attention, 0),
        PartCount("attention, video to text (equation 4)", "new", attention, attention, 0),
    ]


@pytest.mark.usefixtures("no_network")
def test_a_bundle_is_counted_as_it_is(tiny_bundle_dir: Path) -> None:
    counts = {count.part: count for count in part_counts(str(tiny_bundle_dir))}
    bundle = load_bundle(tiny_bundle_dir)
    assert bundle.generator is not None
    assert bundle.extractor.sound is not None
    assert counts["frames"].parameters == number_of_parameters(bundle.extractor.frames)
    assert counts["sound"].parameters == 400 * 12 + 12
    assert counts["hashtags"].parameters == 128 * 16
    assert counts["retriever's heads"].trainable == number_of_parameters(bundle.retriever)
    generator = [counts[name] for name in ("text encoder", "text decoder", "attentions to video and sound")]
    assert sum(count.parameters for count in generator) == bundle.generator.num_parameters()
    assert sum(count.trainable for count in generator) == bundle.generator.num_parameters(trainable_only=True)


def test_shared_embeddings_count_once(tmp_path: Path) -> None:
    """BART's two sides have one embedding."""
    bundle = random_bundle(write_base_checkpoints(tmp_path / "checkpoints"))
    save_bundle(bundle, tmp_path / "bundle")
    counts = {count.part: count for count in part_counts(str(tmp_path / "bundle"))}
    assert bundle.generator is not None
    text = bundle.generator.text_model
    assert counts["text encoder"].parameters == number_of_parameters(text.get_encoder())
    shared = text.get_input_embeddings().weight.numel()
    assert counts["text decoder"].parameters == number_of_parameters(text.get_decoder()) - shared
    sides = counts["text encoder"].parameters + counts["text decoder"].parameters
    assert sides == number_of_parameters(text)


def test_a_frozen_encoder_is_named_by_its_checkpoint(tmp_path: Path) -> None:
    save_bundle(random_bundle("tiny", text=TextModelConfig(trained_encoder_layers=0)), tmp_path / "b")
    counts = {count.part: count for count in part_counts(str(tmp_path / "b"))}
    assert (counts["text encoder"].checkpoint, counts["text encoder"].trainable) == ("random", 0)
    assert counts["text decoder"].checkpoint == "random, from random"
    assert counts["text decoder"].trainable == counts["text decoder"].parameters


def test_a_profile_that_is_not_trained_is_counted_too() -> None:
    assert {count.part for count in part_counts("tiny")} == {"frames", "hashtags", "sound", "text"}


def test_neither_a_profile_nor_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle there"):
        part_counts(str(tmp_path / "absent"))
