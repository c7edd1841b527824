"""The audio-grounded video encoder: what is heard is added to what is seen (paper, equation 3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ggm.generator.attention import CrossModalAttention

AudioFusion = Literal["frame_query", "audio_query"]
"""Which side asks: the paper's equation 3 (frames), or its prose (audio)."""


class AudioGroundedVideoEncoder(nn.Module):
    """Frame tokens w and audio feature a become v = CAM(query=w, key=a, value=a) + w (equation 3).

    The paper's prose has query and memory the other way round. That reading is
    ``audio_fusion="audio_query"``: CAM(query=a, key=w, value=w), averaged over the steps of the
    sound, is added to each frame position.

    Args:
        token_dim: Width of a frame token.
        sound_dim: Width of a step of the sound; None for a model without sound.
        num_heads: Attention heads; must divide `attention_dim`.
        attention_dim: Inner width of the attention; `token_dim` by default.
        audio_fusion: Which side asks.
        normalise_tokens: Whether frame tokens pass a layer norm first; for features of arbitrary
            scale, such as those of a convolutional network.
        tokens_per_frame: When given, each place in the frame gets a learned embedding, which
            starts at zero.
        dropout: Probability of dropout, 0 to 1.
    """

    def __init__(
        self,
        token_dim: int,
        *,
        sound_dim: int | None,
        num_heads: int,
        attention_dim: int | None = None,
        audio_fusion: AudioFusion = "frame_query",
        normalise_tokens: bool = False,
        tokens_per_frame: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.audio_fusion = audio_fusion
        self.norm: nn.Module = nn.LayerNorm(token_dim) if normalise_tokens else nn.Identity()
        self.position: nn.Parameter | None = None
        if tokens_per_frame is not None:
            self.position = nn.Parameter(torch.zeros(tokens_per_frame, token_dim))
        self.attention: CrossModalAttention | None = None
        if sound_dim is not None:
            asks_frames = audio_fusion == "frame_query"
            self.attention = CrossModalAttention(
                token_dim if asks_frames else sound_dim,
                memory_dim=sound_dim if asks_frames else token_dim,
                num_heads=num_heads,
                width=attention_dim or token_dim,
                output_dim=token_dim,
                dropout=dropout,
            )

    def forward(
        self,
        frame_tokens: Tensor,
        frame_mask: Tensor,
        sound_tokens: Tensor | None = None,
        sound_mask: Tensor | None = None,
        frame_counts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of videos.

        Args:
            frame_tokens: (B, F, P, token_dim).
            frame_mask: bool (B, F), true for real frames.
            sound_tokens: (B, M, sound_dim), or None when no post of the batch has sound.
            sound_mask: bool (B, M), true for real steps; all false for a post without sound, whose
                frame tokens stay exactly as they are. None when all steps are real.
            frame_counts: (B, F), for how many equal frames each stands; None for one each.

        Returns:
            v of shape (B, F * P, token_dim) and its mask, bool (B, F * P).
        """
        frame_tokens = self.norm(frame_tokens)
        if self.position is not None:
            frame_tokens = frame_tokens + self.position
        frames = frame_tokens.flatten(1, 2)  # w: (B, F * P, token_dim)
        mask = frame_mask.repeat_interleave(frame_tokens.shape[2], dim=1)  # (B, F * P)
        if self.attention is None or sound_tokens is None:
            return frames, mask
        if self.audio_fusion == "frame_query":
            return self.attention(frames, sound_tokens, memory_mask=sound_mask) + frames, mask
        counts = token_counts(frame_counts, frame_tokens.shape[2])
        heard = self.attention(
            sound_tokens, frames, memory_mask=mask, memory_counts=counts
        )  # (B, M, token_dim)
        return _masked_mean(heard, sound_mask) + frames, mask


def token_counts(frame_counts: Tensor | None, tokens_per_frame: int) -> Tensor | None:
    """Counts of frames (B, F) as counts of their tokens (B, F * P)."""
    return None if frame_counts is None else frame_counts.repeat_interleave(tokens_per_frame, dim=1)


def _masked_mean(steps: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over valid steps: (B, M, D) to (B, 1, D); exactly 0 where no step is valid."""
    if mask is None:
        return steps.mean(dim=1, keepdim=True)
    valid = mask[:, :, None].to(steps.dtype)
    return (steps * valid).sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp(min=1)
