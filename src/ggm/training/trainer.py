"""The one place that drives `transformers.Trainer`.

What is trained is a module whose forward takes a batch by name and returns ``{"loss": …}``; what
it is trained on is a list of items and a function that makes a batch of draws from them. A draw is
its position in the whole run and an item; all randomness of a batch comes from seed and position.
So neither an interruption nor the number of processes changes what a run sees.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler

from ggm.errors import ConfigError, MissingDependencyError
from ggm.features.loading import quiet_transformers
from ggm.training.checkpoints import (
    WEIGHTS,
    BestWeights,
    drop_incomplete,
    last_checkpoint,
    load_weights,
    mark_complete,
    save_weights,
    step_of,
)
from ggm.training.recipes import CheckpointSettings, OptimiserSettings

T = TypeVar("T")

Progress = Callable[[int, int, float], None]
"""Called as progress(step, steps, loss)."""

Draw = tuple[int, int]
"""Position in the run, from 0, and the item drawn there."""


Collate = Callable[[list[Draw]], dict[str, Any]]
"""Makes a batch of draws: tensors by name, or lists and dictionaries of them. Depends on nothing else."""


@dataclass(frozen=True)
class FitResult:
    """How a run went.

    Args:
        losses: Training loss, the mean since the previous entry, by step.
        seconds: Wall-clock time, of the last start.
        validation: Score by step; empty without validation.
        best: Kept weights, best first; empty without validation.
        steps: Optimiser steps done.
    """

    losses: dict[int, float]
    seconds: float
    validation: dict[int, float] = field(default_factory=dict)
    best: tuple[Path, ...] = ()
    steps: int = 0


class Draws(Dataset[Draw]):
    """The whole run's draws: each epoch a permutation of the items, cut to full batches.

    Args:
        items: What is drawn from, at least one.
        batch_size: Items a step, over all devices and accumulated batches.
        steps: Optimiser steps.
        seed: Of the permutations.
    """

    def __init__(self, items: Sequence[int], *, batch_size: int, steps: int, seed: int) -> None:
        self.items = items
        self.seed = seed
        self.epoch_length = draws_per_epoch(len(items), batch_size)
        self.length = batch_size * steps
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def _permute(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.items))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> Draw:
        epoch, place = divmod(position, self.epoch_length)
        return position, self.items[int(self._permutation(epoch)[place])]


def draws_per_epoch(items: int, batch_size: int) -> int:
    """Draws in one pass: what doesn't fill a batch is left for another epoch's order."""
    return items - items % batch_size if items >= batch_size else items


def num_steps(optimiser: OptimiserSettings, items: int) -> int:
    """Optimiser steps of a run over this many items."""
    if not optimiser.epochs:
        return optimiser.max_steps
    batch_size = _global_batch_size(optimiser)
    return max(1, math.ceil(optimiser.epochs * draws_per_epoch(items, batch_size) / batch_size))


def is_main_process() -> bool:
    """Whether this process writes files and shows progress; true unless launched as one of several."""
    return int(os.environ.get("RANK", "0")) == 0


def num_processes() -> int:
    """How many processes train together (``accelerate launch``)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def num_local_processes() -> int:
    """How many of them are on this machine, and share its processors."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", num_processes()))


def share_of(items: Sequence[T]) -> Sequence[T]:
    """The part of this process in what all do together, each item once; all of it, if it is alone."""
    return items[int(os.environ.get("RANK", "0")) :: num_processes()]


def training_device() -> str:
    """Where this process computes: its own GPU, or the CPU where there is none or it was asked for."""
    asked_for_cpu = os.environ.get("ACCELERATE_USE_CPU", "").casefold() in ("1", "true", "yes")
    if asked_for_cpu or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def wait_for_everyone() -> None:
    """Let all processes of a run meet here."""
    if num_processes() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def gathered(value: T) -> list[T]:
    """The values of all processes, which meet here; by the process's number."""
    if num_processes() == 1:
        return [value]
    from accelerate import PartialState
    from accelerate.utils import gather_object

    PartialState()  # or they couldn't talk to each other yet
    values: list[T] = gather_object([value])
    return values


@contextmanager
def main_process_first() -> Iterator[None]:
    """What the main process does in this block, the others do after it, and find it done."""
    if num_processes() == 1:
        yield
        return
    from accelerate import PartialState

    with PartialState().main_process_first():
        yield


