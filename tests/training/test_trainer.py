from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from ggm.errors import ConfigError, MissingDependencyError
from ggm.training.recipes import CheckpointSettings, OptimiserSettings
from ggm.training.trainer import Draw, FitResult, Progress, fit, num_steps

QUICK = OptimiserSettings(learning_rate=0.05, batch_size=4, max_steps=25, warmup_steps=2)
TARGET = torch.tensor([1.0, -2.0])


class Line(nn.Module):
    """y = x · w, to be fitted to TARGET."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": ((x @ self.weight - x @ TARGET) ** 2).mean()}


class Batches:
    """Makes batches, and remembers of which items."""

    def __init__(self, items: int = 8) -> None:
        self.x = torch.randn(items, 2, generator=torch.Generator().manual_seed(1))
        self.seen: list[list[int]] = []
        self.positions: list[list[int]] = []

    def __call__(self, draws: list[Draw]) -> dict[str, Tensor]:
        items = [item for _, item in draws]
        self.positions.append([position for position, _ in draws])
        self.seen.append(items)
        return {"x": self.x[items]}


def run(
    folder: Path,
    settings: OptimiserSettings = QUICK,
    *,
    seed: int = 0,
    items: int = 8,
    progress: Progress | None = None,
) -> tuple[Line, Batches, FitResult]:
    module, batches = Line(), Batches(items)
    result = fit(
        module,
        range(items),
        batches,
        optimiser=settings,
        seed=seed,
        output_dir=folder,
        progress=progress,
        log_every=5,
    )
    return module, batches, result


def test_a_line_is_fitted_and_the_loss_falls(tmp_path: Path) -> None:
    module, _, result = run(tmp_path, replace(QUICK, max_steps=150, learning_rate=0.1))
    assert module.weight.detach() == pytest.approx(TARGET, abs=0.1)
    losses = list(result.losses.values())
    assert losses[-1] < losses[0] / 20
    assert result.seconds > 0
    assert not module.training


def test_every_step_counts_in_the_losses_and_is_reported(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    _, _, result = run(
        tmp_path, replace(QUICK, max_steps=7), progress=lambda step, steps, _loss: told.append((step, steps))
    )
    assert told == [(step, 7) for step in range(1, 8)]
    assert list(result.losses) == [5, 7]  # the last two steps are no multiple of five


def test_items_are_drawn_without_replacement_anew_each_epoch(tmp_path: Path) -> None:
    _, batches, _ = run(tmp_path, replace(QUICK, max_steps=6))
    epochs = [batches.seen[start] + batches.seen[start + 1] for start in (0, 2, 4)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_batches_are_full_unless_there_are_too_few_items(tmp_path: Path) -> None:
    _, batches, _ = run(tmp_path / "ten", replace(QUICK, max_steps=8), items=10)
    assert Counter(map(len, batches.seen)).keys() == {4}
    _, batches, _ = run(tmp_path / "three", replace(QUICK, max_steps=3), items=3)
    assert Counter(map(len, batches.seen)).keys() == {4}
    drawn = Counter(item for batch in batches.seen for item in batch)
    assert set(drawn.values()) == {4}  # 12 draws, each item as often


def test_same_seed_same_run_other_seed_another(tmp_path: Path) -> None:
    first, again, other = (run(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert first[1].seen == again[1].seen != other[1].seen
    assert first[2].losses == again[2].losses != other[2].losses
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_accumulated_gradients_are_those_of_the_larger_batch(tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole", replace(QUICK, batch_size=8, max_steps=4))
    parts, _, _ = run(
        tmp_path / "parts", replace(QUICK, batch_size=4, max_steps=4, gradient_accumulation_steps=2)
    )
    assert torch.allclose(whole.weight, parts.weight, atol=1e-5)


def test_nothing_is_printed_and_the_log_lies_where_it_was_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "log")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert [path.name.split(".")[0] for path in (tmp_path / "log").rglob("events*")] == ["events"]


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"training diverged: the loss is (inf|nan) by step 5; lower the learning rate"
    ):
        run(tmp_path, replace(QUICK, learning_rate=1e30, warmup_steps=0))


def test_a_missing_extra_has_its_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "ggm\[train\]"'):
        run(tmp_path)


def test_epochs_are_counted_in_full_batches() -> None:
    by_epochs = replace(QUICK, epochs=2.5)
    assert num_steps(by_epochs, 10) == 5  # two batches of four in each epoch
    assert num_steps(replace(by_epochs, gradient_accumulation_steps=2), 16) == 5
    assert num_steps(by_epochs, 3) == 2  # 7.5 draws of three items
    assert num_steps(QUICK, 10) == QUICK.max_steps
    with pytest.raises(ConfigError, match="epochs must be at least 0"):
        replace(QUICK, epochs=-1)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
def test_each_schedule_and_bf16_train(tmp_path: Path, schedule: Literal["linear"]) -> None:
    module, _, result = run(tmp_path, replace(QUICK, schedule=schedule, precision="bf16"))
    assert module.weight.dtype == torch.float32
    assert result.losses[25] < result.losses[5]


@pytest.mark.parametrize(
    "settings",
    [
        {"checkpoint_every": -1},
        {"validate_every": -1},
        {"patience": -1},
        {"patience": 2},
        {"keep_best": 0},
        {"validation_posts": 0},
    ],
)
def test_checkpoint_settings_that_make_no_sense_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        CheckpointSettings(**settings)
