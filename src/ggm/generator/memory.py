"""What the decoder attends to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """What the decoder attends to.

    Args:
        states: (B, M, d).
        mask: int64 (B, M), 1 where a state is real.
    """

    states: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return int(self.states.shape[0])