def _global_batch_size(optimiser: OptimiserSettings) -> int:
    return optimiser.batch_size * optimiser.gradient_accumulation_steps * num_processes()


def fit(
    module: nn.Module,
    items: Sequence[int],
    collate: Collate,
    *,
    optimiser: OptimiserSettings,
    seed: int,
    output_dir: Path,
    checkpoints: CheckpointSettings | None = None,
    validate: Callable[[], float] | None = None,
    progress: Progress | None = None,
    log_every: int = 10,
) -> FitResult:
    """Train a module in place, going on from its last checkpoint if there is one.

    Args:
        module: Takes ``collate``'s batch as keyword arguments, returns ``{"loss": scalar}``.
        items: What is trained on; drawn without replacement, anew each epoch.
        collate: Draws to a batch of tensors; must depend on nothing but the draws.
        optimiser: Learning rate, batch size, steps.
        seed: Of order, dropout and whatever draws from torch's generator.
        output_dir: Where the TensorBoard log, the checkpoints and the best weights go.
        checkpoints: How often to save and to validate; by default never.
        validate: The score of the module as it is, higher is better; called in eval mode.
        progress: Told of each step.
        log_every: Steps between two losses in the log.

    Raises:
        ConfigError: If the loss stops being finite.
        CheckpointError: If a checkpoint is damaged, or of another model.
        MissingDependencyError: If the ``train`` extra isn't installed.
    """
    if any(find_spec(package) is None for package in ("accelerate", "tensorboard")):
        raise MissingDependencyError('training needs: pip install "ggm[train]"')
    settings = checkpoints or CheckpointSettings()
    steps = num_steps(optimiser, len(items))
    draws = Draws(items, batch_size=_global_batch_size(optimiser), steps=steps, seed=seed)
    home = next(module.parameters()).device
    watch = _Watch(module, optimiser, settings, output_dir, validate, progress)
    trainer = _trainer(
        module, draws, collate, watch, steps=steps, seed=seed, output_dir=output_dir, log_every=log_every
    )
    if is_main_process():
        drop_incomplete(output_dir)
    trainer.accelerator.wait_for_everyone()
    resumed = last_checkpoint(output_dir)
    if resumed is not None and watch.is_over(step_of(resumed)):
        load_weights(module, resumed / WEIGHTS)
        losses, seconds = _losses_of(resumed), 0.0
        done = step_of(resumed)
    else:
        with quiet_transformers(), compiled(module) if optimiser.compile else nullcontext():
            result = trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
        losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
        seconds, done = float(result.metrics["train_runtime"]), int(trainer.state.global_step)
    trainer.accelerator.wait_for_everyone()
    best = watch.best
    module.eval().to(home)  # what comes next shall not depend on where it was trained
    return FitResult(
        losses=losses,
        seconds=seconds,
        validation=dict(best.scores),
        best=tuple(best.path(step) for step in best.best()),
        steps=done,
    )


@contextmanager
def compiled(module: nn.Module) -> Iterator[None]:
    """Use ``torch.compile`` within this block on each transformer in a module, or on all of it without one.

    What lies around them, masks and scattering of frames, has shapes that depend on the data: compiled
    with them, each new batch could be another graph.
    """
    from transformers import PreTrainedModel

    parts: list[nn.Module] = [part for part in module.modules() if isinstance(part, PreTrainedModel)]
    parts = parts or [module]
    for part in parts:
        part.compile(dynamic=True)
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None  # `compile` has no public reverse; nothing else is changed


def _losses_of(checkpoint: Path) -> dict[int, float]:
    from transformers.trainer_callback import TrainerState

    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return {int(entry["step"]): float(entry["loss"]) for entry in state.log_history if "loss" in entry}


