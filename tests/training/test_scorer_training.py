from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ggm.bundle import Bundle, load_bundle, save_bundle
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.errors import BundleError, ConfigError, DataError
from ggm.evaluation.predict import predict
from ggm.features.posts import FeaturedPosts
from ggm.ranking import Candidate
from ggm.recommend import Recommender
from ggm.scorer import MEASURES, measures_of
from ggm.serving.cli import app
from ggm.training.dataset import open_features
from ggm.training.scorer import (
    JudgedPost,
    ScorerSource,
    cross_fitted_reliability,
    fit_scorer,
    judged_posts,
    run_scorer,
)
from systems import random_bundle


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def simulated(count: int, *, seed: int = 0, weight: float = 1.0) -> list[JudgedPost]:
    """Posts whose hashtags are right with log-odds of 2 · similarity + 1.5 · named - 1, if described."""
    rng = np.random.default_rng(seed)
    posts = []
    for number in range(count):
        described = number % 2 == 0
        candidates = tuple(
            Candidate(f"h{row}", rng.uniform(-1, 1), rng.uniform(-9, 0), named=bool(rng.random() < 0.4))
            for row in range(6)
        )
        odds = [2 * item.similarity + 1.5 * item.named * described - 1 for item in candidates]
        right = tuple(bool(rng.random() < 1 / (1 + np.exp(-value))) for value in odds)
        posts.append(JudgedPost(candidates, right, described, weight))
    return posts


def test_what_made_the_posts_is_found_again() -> None:
    scorer = fit_scorer(simulated(4000), penalty=1e-6)
    for weights, named in ((scorer.described, 1.5), (scorer.silent, 0.0)):
        raw = np.array(weights.weight) / weights.deviation
        found = dict(zip(MEASURES, raw, strict=True))
        assert found["similarity"] == pytest.approx(2, abs=0.15)
        assert found["named"] == pytest.approx(named, abs=0.15)
        assert found["log_likelihood"] == pytest.approx(0, abs=0.05)
        assert weights.bias - float(raw @ weights.mean) == pytest.approx(-1, abs=0.15)


def test_no_other_weights_are_better() -> None:
    """The penalised likelihood, computed plainly, falls in every direction."""
    posts = [post for post in simulated(60) if post.described]
    silent = [post for post in simulated(60, seed=1) if not post.described]
    weights = fit_scorer(posts + silent, penalty=2.0).described

    def penalised(weight: np.ndarray, bias: float) -> float:
        total = -(weight**2).sum()  # half of the penalty of 2
        for post in posts:
            changed = replace(weights, weight=tuple(weight.tolist()), bias=bias)
            for value, right in zip(
                changed.probabilities(measures_of(post.candidates)), post.right, strict=True
            ):
                total += np.log(value if right else 1 - value)
        return float(total)

    best = penalised(np.array(weights.weight), weights.bias)
    for place in range(len(MEASURES)):
        for step in (-0.05, 0.05):
            moved = np.array(weights.weight)
            moved[place] += step
            assert penalised(moved, weights.bias) < best
    assert max(penalised(np.array(weights.weight), weights.bias + step) for step in (-0.05, 0.05)) < best


def test_a_post_of_weight_two_counts_as_two() -> None:
    posts = simulated(40)
    doubled = fit_scorer([replace(post, weight=2.0) for post in posts])
    twice = fit_scorer(posts + posts)
    np.testing.assert_allclose(doubled.silent.weight, twice.silent.weight, atol=1e-8)


def test_calibration_is_measured_on_posts_that_were_left_out() -> None:
    posts = simulated(1000)
    assert cross_fitted_reliability(posts, described=True).error < 0.05
    guests = [replace(post, measured=False) for post in simulated(40, seed=3, weight=1e-3)]
    found = cross_fitted_reliability(posts + guests, described=True)
    assert sum(one.count for one in found.bins) == 500 * 6


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="penalty must be above 0"):
        fit_scorer(simulated(4), penalty=0.0)
    with pytest.raises(ConfigError, match="weight must be above 0"):
        ScorerSource(tmp_path, weight=0.0)
    with pytest.raises(ConfigError, match="fitted on training posts"):
        ScorerSource(tmp_path, "train")
    with pytest.raises(DataError, match="posts without description must have right and wrong"):
        fit_scorer([post for post in simulated(8) if post.described])
    wrong = [replace(post, right=(False,) * 6) for post in simulated(8)]
    with pytest.raises(DataError, match="posts with description must have right and wrong"):
        fit_scorer(wrong)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny", seed=5)


