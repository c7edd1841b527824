from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ggm.training.retriever as retriever_training
from ggm.errors import DataError
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts, PooledFeatures, StoredPooled, pooled_chunks
from ggm.retriever.loss import false_negative_mask
from ggm.retriever.model import Retriever
from ggm.training.guidance import PostGuidance
from ggm.training.pairs import PairDraws
from ggm.training.recipes import Recipe, RetrieverRecipe
from ggm.training.retriever import (
    PairCollator,
    build_pool,
    cross_fitted_guidance,
    false_negatives,
    guidance_for,
    train_retriever,
    untrained_retriever,
)
from ggm.training.targets import hashtag_indices, vocabulary_of
from ggm.training.trainer import FitResult


def pooled(posts: int) -> PooledFeatures:
    """Post i's every feature is i."""
    value = np.arange(posts, dtype=np.float32)[:, None, None]
    return PooledFeatures(
        np.broadcast_to(value, (posts, 2, 3)).copy(),
        np.broadcast_to(value, (posts, 2, 5)).copy(),
        np.ones((posts, 2), np.bool_),
    )


def collator(places: list[list[int]], *, seed: int = 0, **settings: float) -> PairCollator:
    """Hashtag j is embedded as (j, j, j)."""
    count = 1 + max(max(row) for row in places)
    hashtags = torch.arange(count, dtype=torch.float32)[:, None].expand(count, 3)
    recipe = RetrieverRecipe(**settings)  # type: ignore[arg-type]
    pairs = PairDraws(places, num_hashtags=len(hashtags), recipe=recipe, seed=seed)
    return PairCollator(pooled(len(places)), pairs, hashtags)


def drawn(batch: dict[str, torch.Tensor]) -> list[int]:
    return [int(row[0]) for row in batch["hashtag_embeddings"]]


def trained(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: RetrieverRecipe, folder: Path, *, seed: int = 0
) -> tuple[Retriever, FitResult]:
    return train_retriever(
        train, extractor, recipe, vocabulary=vocabulary_of(train.posts), seed=seed, output_dir=folder
    )


def recall(guidance: list[PostGuidance], data: FeaturedPosts, k: int) -> float:
    shares = [
        len({*post.hashtags} & {*found.described.texts[:k]}) / len(post.hashtags)
        for post, found in zip(data.posts, guidance, strict=True)
    ]
    return sum(shares) / len(shares)


def test_training_lowers_the_loss_and_raises_recall(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    settings = replace(recipe.retriever, optimiser=replace(recipe.retriever.optimiser, max_steps=80))
    hashtags = list(vocabulary_of(train.posts))
    before = untrained_retriever(extractor, settings).eval()
    after, result = trained(train, extractor, settings, tmp_path)
    losses = list(result.losses.values())
    assert losses[-1] < 0.7 * losses[0]
    recalls = [
        recall(guidance_for(train, model, build_pool(hashtags, model, extractor), top_k=7), train, k=2)
        for model in (before, after)
    ]
    assert recalls[0] < 0.5
    assert recalls[1] > 0.9


def test_the_trained_head_weight_is_that_of_the_recipe(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    """Training itself uses the heads in full; the blend comes afterwards."""
    whole, first = trained(train, extractor, recipe.retriever, tmp_path / "a")
    half, second = trained(train, extractor, replace(recipe.retriever, head_weight=0.5), tmp_path / "b")
    assert first.losses == second.losses
    assert (whole.config.head_weight, half.config.head_weight) == (1.0, 0.5)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), half.state_dict().values(), strict=True)
    )


