"""Classifiers whose encoders learn: the paper's BERT, ViT and ViT-BERT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from checkpoints import write_base_checkpoints, write_bert
from ggm.corpus.manifest import load_dataset
from ggm.errors import CheckpointError, ConfigError, DataError
from ggm.evaluation import metrics
from ggm.evaluation.predictions import read_predictions
from ggm.features.descriptions import load_description_encoder
from ggm.features.extract import FeatureExtractor, load_extractor
from ggm.features.posts import FeaturedPosts
from ggm.features.profiles import Profile
from ggm.features.videos import DecodedPosts, VideoCache, decoded_posts
from ggm.records import Post
from ggm.retriever.classifier import ClassifierInputs, HashtagClassifier
from ggm.training.checkpoints import load_weights
from ggm.training.classifier import ClassificationStep, classifier_features, train_classifier
from ggm.training.classifier_encoders import (
    EncoderClassificationCollator,
    EncoderClassificationStep,
    classify_decoded,
    train_classifier_encoders,
    untrained_classifier,
)
from ggm.training.dataset import Features, open_features
from ggm.training.held_out import HeldOutPosts
from ggm.training.recipes import CheckpointSettings, ClassifierRecipe, OptimiserSettings, Recipe
from ggm.training.runs import run_classifier
from ggm.training.targets import hashtag_indices, vocabulary_of
from ggm.training.trainer import Draw
from videos import write_video

QUICK = OptimiserSettings(learning_rate=3e-3, batch_size=6, max_steps=6, warmup_steps=1)
DRAWS: list[Draw] = [(0, 3), (1, 0), (2, 7), (3, 12)]
ALL_INPUTS: list[ClassifierInputs] = ["video", "description", "both"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Profile, str]:
    """CLIP, ViT, CLAP and BART of a few thousand weights, and a BERT."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return write_base_checkpoints(folder), str(write_bert(folder / "bert", seed=4))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def fresh() -> FeatureExtractor:
    """Tiny encoders that may be changed."""
    return load_extractor("tiny")


@pytest.fixture
def decoded(fresh: FeatureExtractor, painted_dataset: Path, cache: Path) -> DecodedPosts:
    data, errors = decoded_posts(load_dataset(painted_dataset).split("train"), VideoCache(cache, fresh))
    assert not errors
    return data


@pytest.fixture
def longer(fresh: FeatureExtractor, tmp_path: Path) -> DecodedPosts:
    """Posts whose videos have different numbers of frames."""
    posts = [
        Post(
            str(seconds),
            write_video(tmp_path / f"{seconds}.mp4", seconds=seconds, fps=4),
            "a cat " * index,
            ("cat", f"cats{index}"),
        )
        for index, seconds in enumerate((0.5, 2.0, 1.0), start=1)
    ]
    return decoded_posts(posts, VideoCache(tmp_path / "cache", fresh))[0]


@pytest.fixture
def settings() -> ClassifierRecipe:
    return ClassifierRecipe(QUICK, trained="encoders", dropout=0.1)


@pytest.fixture
def recipe(recipe: Recipe, settings: ClassifierRecipe) -> Recipe:
    return replace(recipe, classifier=settings)


def new_step(
    extractor: FeatureExtractor, settings: ClassifierRecipe, hashtags: list[str], profile: str = "tiny"
) -> EncoderClassificationStep:
    descriptions = load_description_encoder(profile)
    return untrained_classifier(extractor, descriptions, settings, num_hashtags=len(hashtags), seed=3)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def has_gradient(module: nn.Module | None) -> bool:
    assert module is not None
    return any(parameter.grad is not None for parameter in module.parameters())