class _Watch:
    """Follows a run: stops it when it diverges or no longer improves, and reports."""

    def __init__(
        self,
        module: nn.Module,
        optimiser: OptimiserSettings,
        settings: CheckpointSettings,
        output_dir: Path,
        validate: Callable[[], float] | None,
        progress: Progress | None,
    ) -> None:
        self.module = module
        self.optimiser = optimiser
        self.settings = settings
        self.validate = validate if settings.validate_every else None
        self.progress = progress if is_main_process() else None
        self.best = BestWeights(output_dir / "best", keep=settings.keep_best)
        self.latest = float("nan")

    def is_over(self, step: int) -> bool:
        """Whether the run has been stopped early at this step."""
        return self.best.exhausted(step, patience=self.settings.patience)

    def log(self, step: int, loss: float) -> None:
        self.latest = loss
        if not math.isfinite(loss):
            raise ConfigError(
                f"training diverged: the loss is {loss} by step {step}; "
                f"lower the learning rate of {self.optimiser.learning_rate:g}"
            )

    def step_ends(self, state: Any, control: Any) -> None:
        step, last = state.global_step, state.max_steps
        every, validate_every = self.settings.checkpoint_every, self.settings.validate_every
        if self.validate and (step == last or (validate_every and step % validate_every == 0)):
            score = self._score(step)
            state.log_history.append({"step": step, "validation": score})
            control.should_training_stop |= self.is_over(step)
        ends = step == last or control.should_training_stop
        # Saving cuts the window that a logged loss is the mean of, so that a resumed run logs the same.
        control.should_save = bool(every) and (ends or step % every == 0)
        control.should_log |= ends or control.should_save
        if self.progress:
            self.progress(step, last, self.latest)

    def _score(self, step: int) -> float:
        """Validate, unless an interrupted run got this far; the main process's score counts for all."""
        assert self.validate is not None
        if step in self.best.scores:
            return self.best.scores[step]
        score = torch.zeros(1, dtype=torch.float64)
        if is_main_process():
            training = self.module.training
            self.module.eval()
            with torch.random.fork_rng(), torch.no_grad():
                score[0] = self.validate()
            self.module.train(training)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            score = score.to(next(self.module.parameters()).device)
            torch.distributed.broadcast(score, src=0)
        self.best.add(step, float(score), self.module if is_main_process() else None)
        return float(score)


def _trainer(
    module: nn.Module,
    draws: Draws,
    collate: Collate,
    watch: _Watch,
    *,
    steps: int,
    seed: int,
    output_dir: Path,
    log_every: int,
) -> Any:
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    class Report(TrainerCallback):
        """Passes on what happens; the library itself prints nothing."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if logs and "loss" in logs:
                watch.log(state.global_step, float(logs["loss"]))

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            if args.world_size > 1:  # weights are the same everywhere by now; dropout shall differ
                torch.manual_seed(seed + args.process_index)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            watch.step_ends(state, control)

    class InOrder(Trainer):
        """Takes draws in their order, and keeps what learns in complete checkpoints."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
            return SequentialSampler(draws)

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
            if self.args.should_save:
                save_weights(module, Path(str(output_dir)) / WEIGHTS)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
            load_weights(module, Path(resume_from_checkpoint) / WEIGHTS)

        def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process adds the state of its random generator
            if self.args.should_save:
                mark_complete(output_dir / f"checkpoint-{self.state.global_step}")

    trainer = InOrder(
        model=module,
        args=_arguments(
            TrainingArguments, watch, steps=steps, seed=seed, output_dir=output_dir, log_every=log_every
        ),
        train_dataset=draws,
        data_collator=collate,
        callbacks=[Report()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(
    arguments: Any, watch: _Watch, *, steps: int, seed: int, output_dir: Path, log_every: int
) -> Any:
    optimiser = watch.optimiser
    on_cpu = training_device() == "cpu"
    return arguments(
        output_dir=str(output_dir),
        max_steps=steps,
        per_device_train_batch_size=optimiser.batch_size,
        gradient_accumulation_steps=optimiser.gradient_accumulation_steps,
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type=optimiser.schedule,
        warmup_steps=optimiser.warmup_steps,
        weight_decay=optimiser.weight_decay,
        max_grad_norm=optimiser.max_gradient_norm,
        optim="adamw_torch_fused",
        bf16=optimiser.precision == "bf16",
        activation_checkpointing=optimiser.activation_checkpointing,
        dataloader_num_workers=optimiser.data_workers,
        seed=seed,
        logging_steps=log_every,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        save_strategy="no",  # `_Watch` says when
        save_total_limit=2,
        disable_tqdm=True,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=True,  # a batch without sound leaves the sound's part unused
        remove_unused_columns=False,
        label_names=[],
    )
