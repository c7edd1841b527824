from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ggm.errors import ConfigError
from ggm.generator import GeneratorBatch, GeneratorConfig, collate, collate_labels


def test_collate_pads_with_masks(make_features: Any) -> None:
    features = [make_features(0, frames=1, steps=2), make_features(1, frames=3, steps=4)]
    batch = collate(features, input_ids=[[5, 6, 7], [8]], pad_token_id=9)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.frame_mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.sound_mask is not None
    assert batch.sound_mask.tolist() == [[True, True, False, False], [True] * 4]
    assert np.array_equal(batch.frame_tokens[0, 0].numpy(), features[0].frame_tokens[0])
    assert torch.equal(batch.frame_tokens[0, 1:], torch.zeros(2, 3, 12))
    assert len(batch) == 2


def test_collate_makes_float32_of_cached_features(make_features: Any) -> None:
    batch = collate([make_features(0, dtype=np.float16)], input_ids=[[1]], pad_token_id=0)
    assert batch.frame_tokens.dtype == torch.float32
    assert batch.sound_tokens is not None
    assert batch.sound_tokens.dtype == torch.float32


def test_collate_masks_silent_posts(make_features: Any) -> None:
    features = [make_features(0, steps=None), make_features(1, steps=2)]
    batch = collate(features, input_ids=[[1], [1]], pad_token_id=0)
    assert batch.sound_mask is not None
    assert batch.sound_mask.tolist() == [[False, False], [True, True]]
    silent = collate(features[:1], input_ids=[[1]], pad_token_id=0)
    assert silent.sound_tokens is None
    assert silent.sound_mask is None


def test_collate_refuses_what_does_not_fit(make_features: Any) -> None:
    with pytest.raises(ValueError, match="0 videos"):
        collate([], input_ids=[], pad_token_id=0)
    with pytest.raises(ValueError, match="1 videos and 2 texts"):
        collate([make_features(0)], input_ids=[[1], [2]], pad_token_id=0)
    other = make_features(0)
    object.__setattr__(other, "frame_tokens", np.zeros((2, 3, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="frame_tokens of one batch must agree"):
        collate([make_features(0), other], input_ids=[[1], [2]], pad_token_id=0)


def test_labels_are_padded_with_what_has_no_loss() -> None:
    assert collate_labels([[4, 5], [6]]).tolist() == [[4, 5], [6, -100]]


def test_batch_checks_and_shows_its_shapes() -> None:
    ids, tokens = torch.ones(2, 3, dtype=torch.long), torch.zeros(2, 1, 4, 5)
    mask = torch.ones(2, 1, dtype=torch.bool)
    batch = GeneratorBatch(ids, ids, tokens, mask)
    assert (
        repr(batch)
        == "GeneratorBatch(input_ids=2x3, attention_mask=2x3, frame_tokens=2x1x4x5, frame_mask=2x1)"
    )
    assert batch.to("cpu").sound_tokens is None
    sound = torch.zeros(2, 6, 7)
    for wrong in (
        {"attention_mask": ids[:, :2]},
        {"frame_tokens": tokens[:1]},
        {"frame_mask": mask[:1], "frame_tokens": tokens[:1]},
        {"sound_tokens": sound},
        {"sound_tokens": sound, "sound_mask": mask},
    ):
        values: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": ids,
            "frame_tokens": tokens,
            "frame_mask": mask,
        }
        with pytest.raises(ValueError, match="don't fit together"):
            GeneratorBatch(**(values | wrong))


def test_config_round_trip() -> None:
    config = GeneratorConfig(token_dim=3, sound_dim=None, audio_fusion="audio_query", top_k=0)
    assert GeneratorConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "token_dim"),
        ({"token_dim": 8, "colour": 1}, "colour"),
        ({"token_dim": "8"}, "token_dim"),
        ({"token_dim": 0}, "token_dim must be at least 1"),
        ({"token_dim": 8, "sound_dim": 0}, "sound_dim"),
        ({"token_dim": 8, "top_k": -1}, "top_k"),
        ({"token_dim": 8, "max_target_tokens": 1}, "max_target_tokens"),
        ({"token_dim": 8, "dropout": 1.0}, "dropout"),
        ({"token_dim": 8, "audio_fusion": "both"}, "audio_fusion"),
    ],
)
def test_config_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GeneratorConfig.from_dict(values)


def test_config_checks_its_choices_when_made_directly() -> None:
    with pytest.raises(ConfigError, match="audio_fusion must be one of frame_query, audio_query"):
        GeneratorConfig(token_dim=8, audio_fusion="both")  # type: ignore[arg-type]


@pytest.mark.parametrize("fusion", ["frame_query", "audio_query"])
def test_frames_that_stand_still_are_attended_to_once_with_their_number(
    fusion: str, make_generator: Any, make_features: Any
) -> None:
    generator = make_generator("bart", audio_fusion=fusion)
    moving, still = make_features(1, frames=3), make_features(2, frames=4)
    rows = [0, 0, 0, 1, 2, 2, 3, 0]
    still = replace(
        still,
        frame_embeddings=still.frame_embeddings[rows],
        frame_pooled=still.frame_pooled[rows],
        frame_tokens=still.frame_tokens[rows],
    )
    ids = [generator.layout.encode(text, ["cat"]).input_ids for text in ("first snow", "")]
    plain = collate([still, moving], input_ids=ids, pad_token_id=1)
    distinct = collate([still, moving], input_ids=ids, pad_token_id=1, distinct=True)
    assert plain.frame_tokens.shape[1] == 8
    assert distinct.frame_counts is not None
    assert distinct.frame_counts.tolist() == [[3, 1, 2, 1, 1], [1, 1, 1, 0, 0]]
    with torch.no_grad():
        torch.testing.assert_close(generator.encode(distinct).states, generator.encode(plain).states)
    alone = collate([moving], input_ids=ids[:1], pad_token_id=1, distinct=True)
    assert alone.frame_counts is None
