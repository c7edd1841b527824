"""A run that is killed goes on to the very weights of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import ggm
from ggm.errors import CheckpointError, ConfigError
from ggm.training.checkpoints import (
    BestWeights,
    claim_run,
    last_checkpoint,
    load_weights,
    remove_checkpoints,
    save_weights,
)
from ggm.training.recipes import CheckpointSettings, OptimiserSettings, Recipe
from ggm.training.runs import run_retriever
from ggm.training.trainer import Draw, Draws, FitResult, fit
from recipe_files import toml

SETTINGS = OptimiserSettings(learning_rate=0.05, batch_size=4, max_steps=23, warmup_steps=2)
SAVED = CheckpointSettings(checkpoint_every=5)


class KilledError(Exception):
    pass


class Noisy(nn.Module):
    """A line with dropout, so that the state of torch's generator counts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Linear(6, 1)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if self.training:
            self.seen += 1
        dropped = nn.functional.dropout(x, 0.3, training=self.training)
        return {"loss": ((self.layer(self.frozen(dropped)) - 1) ** 2).mean()}


X = torch.randn(10, 6, generator=torch.Generator().manual_seed(2))


def collate(draws: list[Draw]) -> dict[str, Tensor]:
    return {"x": X[[item for _, item in draws]]}


def run(
    folder: Path,
    *,
    kill_at: int | None = None,
    saved: CheckpointSettings = SAVED,
    scores: dict[int, float] | None = None,
) -> tuple[Noisy, FitResult]:
    module = Noisy()
    step_now = [0]

    def progress(step: int, _steps: int, _loss: float) -> None:
        step_now[0] = step
        if step == kill_at:
            raise KilledError

    def validate() -> float:
        assert not module.training
        torch.rand(3)  # what validation draws must not change the run
        return (scores or {})[int(module.seen)]

    result = fit(
        module,
        range(10),
        collate,
        optimiser=SETTINGS,
        seed=1,
        output_dir=folder,
        checkpoints=saved,
        validate=validate if scores else None,
        progress=progress,
        log_every=4,
    )
    return module, result


