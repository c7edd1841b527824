"""What ``dataset.json`` says of the corpus: where it is from, under which licences, how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ggm.corpus import render
from ggm.corpus.art import drawings
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.looks import FRAMES_PER_SECOND, NUM_FRAMES
from ggm.corpus.art.sources import KEYWORD_LICENCES, LEFT_OUT, ArtSource

FORMAT_VERSION: Final = 1

_LICENCE_NOTE: Final = (
    "Each set has a licence of its own, named in sources; all of them allow that weights trained on the "
    "pictures are shipped, those of Creative Commons with attribution."
)


@dataclass(frozen=True)
class ArtSummary:
    """What was built.

    Args:
        folder: The dataset.
        posts_per_split: Number of posts by split name.
        pictures_per_source: Number of pictures by the key of their set.
        groups: Number of groups of pictures that show the same.
        hashtags: Number of different hashtags.
        frequent_hashtags: Number of those that five or more posts carry.
        widespread_hashtags: Number of those that pictures of five or more groups carry.
        dropped: Number of pictures left out, by reason.
    """

    folder: Path
    posts_per_split: dict[str, int]
    pictures_per_source: dict[str, int]
    groups: int
    hashtags: int
    frequent_hashtags: int
    widespread_hashtags: int
    dropped: dict[str, int]


def art_metadata(
    summary: ArtSummary,
    chosen: Sequence[ArtSource],
    config: ArtConfig,
    origin: list[str],
    rejected: list[dict[str, str]],
) -> dict[str, Any]:
    """The whole of it.

    Args:
        summary: What was built.
        chosen: The sets, besides the clip art.
        config: All settings.
        origin: File names of the packages.
        rejected: Pictures that couldn't be used, with the reasons.
    """
    facts = asdict(summary)
    del facts["folder"]
    counts = facts.pop("pictures_per_source")
    return {
        "name": "art",
        "format_version": FORMAT_VERSION,
        "title": "Clip art, emoji and icons as short videos",
        "made_from": origin,
        "settings": asdict(config),
        "licence": "several, see sources",
        "licence_note": _LICENCE_NOTE,
        "sources": [
            *_source_facts(chosen, counts),
            *_clipart_facts(counts),
        ],
        "keyword_sources": KEYWORD_LICENCES,
        "left_out": [asdict(one) for one in LEFT_OUT],
        "video": {
            "side": render.SIDE,
            "frames_per_second": FRAMES_PER_SECOND,
            "duration_seconds": NUM_FRAMES / FRAMES_PER_SECOND,
            "has_sound": False,
        },
        **facts,
        "rejected": rejected,
    }


def _source_facts(chosen: Sequence[ArtSource], counts: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for source in chosen:
        yield {
            "key": source.key,
            "title": source.title,
            "packages": [asdict(package) for package in source.packages.values()],
            "licence": source.licence,
            "attribution": source.attribution,
            "pictures": counts.get(source.key, 0),
        }


def _clipart_facts(counts: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    if counts.get(drawings.KEY):
        yield {
            "key": drawings.KEY,
            "title": drawings.TITLE,
            "packages": ["openclipart-png", "openclipart-svg"],
            "licence": drawings.LICENCE,
            "attribution": "each drawing's author, in sources.jsonl",
            "pictures": counts[drawings.KEY],
        }
