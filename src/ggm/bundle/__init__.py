"""A trained system: `system` holds it in memory, `folder` keeps it on disk."""

from ggm.bundle.folder import (
    FORMAT,
    MANIFEST,
    SHIPPED,
    bundle_fingerprint,
    find_bundle,
    load_bundle,
    read_manifest,
    save_bundle,
)
from ggm.bundle.system import (
    DEFAULT_TOP_K,
    Bundle,
    build_generator,
    round_weights,
    with_trained_encoders,
)

__all__ = [
    "DEFAULT_TOP_K",
    "FORMAT",
    "MANIFEST",
    "SHIPPED",
    "Bundle",
    "build_generator",
    "bundle_fingerprint",
    "find_bundle",
    "load_bundle",
    "read_manifest",
    "round_weights",
    "save_bundle",
    "with_trained_encoders",
]
