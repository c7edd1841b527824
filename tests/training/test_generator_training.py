from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ggm.bundle import build_generator
from ggm.errors import DataError
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import FeaturedPosts
from ggm.features.profiles import profile
from ggm.features.text import TextModelConfig, load_text_model
from ggm.generator.batch import GeneratorBatch
from ggm.generator.config import GeneratorConfig
from ggm.generator.layout import TextLayout
from ggm.generator.model import Generator
from ggm.records import Guidance, Hit
from ggm.training.generator import GenerationCollator, GenerationStep, train_generator
from ggm.training.recipes import GeneratorRecipe, Recipe
from ggm.training.trainer import Draw


def new_generator(extractor: FeatureExtractor, *, trained_layers: int | None = 0, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    config = GeneratorConfig(
        extractor.token_dim,
        sound_dim=extractor.sound_dim,
        num_heads=2,
        max_input_tokens=48,
        max_target_tokens=24,
        top_k=4,
    )
    return build_generator(
        config, load_text_model(profile("tiny"), TextModelConfig(trained_encoder_layers=trained_layers))
    )


GUIDANCE = Guidance((Hit("red", 0.9), Hit("sea", 0.8), Hit("plain", 0.7), Hit("sky", 0.6)))


class Listener:
    """Stands before a layout and remembers what it is asked to line up."""

    def __init__(self, layout: TextLayout) -> None:
        self.layout = layout
        self.inputs: list[tuple[str, tuple[str, ...]]] = []
        self.targets: list[list[str]] = []

    def encode(self, description: str, guidance: Sequence[str]) -> Any:
        self.inputs.append((description, tuple(guidance)))
        return self.layout.encode(description, guidance)

    def labels(self, hashtags: Sequence[str], *, rng: random.Random) -> tuple[int, ...]:
        ids = self.layout.labels(hashtags, rng=rng)
        self.targets.append(self.layout.parse(ids))
        return ids


def at(posts: Sequence[int], start: int = 0) -> list[Draw]:
    """Draws of these posts, from a position in the run on."""
    return list(enumerate(posts, start))


def listened(
    train: FeaturedPosts, extractor: FeatureExtractor, *, seed: int = 0, **settings: float
) -> tuple[GenerationCollator, Listener]:
    collate = GenerationCollator(
        train,
        [GUIDANCE] * len(train),
        new_generator(extractor),
        recipe=GeneratorRecipe(**settings),  # type: ignore[arg-type]
        seed=seed,
    )
    listener = Listener(collate.texts.layout)
    collate.texts.layout = listener  # type: ignore[assignment]
    return collate, listener


def test_targets_are_shuffled_anew_in_each_batch(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    collate, listener = listened(train, extractor)
    for position in range(40):
        collate(at([0], position))
    orders = Counter(map(tuple, listener.targets))
    colour, pattern = train.posts[0].hashtags
    assert orders.keys() == {(colour, pattern), (pattern, colour)}
    assert min(orders.values()) > 8


@pytest.mark.parametrize("rate", [0.0, 1 / 3, 1.0])
def test_gold_alone_is_dropped_from_guidance_at_the_stated_rate(
    train: FeaturedPosts, extractor: FeatureExtractor, rate: float
) -> None:
    collate, listener = listened(train, extractor, gold_drop=rate)
    index = next(index for index, post in enumerate(train.posts) if post.hashtags == ("red", "plain"))
    for position in range(300):
        collate(at([index], position))
    kept = Counter(hashtag for _, guidance in listener.inputs for hashtag in guidance)
    assert kept["sea"] == kept["sky"] == 300
    for gold in ("red", "plain"):
        assert kept[gold] / 300 == pytest.approx(1 - rate, abs=0.08)
    for _, guidance in listener.inputs:  # what is kept keeps its order
        assert list(guidance) == [hashtag for hashtag in GUIDANCE.texts if hashtag in guidance]


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_descriptions_are_left_out_at_the_stated_rate(
    train: FeaturedPosts, extractor: FeatureExtractor, rate: float
) -> None:
    collate, listener = listened(train, extractor, description_drop=rate)
    for position in range(300):
        collate(at([0], position))
    descriptions = Counter(description for description, _ in listener.inputs)
    assert descriptions.keys() <= {"", train.posts[0].description}
    assert descriptions[""] / 300 == pytest.approx(rate, abs=0.07)


def test_a_post_whose_description_is_left_out_has_the_guidance_of_its_video(
    train: FeaturedPosts, extractor: FeatureExtractor
) -> None:
    silent = Guidance((Hit("fog", 0.9), Hit("sun", 0.8)))
    collate = GenerationCollator(
        train,
        [GUIDANCE] * len(train),
        new_generator(extractor),
        silent=[silent] * len(train),
        recipe=GeneratorRecipe(description_drop=0.5, gold_drop=0.0),
        seed=0,
    )
    listener = Listener(collate.texts.layout)
    collate.texts.layout = listener  # type: ignore[assignment]
    for position in range(100):
        collate(at([0], position))
    assert Counter(listener.inputs).keys() == {
        (train.posts[0].description, GUIDANCE.texts),
        ("", silent.texts),
    }


def test_draws_follow_the_seed(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    heard = []
    for seed in (0, 0, 1):
        collate, listener = listened(train, extractor, seed=seed, description_drop=0.5)
        for step in range(10):
            collate(at([0, 1, 2], 3 * step))
        heard.append((listener.inputs, listener.targets))
    assert heard[0] == heard[1] != heard[2]


def test_a_draw_depends_on_seed_and_position_alone(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    """So that a resumed run, which never made the batches before, goes on as if it had."""
    collate, whole = listened(train, extractor, description_drop=0.5)
    for position in range(12):
        collate(at([3], position))
    collate, rest = listened(train, extractor, description_drop=0.5)
    for position in range(8, 12):
        collate(at([3], position))
    assert rest.inputs == whole.inputs[8:]
    assert rest.targets == whole.targets[8:]


def test_a_batch_holds_what_belongs_together(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    """By hand: ids, sound or its absence, and labels of two posts, without any draw."""
    collate, listener = listened(train, extractor, gold_drop=0.0)
    silent = next(i for i in range(len(train)) if train.features(i).sound_tokens is None)
    loud = next(i for i in range(len(train)) if train.features(i).sound_tokens is not None)
    batch = collate(at([silent, loud]))
    for row, index in enumerate((silent, loud)):
        ids = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        post = train.posts[index]
        assert tuple(ids) == listener.layout.encode(post.description, GUIDANCE.texts).input_ids
        labels = batch["labels"][row]
        assert sorted(listener.layout.parse(labels[labels >= 0].tolist())) == sorted(post.hashtags)
        tokens = torch.from_numpy(train.features(index).frame_tokens)
        assert torch.equal(batch["frame_tokens"][row, : len(tokens)].half(), tokens)
    assert batch["sound_mask"].any(dim=1).tolist() == [False, True]


def test_a_batch_without_any_sound_has_no_sound_tensor(
    train: FeaturedPosts, extractor: FeatureExtractor
) -> None:
    collate, _ = listened(train, extractor)
    silent = [i for i in range(len(train)) if train.features(i).sound_tokens is None][:2]
    batch = collate(at(silent))
    assert "sound_tokens" not in batch
    assert GenerationStep(new_generator(extractor), label_smoothing=0.0)(**batch)["loss"].isfinite()


def test_a_step_is_the_generators_own_loss(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    generator = new_generator(extractor)
    collate, _ = listened(train, extractor)
    values = collate(at([0, 1, 2]))
    labels = values["labels"]
    batch = GeneratorBatch(**{name: value for name, value in values.items() if name != "labels"})
    step = GenerationStep(generator, label_smoothing=0.1).eval()
    assert torch.equal(step(**values)["loss"], generator.loss(batch, labels, label_smoothing=0.1))


def test_parts_of_a_step_add_up_to_its_loss(train: FeaturedPosts, extractor: FeatureExtractor) -> None:
    """Accumulated batches, and those of several processes, have different numbers of tokens."""
    collate, _ = listened(train, extractor)
    step = GenerationStep(new_generator(extractor), label_smoothing=0.1).eval()
    draws = at([0, 1, 2, 3, 4])
    tokens = (collate(draws)["labels"] != -100).sum()
    parts = [
        step(**collate(part), num_items_in_batch=tokens)["loss"].item() for part in (draws[:2], draws[2:])
    ]
    assert sum(parts) == pytest.approx(step(**collate(draws))["loss"].item(), rel=1e-5)


def frozen_state(generator: Generator) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in generator.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize("trained_layers", [0, 1, None])
def test_frozen_weights_stay_as_they_are_bit_for_bit(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    trained_layers: int | None,
) -> None:
    generator = new_generator(extractor, trained_layers=trained_layers)
    frozen = frozen_state(generator)
    free = {name: p.detach().clone() for name, p in generator.named_parameters() if p.requires_grad}
    encoder = [name for name in frozen if name.startswith("text_model.encoder")]
    assert bool(encoder) == (trained_layers is not None)
    result = train_generator(
        generator, train, [GUIDANCE] * len(train), recipe.generator, seed=0, output_dir=tmp_path
    )
    after = dict(generator.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    moved = [name for name, value in free.items() if not torch.equal(after[name], value)]
    assert {name.split(".")[0] for name in moved} == {"text_model", "text_attention", "video_encoder"}
    assert len(moved) > 0.8 * len(free)
    assert result.losses
    assert not generator.training


def test_training_on_it_lowers_the_loss(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    settings = replace(recipe.generator, optimiser=replace(recipe.generator.optimiser, max_steps=60))
    generator = new_generator(extractor)
    result = train_generator(generator, train, [GUIDANCE] * len(train), settings, seed=0, output_dir=tmp_path)
    losses = list(result.losses.values())
    assert losses[-1] < 0.7 * losses[0]


def active_dropout(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, nn.Dropout) and part.training]


def test_a_frozen_encoder_has_no_dropout_in_training(extractor: FeatureExtractor) -> None:
    step = GenerationStep(new_generator(extractor), label_smoothing=0.0).train()
    encoder = step.generator.text_model.get_encoder()
    assert not active_dropout(encoder)
    assert active_dropout(step.generator.text_model.get_decoder())
    assert active_dropout(step.generator.text_attention)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(encoder(ids).last_hidden_state, encoder(ids).last_hidden_state)
    assert not active_dropout(step.eval())


def test_of_a_part_frozen_encoder_what_learns_has_dropout(extractor: FeatureExtractor) -> None:
    step = GenerationStep(new_generator(extractor, trained_layers=1), label_smoothing=0.0).train()
    active = active_dropout(step.generator.text_model.get_encoder())
    assert active
    assert not [name for name in active if "embed" in name]
    whole = GenerationStep(new_generator(extractor, trained_layers=None), label_smoothing=0.0).train()
    assert [name for name in active_dropout(whole.generator.text_model.get_encoder()) if "embed" in name]


def test_same_seed_same_generator_other_seed_another(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    runs = []
    for index, seed in enumerate((1, 1, 2)):
        generator = new_generator(extractor)  # of the same weights each time: the training differs
        result = train_generator(
            generator,
            train,
            [GUIDANCE] * len(train),
            recipe.generator,
            seed=seed,
            output_dir=tmp_path / str(index),
        )
        runs.append((result.losses, torch.cat([p.detach().flatten() for p in generator.parameters()])))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][1], runs[2][1])


def test_posts_whose_hashtags_can_not_be_spelled_are_left_out(
    train: FeaturedPosts, extractor: FeatureExtractor, recipe: Recipe, tmp_path: Path
) -> None:
    """They would teach the generator to write nothing."""
    foreign = replace(train.posts[0], hashtags=("зима",))
    mixed = replace(train.posts[1], hashtags=("зима", "winter"))
    data = FeaturedPosts((foreign, mixed, *train.posts[2:4]), train.cache)
    told: list[str] = []

    class Spy(FeaturedPosts):
        def features(self, index: int) -> Any:
            told.append(self.posts[index].hashtags[-1])
            return super().features(index)

    settings = replace(recipe.generator, optimiser=replace(recipe.generator.optimiser, max_steps=2))
    generator = new_generator(extractor)
    train_generator(
        generator, Spy(data.posts, data.cache), [Guidance()] * 4, settings, seed=0, output_dir=tmp_path
    )
    assert set(told) == {"winter", *(post.hashtags[-1] for post in train.posts[2:4])}
    with pytest.raises(DataError, match="can spell no hashtag of any training post"):
        train_generator(generator, data.subset([0]), [Guidance()], settings, seed=0, output_dir=tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"activation_checkpointing": True}, {"batch_size": 6, "gradient_accumulation_steps": 2}],
    ids=["recomputed", "accumulated"],
)
def test_what_saves_memory_changes_nothing_else(
    train: FeaturedPosts,
    extractor: FeatureExtractor,
    recipe: Recipe,
    tmp_path: Path,
    change: dict[str, int],
) -> None:
    """Dropout is the same when it is computed twice; with smaller batches its masks would differ."""
    dropout = 0.1 if "activation_checkpointing" in change else 0.0
    losses = []
    for name, settings in (("plain", {}), ("saving", change)):
        generator = new_generator(extractor)
        for module in generator.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        optimiser = replace(recipe.generator.optimiser, max_steps=6, **settings)
        result = train_generator(
            generator,
            train,
            [GUIDANCE] * len(train),
            replace(recipe.generator, optimiser=optimiser, dropout=dropout),
            seed=0,
            output_dir=tmp_path / name,
        )
        losses.append(result.losses[6])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
