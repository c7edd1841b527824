"""Pre-training, then fine-tuning: a generator begins with what another one has learned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggm.bundle import load_bundle
from ggm.errors import BundleError, CheckpointError
from ggm.generator.model import Generator


def start_from(generator: Generator, folder: Path) -> str:
    """Give a new generator the weights of a trained one, as far as both have them.

    Weights of a name and shape that both have are copied. Where one has an output vocabulary of its own (the
    compact text model, cut for the hashtags of its posts), the rows of pieces that both write are. What the
    older one lacks, such as a pointer, stays as new.

    Args:
        generator: With its weights as new; changed in place.
        folder: Of a bundle with a generator of the same profile and sizes.

    Returns:
        What tells these weights from others: 32 hexadecimal digits.

    Raises:
        BundleError: If there is no bundle in the folder, or it holds a retriever only.
        CheckpointError: If hardly anything of it fits.
    """
    older = load_bundle(folder).generator
    if older is None:
        raise BundleError(f"{folder}: holds a retriever only; there is no generator to start from")
    theirs, own = older.trainable_state_dict(), generator.trainable_state_dict()
    pieces = _rows(older.output_tokenizer.get_vocab(), generator.output_tokenizer.get_vocab())
    unfit = []
    with torch.no_grad():
        for name, value in theirs.items():
            mine = own.get(name)
            if mine is not None and mine.shape == value.shape and not _by_piece(value, older):
                mine.copy_(value)
            elif mine is not None and _by_piece(value, older) and mine.shape[1:] == value.shape[1:]:
                mine[pieces[1]] = value[pieces[0]]
            else:
                unfit.append(name)
    if len(unfit) > len(theirs) // 2:
        raise CheckpointError(
            f"{folder}: of another kind than what shall be trained: {len(unfit)} of {len(theirs)} weights "
            f"don't fit, such as {unfit[0]}"
        )
    return _fingerprint(theirs)


def _by_piece(value: Tensor, generator: Generator) -> bool:
    """Whether each row belongs to a piece of the output vocabulary."""
    return len(value.shape) > 0 and value.shape[0] == len(generator.output_tokenizer)


def _rows(older: Mapping[str, int], newer: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """Where the pieces that both write are in either vocabulary."""
    both = sorted(older.keys() & newer.keys())
    return torch.tensor([older[piece] for piece in both]), torch.tensor([newer[piece] for piece in both])


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(state.items()):
        raw: Any = value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(name.encode() + raw.tobytes())
    return digest.hexdigest()
