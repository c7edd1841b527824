"""Running an importer in a test and reading back all that it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggm.corpus.importers import ImportSummary, import_posts, make_importer
from ggm.corpus.manifest import read_manifest
from ggm.records import Post


@dataclass(frozen=True)
class Imported:
    """What an import gave, and what stands in its files."""

    summary: ImportSummary
    posts: list[Post]
    rejected: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    metadata: dict[str, Any]

    @property
    def by_id(self) -> dict[str, Post]:
        return {post.id: post for post in self.posts}

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(row["row"], row["reason"]) for row in self.rejected]


def import_from(
    source: Path | str,
    format_name: str,
    out: Path,
    *,
    videos: Path | None = None,
    allow_outside: bool = False,
    check_videos: bool = True,
    **options: Any,
) -> Imported:
    summary = import_posts(
        source,
        out,
        importer=make_importer(format_name, **options),
        videos=videos,
        allow_outside=allow_outside,
        check_videos=check_videos,
    )
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")], "a temporary file was left"
    posts = list(read_manifest(out / "manifest.jsonl", check_videos=check_videos))
    metadata = json.loads((out / "dataset.json").read_text("utf-8"))
    assert len(posts) == summary.posts == metadata["posts"]
    rejected = read_lines(out / "rejected.jsonl")
    assert len(rejected) == sum(summary.rejected.values())
    return Imported(summary, posts, rejected, read_lines(out / "sources.jsonl"), metadata)


def read_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def make_videos(folder: Path, names: Iterable[str]) -> Path:
    """Empty files: an importer looks whether a video is there, not into it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def write_json_lines(path: Path, *rows: object) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