class TestStep:
    @pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
    def test_the_loss_is_that_of_a_head_on_features(
        self,
        fresh: FeatureExtractor,
        decoded: DecodedPosts,
        train: FeaturedPosts,
        settings: ClassifierRecipe,
        loss: Any,
    ) -> None:
        """Where retriever and generator look through one network, features are what is pooled here."""
        hashtags = list(vocabulary_of(decoded.posts))
        step = new_step(fresh, replace(settings, inputs="video", loss=loss), hashtags).eval()
        batch = EncoderClassificationCollator(decoded, hashtags, step)(DRAWS)
        features = torch.from_numpy(classifier_features(train, fresh, "video"))
        rows = [row for _, row in DRAWS]
        expected = ClassificationStep(step.classifier)(features[rows], batch["targets"])["loss"]
        torch.testing.assert_close(step(**batch)["loss"], expected, rtol=1e-5, atol=0)
        places = hashtag_indices(decoded.posts, hashtags)
        assert [row.nonzero().flatten().tolist() for row in batch["targets"]] == [
            sorted(places[row]) for row in rows
        ]

    def test_pooled_frames_and_description_stand_side_by_side(
        self, checkpoints: tuple[Profile, str], painted_dataset: Path, cache: Path, settings: ClassifierRecipe
    ) -> None:
        """By hand: the mean over frames of what ViT pools, then what BERT pools."""
        profile, bert = checkpoints
        extractor = load_extractor(profile)
        posts = load_dataset(painted_dataset).split("train")
        data, _ = decoded_posts(posts, VideoCache(cache, extractor))
        descriptions = load_description_encoder(profile, checkpoint=bert)
        step = untrained_classifier(extractor, descriptions, settings, num_hashtags=5, seed=0)
        rows = [3, 0]
        found = step.features(**step.inputs(data, rows))
        for row, vector in zip(rows, found, strict=True):
            pixels = extractor.frames.prepare_for_tokens(data.video(row).frames.pixels)["vision_pixels"]
            vision: Any = extractor.frames.tokens_part()
            frames = vision(pixel_values=pixels).pooler_output.mean(0)
            text = descriptions.model(**descriptions.prepare([data.posts[row].description])).pooler_output[0]
            torch.testing.assert_close(vector, torch.cat([frames, text]))
        assert step.classifier.config.input_dim == 32
        assert isinstance(step.classifier.layers[-1], nn.Linear)
        assert sum(isinstance(layer, nn.Linear) for layer in step.classifier.layers) == 1

    @pytest.mark.parametrize("inputs", ALL_INPUTS)
    def test_gradients_reach_the_encoders_and_nothing_else(
        self,
        checkpoints: tuple[Profile, str],
        painted_dataset: Path,
        cache: Path,
        settings: ClassifierRecipe,
        inputs: ClassifierInputs,
    ) -> None:
        profile, bert = checkpoints
        extractor = load_extractor(profile)
        posts = load_dataset(painted_dataset).split("train")
        data, _ = decoded_posts(posts, VideoCache(cache, extractor))
        hashtags = list(vocabulary_of(posts))
        descriptions = load_description_encoder(profile, checkpoint=bert)
        step = untrained_classifier(
            extractor,
            descriptions,
            replace(settings, inputs=inputs),
            num_hashtags=len(hashtags),
            seed=0,
        ).train()
        batch = EncoderClassificationCollator(data, hashtags, step)(DRAWS)
        step(**batch)["loss"].backward()
        assert has_gradient(step.classifier)
        assert has_gradient(extractor.frames.tokens_part()) == (inputs != "description")
        assert has_gradient(descriptions) == (inputs != "video")
        assert (step.vision is not None, step.descriptions is not None) == (
            inputs != "description",
            inputs != "video",
        )
        others = (extractor.frames.embedding_part(), extractor.hashtags, extractor.sound)
        assert not any(has_gradient(part) for part in others)
        learned = {id(parameter) for parameter in step.parameters()}
        assert not any(id(p) in learned for part in others if part is not None for p in part.parameters())

    def test_padding_frames_play_no_part(
        self, fresh: FeatureExtractor, longer: DecodedPosts, settings: ClassifierRecipe
    ) -> None:
        hashtags = list(vocabulary_of(longer.posts))
        step = new_step(fresh, settings, hashtags).eval()
        batch = step.inputs(longer, range(3))
        assert batch["frame_mask"].sum(1).unique().numel() > 1
        logits = step.classifier.logits(step.features(**batch))
        pixels, mask = batch["frames"]["pixels"], batch["frame_mask"]
        padded = {
            **batch,
            "frames": {"pixels": torch.cat([pixels, torch.full_like(pixels[:, :2], torch.nan)], dim=1)},
            "frame_mask": torch.cat([mask, torch.zeros_like(mask[:, :1]).expand(-1, 2)], dim=1),
        }
        torch.testing.assert_close(step.classifier.logits(step.features(**padded)), logits)
        for row in range(3):  # a batch is its posts one by one
            alone = step.classifier.logits(step.features(**step.inputs(longer, [row])))
            torch.testing.assert_close(alone[0], logits[row])

    def test_activation_checkpointing_changes_no_gradient(
        self, checkpoints: tuple[Profile, str], painted_dataset: Path, cache: Path, settings: ClassifierRecipe
    ) -> None:
        profile, bert = checkpoints
        extractor = load_extractor(profile)
        posts = load_dataset(painted_dataset).split("train")
        data, _ = decoded_posts(posts, VideoCache(cache, extractor))
        hashtags = list(vocabulary_of(posts))
        descriptions = load_description_encoder(profile, checkpoint=bert)
        step = untrained_classifier(
            extractor, descriptions, settings, num_hashtags=len(hashtags), seed=0
        ).train()
        batch = EncoderClassificationCollator(data, hashtags, step)(DRAWS)
        gradients = []
        for again in (False, True):
            if again:
                step.activation_checkpointing_enable({"use_reentrant": False})
                assert extractor.frames.tokens_part().is_activation_checkpointing
                assert descriptions.model.is_activation_checkpointing
            step.zero_grad()
            torch.manual_seed(9)
            step(**batch)["loss"].backward()
            gradients.append({n: p.grad.clone() for n, p in step.named_parameters() if p.grad is not None})
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)

    def test_statistics_of_batch_normalisation_stay(
        self, painted_dataset: Path, cache: Path, settings: ClassifierRecipe
    ) -> None:
        """The compact profile's network has some; with MiniLM it learns as well."""
        extractor = load_extractor("compact")
        posts = load_dataset(painted_dataset).split("train")[:2]
        data, _ = decoded_posts(posts, VideoCache(cache, extractor))
        hashtags = list(vocabulary_of(posts))
        step = new_step(extractor, settings, hashtags, "compact").train()
        norms = [part for part in step.modules() if isinstance(part, nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
        assert before
        step(**EncoderClassificationCollator(data, hashtags, step)([(0, 0), (1, 1)]))["loss"].backward()
        assert all(torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))
        assert norms[0].weight.grad is not None
        assert has_gradient(step.descriptions)

    def test_the_output_layer_depends_on_the_seed_alone(
        self, fresh: FeatureExtractor, settings: ClassifierRecipe
    ) -> None:
        first, second = (weights(new_step(fresh, settings, ["a", "b"]).classifier) for _ in range(2))
        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_descriptions_need_an_encoder(self, fresh: FeatureExtractor, settings: ClassifierRecipe) -> None:
        for inputs in ("description", "both"):
            with pytest.raises(ConfigError, match="needs an encoder of descriptions"):
                untrained_classifier(fresh, None, replace(settings, inputs=inputs), num_hashtags=3, seed=0)


class TestTraining:
    @pytest.mark.parametrize("inputs", ALL_INPUTS)
    def test_it_overfits_a_handful_of_posts(
        self,
        fresh: FeatureExtractor,
        decoded: DecodedPosts,
        settings: ClassifierRecipe,
        tmp_path: Path,
        inputs: ClassifierInputs,
    ) -> None:
        few = DecodedPosts(
            tuple(
                replace(decoded.posts[row], description=" ".join(decoded.posts[row].hashtags))
                for row in (0, 4, 7, 11)
            ),
            decoded.cache,
        )
        vocabulary = vocabulary_of(few.posts)
        recipe = replace(
            settings,
            inputs=inputs,
            dropout=0.0,
            optimiser=replace(QUICK, learning_rate=1e-2, batch_size=4, max_steps=120),
        )
        descriptions = load_description_encoder("tiny")
        vision = fresh.frames.tokens_part()
        before = weights(vision), weights(descriptions)
        fingerprint = fresh.fingerprint
        step, result = train_classifier_encoders(
            few,
            fresh,
            recipe,
            descriptions=descriptions,
            vocabulary=vocabulary,
            seed=0,
            output_dir=tmp_path,
        )
        ranked = classify_decoded(step, few, list(vocabulary), top_k=2)
        assert [{text for text, _ in row} for row in ranked] == [{*post.hashtags} for post in few.posts]
        assert changed(vision, before[0]) == (inputs != "description")
        assert changed(descriptions, before[1]) == (inputs != "video")
        assert (fresh.fingerprint != fingerprint) == (inputs != "description")
        assert list(result.losses.values())[-1] < 1.0  # two hashtags a post: log 2 is the least
        assert not step.training

    def test_half_precision_and_accumulated_batches_learn_the_same(
        self, fresh: FeatureExtractor, decoded: DecodedPosts, settings: ClassifierRecipe, tmp_path: Path
    ) -> None:
        found = []
        variants: list[dict[str, Any]] = [
            {},
            {"batch_size": 3, "gradient_accumulation_steps": 2},
            {"precision": "bf16"},
            {"data_workers": 1},
        ]
        for index, variant in enumerate(variants):
            step, _ = train_classifier_encoders(
                decoded,
                load_extractor("tiny"),
                replace(settings, inputs="video", dropout=0.0, optimiser=replace(QUICK, **variant)),
                descriptions=None,
                vocabulary=vocabulary_of(decoded.posts),
                seed=0,
                output_dir=tmp_path / str(index),
            )
            found.append(step.classifier.layers[-1].weight.detach())
        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found[2], found[0], rtol=0.1, atol=1e-2)
        assert torch.equal(found[3], found[0])

    def test_features_of_frozen_encoders_are_refused(
        self, train: FeaturedPosts, extractor: FeatureExtractor, settings: ClassifierRecipe, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match='set trained = "heads"'):
            train_classifier(
                train,
                extractor,
                settings,
                vocabulary=vocabulary_of(train.posts),
                seed=0,
                output_dir=tmp_path,
            )


