"""What a run leaves on disk while it goes: checkpoints to go on from, and its best weights.

log/checkpoint-N/          everything that step N + 1 depends on; counts only with the file ``complete``
log/best/step-N.safetensors, scores.json          the best weights by validation, and every score
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ggm.corpus.manifest import write_json
from ggm.errors import CheckpointError, ConfigError

COMPLETE: Final = "complete"
WEIGHTS: Final = "weights.safetensors"
_PREFIX: Final = "checkpoint-"


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters that learn, and buffers. Shared weights stand there once."""
    state = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    kept = module.state_dict().keys()
    return state | {name: value for name, value in module.named_buffers() if name in kept}


def save_weights(module: nn.Module, path: Path) -> None:
    """Write `learned_state`, whole or not at all."""
    state = {name: value.cpu().contiguous().clone() for name, value in learned_state(module).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file(state, partial)
    partial.replace(path)


def load_weights(module: nn.Module, path: Path) -> None:
    """Put `learned_state` back in place.

    Raises:
        CheckpointError: If the file can't be read, or is of another model.
    """
    wanted = learned_state(module)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: can't be read: {error}; delete it to start anew") from error
    if state.keys() != wanted.keys() or any(state[name].shape != wanted[name].shape for name in wanted):
        raise CheckpointError(f"{path}: these are the weights of another model; delete it to start anew")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(state[name])


def last_checkpoint(folder: Path) -> Path | None:
    """The latest complete checkpoint of a run; None if there is none. What is incomplete is left out."""
    steps = {step_of(path): path for path in folder.glob(f"{_PREFIX}*") if (path / COMPLETE).is_file()}
    return steps[max(steps)] if steps else None


def drop_incomplete(folder: Path) -> None:
    """Delete checkpoints whose writing was cut off."""
    for path in folder.glob(f"{_PREFIX}*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path, ignore_errors=True)


def mark_complete(checkpoint: Path) -> None:
    """Say that a checkpoint is whole; the last thing to be written."""
    for path in checkpoint.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (checkpoint / COMPLETE).touch()


def remove_checkpoints(folder: Path) -> None:
    """Delete a finished run's checkpoints, those of its parts (folds) too."""
    for path in folder.rglob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def step_of(path: Path) -> int:
    """The step of a checkpoint or of kept weights, by the name; -1 if it has none."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


class BestWeights:
    """Keeps the weights of the steps with the best validation scores (paper, appendix A: three).

    Args:
        folder: Made when first needed; what an interrupted run left there is taken up.
        keep: How many.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.scores: dict[int, float] = {}
        path = folder / "scores.json"
        if path.exists():
            self.scores = {int(step): float(score) for step, score in json.loads(path.read_text()).items()}

    def add(self, step: int, score: float, module: nn.Module | None) -> None:
        """Record a step's score; its weights are kept if it is among the best.

        Args:
            step: Optimiser steps so far.
            score: Higher is better; of equal ones the earlier is better.
            module: Holds the weights; None to record only (a process that doesn't write).
        """
        self.scores[step] = score
        best = self.best()
        if module is None:
            return
        if step in best:
            save_weights(module, self.path(step))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json({str(step): score for step, score in self.scores.items()}, self.folder / "scores.json")
        for path in self.folder.glob("step-*.safetensors"):
            if path not in {self.path(step) for step in best}:
                path.unlink(missing_ok=True)

    def best(self) -> list[int]:
        """The kept steps, best first."""
        return sorted(self.scores, key=lambda step: (-self.scores[step], step))[: self.keep]

    def path(self, step: int) -> Path:
        """Where a step's weights are."""
        return self.folder / f"step-{step}.safetensors"

    def exhausted(self, step: int, *, patience: int) -> bool:
        """Whether the last ``patience`` validations up to a step brought nothing better; 0 is never."""
        seen = [self.scores[known] for known in sorted(self.scores) if known <= step]
        return 0 < patience < len(seen) and max(seen[:-patience]) >= max(seen[-patience:])


def claim_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Remember what a run depends on, so that another one isn't taken for it.

    Args:
        folder: The run's log folder.
        settings: Recipe and data, as JSON values.

    Raises:
        ConfigError: If there are checkpoints of a run with other settings.
    """
    path = folder / "run.json"
    started = last_checkpoint(folder) or next(folder.glob(f"*/{_PREFIX}*"), None)
    if started is not None and path.exists():
        known = json.loads(path.read_text("utf-8"))
        wanted = json.loads(json.dumps(settings))
        different = sorted(name for name in {*known, *wanted} if known.get(name) != wanted.get(name))
        if different:
            raise ConfigError(
                f"{folder}: holds an unfinished run with another {' and '.join(different)}; "
                "choose another folder, or delete this one to start anew"
            )
        return
    shutil.rmtree(folder / "best", ignore_errors=True)  # of a run that was finished, or never began
    folder.mkdir(parents=True, exist_ok=True)
    write_json(settings, path)
