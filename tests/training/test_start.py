"""Pre-training, then fine-tuning: what a generator begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ggm.bundle import build_generator, load_bundle, save_bundle
from ggm.errors import BundleError, CheckpointError
from ggm.features.profiles import profile
from ggm.features.text import TextModelConfig, load_text_model
from ggm.generator.config import GeneratorConfig
from ggm.generator.model import Generator
from ggm.training.generator_runs import run_generator
from ggm.training.recipes import Recipe
from ggm.training.runs import run_retriever
from ggm.training.start import start_from


@pytest.fixture(scope="module")
def quick(recipe: Recipe) -> Recipe:
    optimiser = replace(recipe.generator.optimiser, max_steps=2)
    return replace(recipe, generator=replace(recipe.generator, optimiser=optimiser))


@pytest.fixture(scope="module")
def retriever(quick: Recipe, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "retriever"
    run_retriever(quick, tiny_dataset, folder, cache=folder.parent / "features")
    return folder


@pytest.fixture(scope="module")
def pretrained(quick: Recipe, tiny_dataset: Path, retriever: Path) -> Path:
    folder = retriever.parent / "pretrained"
    run_generator(quick, tiny_dataset, folder, retriever=retriever, cache=folder.parent / "features")
    return folder


def weights(generator: Generator) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in generator.trainable_state_dict().items()}


def another(older: Generator, **changes: object) -> Generator:
    torch.manual_seed(99)
    config = GeneratorConfig.from_dict({**older.config.to_dict(), **changes})
    return build_generator(
        config, load_text_model(profile("tiny"), TextModelConfig(trained_encoder_layers=0))
    )


def test_all_weights_are_copied(pretrained: Path) -> None:
    older = load_bundle(pretrained).generator
    assert older is not None
    generator = another(older)
    assert weights(generator) != weights(older)
    first = start_from(generator, pretrained)
    assert weights(generator) == weights(older)
    assert first == start_from(generator, pretrained)


def test_what_the_older_one_lacks_stays_as_new(pretrained: Path) -> None:
    older = load_bundle(pretrained).generator
    assert older is not None
    generator = another(older, pointer=True)
    before = weights(generator)
    start_from(generator, pretrained)
    after, theirs = weights(generator), weights(older)
    own = {name for name in after if name not in theirs}
    assert {name.split(".")[0] for name in own} == {"pointer"}
    assert {name: after[name] for name in own} == {name: before[name] for name in own}
    assert {name: after[name] for name in theirs} == theirs


def test_a_run_begins_there_and_remembers_it(
    quick: Recipe, tiny_dataset: Path, retriever: Path, pretrained: Path, tmp_path: Path
) -> None:
    cache = retriever.parent / "features"
    settings = replace(quick.generator, optimiser=replace(quick.generator.optimiser, learning_rate=1e-9))
    still = replace(quick, seed=5, generator=settings)
    run_generator(still, tiny_dataset, tmp_path / "b", retriever=retriever, start=pretrained, cache=cache)
    made, older = load_bundle(tmp_path / "b"), load_bundle(pretrained)
    assert made.generator is not None
    assert older.generator is not None
    for name, value in made.generator.trainable_state_dict().items():
        assert torch.allclose(value, older.generator.trainable_state_dict()[name], atol=1e-3), name
    assert made.training["generator"]["start"] == start_from(another(older.generator), pretrained)


def test_rows_of_an_output_vocabulary_go_by_their_pieces(
    pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two vocabularies that share some pieces, in other places."""
    older = load_bundle(pretrained).generator
    assert older is not None
    generator = another(older)
    vocabulary = generator.output_tokenizer.get_vocab()
    turned = {piece: len(vocabulary) - 1 - place for piece, place in vocabulary.items()}
    missing = sorted(turned)[0]
    lost = turned.pop(missing)
    monkeypatch.setattr(generator.output_tokenizer, "get_vocab", lambda: turned)
    name = next(n for n, v in generator.trainable_state_dict().items() if len(v) == len(vocabulary))
    before = generator.trainable_state_dict()[name].clone()
    start_from(generator, pretrained)
    mine, theirs = generator.trainable_state_dict()[name], older.trainable_state_dict()[name]
    for piece, place in turned.items():
        assert torch.equal(mine[place], theirs[vocabulary[piece]])
    assert torch.equal(mine[lost], before[lost])


def test_a_retriever_alone_is_no_start(retriever: Path, pretrained: Path) -> None:
    older = load_bundle(pretrained).generator
    assert older is not None
    with pytest.raises(BundleError, match="holds a retriever only; there is no generator to start from"):
        start_from(another(older), retriever)


def test_another_kind_of_generator_is_refused(pretrained: Path, tmp_path: Path) -> None:
    bundle = load_bundle(pretrained)
    assert bundle.generator is not None
    save_bundle(replace(bundle, name="copy"), tmp_path / "copy")
    generator = another(bundle.generator)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.data = parameter.data.new_zeros(3, *parameter.shape)
    with pytest.raises(CheckpointError, match="of another kind than what shall be trained"):
        start_from(generator, tmp_path / "copy")
