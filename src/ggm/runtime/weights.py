"""Which weights an export was made of."""

from __future__ import annotations

import hashlib

from torch import nn


def weights_fingerprint(module: nn.Module) -> str:
    """Hash of all weights, by their order."""
    digest = hashlib.blake2b(digest_size=16)
    for parameter in module.parameters():
        array = parameter.detach().cpu().contiguous().numpy()
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
