"""Folders of made-up videos, and a recommender that makes hashtags up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ggm.errors import MediaError, MediaFormatError
from ggm.records import Guidance, Recommendation, RecommendedHashtag


class Made:
    """Recommends the same for all, and refuses files that are empty.

    Args:
        hashtags: Canonical.
    """

    def __init__(self, hashtags: Sequence[str]) -> None:
        self.hashtags = hashtags
        self.asked: list[tuple[str, str]] = []

    def __call__(self, posts: Iterable[tuple[str | Path, str]], /) -> Iterator[Recommendation | MediaError]:
        for path, description in posts:
            self.asked.append((Path(path).name, description))
            if not Path(path).stat().st_size:
                yield MediaFormatError(f"{path}: not a video")
                continue
            hashtags = tuple(RecommendedHashtag(text, text, 0.5, "novel") for text in self.hashtags)
            yield Recommendation(str(path), description, hashtags, Guidance())


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
