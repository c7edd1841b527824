from __future__ import annotations

from typing import Any

import pytest
import torch

from ggm.generator import AudioGroundedVideoEncoder

TOKENS = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1))
SOUND = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(2))
FRAMES = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
STEPS = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], dtype=torch.bool)
FUSIONS = ["frame_query", "audio_query"]


def make(*, awake: bool = True, **settings: Any) -> AudioGroundedVideoEncoder:
    torch.manual_seed(0)
    encoder = AudioGroundedVideoEncoder(
        8, **({"sound_dim": 6, "num_heads": 2, "attention_dim": 4} | settings)
    )
    if awake and encoder.attention is not None:
        torch.nn.init.normal_(encoder.attention.output.weight)
        torch.nn.init.normal_(encoder.attention.output.bias)
    return encoder.eval()


def test_frames_are_flattened_with_their_mask() -> None:
    video, mask = make(sound_dim=None)(TOKENS, FRAMES)
    assert torch.equal(video, TOKENS.reshape(2, 12, 8))
    assert mask.tolist() == [[True] * 12, [True] * 8 + [False] * 4]


def test_equation_3() -> None:
    encoder = make()
    assert encoder.attention is not None
    w = TOKENS.reshape(2, 12, 8)
    expected = encoder.attention(w, SOUND, memory_mask=STEPS) + w
    assert torch.equal(encoder(TOKENS, FRAMES, SOUND, STEPS)[0], expected)


def test_the_other_reading_adds_the_mean_over_real_steps() -> None:
    encoder = make(audio_fusion="audio_query")
    assert encoder.attention is not None
    video, _ = encoder(TOKENS, FRAMES, SOUND, STEPS)
    for item, (steps, tokens) in enumerate([(5, 12), (2, 8)]):
        w = TOKENS[item : item + 1].reshape(1, 12, 8)
        heard = encoder.attention(SOUND[item : item + 1, :steps], w[:, :tokens]).mean(dim=1, keepdim=True)
        torch.testing.assert_close(video[item : item + 1], w + heard)
    torch.testing.assert_close(encoder(TOKENS, FRAMES, SOUND)[0][:1], video[:1])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_starts_as_the_identity(fusion: str) -> None:
    video, _ = make(awake=False, audio_fusion=fusion)(TOKENS, FRAMES, SOUND, STEPS)
    assert torch.equal(video, TOKENS.reshape(2, 12, 8))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_silent_post_keeps_its_frame_tokens_exactly(fusion: str) -> None:
    encoder = make(audio_fusion=fusion)
    steps = STEPS.clone()
    steps[1] = False
    video, _ = encoder(TOKENS, FRAMES, SOUND, steps)
    assert torch.equal(video[1], TOKENS[1].reshape(12, 8))
    assert not torch.equal(video[0], TOKENS[0].reshape(12, 8))
    assert torch.equal(encoder(TOKENS, FRAMES)[0], TOKENS.reshape(2, 12, 8))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_padding_changes_nothing(fusion: str) -> None:
    encoder = make(audio_fusion=fusion)
    tokens, sound = TOKENS.clone(), SOUND.clone()
    tokens[~FRAMES] = 77.0
    sound[~STEPS] = 77.0
    video, mask = encoder(TOKENS, FRAMES, SOUND, STEPS)
    changed, _ = encoder(tokens, FRAMES, sound, STEPS)
    assert torch.equal(video[mask], changed[mask])


def test_normalised_tokens_and_position_start_neutral() -> None:
    encoder = make(sound_dim=None, normalise_tokens=True, tokens_per_frame=4)
    video, _ = encoder(TOKENS * 1000, FRAMES)
    torch.testing.assert_close(video.mean(dim=-1), torch.zeros(2, 12), atol=1e-5, rtol=0)
    torch.testing.assert_close(video.std(dim=-1, correction=0), torch.ones(2, 12), atol=1e-4, rtol=0)
    assert encoder.position is not None
    assert torch.equal(encoder.position, torch.zeros(4, 8))


def test_position_is_of_the_place_in_the_frame() -> None:
    encoder = make(sound_dim=None, tokens_per_frame=4)
    assert encoder.position is not None
    torch.nn.init.normal_(encoder.position)
    video, _ = encoder(TOKENS, FRAMES)
    assert torch.equal(video.reshape(2, 3, 4, 8)[0, 2, 1], TOKENS[0, 2, 1] + encoder.position[1])
