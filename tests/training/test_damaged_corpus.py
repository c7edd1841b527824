"""Damaged videos sown into a corpus: all are reported by row, no other post is lost, training completes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggm.bundle import load_bundle
from ggm.corpus.manifest import write_manifest
from ggm.errors import MediaError
from ggm.features.posts import FeaturedPosts
from ggm.media.decode import decode_video
from ggm.records import Post
from ggm.training.generator_runs import run_generator
from ggm.training.recipes import CheckpointSettings, Recipe
from ggm.training.runs import run_classifier, run_retriever
from videos import write_video

TRAIN, VALIDATION, TEST = 170, 30, 40
COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 230), "white": (240, 240, 240)}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _text(path: Path) -> None:
    path.write_text("This video is not available in your country.", "utf-8")


def _flip_a_bit_of_the_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"moov", b"loov", 1))


def _remove(path: Path) -> None:
    path.unlink()


def _page_instead(path: Path) -> None:
    path.write_bytes(b"<html>" + bytes(range(256)) * 20)


DAMAGES: dict[int, Callable[[Path], None]] = {
    3: _truncate,
    17: _empty,
    40: _zeros,
    41: _text,
    66: _flip_a_bit_of_the_header,
    90: _remove,
    101: _page_instead,
    120: _truncate,
    144: _remove,
    TRAIN - 1: _text,
    TRAIN + 4: _empty,  # of the validation split
    TRAIN + VALIDATION + 2: _flip_a_bit_of_the_header,  # of the test split
    TRAIN + VALIDATION + 9: _remove,
}
"""What happens to the posts at these places."""

SCRATCHED = (5, 70, TRAIN + 1)
"""Posts that lose a few packets: they can be used."""


def _scratch(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    stop = content.index(b"moov") if content.index(b"moov") > start else len(content)
    middle = (start + stop) // 2
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 posts, of which 13 are damaged."""
    folder = tmp_path_factory.mktemp("corpus")
    posts = []
    for place in range(TRAIN + VALIDATION + TEST):
        colour, pattern = list(COLOURS)[place % 4], ("plain", "stripes")[place % 2]
        pictures = [np.full((48, 64, 3), COLOURS[colour], np.uint8) for _ in range(3)]
        for picture in pictures:
            picture[:, :: 8 if pattern == "stripes" else 64] = place
        video = write_video(folder / f"{place}.mp4", pictures=pictures, sound=place % 5 == 0)
        split = "train" if place < TRAIN else "validation" if place < TRAIN + VALIDATION else "test"
        posts.append(Post(f"post-{place}", video, f"look at {colour}", (colour, pattern), split=split))
    write_manifest(posts, folder / "manifest.jsonl")
    for place, damage in DAMAGES.items():
        damage(folder / f"{place}.mp4")
    for place in SCRATCHED:
        _scratch(folder / f"{place}.mp4")
    return folder


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids of the posts whose features were read, whole or in part."""
    ids: set[str] = set()
    for name in ("features", "pooled"):
        real: Any = getattr(FeaturedPosts, name)

        def spy(self: FeaturedPosts, index: int, real: Any = real) -> Any:
            ids.add(self.posts[index].id)
            return real(self, index)

        monkeypatch.setattr(FeaturedPosts, name, spy)
    return ids


def good(start: int, count: int) -> set[str]:
    return {f"post-{place}" for place in range(start, start + count) if place not in DAMAGES}


def reported(out: Path) -> dict[int, str]:
    """What rejected.jsonl says: reasons by row, each row once."""
    lines = (out.with_name(f"{out.name}.log") / "rejected.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        place = row["row"] - 1
        missing = DAMAGES[place] is _remove
        assert row["what"] == (f"row {row['row']}" if missing else f"post post-{place}")
        assert f"{place}.mp4" in row["reason"]
    assert len({row["row"] for row in rows}) == len(rows)
    return {row["row"]: row["reason"] for row in rows}


def test_a_corpus_with_damaged_videos(corpus: Path, recipe: Recipe, tmp_path: Path, used: set[str]) -> None:
    for place in SCRATCHED:
        assert len(decode_video(corpus / f"{place}.mp4").frames) > 0
    for place, damage in DAMAGES.items():
        if damage is not _remove:
            with pytest.raises(MediaError):
                decode_video(corpus / f"{place}.mp4")
    count = len(good(0, TRAIN))
    assert count == 160
    assert len(DAMAGES) / (TRAIN + VALIDATION + TEST) > 0.01
    optimiser = replace(recipe.generator.optimiser, batch_size=16, max_steps=count // 16)  # each post once
    recipe = replace(
        recipe,
        retriever=replace(recipe.retriever, optimiser=optimiser),
        generator=replace(recipe.generator, optimiser=optimiser, guidance="retriever"),
        classifier=replace(recipe.classifier, optimiser=optimiser),
        decoding=replace(recipe.decoding, max_new_tokens=8),
        checkpoints=CheckpointSettings(validate_every=count // 16, validation_posts=100, keep_best=1),
    )
    missing = {place + 1 for place, damage in DAMAGES.items() if damage is _remove}
    warnings: list[str] = []

    made = run_retriever(recipe, corpus, tmp_path / "retriever", warn=warnings.append)
    assert used == good(0, TRAIN)
    assert made.training["retriever"]["posts"] == count
    assert set(reported(tmp_path / "retriever")) == missing | {
        place + 1 for place in DAMAGES if place < TRAIN
    }
    assert "rows of the manifest that were left out: 3" in warnings[0]
    assert "left out 8 of 168 posts of split 'train'" in warnings[1]

    used.clear()
    made = run_generator(recipe, corpus, tmp_path / "bundle", retriever=tmp_path / "retriever")
    assert used == good(0, TRAIN + VALIDATION)
    assert made.training["generator"]["posts"] == count
    assert set(reported(tmp_path / "bundle")) == missing | {
        place + 1 for place in DAMAGES if place < TRAIN + VALIDATION
    }
    assert load_bundle(tmp_path / "bundle").generator is not None

    used.clear()
    run_classifier(recipe, corpus, tmp_path / "classifier")
    assert used == good(0, TRAIN + VALIDATION + TEST)
    assert set(reported(tmp_path / "classifier")) == {place + 1 for place in DAMAGES}
    lines = (tmp_path / "classifier" / "test.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["id"] for line in lines} == good(TRAIN + VALIDATION, TEST)
