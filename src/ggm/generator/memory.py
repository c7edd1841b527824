"""What the decoder attends to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ggm.generator.pointer import PointerMemory


@dataclass(frozen=True, eq=False)
class Memory:
    """What the decoder attends to.

    Args:
        states: (B, M, d).
        mask: int64 (B, M), 1 where a state is real.
        pointer: What a pointer can point at, where the model has one.
    """

    states: Tensor
    mask: Tensor
    pointer: PointerMemory | None = None

    def __len__(self) -> int:
        return int(self.states.shape[0])
