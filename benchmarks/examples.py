"""The example videos before and after training: what the retriever finds, and what is recommended.

python benchmarks/examples.py BUNDLE [VIDEO...]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from ggm.bundle import load_bundle
from ggm.media.decode import decode_video
from ggm.recommend import Recommender

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("videos", type=Path, nargs="*", help="by default the shipped examples")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in (EXAMPLES / "examples.jsonl").read_text("utf-8").splitlines()]
    descriptions = {EXAMPLES / row["video"]: row["description"] for row in rows}
    bundle = load_bundle(arguments.bundle)
    untrained = bundle.with_head_weight(0.0)
    recommender = Recommender(bundle) if bundle.generator is not None else None
    console = Console(width=150, highlight=False)
    for path in arguments.videos or descriptions:
        features = bundle.extractor.extract(
            decode_video(
                path, short_side=bundle.extractor.short_side, sound_rate_hz=bundle.extractor.sound_rate_hz
            )
        )
        console.print(f"[bold]{path.name}[/]")
        for name, system in (("before training", untrained), ("after training", bundle)):
            found = system.guide([features], top_k=10)[0]
            console.print(f"  retrieved {name}: " + " ".join(f"#{text}" for text in found.texts))
        if recommender is None:
            continue
        for description in dict.fromkeys(["", descriptions.get(path, "")]):
            answer = recommender.recommend(path, description, top=10)
            shown = " ".join(f"#{item.display}" for item in answer.hashtags)
            console.print(f"  recommended for {description!r}: {shown}")


if __name__ == "__main__":
    main()
