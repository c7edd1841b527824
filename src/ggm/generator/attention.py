"""Cross-modal attention (CAM), the one new kind of layer of the model (paper, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossModalAttention(nn.Module):
    """Multi-head attention from one modality (query) to another (memory = keys and values).

    It gives the attended values alone; the caller adds the residual. The output projection starts
    at zero, so that with the residual the layer starts as the identity and a pretrained text
    model is not disturbed by it.

    Args:
        query_dim: Width of the query.
        memory_dim: Width of the memory.
        num_heads: Attention heads; must divide `width`.
        width: Inner width over all heads; `output_dim` by default.
        output_dim: Width of the answer; `query_dim` by default.
        dropout: Probability of dropout on the answer, 0 to 1.

    Raises:
        ValueError: If `num_heads` doesn't divide `width`.
    """

    def __init__(
        self,
        query_dim: int,
        *,
        memory_dim: int,
        num_heads: int,
        width: int | None = None,
        output_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        output_dim = output_dim or query_dim
        width = width or output_dim
        if width % num_heads:
            raise ValueError(f"{num_heads} heads can't divide a width of {width} evenly")
        self.num_heads = num_heads
        self.query = nn.Linear(query_dim, width)
        self.key = nn.Linear(memory_dim, width)
        self.value = nn.Linear(memory_dim, width)
        self.output = nn.Linear(width, output_dim)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        memory_mask: Tensor | None = None,
        memory_counts: Tensor | None = None,
    ) -> Tensor:
        """Attend from each query position to all valid memory positions.

        Args:
            query: (B, N, query_dim).
            memory: (B, M, memory_dim).
            memory_mask: bool (B, M), true where the memory is valid; None when all of it is.
            memory_counts: (B, M), how many equal positions each one stands for, 1 or more where the
                memory is valid; None when each stands for itself. The answer is the same as if each
                were there so many times.

        Returns:
            (B, N, output_dim); exactly 0 for an item without any valid memory position.
        """
        has_memory = None
        attention_mask = None
        if memory_mask is not None:
            has_memory = memory_mask.any(dim=1)  # (B,)
            # An item without memory attends to its padding, so that softmax and its gradient stay
            # finite; what comes of it is replaced by 0 below.
            attention_mask = (memory_mask | ~has_memory[:, None])[:, None, None, :]  # (B, 1, 1, M)
        if memory_counts is not None:
            # softmax over n equal keys gives them n exp(s) = exp(s + log n) together.
            attention_mask = _weighted(memory_counts.to(query.dtype), attention_mask)
        attended = F.scaled_dot_product_attention(
            self._heads(self.query(query)),  # (B, H, N, width / H)
            self._heads(self.key(memory)),  # (B, H, M, width / H)
            self._heads(self.value(memory)),
            attn_mask=attention_mask,
        )
        answer: Tensor = self.dropout(self.output(attended.transpose(1, 2).flatten(2)))  # (B, N, output_dim)
        if has_memory is not None:
            answer = torch.where(has_memory[:, None, None], answer, torch.zeros_like(answer))
        return answer

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], self.num_heads, -1).transpose(1, 2)


def _weighted(counts: Tensor, mask: Tensor | None) -> Tensor:
    """What is added to attention scores: (B, 1, 1, M)."""
    bias = counts.clamp(min=1).log()[:, None, None, :]
    return bias if mask is None else bias.masked_fill(~mask, -torch.inf)
