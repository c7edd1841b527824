"""One side alone: the paper's baselines BART (text) and TrOCR-FiD (frames), from the same parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ggm.errors import ConfigError
from ggm.generator import DecodingConfig, Generator, GeneratorConfig, collate_labels, generate, score_hashtags

families = pytest.mark.parametrize("family", ["bart", "bert", "t5"])
sides = pytest.mark.parametrize("inputs", ["description", "video"])

WIDTH = 16


def loss(generator: Generator, batch: Any, posts: Any) -> torch.Tensor:
    return generator.loss(batch, collate_labels([generator.layout.labels(gold) for _, _, gold in posts]))


@families
def test_text_alone_is_the_pretrained_model(family: str, make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator(family, inputs="description")
    batch, _ = mixed_batch(generator)
    expected = generator.text_model.get_encoder()(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask
    ).last_hidden_state
    memory = generator.encode(batch)
    assert torch.equal(memory.states, expected)
    assert torch.equal(memory.mask, batch.attention_mask)
    assert not [name for name, _ in generator.named_parameters() if not name.startswith("text_model.")]


@families
def test_frames_alone_are_fused_in_the_decoder(family: str, make_generator: Any, mixed_batch: Any) -> None:
    """A slow twin: each post's frames one by one, its tokens laid side by side."""
    generator = make_generator(family, inputs="video", sound_dim=None)
    batch, singles = mixed_batch(generator)
    memory = generator.encode(batch)
    for row, single in enumerate(singles):
        tokens = torch.cat([generator.video_projection(frame) for frame in single.frame_tokens[0].unbind()])
        assert torch.equal(memory.mask[row].bool().nonzero()[:, 0], torch.arange(len(tokens)))
        torch.testing.assert_close(memory.states[row, : len(tokens)], tokens)


@families
@sides
def test_the_other_side_plays_no_part(
    family: str, inputs: str, make_generator: Any, make_features: Any, make_batch: Any
) -> None:
    generator = make_generator(family, inputs=inputs)
    texts = [("first snow", ["winter"]), ("", ["music"])]
    videos = [make_features(1), make_features(2, frames=4, steps=None)]
    batch = make_batch(generator, videos, texts)
    others = {
        "description": make_batch(generator, [make_features(7), make_features(8)], texts),
        "video": make_batch(generator, videos, [("a cat and a kitten", []), ("the best", ["love"])]),
    }
    same, different = others[inputs], others["video" if inputs == "description" else "description"]
    written = [generate(generator, item, decoding=DecodingConfig(max_new_tokens=8)) for item in (batch, same)]
    assert written[0] == written[1]
    memory, other = generator.encode(batch).states, generator.encode(different).states
    assert memory.shape != other.shape or not torch.allclose(memory, other)


@families
@sides
def test_a_batch_equals_its_posts_one_by_one(
    family: str, inputs: str, make_generator: Any, mixed_batch: Any
) -> None:
    generator = make_generator(family, inputs=inputs)
    batch, singles = mixed_batch(generator)
    candidates = [["snow", "coldweather"], ["music"], [], ["cat"]]
    together = score_hashtags(generator, batch, candidates)
    for single, row, expected in zip(singles, candidates, together, strict=True):
        assert score_hashtags(generator, single, [row])[0] == pytest.approx(expected, abs=1e-4)


@families
@sides
def test_what_is_read_learns_and_what_is_not_does_not(
    family: str, inputs: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    generator = make_generator(family, inputs=inputs)
    batch, _ = mixed_batch(generator)
    loss(generator, batch, posts).backward()
    idle = [name for name, p in generator.named_parameters() if p.requires_grad and p.grad is None]
    # Positions of an encoder that reads nothing are frozen; nothing else may be left over.
    assert not idle
    encoder: nn.Module = generator.text_model.get_encoder()
    layers = [p for name, p in encoder.named_parameters() if "layer" in name]
    assert any(p.requires_grad for p in layers) == (inputs == "description")


@families
@sides
def test_weights_come_back(family: str, inputs: str, make_generator: Any, mixed_batch: Any) -> None:
    generator, other = (make_generator(family, inputs=inputs, seed=seed) for seed in (0, 3))
    batch, _ = mixed_batch(generator)
    with torch.no_grad():
        for parameter, value in zip(other.parameters(), generator.parameters(), strict=True):
            if not parameter.requires_grad:  # the pretrained part, which is the same in use
                parameter.copy_(value)
    other.load_trainable_state_dict(generator.trainable_state_dict())
    assert torch.equal(other.encode(batch).states, generator.encode(batch).states)


def test_inputs_are_one_of_three() -> None:
    with pytest.raises(ConfigError, match="inputs must be one of both, description, video"):
        GeneratorConfig(token_dim=4, inputs="frames")  # type: ignore[arg-type]
