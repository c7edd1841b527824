from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from ggm.errors import CheckpointError, ConfigError
from ggm.features.backbones import load_backbones, load_seq2seq
from ggm.features.compact import load_minilm
from ggm.features.compact_text import compact_text_model, cut_vocabulary
from ggm.features.parameter_counts import PartCount, count_parameters, number_of_parameters
from ggm.features.profiles import Profile


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a hub was asked")

    monkeypatch.setattr("transformers.utils.hub.cached_files", refuse)
    monkeypatch.setattr("transformers.configuration_utils.cached_file", refuse)


def test_base_is_counted_without_a_hub(no_hub: None) -> None:
    """The published sizes of the four checkpoints."""
    assert count_parameters("base") == [
        PartCount("retriever", "openai/clip-vit-base-patch32", 151_277_313, 0, 151_277_313),
        PartCount("vision", "google/vit-base-patch16-224-in21k", 86_389_248, 0, 86_389_248),
        PartCount("audio", "laion/clap-htsat-unfused", 27_534_488, 0, 153_492_890),
        PartCount("text", "facebook/bart-base", 139_420_416, 139_420_416, 139_420_416),
    ]


def test_other_checkpoints_are_counted_by_their_configuration(base_profile: Profile) -> None:
    counts = {count.part: count for count in count_parameters(base_profile)}
    encoders = load_backbones(base_profile)
    assert encoders.sound is not None
    assert counts["audio"].parameters == number_of_parameters(encoders.sound) < counts["audio"].in_checkpoint
    assert counts["text"].parameters == number_of_parameters(load_seq2seq(base_profile.text)[0])
    for path in (Path(base_profile.retriever), Path(base_profile.vision)):
        assert (path / "model.safetensors").is_file()  # read by nobody above


def test_compact_counts_are_those_of_the_models() -> None:
    counts = {count.part: count for count in count_parameters("compact")}
    assert counts["frames"].parameters == 4_652_008
    assert counts["hashtags"].parameters == number_of_parameters(load_minilm()[0]) == 22_565_376
    vocabulary = cut_vocabulary([], num_frequent_words=10)
    decoder = number_of_parameters(compact_text_model(vocabulary)[0].decoder)
    assert counts["text decoder"].parameters == decoder + (9000 - len(vocabulary)) * 385


def test_tiny_is_tiny() -> None:
    assert sum(count.parameters for count in count_parameters("tiny")) < 50_000


def test_a_profile_without_sound_has_no_such_part(base_profile: Profile) -> None:
    silent = Profile("silent", base_profile.retriever, base_profile.vision, None, base_profile.text)
    assert [count.part for count in count_parameters(silent)] == ["retriever", "vision", "text"]


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(3, 3)
    tied = nn.ModuleList([layer, layer])
    assert number_of_parameters(tied) == 12
    layer.bias.requires_grad_(False)
    assert number_of_parameters(tied, trainable_only=True) == 9


def test_unknown_names() -> None:
    with pytest.raises(ConfigError):
        count_parameters("huge")
    with pytest.raises(CheckpointError, match="/no/such/folder"):
        count_parameters(Profile("mine", "/no/such/folder", "b", None, "d"))


def test_what_is_simulated_has_no_parameters() -> None:
    counts = [count for count in count_parameters("compact") if count.part != "frames"]
    assert [replace(count, checkpoint="") for count in count_parameters("synthetic")] == [
        replace(count, checkpoint="") for count in counts
    ]
