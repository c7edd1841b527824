"""What an export's folder holds, and whose it is.

export.json         format, the encoders' fingerprints, SHA-256 of each file
frames.onnx         prepared frames to embeddings, pooled activations and tokens
hashtags.onnx       token ids of hashtags and descriptions to embeddings
text_encoder.onnx   token ids that the generator reads to states; absent without a generator
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ggm.errors import BundleError

FORMAT: Final = 1
MANIFEST: Final = "export.json"
FRAMES: Final = "frames"
HASHTAGS: Final = "hashtags"
TEXT_ENCODER: Final = "text_encoder"


@dataclass(frozen=True)
class ExportManifest:
    """What an export says of itself.

    Args:
        bundle: Name of the bundle.
        extractor_fingerprint: Of its encoders of frames and hashtags.
        text_fingerprint: Of its text encoder's weights; None without a generator.
        files: SHA-256 of each graph, by file name.
        frames_per_run: How many frames are best encoded at a time.
        format: Of this file.
    """

    bundle: str
    extractor_fingerprint: str
    text_fingerprint: str | None
    files: dict[str, str]
    frames_per_run: int
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it, as the last file of the folder."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")


def read_export(folder: Path) -> ExportManifest:
    """What an export says of itself, once all its files are found to be as they were written.

    Raises:
        BundleError: If there is none, or a file is missing or changed.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text("utf-8"))
        manifest = ExportManifest(**values)
        files = dict(manifest.files)
    except FileNotFoundError:
        raise BundleError(
            f"{folder}: no export there; write one with: ggm export compact --out DIR"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: damaged export: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"{path}: format {manifest.format}, but this version of ggm reads format {FORMAT}")
    for name, expected in files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise BundleError(f"{folder}: damaged export: {name} is missing")
        if sha256(folder / name) != expected:
            raise BundleError(f"{folder}: damaged export: {name} is not the file that was written")
    return manifest


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