def test_same_seed_same_retriever_other_seed_another(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    runs = [
        trained(train, extractor, recipe.retriever, tmp_path / str(index), seed=seed)
        for index, seed in enumerate((1, 1, 2))
    ]
    weights = [model.fingerprint("") for model, _ in runs]
    losses = [result.losses for _, result in runs]
    assert weights[0] == weights[1] != weights[2]
    assert losses[0] == losses[1] != losses[2]


def test_features_that_do_not_fit_into_memory_teach_the_same(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read from the cache in each step, and measured some posts at a time: to the last bit."""
    in_memory, _ = trained(train, extractor, recipe.retriever, tmp_path / "memory")
    read: list[Sequence[int]] = []

    class Spy(StoredPooled):
        def rows(self, indices: Sequence[int]) -> PooledFeatures:
            read.append(indices)
            return super().rows(indices)

    monkeypatch.setattr(retriever_training, "StoredPooled", Spy)
    monkeypatch.setattr(retriever_training, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(retriever_training, "pooled_chunks", partial(pooled_chunks, chunk=5))
    on_disk, _ = trained(train, extractor, recipe.retriever, tmp_path / "disk")
    assert {len(rows) for rows in read} == {recipe.retriever.optimiser.batch_size}
    for name, value in in_memory.state_dict().items():
        assert torch.equal(value, on_disk.state_dict()[name]), name


def test_a_post_without_a_known_hashtag_is_left_out_of_the_pairs(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []
    real = retriever_training.fit

    def spy(module: object, items: range, *args: object, **settings: object) -> FitResult:
        sizes.append(len(items))
        return real(module, items, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(retriever_training, "fit", spy)
    reds = [post for post in train.posts if "red" in post.hashtags]
    train_retriever(
        train, extractor, recipe.retriever, vocabulary=vocabulary_of(reds[:1]), seed=0, output_dir=tmp_path
    )
    known = {*reds[0].hashtags}
    assert sizes == [sum(bool(known & {*post.hashtags}) for post in train.posts)]
    assert sizes[0] < len(train)


def test_nothing_to_learn_is_an_error(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no training post carries a hashtag of the vocabulary"):
        train_retriever(
            train, extractor, recipe.retriever, vocabulary=vocabulary_of([]), seed=0, output_dir=tmp_path
        )


def test_a_pair_is_a_posts_features_and_one_of_its_hashtags() -> None:
    places = [[0, 1], [2], [3, 4, 5]]
    collate = collator(places)
    for step in range(20):
        batch = collate([(2 * step, 2), (2 * step + 1, 0)])
        assert batch["frame_embeddings"][:, 0, 0].tolist() == [2.0, 0.0]
        assert batch["frame_pooled"][:, 0, 0].tolist() == [2.0, 0.0]
        assert batch["frame_mask"].all()
        first, second = drawn(batch)
        assert first in places[2]
        assert second in places[0]


def test_hashtags_are_drawn_anew_each_time_and_by_the_seed() -> None:
    places = [[0, 1, 2, 3]]
    draws = [
        [drawn(collate([(step, 0)]))[0] for step in range(30)]
        for collate in (collator(places), collator(places))
    ]
    assert draws[0] == draws[1]
    assert set(draws[0]) == {0, 1, 2, 3}
    other = collator(places, seed=1)
    assert [drawn(other([(step, 0)]))[0] for step in range(30)] != draws[0]


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 0.9)])
def test_rare_hashtags_are_drawn_by_their_frequency(power: float, share: float) -> None:
    """Hashtag 0 stands in nine posts, hashtag 1 in one: 9 to the power of 0, a half, and 1."""
    collate = collator([[0, 1], *([[0]] * 8)], rare_hashtag_power=power)
    counts = Counter(drawn(collate([(step, 0)]))[0] for step in range(2000))
    assert counts[1] / 2000 == pytest.approx(share, abs=0.04)


POSTS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True), min_size=2, max_size=7)


@given(POSTS, st.randoms(use_true_random=False))
def test_the_mask_is_that_of_the_slow_twin(places: list[list[int]], random: object) -> None:
    collate = collator(places)
    order = list(range(len(places)))
    random.shuffle(order)  # type: ignore[attr-defined]
    batch = collate(list(enumerate(order)))
    names = [f"tag{place}" for place in range(7)]
    twin = false_negative_mask(
        [[names[place] for place in places[post]] for post in order], [names[place] for place in drawn(batch)]
    )
    twin.fill_diagonal_(False)  # a video's own pair
    mask = false_negatives(batch["carried"], batch["drawn"]).fill_diagonal_(False)
    assert torch.equal(mask, twin)


def test_without_the_mask_all_others_are_negatives() -> None:
    assert "drawn" not in collator([[0], [0]], mask_false_negatives=False)([(0, 0), (1, 1)])


def test_guidance_in_chunks_is_the_same(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe
) -> None:
    model = untrained_retriever(extractor, recipe.retriever).eval()
    pool = build_pool(list(vocabulary_of(train.posts)), model, extractor)
    whole = guidance_for(train, model, pool, top_k=3)
    parts = guidance_for(train, model, pool, top_k=3, chunk=5)
    assert [found.described.texts for found in whole] == [found.described.texts for found in parts]
    assert all(len(found.described) == 3 for found in whole)


def test_descriptions_have_a_part_in_the_guidance_of_posts_that_have_one(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    retriever, _ = trained(train, extractor, recipe.retriever, tmp_path)
    hashtags = list(vocabulary_of(train.posts))
    pool = build_pool(hashtags, retriever, extractor)
    texts = ["", *(post.hashtags[0] for post in train.posts[1:])]
    posts = tuple(replace(post, description=text) for post, text in zip(train.posts, texts, strict=True))
    data = replace(train, posts=posts)
    plain = guidance_for(data, retriever, pool, top_k=3)
    assert all(found.described == found.silent for found in plain)
    joined = guidance_for(
        data, retriever, pool, top_k=3, extractor=extractor, description_weight=1000.0, chunk=5
    )
    assert [found.silent for found in joined] == [found.silent for found in plain]
    assert joined[0].described == joined[0].silent
    assert [found.described.texts[0] for found in joined[1:]] == texts[1:]  # a text is closest to itself


def test_cross_fitted_guidance_is_of_retrievers_that_did_not_see_the_post(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained_on: dict[str, set[str]] = {}  # by the fingerprint of the retriever
    guided_by: list[tuple[str, str]] = []  # post, retriever
    real_train, real_guidance = retriever_training.train_retriever, retriever_training.guidance_for

    def spy_train(data: FeaturedPosts, *args: object, **settings: object) -> tuple[Retriever, FitResult]:
        model, result = real_train(data, *args, **settings)  # type: ignore[arg-type]
        trained_on[model.fingerprint("")] = {post.id for post in data.posts}
        return model, result

    def spy_guidance(
        data: FeaturedPosts, model: Retriever, *args: object, **settings: object
    ) -> list[PostGuidance]:
        found = real_guidance(data, model, *args, **settings)  # type: ignore[arg-type]
        guided_by.extend((post.id, model.fingerprint("")) for post in data.posts)
        answers.update({post.id: hits for post, hits in zip(data.posts, found, strict=True)})
        return found

    answers: dict[str, PostGuidance] = {}
    monkeypatch.setattr(retriever_training, "train_retriever", spy_train)
    monkeypatch.setattr(retriever_training, "guidance_for", spy_guidance)
    guidance = cross_fitted_guidance(
        train,
        extractor,
        recipe.retriever,
        vocabulary=vocabulary_of(train.posts),
        folds=3,
        top_k=3,
        seed=0,
        output_dir=tmp_path,
    )
    everyone = {post.id for post in train.posts}
    assert len(trained_on) == 3
    assert sorted(post for post, _ in guided_by) == sorted(everyone)  # each once
    for post, model in guided_by:
        assert post not in trained_on[model]
    for model, seen in trained_on.items():  # and each retriever saw all the others
        assert seen == everyone - {post for post, by in guided_by if by == model}
    assert guidance == [answers[post.id] for post in train.posts]  # in the order of the posts


def test_more_folds_than_posts_are_refused(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="2 posts can't be cut into 3 folds"):
        cross_fitted_guidance(
            train.subset([0, 1]),
            extractor,
            recipe.retriever,
            vocabulary=vocabulary_of(train.posts),
            folds=3,
            top_k=2,
            seed=0,
            output_dir=tmp_path,
        )


def test_places_of_the_painted_posts_are_all_known(train: FeaturedPosts) -> None:
    assert all(len(places) == 2 for places in hashtag_indices(train.posts, list(vocabulary_of(train.posts))))
