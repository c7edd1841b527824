from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ggm.bundle import Bundle
from ggm.corpus.manifest import load_dataset
from ggm.errors import BundleError, ConfigError
from ggm.evaluation import predict as predict_module
from ggm.evaluation.predict import RANKED, SYSTEMS, System, predict
from ggm.evaluation.predictions import Prediction
from ggm.features.posts import FeaturedPosts, featured_posts
from ggm.history import History
from ggm.ranking import RankingConfig
from ggm.recommend import Recommender
from ggm.scorer import MEASURES, Scorer, Weights
from systems import HASHTAGS, random_bundle


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle("tiny", seed=2)


@pytest.fixture(scope="module")
def posts(bundle: Bundle, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FeaturedPosts:
    data, errors = featured_posts(
        load_dataset(tiny_dataset).posts[:7], bundle.extractor, tmp_path_factory.mktemp("features")
    )
    assert not errors
    return data


def run(bundle: Bundle, posts: FeaturedPosts, system: System, **settings: Any) -> list[Prediction]:
    return list(predict(bundle, posts, system=system, **settings))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_answers_every_post_in_order(
    bundle: Bundle, posts: FeaturedPosts, system: System
) -> None:
    found = run(bundle, posts, system)
    assert [(p.id, p.reference) for p in found] == [(post.id, post.hashtags) for post in posts.posts]
    assert {p.system for p in found} == {system}
    assert any(p.hashtags for p in found)
    for prediction in found:
        assert list(prediction.scores) == sorted(prediction.scores, reverse=True)
        assert len(set(prediction.hashtags)) == len(prediction.hashtags)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_batch_size_changes_nothing(bundle: Bundle, posts: FeaturedPosts, system: System) -> None:
    """Posts of one and two frames, with sound and without, padded to each other or alone."""
    alone, together = (run(bundle, posts, system, batch_size=size) for size in (1, 4))
    for one, other in zip(alone, together, strict=True):
        assert (one.id, one.hashtags, one.guidance) == (other.id, other.hashtags, other.guidance)
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


def test_the_generator_is_the_best_beam_alone(bundle: Bundle, posts: FeaturedPosts) -> None:
    with Recommender(bundle) as recommender:
        for index, prediction in enumerate(run(bundle, posts, "generator", batch_size=1)):
            features, post = posts.features(index), posts.posts[index]
            guidance = recommender.guide(features)
            written = recommender.generate(features, post.description, guidance)
            assert prediction.hashtags == tuple(item.text for item in written if item.in_best_beam)
            assert prediction.guidance == guidance.texts


def test_the_recommender_is_what_recommender_answers(bundle: Bundle, posts: FeaturedPosts) -> None:
    """By its own ranking, with hashtags beyond the best beam and from the guidance."""
    bundle = replace(bundle, ranking=RankingConfig(similarity_weight=3.0))
    with Recommender(bundle) as recommender:
        for index, prediction in enumerate(run(bundle, posts, "recommender", batch_size=1)):
            features, post = posts.features(index), posts.posts[index]
            guidance = recommender.guide(features)
            written = recommender.generate(features, post.description, guidance)
            expected = recommender.rank(features, post.description, guidance, written)
            assert prediction.hashtags == tuple(item.text for item in expected)
            assert {*guidance.texts} <= {*prediction.hashtags}


def test_the_retriever_is_its_whole_guidance(bundle: Bundle, posts: FeaturedPosts) -> None:
    """More than the generator reads (four, here), for recall@100."""
    for index, prediction in enumerate(run(bundle, posts, "retriever")):
        (guidance,) = bundle.guide([posts.features(index)], top_k=RANKED)
        assert prediction.hashtags == prediction.guidance == guidance.texts
        assert prediction.scores == tuple(hit.similarity for hit in guidance.hits)
        assert sorted(prediction.hashtags) == sorted(HASHTAGS)


def test_the_pretrained_retriever_has_heads_of_no_weight(bundle: Bundle, posts: FeaturedPosts) -> None:
    """Cosines of the pretrained embeddings, by hand."""
    found = run(bundle, posts, "pretrained-retriever")
    hashtags = bundle.extractor.embed_hashtags(HASHTAGS)
    for index, prediction in enumerate(found):
        video = posts.features(index).frame_embeddings.mean(0)
        cosines = hashtags @ video / np.linalg.norm(hashtags, axis=1) / np.linalg.norm(video)
        assert prediction.hashtags == tuple(HASHTAGS[place] for place in np.argsort(-cosines))
        assert prediction.scores == pytest.approx(np.sort(cosines)[::-1], abs=1e-3)
    headless = run(bundle.with_head_weight(0.0), posts, "retriever", name="pretrained-retriever")
    assert found == headless
    assert [p.hashtags for p in found] != [p.hashtags for p in run(bundle, posts, "retriever")]


def test_popular_is_the_same_for_every_video(bundle: Bundle, posts: FeaturedPosts) -> None:
    found = run(bundle, posts, "popular")
    assert {p.hashtags for p in found} == {tuple(reversed(HASHTAGS))}  # counted 1 to 8
    assert found[0].scores == (8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert found[0].guidance == ()


def test_ranked_lists_are_cut(bundle: Bundle, posts: FeaturedPosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_module, "RANKED", 3)
    for system in ("popular", "retriever", "recommender"):
        assert {len(p.hashtags) for p in run(bundle, posts.subset([0, 1]), system)} == {3}


def test_without_descriptions_the_video_alone_decides(bundle: Bundle, posts: FeaturedPosts) -> None:
    blank = FeaturedPosts(tuple(replace(post, description="") for post in posts.posts), posts.cache)
    without = run(bundle, posts, "generator", without_descriptions=True)
    assert without == run(bundle, blank, "generator")
    assert without != run(bundle, posts, "generator")


def test_the_name_and_the_progress(bundle: Bundle, posts: FeaturedPosts) -> None:
    told: list[tuple[int, int]] = []
    found = run(
        bundle, posts, "popular", name="most-frequent", batch_size=3, progress=lambda *done: told.append(done)
    )
    assert {p.system for p in found} == {"most-frequent"}
    assert told == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_retriever_alone_has_some_of_the_systems(
    bundle: Bundle, posts: FeaturedPosts, system: System
) -> None:
    alone = replace(bundle, generator=None, text=None)
    if system in ("generator", "recommender"):
        with pytest.raises(BundleError, match=f"holds a retriever only; it has no system '{system}'"):
            run(alone, posts, system)
    else:
        assert run(alone, posts, system) == run(bundle, posts, system)


def test_an_unknown_system_is_refused_by_name(bundle: Bundle, posts: FeaturedPosts) -> None:
    with pytest.raises(ConfigError, match="no system 'oracle'; there are generator, recommender, retriever"):
        run(bundle, posts, "oracle")  # type: ignore[arg-type]


def test_only_a_scorers_scores_are_said_to_be_probabilities(bundle: Bundle, posts: FeaturedPosts) -> None:
    weights = Weights((0.0,) * len(MEASURES), (1.0,) * len(MEASURES), (0.1,) * len(MEASURES), -1.0)
    scored = replace(bundle, scorer=Scorer(weights, weights))
    assert all(p.probabilities for p in run(scored, posts, "recommender"))
    histories = {posts.posts[0].id: History((("cat",),))}
    assert not any(p.probabilities for p in run(scored, posts, "recommender", histories=histories))
    assert not any(p.probabilities for p in run(bundle, posts, "recommender"))
    assert not any(p.probabilities for p in run(scored, posts, "retriever"))
