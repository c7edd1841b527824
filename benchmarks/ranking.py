"""How much should similarity count beside the generator's likelihood? On drawings and photographs.

Drawings are the validation split of the clip-art corpus, with and without their descriptions;
photographs are those of `photographs.py`, half for choosing and half held out, and have none.

    python benchmarks/ranking.py BUNDLE DATASET STAMPS_FOLDER
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from photographs import read_stamps, read_video
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ggm.bundle import Bundle, load_bundle
from ggm.candidates import measure_candidates, rank_posts
from ggm.evaluation.metrics import exact_match
from ggm.generator.decoding import generate
from ggm.ranking import Candidate, RankingConfig, best_beam, join
from ggm.records import VideoFeatures
from ggm.training.dataset import open_features

WEIGHTS = (0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0)
TOP = 5
BATCH = 16
Row = tuple[str, VideoFeatures, str, tuple[str, ...]]
"""Set, features, description, hashtags."""


def read_rows(bundle: Bundle, dataset: Path, stamps_folder: Path) -> list[Row]:
    drawings = open_features(dataset, bundle.extractor).split("validation")
    rows: list[Row] = []
    for index, post in enumerate(drawings.posts):
        features = drawings.features(index)
        rows.append(("drawings", features, post.description, post.hashtags))
        rows.append(("drawings, video only", features, "", post.hashtags))
    stamps = read_stamps(stamps_folder, bundle.vocabulary)
    objects = sorted({name for name, _, _ in stamps})
    held_out = set(np.random.default_rng(0).permutation(objects)[: len(objects) // 2])
    for name, picture, hashtags in stamps:
        half = "held out" if name in held_out else "tuning"
        rows.append((f"photographs, {half}", bundle.extractor.extract(read_video(picture)), "", hashtags))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("stamps", type=Path)
    arguments = parser.parse_args()
    console = Console(width=150)
    bundle = load_bundle(arguments.bundle)
    assert bundle.generator is not None, "a bundle with a generator is needed"
    rows = read_rows(bundle, arguments.dataset, arguments.stamps)
    systems: dict[str, list[list[str]]] = defaultdict(list)
    for start in track(range(0, len(rows), BATCH), console=Console(stderr=True)):
        part = rows[start : start + BATCH]
        features = [row[1] for row in part]
        guidance = bundle.guide(features, top_k=bundle.generator.config.top_k or TOP * 4)
        batch = bundle.batch(features, [row[2] for row in part], guidance)
        written = generate(bundle.generator, batch, decoding=bundle.decoding, vocabulary=bundle.vocabulary)
        measured = measure_candidates(bundle, features, batch, generated=written, guidance=guidance)
        systems["best beam"] += [[item.text for item in best_beam(row, top=TOP)] for row in written]
        systems["retriever"] += [list(found.texts[:TOP]) for found in guidance]
        for weight in WEIGHTS:
            systems[f"joined, {weight:g}"] += [ranked(candidates, weight) for candidates in measured]
        if bundle.scorer is not None:
            found = rank_posts(
                bundle,
                features,
                [row[2] for row in part],
                batch,
                generated=written,
                guidance=guidance,
                top=TOP,
            )
            systems["scorer"] += [[item.text for item in row] for row in found]
    report(rows, systems, console)


def ranked(candidates: Sequence[Candidate], weight: float) -> list[str]:
    config = RankingConfig(similarity_weight=weight, silent_similarity_weight=weight)
    return [item.text for item in join(candidates, config=config, described=True, top=TOP)]


def report(rows: Sequence[Row], systems: dict[str, list[list[str]]], console: Console) -> None:
    sets = list(dict.fromkeys(row[0] for row in rows))
    table = Table("", *(f"{name}: F1 / any right of {TOP}" for name in sets), box=None, padding=(0, 1))
    for system, predicted in systems.items():
        cells = []
        for name in sets:
            places = [index for index, row in enumerate(rows) if row[0] == name]
            scores = exact_match(
                [predicted[index] for index in places], reference=[rows[index][3] for index in places]
            )
            cells.append(f"{np.mean(scores.f1):.3f} / {np.mean(scores.recall > 0):.3f}")
        table.add_row(system, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
