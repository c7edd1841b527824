"""Encoders that learn: the same losses as on features of frozen ones, and bundles that bring them along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from checkpoints import write_base_checkpoints
from ggm.bundle import Bundle, build_generator, load_bundle
from ggm.corpus.manifest import load_dataset
from ggm.errors import CheckpointError, ConfigError, DataError
from ggm.evaluation.predict import predict
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts, featured_posts, stack_pooled
from ggm.features.profiles import Profile
from ggm.features.text import TextModelConfig, load_text_model
from ggm.features.trained import encoder_state, load_encoder_state
from ggm.features.videos import DecodedPosts, LivePosts, VideoCache, decoded_posts
from ggm.generator.config import GeneratorConfig
from ggm.generator.model import Generator
from ggm.model_info import part_counts
from ggm.recommend import Recommender
from ggm.records import Guidance, Hit
from ggm.runtime.precision import with_precision
from ggm.training.end_to_end import EndToEndCollator, EndToEndStep
from ggm.training.generator import GenerationCollator, GenerationStep
from ggm.training.generator_runs import run_generator
from ggm.training.pairs import PairDraws
from ggm.training.recipes import CheckpointSettings, OptimiserSettings, Recipe, RetrieverRecipe
from ggm.training.retriever import ContrastiveStep, PairCollator, untrained_retriever
from ggm.training.runs import run_retriever
from ggm.training.targets import hashtag_indices, vocabulary_of
from ggm.training.towers import TowerCollator, TowerStep, train_towers
from ggm.training.trainer import Draw

QUICK = OptimiserSettings(learning_rate=3e-3, batch_size=8, max_steps=6, warmup_steps=1)
FOUND = Guidance((Hit("red", 0.9), Hit("stripes", 0.5), Hit("blue", 0.1)))
DRAWS: list[Draw] = [(0, 3), (1, 0), (2, 7), (3, 12)]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """CLIP, ViT, CLAP and BART of a few thousand weights."""
    return write_base_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def fresh(profile: Profile) -> FeatureExtractor:
    return load_extractor(profile)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the trained systems that several tests look at."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def decoded(fresh: FeatureExtractor, painted_dataset: Path, cache: Path) -> DecodedPosts:
    posts = load_dataset(painted_dataset).split("train")
    data, errors = decoded_posts(posts, VideoCache(cache, fresh))
    assert not errors
    assert len(data) == 24
    return data


@pytest.fixture
def featured(fresh: FeatureExtractor, painted_dataset: Path, cache: Path) -> FeaturedPosts:
    return featured_posts(load_dataset(painted_dataset).split("train"), fresh, cache)[0]


@pytest.fixture
def recipe(recipe: Recipe, profile: Profile) -> Recipe:
    return replace(
        recipe,
        profile=profile,
        retriever=replace(recipe.retriever, optimiser=QUICK, trained="towers", initial_temperature=20.0),
        generator=replace(
            recipe.generator,
            optimiser=QUICK,
            train_vision=True,
            train_sound=True,
            trained_encoder_layers=-1,
        ),
    )


def new_generator(extractor: FeatureExtractor, profile: Profile) -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(
        token_dim=extractor.token_dim,
        sound_dim=extractor.sound_dim,
        num_heads=4,
        max_input_tokens=48,
        max_target_tokens=24,
        top_k=4,
    )
    text = load_text_model(profile, TextModelConfig(trained_encoder_layers=None))
    generator = build_generator(config, text)
    with torch.no_grad():  # the attentions' outputs start at zero, which would hide what goes in
        for parameter in generator.video_encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for parameter in generator.text_attention.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return generator


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


class TestTowers:
    def test_the_loss_is_that_of_frozen_towers(
        self, fresh: FeatureExtractor, decoded: DecodedPosts, featured: FeaturedPosts
    ) -> None:
        settings = RetrieverRecipe(QUICK, trained="towers")
        hashtags = list(vocabulary_of(decoded.posts))
        places = hashtag_indices(decoded.posts, hashtags)
        retriever = untrained_retriever(fresh, settings)
        pairs = PairDraws(places, num_hashtags=len(hashtags), recipe=settings, seed=3)
        live = TowerStep(retriever, fresh.frames, fresh.hashtags).eval()
        loss = live(**TowerCollator(decoded, pairs, hashtags, fresh)(DRAWS))["loss"]
        embedded = torch.from_numpy(fresh.embed_hashtags(hashtags))
        pooled = stack_pooled([featured.pooled(index) for index in range(len(featured))])
        frozen = PairCollator(pooled, pairs, embedded)
        expected = ContrastiveStep(retriever)(**frozen(DRAWS))["loss"]
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
        assert loss.requires_grad

    def test_both_towers_learn_and_the_vision_transformer_does_not(
        self, fresh: FeatureExtractor, decoded: DecodedPosts, tmp_path: Path
    ) -> None:
        vision, tower = fresh.frames.tokens_part(), fresh.frames.embedding_part()
        before = [weights(module) for module in (vision, tower, fresh.hashtags)]
        fingerprint = fresh.fingerprint
        quick = replace(QUICK, max_steps=40, learning_rate=1e-2)
        vocabulary = vocabulary_of(decoded.posts)
        retriever, result = train_towers(
            decoded,
            fresh,
            RetrieverRecipe(quick, trained="towers"),
            vocabulary=vocabulary,
            seed=0,
            output_dir=tmp_path,
        )
        assert not changed(vision, before[0])
        assert changed(tower, before[1])
        assert changed(fresh.hashtags, before[2])
        assert fresh.fingerprint != fingerprint
        losses = list(result.losses.values())
        assert losses[-1] < losses[0] - 0.1
        assert retriever.video_head is None
        assert not fresh.frames.training

    def test_a_vocabulary_that_no_post_carries_is_refused(
        self, fresh: FeatureExtractor, decoded: DecodedPosts, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match="no training post carries"):
            train_towers(
                decoded,
                fresh,
                RetrieverRecipe(QUICK),
                vocabulary=vocabulary_of([]),
                seed=0,
                output_dir=tmp_path,
            )

    def test_padding_frames_play_no_part(self, fresh: FeatureExtractor, decoded: DecodedPosts) -> None:
        settings = RetrieverRecipe(QUICK, trained="towers")
        hashtags = list(vocabulary_of(decoded.posts))
        places = hashtag_indices(decoded.posts, hashtags)
        step = TowerStep(untrained_retriever(fresh, settings), fresh.frames, fresh.hashtags).eval()
        pairs = PairDraws(places, num_hashtags=len(hashtags), recipe=settings, seed=3)
        batch = TowerCollator(decoded, pairs, hashtags, fresh)(DRAWS)
        name = next(name for name in batch if name.endswith("pixels"))
        longer = dict(batch)
        longer[name] = torch.cat([batch[name], torch.full_like(batch[name][:, :1], torch.nan)], dim=1)
        longer["frame_mask"] = torch.cat(
            [batch["frame_mask"], torch.zeros_like(batch["frame_mask"][:, :1])], dim=1
        )
        assert torch.equal(step(**longer)["loss"], step(**batch)["loss"])


class TestGenerator:
    def losses(
        self,
        recipe: Recipe,
        profile: Profile,
        fresh: FeatureExtractor,
        decoded: DecodedPosts,
        featured: FeaturedPosts,
        draws: list[Draw],
    ) -> tuple[float, float]:
        generator = new_generator(fresh, profile)
        guidance = [FOUND] * len(decoded)
        settings = recipe.generator
        live = EndToEndStep(generator, fresh, recipe=settings).eval()
        collate = EndToEndCollator(decoded, guidance, generator, fresh, recipe=settings, seed=5)
        frozen = GenerationStep(generator, label_smoothing=0.0).eval()
        features = GenerationCollator(featured, guidance, generator, recipe=settings, seed=5)
        with torch.no_grad():
            return float(live(**collate(draws))["loss"]), float(frozen(**features(draws))["loss"])

    @pytest.mark.parametrize("draws", [DRAWS, [(0, 0), (5, 2)], [(0, 1)], [(3, 1), (4, 3)]])
    def test_the_loss_is_that_of_frozen_encoders(
        self,
        recipe: Recipe,
        profile: Profile,
        fresh: FeatureExtractor,
        decoded: DecodedPosts,
        featured: FeaturedPosts,
        draws: list[Draw],
    ) -> None:
        """With and without sound in the batch: every second clip has none."""
        live, frozen = self.losses(recipe, profile, fresh, decoded, featured, draws)
        assert live == pytest.approx(frozen, rel=2e-4)  # cached tokens are in float16

    @pytest.mark.parametrize(("vision", "sound"), [(True, True), (True, False), (False, True)])
    def test_gradients_reach_what_shall_learn(
        self,
        recipe: Recipe,
        profile: Profile,
        fresh: FeatureExtractor,
        decoded: DecodedPosts,
        vision: bool,
        sound: bool,
    ) -> None:
        generator = new_generator(fresh, profile)
        settings = replace(recipe.generator, train_vision=vision, train_sound=sound)
        step = EndToEndStep(generator, fresh, recipe=settings).train()
        collate = EndToEndCollator(decoded, [FOUND] * len(decoded), generator, fresh, recipe=settings, seed=5)
        step(**collate(DRAWS))["loss"].backward()

        def has_gradient(module: nn.Module | None) -> bool:
            assert module is not None
            return any(parameter.grad is not None for parameter in module.parameters())

        assert has_gradient(step.vision) == vision
        assert has_gradient(step.sound) == sound
        assert not has_gradient(fresh.frames.embedding_part())
        assert step.vision.training == vision

    def test_statistics_of_batch_normalisation_stay(
        self, recipe: Recipe, profile: Profile, fresh: FeatureExtractor, decoded: DecodedPosts
    ) -> None:
        generator = new_generator(fresh, profile)
        step = EndToEndStep(generator, fresh, recipe=recipe.generator).train()
        norms = [part for part in step.modules() if isinstance(part, nn.BatchNorm2d)]
        assert norms  # CLAP has one
        before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
        collate = EndToEndCollator(
            decoded, [FOUND] * len(decoded), generator, fresh, recipe=recipe.generator, seed=5
        )
        step(**collate(DRAWS))["loss"].backward()
        assert all(torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))
        assert norms[0].weight.grad is not None

    def test_activation_checkpointing_changes_no_gradient(
        self, recipe: Recipe, profile: Profile, fresh: FeatureExtractor, decoded: DecodedPosts
    ) -> None:
        generator = new_generator(fresh, profile)
        step = EndToEndStep(generator, fresh, recipe=recipe.generator)
        collate = EndToEndCollator(
            decoded, [FOUND] * len(decoded), generator, fresh, recipe=recipe.generator, seed=5
        )
        batch = collate(DRAWS)
        gradients = []
        for again in (False, True):
            if again:
                step.activation_checkpointing_enable({"use_reentrant": False})
            step.train()
            step.zero_grad()
            torch.manual_seed(9)
            step(**batch)["loss"].backward()
            gradients.append({n: p.grad.clone() for n, p in step.named_parameters() if p.grad is not None})
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("name", ["tiny", "compact"])
    def test_one_network_for_both_is_not_trained_for_one(
        self, recipe: Recipe, extractor: FeatureExtractor, name: str
    ) -> None:
        shared = extractor if name == "tiny" else load_extractor("compact")
        generator = new_tiny_generator(shared)
        with pytest.raises(ConfigError, match="one network"):
            EndToEndStep(generator, shared, recipe=recipe.generator)
        EndToEndStep(generator, shared, recipe=replace(recipe.generator, train_vision=False))


def new_tiny_generator(extractor: FeatureExtractor) -> Generator:
    config = GeneratorConfig(token_dim=extractor.token_dim, sound_dim=extractor.sound_dim, num_heads=2)
    return build_generator(config, load_text_model(Profile("tiny", *["random"] * 4), TextModelConfig()))


def test_encoder_weights_of_another_model_are_refused(fresh: FeatureExtractor) -> None:
    state = {name: value.clone() for name, value in encoder_state(fresh, ["vision"]).items()}
    before = fresh.fingerprint
    load_encoder_state(fresh, ["vision"], state)
    assert fresh.fingerprint == before
    first = next(iter(state))
    with pytest.raises(CheckpointError, match="missing, unknown or misshapen"):
        load_encoder_state(fresh, ["vision"], {**state, first: torch.zeros(1, 2, 3)})
    with pytest.raises(CheckpointError, match="missing, unknown or misshapen"):
        load_encoder_state(fresh, ["vision", "sound"], state)


def test_features_for_retrieval_have_no_tokens_and_their_own_fingerprint(
    fresh: FeatureExtractor, decoded: DecodedPosts
) -> None:
    part = fresh.for_retrieval()
    whole = LivePosts(decoded, fresh).subset([0]).features(0)
    found = LivePosts(decoded, part).features(0)
    np.testing.assert_array_equal(found.frame_embeddings, whole.frame_embeddings)
    np.testing.assert_array_equal(found.frame_pooled, whole.frame_pooled)
    assert found.frame_tokens.shape == (len(whole.frame_tokens), 0, fresh.token_dim)
    assert found.sound_tokens is None
    assert part.fingerprint != fresh.fingerprint
    with torch.no_grad():
        next(fresh.frames.tokens_part().parameters()).add_(1)
    assert fresh.for_retrieval().fingerprint == part.fingerprint
    with torch.no_grad():
        next(fresh.frames.embedding_part().parameters()).add_(1)
    assert fresh.for_retrieval().fingerprint != part.fingerprint


class TestRuns:
    def retriever(self, recipe: Recipe, data: Path, folder: Path, cache: Path) -> Bundle:
        return run_retriever(recipe, data, folder / "retriever", cache=cache)

    def test_from_posts_to_recommendations(
        self, recipe: Recipe, painted_dataset: Path, folder: Path, cache: Path
    ) -> None:
        trained = self.retriever(recipe, painted_dataset, folder, cache)
        assert trained.trained_encoders == ("retriever",)
        again = load_bundle(folder / "retriever")
        assert again.extractor.fingerprint == trained.extractor.fingerprint
        assert again.trained_encoders == ("retriever",)

        recipe = replace(
            recipe,
            checkpoints=CheckpointSettings(
                checkpoint_every=2, validate_every=3, validation_posts=4, keep_best=2
            ),
        )
        whole = run_generator(
            recipe, painted_dataset, folder / "all", retriever=folder / "retriever", cache=cache
        )
        assert whole.trained_encoders == ("retriever", "vision", "sound")
        # The retriever still sees what it saw: only its vectors' fingerprint is another.
        assert list(whole.pool) == list(trained.pool)
        posts = load_dataset(painted_dataset).split("test")
        with (
            Recommender.from_pretrained(folder / "all") as loaded,
            Recommender(with_precision(whole, "fp32")) as kept,
        ):
            for post in posts:
                expected = kept.recommend(post.video, post.description)
                found = loaded.recommend(post.video, post.description)
                assert found.hashtags == expected.hashtags
                assert found.guidance == expected.guidance
        assert (folder / "all.log" / "best-2" / "encoders.safetensors").is_file()
        assert "vision, sound" in (folder / "all" / "README.md").read_text()
        counts = {count.part: count for count in part_counts(str(folder / "all"))}
        for part in ("frames", "hashtags", "sound"):
            assert counts[part].trainable == counts[part].parameters > 0

    def test_encoders_are_not_the_checkpoints_own(self, profile: Profile, folder: Path) -> None:
        bundle, fresh = load_bundle(folder / "all"), load_extractor(profile)
        for part in ("retriever", "vision", "sound"):
            trained, pretrained = encoder_state(bundle.extractor, [part]), encoder_state(fresh, [part])
            assert any(not torch.equal(value, pretrained[name]) for name, value in trained.items()), part

    def test_pretrained_towers_are_not_taken_from_trained_ones(
        self, folder: Path, decoded: DecodedPosts
    ) -> None:
        bundle = load_bundle(folder / "retriever")
        with pytest.raises(ConfigError, match="were trained, and these features are theirs"):
            next(predict(bundle, LivePosts(decoded, bundle.extractor), system="pretrained-retriever"))

    @pytest.mark.parametrize("stage", ["retriever", "generator"])
    def test_a_broken_run_ends_like_an_unbroken_one(
        self,
        recipe: Recipe,
        painted_dataset: Path,
        folder: Path,
        cache: Path,
        tmp_path: Path,
        stage: str,
    ) -> None:
        recipe = replace(recipe, checkpoints=CheckpointSettings(checkpoint_every=2))

        def go(out: Path, **more: Callable[..., Callable[..., None]]) -> None:
            if stage == "retriever":
                run_retriever(recipe, painted_dataset, out, cache=cache, **more)
            else:
                run_generator(
                    recipe, painted_dataset, out, retriever=folder / "retriever", cache=cache, **more
                )

        class KilledError(Exception):
            pass

        def killing(name: str) -> Callable[..., None]:
            def progress(done: int, _total: int, *_loss: float) -> None:
                if name == stage and done == 5:
                    raise KilledError

            return progress

        go(tmp_path / "whole")
        with pytest.raises(KilledError):
            go(tmp_path / "broken", bar=killing)
        go(tmp_path / "broken")
        for name in ("encoders", "generator" if stage == "generator" else "retriever"):
            whole, broken = (
                (tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "broken")
            )
            assert whole == broken

    def test_batches_made_in_other_processes_are_the_same(
        self, recipe: Recipe, painted_dataset: Path, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        runs = []
        for workers in (0, 2):
            quick = replace(recipe.generator.optimiser, max_steps=3, data_workers=workers)
            changed = replace(recipe, generator=replace(recipe.generator, optimiser=quick))
            bundle = run_generator(
                changed,
                painted_dataset,
                tmp_path / str(workers),
                retriever=folder / "retriever",
                cache=tmp_path / f"cache-{workers}",
            )
            runs.append(bundle.training["generator"]["loss"])
        assert runs[0] == runs[1]

    def test_cross_fitted_guidance_trains_towers_for_each_fold(
        self, recipe: Recipe, painted_dataset: Path, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        quick = replace(recipe.generator, guidance="cross_fitted", folds=2)
        quick = replace(quick, optimiser=replace(QUICK, max_steps=1))
        bundle = run_generator(
            replace(recipe, generator=quick),
            painted_dataset,
            tmp_path / "all",
            retriever=folder / "retriever",
            cache=cache,
        )
        assert bundle.generator is not None
        assert {path.name for path in (tmp_path / "all.log").glob("fold-*")} == {"fold-0", "fold-1"}

    @pytest.mark.timeout(900)
    @pytest.mark.slow
    @pytest.mark.filterwarnings("default")  # the compiler's own
    def test_compiled_transformers_learn_the_same(
        self, recipe: Recipe, painted_dataset: Path, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        """With dropout 0: compiled code draws its masks in another order."""
        losses = []
        for wanted in (False, True):
            quick = replace(QUICK, max_steps=3, compile=wanted)
            plain = replace(recipe.generator, optimiser=quick, dropout=0.0)
            bundle = run_generator(
                replace(recipe, generator=plain),
                painted_dataset,
                tmp_path / str(wanted),
                retriever=folder / "retriever",
                cache=cache,
            )
            losses.append(bundle.training["generator"]["loss"]["3"])
            assert bundle.generator is not None
            assert bundle.generator.text_model._compiled_call_impl is None
        assert losses[1] == pytest.approx(losses[0], rel=0.02)