@pytest.fixture(scope="module")
def data(bundle: Bundle, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A validation split of described posts, whose hashtags the random system can find."""
    folder = tmp_path_factory.mktemp("scorer")
    known = list(bundle.pool)
    posts = [
        replace(post, split="validation", description="a cat and a dog", hashtags=tuple(known[row % 3 :: 3]))
        for row, post in enumerate(load_dataset(tiny_dataset).posts[:8])
    ]
    write_manifest(posts, folder / "manifest.jsonl")
    return folder


def test_a_bundle_with_its_scorer_is_written_and_ranks_by_it(
    bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    save_bundle(bundle, tmp_path / "plain")
    cache = tmp_path / "cache"
    measured = run_scorer(tmp_path / "plain", [ScorerSource(data)], tmp_path / "out", cache=cache)
    assert set(measured) == {"described", "silent"}
    scored = load_bundle(tmp_path / "out")
    assert scored.scorer is not None
    record = scored.training["scorer"]
    assert record["posts"] == 16  # each with and without its description
    assert record["sources"][0]["split"] == "validation"
    posts = open_features(data, scored.extractor, cache=cache).split("validation")
    first, *_ = predict(scored, posts, system="recommender")
    (judged, *_others) = judged_posts(scored, posts, ScorerSource(data))
    expected = scored.scorer.rank(judged.candidates, described=True)
    assert list(first.hashtags) == [item.text for item in expected]
    assert list(first.scores) == pytest.approx([item.score for item in expected], abs=1e-4)
    with Recommender(scored) as recommender:
        answer = recommender.recommend(posts.posts[0].video, posts.posts[0].description, top=3)
    assert [item.score for item in answer.hashtags] == sorted(
        (item.score for item in answer.hashtags), reverse=True
    )
    again = load_bundle(tmp_path / "out")
    assert again.scorer == scored.scorer
    # Everything else is as it was.
    assert {p.name: p.read_bytes() for p in (tmp_path / "plain").iterdir() if p.suffix == ".safetensors"} == {
        p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.suffix == ".safetensors"
    }


def test_a_bundle_without_generator_can_have_none(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    save_bundle(replace(bundle, generator=None, text=None), tmp_path / "plain")
    with pytest.raises(BundleError, match="holds no generator"):
        run_scorer(tmp_path / "plain", [ScorerSource(data)], tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()


def test_plurals_count_where_hashtags_were_written_down_as_fitting(bundle: Bundle, data: Path) -> None:
    posts = open_features(data, bundle.extractor).split("validation")
    (strict, *_) = judged_posts(bundle, posts, ScorerSource(data))
    assert isinstance(posts, FeaturedPosts)
    first = posts.posts[0]
    renamed = replace(first, hashtags=tuple(f"{text.removesuffix('s')}s" for text in first.hashtags))
    plural = replace(posts, posts=(renamed,))
    (other, *_) = judged_posts(bundle, plural, ScorerSource(data))
    assert sum(other.right) < sum(strict.right)
    (loose, *_) = judged_posts(bundle, plural, ScorerSource(data, loose=True))
    assert sum(loose.right) == sum(strict.right)


def test_the_command(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "plain")
    asked = ["train", "scorer", str(tmp_path / "plain"), "--data", str(data), "--out", str(tmp_path / "out")]
    also = ["--also", str(data), "--also-split", "validation", "--also-weight", "2"]
    result = CliRunner().invoke(app, [*asked, *also, "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 0, result.output
    assert "expected calibration error, silent" in result.output
    sources = load_bundle(tmp_path / "out").training["scorer"]["sources"]
    assert [source["loose"] for source in sources] == [False, True]