def same(first: nn.Module, second: nn.Module) -> bool:
    state = second.state_dict()
    return all(torch.equal(value, state[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("kill_at", [1, 5, 6, 14, 22])
def test_a_broken_run_ends_like_an_unbroken_one(tmp_path: Path, kill_at: int) -> None:
    whole, expected = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "broken", kill_at=kill_at)
    again, result = run(tmp_path / "broken")
    assert same(again, whole)
    assert result.losses == expected.losses
    assert list(expected.losses) == [4, 5, 8, 10, 12, 15, 16, 20, 23]
    assert result.steps == 23


def test_a_run_broken_again_and_again(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole")
    for kill_at in (3, 7, 8, 16, 21):
        with pytest.raises(KilledError):
            run(tmp_path / "broken", kill_at=kill_at)
    again, result = run(tmp_path / "broken")
    assert same(again, whole)
    assert result.losses == expected.losses


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    whole, expected = run(tmp_path)
    again, result = run(tmp_path, kill_at=23)  # would raise if that step were taken
    assert same(again, whole)
    assert result.losses == expected.losses


def test_a_checkpoint_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "broken", kill_at=17)
    newest = tmp_path / "broken" / "checkpoint-15"
    (newest / "complete").unlink()
    (newest / "weights.safetensors").write_bytes(b"half of it")
    found = last_checkpoint(tmp_path / "broken")
    assert found is not None
    assert found.name == "checkpoint-10"
    again, _ = run(tmp_path / "broken")
    assert same(again, whole)


def test_two_checkpoints_are_kept_with_what_learns_alone(tmp_path: Path) -> None:
    run(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-20", "checkpoint-23"]
    state = load_file(tmp_path / "checkpoint-23" / "weights.safetensors")
    assert sorted(state) == ["layer.bias", "layer.weight", "seen"]
    remove_checkpoints(tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, kill_at=7)
    (tmp_path / "checkpoint-5" / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: can't be read.*delete it"):
        run(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="another model"):
        load_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")


SCORES = {5: 0.2, 10: 0.5, 15: 0.4, 20: 0.5, 23: 0.1}
VALIDATED = CheckpointSettings(checkpoint_every=5, validate_every=5, keep_best=3)


def test_the_best_three_are_kept(tmp_path: Path) -> None:
    plain, _ = run(tmp_path / "plain")
    module, result = run(tmp_path / "log", saved=VALIDATED, scores=SCORES)
    assert same(module, plain)  # validation changes nothing
    assert result.validation == SCORES
    assert [path.name for path in result.best] == [f"step-{step}.safetensors" for step in (10, 20, 15)]
    assert {path.name for path in (tmp_path / "log" / "best").glob("*.safetensors")} == {
        path.name for path in result.best
    }
    load_weights(module, result.best[0])
    assert module.seen == 10


def test_the_best_survive_a_kill(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, saved=VALIDATED, scores=SCORES, kill_at=13)
    remaining = {step: score for step, score in SCORES.items() if step > 10}  # the others aren't asked again
    _, result = run(tmp_path, saved=VALIDATED, scores=remaining)
    assert result.validation == SCORES
    assert [path.stem for path in result.best] == ["step-10", "step-20", "step-15"]


def test_a_run_that_no_longer_improves_is_stopped(tmp_path: Path) -> None:
    patient = replace(VALIDATED, patience=2)
    module, result = run(tmp_path, saved=patient, scores=SCORES)
    assert result.steps == 20
    assert module.seen == 20
    assert 23 not in result.validation
    again, repeated = run(tmp_path, saved=patient, scores=SCORES, kill_at=21)
    assert same(again, module)
    assert repeated.losses == result.losses


def test_patience_by_hand(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, keep=2)
    for step, score in enumerate([0.1, 0.3, 0.2, 0.3, 0.4, 0.1], start=1):
        best.add(step, score, None)
    assert best.best() == [5, 2]
    assert [best.exhausted(step, patience=2) for step in range(1, 7)] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
    assert not any(best.exhausted(step, patience=0) for step in range(1, 7))


def test_draws_cover_each_epoch_in_full_batches() -> None:
    draws = Draws(range(10), batch_size=4, steps=4, seed=0)
    positions, items = zip(*(draws[index] for index in range(len(draws))), strict=True)
    assert positions == tuple(range(16))
    for epoch in (items[:8], items[8:]):
        assert len(set(epoch)) == 8
    assert items[:8] != items[8:]


def test_an_unfinished_run_is_not_taken_for_another(tmp_path: Path) -> None:
    claim_run(tmp_path, {"recipe": {"seed": 0}, "data": "a"})
    claim_run(tmp_path, {"recipe": {"seed": 1}, "data": "a"})  # nothing was done yet
    (tmp_path / "fold-0" / "checkpoint-5").mkdir(parents=True)
    claim_run(tmp_path, {"recipe": {"seed": 1}, "data": "a"})
    with pytest.raises(ConfigError, match=r"unfinished run with another recipe;"):
        claim_run(tmp_path, {"recipe": {"seed": 0}, "data": "a"})
    with pytest.raises(ConfigError, match="another data and recipe"):
        claim_run(tmp_path, {"recipe": {"seed": 0}, "data": "b"})


TRAIN = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from ggm.training.recipes import load_recipe
from ggm.training.generator_runs import run_generator
recipe, data, cache, retriever, out = sys.argv[1:]
run_generator(load_recipe(recipe), Path(data), Path(out), retriever=Path(retriever), cache=Path(cache))
"""


def train(arguments: list[Path], *, kill_at: int | None = None, delay_seconds: float = 0.0) -> int:
    """Train in a process of its own, which is killed when it is about to finish a checkpoint."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", TRAIN, *map(str, arguments)], env=environment)
    log = arguments[-1].with_name(f"{arguments[-1].name}.log")
    while process.poll() is None:
        if kill_at is not None and (log / f"checkpoint-{kill_at}").exists():
            time.sleep(delay_seconds)
            process.send_signal(signal.SIGKILL)
        time.sleep(0.002)
    return process.wait()


@pytest.mark.parametrize("kills", [pytest.param(2), pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_a_generator_killed_at_random_moments_ends_with_the_same_weights(
    recipe: Recipe, painted_dataset: Path, tmp_path: Path, kills: int
) -> None:
    steps = 40 * kills
    quick = replace(recipe.generator.optimiser, max_steps=steps, batch_size=4)
    recipe = replace(
        recipe,
        retriever=replace(recipe.retriever, optimiser=replace(recipe.retriever.optimiser, max_steps=2)),
        generator=replace(recipe.generator, optimiser=quick, guidance="cross_fitted", folds=2),
        checkpoints=CheckpointSettings(checkpoint_every=3, validate_every=steps // 4, validation_posts=4),
    )
    (tmp_path / "recipe.toml").write_text(toml(recipe))
    run_retriever(recipe, painted_dataset, tmp_path / "retriever", cache=tmp_path / "cache")
    common = [tmp_path / "recipe.toml", painted_dataset, tmp_path / "cache", tmp_path / "retriever"]
    assert train([*common, tmp_path / "whole"]) == 0
    moments = random.Random(kills)
    for kill_at in sorted(moments.sample(range(3, steps, 3), kills)):
        delay = moments.uniform(0, 0.05)  # before, while and after the checkpoint is written
        assert train([*common, tmp_path / "broken"], kill_at=kill_at, delay_seconds=delay) == -signal.SIGKILL
    assert train([*common, tmp_path / "broken"]) == 0
    for name in ("generator.safetensors", "retriever.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
    records = [json.loads((tmp_path / name / "bundle.json").read_text()) for name in ("whole", "broken")]
    first, second = (record["training"]["generator"] for record in records)
    assert first["loss"] == second["loss"]
    assert first["validation_rouge_1"] == second["validation_rouge_1"]
    assert not list((tmp_path / "broken.log").rglob("checkpoint-*"))