class TestRuns:
    def posts(self, data: Path, cache: Path, extractor: FeatureExtractor) -> Features:
        return open_features(data, extractor, cache=cache)

    @pytest.mark.parametrize("inputs", ALL_INPUTS)
    def test_predictions_are_those_of_the_classifier_that_was_trained(
        self,
        checkpoints: tuple[Profile, str],
        recipe: Recipe,
        painted_dataset: Path,
        tmp_path: Path,
        cache: Path,
        inputs: ClassifierInputs,
    ) -> None:
        """With checkpoints of ViT and BERT: trained again, it says the same."""
        profile, bert = checkpoints
        settings = replace(recipe.classifier, inputs=inputs, text_encoder=bert)
        recipe = replace(recipe, profile=profile, classifier=settings)
        run_classifier(recipe, painted_dataset, tmp_path / "out", cache=cache)
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["test.jsonl", "validation.jsonl"]
        extractor = load_extractor(profile)
        features = self.posts(painted_dataset, cache, extractor)
        data = features.decoded("train")
        vocabulary = vocabulary_of(data.posts)
        step, _ = train_classifier_encoders(
            data,
            extractor,
            settings,
            descriptions=load_description_encoder(profile, checkpoint=bert),
            vocabulary=vocabulary,
            seed=recipe.seed,
            output_dir=tmp_path / "again",
        )
        for split in ("validation", "test"):
            posts = HeldOutPosts(features.decoded(split), extractor, inputs, list(vocabulary))
            assert read_predictions(tmp_path / "out" / f"{split}.jsonl") == posts.predict(step)

    @pytest.mark.parametrize("trained", ["heads", "encoders"])
    def test_the_best_by_validation_predict(
        self,
        recipe: Recipe,
        painted_dataset: Path,
        tmp_path: Path,
        cache: Path,
        trained: Any,
    ) -> None:
        settings = replace(recipe.classifier, trained=trained)
        kept = CheckpointSettings(validate_every=2, validation_posts=7, keep_best=2)
        recipe = replace(recipe, classifier=settings, checkpoints=kept)
        out = tmp_path / "out"
        out.mkdir()
        (out / "best-3.test.jsonl").write_text("of a run that kept three")
        run_classifier(recipe, painted_dataset, out, cache=cache)
        names = ["best-2.test.jsonl", "test.jsonl", "validation.jsonl"]
        assert sorted(path.name for path in out.iterdir()) == names
        best = sorted((tmp_path / "out.log" / "best").glob("step-*.safetensors"))
        assert len(best) == 2

        extractor = load_extractor("tiny")
        features = self.posts(painted_dataset, cache, extractor)
        hashtags = list(vocabulary_of(load_dataset(painted_dataset).split("train")))
        classifier: HashtagClassifier | EncoderClassificationStep
        if trained == "encoders":
            classifier = step = new_step(extractor, settings, hashtags)
            splits = [features.decoded(name) for name in ("validation", "test")]
        else:
            train_posts, *splits = (features.split(name) for name in ("train", "validation", "test"))
            classifier, _ = train_classifier(
                train_posts,
                extractor,
                replace(settings, optimiser=replace(QUICK, max_steps=1)),
                vocabulary=vocabulary_of(train_posts.posts),
                seed=0,
                output_dir=tmp_path / "again",
            )
            step = ClassificationStep(classifier)
        validation, test = (HeldOutPosts(data, extractor, "both", hashtags) for data in splits)
        scores = {}
        for path in best:
            load_weights(step, path)
            scores[path] = validation.first(7).rouge_1(classifier)
        first, second = sorted(best, key=lambda path: (-scores[path], int(path.stem[5:])))
        for name, path in (("test.jsonl", first), ("best-2.test.jsonl", second)):
            load_weights(step, path)
            assert read_predictions(out / name) == test.predict(classifier)
        load_weights(step, first)
        assert read_predictions(out / "validation.jsonl") == validation.predict(classifier)

    def test_the_score_is_rouge_of_the_first_five(
        self, fresh: FeatureExtractor, decoded: DecodedPosts, settings: ClassifierRecipe
    ) -> None:
        hashtags = list(vocabulary_of(decoded.posts))
        step = new_step(fresh, settings, hashtags)
        posts = HeldOutPosts(decoded, fresh, "both", hashtags).first(6)
        assert len(posts.data) == 6
        expected = metrics.rouge(
            [prediction.hashtags[:5] for prediction in posts.predict(step)],
            reference=[post.hashtags for post in decoded.posts[:6]],
        )
        assert posts.rouge_1(step) == pytest.approx(float(expected.rouge_1.mean()))

    def test_validation_changes_no_training(
        self, train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
    ) -> None:
        found = []
        for index, every in enumerate((0, 2)):
            classifier, result = train_classifier(
                train,
                extractor,
                replace(recipe.classifier, trained="heads"),
                vocabulary=vocabulary_of(train.posts),
                seed=0,
                output_dir=tmp_path / str(index),
                checkpoints=CheckpointSettings(validate_every=every),
                validate=lambda classifier: float(torch.rand(())) + classifier.training,
            )
            assert list(result.validation) == ([2, 4, 6] if every else [])
            found.append([value.tolist() for value in classifier.state_dict().values()])
        assert found[0] == found[1]

    @pytest.mark.parametrize("trained", ["heads", "encoders"])
    def test_a_run_that_no_longer_improves_is_stopped(
        self,
        recipe: Recipe,
        painted_dataset: Path,
        tmp_path: Path,
        cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        trained: Any,
    ) -> None:
        scores = iter([0.3, 0.2, 0.1])
        monkeypatch.setattr(HeldOutPosts, "rouge_1", lambda *_: next(scores))
        patient = CheckpointSettings(validate_every=1, patience=2)
        recipe = replace(recipe, classifier=replace(recipe.classifier, trained=trained), checkpoints=patient)
        run_classifier(recipe, painted_dataset, tmp_path / "out", cache=cache)
        assert next(scores, None) is None
        best = {path.stem for path in (tmp_path / "out.log" / "best").glob("*.safetensors")}
        assert best == {"step-1", "step-2", "step-3"}

    @pytest.mark.parametrize("trained", ["heads", "encoders"])
    def test_a_broken_run_ends_like_an_unbroken_one(
        self, recipe: Recipe, painted_dataset: Path, tmp_path: Path, cache: Path, trained: Any
    ) -> None:
        recipe = replace(
            recipe,
            classifier=replace(recipe.classifier, trained=trained),
            checkpoints=CheckpointSettings(
                checkpoint_every=2, validate_every=3, validation_posts=4, keep_best=2
            ),
        )

        class KilledError(Exception):
            pass

        def killing(name: str) -> Callable[..., None]:
            def progress(done: int, _total: int, *_loss: float) -> None:
                if name == "classifier" and done == 5:
                    raise KilledError

            return progress

        run_classifier(recipe, painted_dataset, tmp_path / "whole", cache=cache)
        with pytest.raises(KilledError):
            run_classifier(recipe, painted_dataset, tmp_path / "broken", cache=cache, bar=killing)
        assert list((tmp_path / "broken.log").glob("checkpoint-*"))
        run_classifier(recipe, painted_dataset, tmp_path / "broken", cache=cache)
        for name in ("test.jsonl", "validation.jsonl", "best-2.test.jsonl"):
            whole, broken = ((tmp_path / run / name).read_bytes() for run in ("whole", "broken"))
            assert whole == broken
        for path in (tmp_path / "whole.log" / "best").iterdir():
            assert path.read_bytes() == (tmp_path / "broken.log" / "best" / path.name).read_bytes()
        assert not list((tmp_path / "broken.log").glob("checkpoint-*"))

    def test_what_has_no_frames_is_refused(
        self, recipe: Recipe, painted_dataset: Path, tmp_path: Path, cache: Path
    ) -> None:
        with pytest.raises(ConfigError, match="can't look at real ones"):
            run_classifier(
                replace(recipe, profile="synthetic"), painted_dataset, tmp_path / "out", cache=cache
            )

    def test_a_missing_text_encoder_is_found_before_anything_is_decoded(
        self,
        recipe: Recipe,
        painted_dataset: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(Features, "decoded", lambda *_: pytest.fail("it was decoded"))
        settings = replace(recipe.classifier, text_encoder=str(tmp_path / "absent"))
        with pytest.raises(CheckpointError, match="absent: cannot load a text encoder such as BERT"):
            run_classifier(replace(recipe, classifier=settings), painted_dataset, tmp_path / "out")

    def test_a_video_that_changed_is_named(
        self, fresh: FeatureExtractor, longer: DecodedPosts, settings: ClassifierRecipe
    ) -> None:
        step = new_step(fresh, settings, ["cat", "dog"])
        longer.posts[1].video.write_text("no video")
        with pytest.raises(DataError, match="its video changed since the run began"):
            classify_decoded(step, longer, ["cat", "dog"], top_k=1)


def test_posts_of_the_other_kind_are_refused(
    fresh: FeatureExtractor, decoded: DecodedPosts, train: FeaturedPosts, settings: ClassifierRecipe
) -> None:
    hashtags = list(vocabulary_of(decoded.posts))
    step = new_step(fresh, settings, hashtags)
    for data, classifier in ((train, step), (decoded, step.classifier)):
        with pytest.raises(ConfigError, match="predicts for decoded posts"):
            HeldOutPosts(data, fresh, "both", hashtags).predict(classifier)  # type: ignore[arg-type]
