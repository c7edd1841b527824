"""npm packages in miniature, made here, with their real checksums."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from ggm.corpus.npm import NpmPackage


def write_package(
    folder: Path,
    name: str,
    files: Mapping[str, str | bytes],
    *,
    licence: str = "MIT",
    odd: tuple[tarfile.TarInfo, ...] = (),
) -> NpmPackage:
    """A package of version 1.0.0 as `npm pack` lays it out; `odd` adds members without content."""
    packed = io.BytesIO()
    facts = json.dumps({"name": name, "version": "1.0.0", "license": licence})
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in {"package.json": facts, **files}.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in odd:
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    content = gzip.compress(packed.getvalue(), mtime=0)
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    package = NpmPackage(name, "1.0.0", f"sha512-{digest}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / package.file_name).write_bytes(content)
    return package
