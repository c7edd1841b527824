"""How much of the trained heads should be blended in? Measured on photographs, not on drawings.

Photographs are the stamps of Tux Paint (Debian package tuxpaint-stamps-default, GPL-2: good to
measure on, never trained on). Their hashtags are the folders they lie in and the words of their
English descriptions, as far as the pool has them. Half of the objects are for tuning, half are
held out.

    python benchmarks/photographs.py BUNDLE STAMPS_FOLDER [DATASET]

With a dataset the recall on its validation split stands beside it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ggm.bundle import load_bundle
from ggm.evaluation.metrics import recall_at
from ggm.hashtags import Vocabulary
from ggm.records import Frames, Video, VideoFeatures
from ggm.training.dataset import open_features

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
MIN_COLOURS = 3000  # cartoons have fewer


def read_stamps(folder: Path, pool: Vocabulary) -> list[tuple[str, Path, tuple[str, ...]]]:
    """Photographs with hashtags of the pool: (object, picture, hashtags)."""
    stamps = []
    for picture in sorted(folder.rglob("*.png")):
        text = picture.with_suffix(".txt")
        if not text.is_file() or "cartoon" in picture.parts or "_mirror" in picture.stem:
            continue
        description = text.read_text("utf-8", errors="replace").splitlines()[0]
        sentence = re.split(r"[.!?]", description)[0]
        words = [*picture.relative_to(folder).parts[:-1], *re.findall(r"[a-z]{3,}", sentence.lower())]
        hashtags = tuple(dict.fromkeys(word for word in words if word in pool))
        if hashtags and _is_photograph(picture):
            stamps.append((re.sub(r"[\d_]+", "", picture.stem)[:6], picture, hashtags))
    return stamps


def _is_photograph(picture: Path) -> bool:
    with Image.open(picture) as image:
        if image.width * image.height > 20_000_000:
            return False
        colours = image.convert("RGBA").convert("RGB").getcolors(MIN_COLOURS)
    return colours is None


def read_video(picture: Path) -> Video:
    """The stamp on white, as a video of one frame."""
    with Image.open(picture) as image:
        stamp = image.convert("RGBA")
    stamp.thumbnail((400, 400))
    side = round(max(stamp.size) * 1.15)
    canvas = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    canvas.alpha_composite(stamp, ((side - stamp.width) // 2, (side - stamp.height) // 2))
    pixels = np.asarray(canvas.convert("RGB"))[None]
    return Video(Frames(pixels, np.zeros(1)), None, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("stamps", type=Path)
    parser.add_argument("dataset", type=Path, nargs="?")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.bundle)
    stamps = read_stamps(arguments.stamps, bundle.vocabulary)
    objects = sorted({name for name, _, _ in stamps})
    held_out = set(np.random.default_rng(0).permutation(objects)[: len(objects) // 2])
    sets: dict[str, tuple[list[VideoFeatures], list[tuple[str, ...]]]] = {
        "tuning": ([], []),
        "held out": ([], []),
    }
    for name, picture, hashtags in stamps:
        features, wanted = sets["held out" if name in held_out else "tuning"]
        features.append(bundle.extractor.extract(read_video(picture)))
        wanted.append(hashtags)
    if arguments.dataset is not None:
        posts = open_features(arguments.dataset, bundle.extractor).split("validation")
        sets["drawings"] = (
            [posts.features(index) for index in range(len(posts))],
            [post.hashtags for post in posts.posts],
        )
    table = Table("head weight", *(f"{name}, recall@10 / @50" for name in sets), box=None)
    for weight in WEIGHTS:
        blend = bundle.with_head_weight(weight)
        row = []
        for features, wanted in sets.values():
            ranked = [guidance.texts for guidance in blend.guide(features, top_k=50)]
            recalls = (np.mean(recall_at(ranked, reference=wanted, k=k)) for k in (10, 50))
            row.append(" / ".join(f"{recall:.3f}" for recall in recalls))
        table.add_row(f"{weight:g}", *row)
    console = Console(width=120)
    console.print(f"{len(stamps)} photographs, {len(objects)} objects, pool of {len(bundle.pool):,} hashtags")
    console.print(table)


if __name__ == "__main__":
    main()
