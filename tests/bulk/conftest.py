"""Manifests of clips that have no hashtags yet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def manifest(tmp_path: Path, clips: list[Path]) -> Path:
    """Eleven rows: eight good ones, no JSON, no video, a video that is none."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    rows = [
        json.dumps(
            {"id": f"clip {row}", "video": str(clips[row % len(clips)]), "description": f"a cat {row}"}
        )
        for row in range(8)
    ]
    rows.insert(2, "no JSON")
    rows.insert(5, json.dumps({"id": "absent", "video": "absent.mp4"}))
    rows.insert(9, json.dumps({"id": "broken", "video": broken.name}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path
