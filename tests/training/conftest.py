"""A dataset whose videos show what their hashtags say, and recipes that train on it in a second."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts, featured_posts
from ggm.records import Post
from ggm.training.recipes import ClassifierRecipe, GeneratorRecipe, OptimiserSettings, Recipe, RetrieverRecipe
from videos import write_video

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 230), "white": (240, 240, 240)}
PATTERNS = ("plain", "stripes", "frame")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on tiny tensors are slower than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _frozen_garbage() -> Iterator[None]:
    """Each run has the garbage collected, most of its time here; what is imported needs no looking at."""
    import transformers

    assert transformers.Trainer  # loaded when first asked for
    gc.freeze()
    yield
    gc.unfreeze()


def painted(colour: str, pattern: str, *, shade: int) -> np.ndarray:
    pixels = np.full((48, 64, 3), COLOURS[colour], np.int16)
    if pattern == "stripes":
        pixels[:, ::16] = pixels[:, 1::16] = pixels[:, 2::16] = pixels[:, 3::16] = 0
    elif pattern == "frame":
        pixels[:12] = pixels[-12:] = 0
    return np.clip(pixels + shade, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def painted_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every colour with every pattern, twice to train and once to validate; four to test."""
    folder = tmp_path_factory.mktemp("painted")
    posts = []
    for split, shade in (("train", 0), ("train", -15), ("validation", -30), ("test", -25)):
        for index, (colour, pattern) in enumerate((c, p) for c in COLOURS for p in PATTERNS):
            if split == "test" and index % 3:
                continue
            name = f"{colour}-{pattern}{shade}"
            video = write_video(
                folder / f"{name}.mp4",
                pictures=[painted(colour, pattern, shade=shade)] * 6,
                sound=index % 2 == 0,
            )
            posts.append(Post(name, video, f"look at {colour}", (colour, pattern), split=split))
    write_manifest(posts, folder / "manifest.jsonl")
    return folder


@pytest.fixture(scope="session")
def extractor() -> FeatureExtractor:
    return load_extractor("tiny")


@pytest.fixture(scope="session")
def train(
    painted_dataset: Path, extractor: FeatureExtractor, tmp_path_factory: pytest.TempPathFactory
) -> FeaturedPosts:
    """The 24 training posts, with features."""
    posts = load_dataset(painted_dataset).split("train")
    data, errors = featured_posts(posts, extractor, tmp_path_factory.mktemp("features"))
    assert not errors
    return data


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Everything tiny and quick; change single settings with `dataclasses.replace`."""
    quick = OptimiserSettings(learning_rate=1e-2, batch_size=12, max_steps=12, warmup_steps=1)
    return Recipe(
        name="painted",
        profile="tiny",
        retriever=RetrieverRecipe(quick, hidden_dim=16, dropout=0.1, initial_temperature=10.0),
        generator=GeneratorRecipe(quick, top_k=4, head_width=8, max_input_tokens=48, max_target_tokens=24),
        classifier=ClassifierRecipe(quick, hidden_dim=32, dropout=0.1),
    )
