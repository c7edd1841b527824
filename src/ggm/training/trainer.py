"""The one place that drives `transformers.Trainer`.

What is trained is a module whose forward takes a batch by name and returns ``{"loss": …}``; what
it is trained on is a list of items and a function that makes a batch of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ggm.errors import ConfigError, MissingDependencyError
from ggm.training.recipes import OptimiserSettings

Progress = Callable[[int, int, float], None]
"""Called as progress(step, steps, loss)."""


@dataclass(frozen=True)
class FitResult:
    """How a run went.

    Args:
        losses: Training loss, the mean since the previous entry, by step.
        seconds: Wall-clock time.
    """

    losses: dict[int, float]
    seconds: float


class _Items(Dataset[Any]):
    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def fit(
    module: nn.Module,
    items: Sequence[Any],
    collate: Callable[[list[Any]], dict[str, Tensor]],
    *,
    optimiser: OptimiserSettings,
    seed: int,
    output_dir: Path,
    progress: Progress | None = None,
    log_every: int = 10,
) -> FitResult:
    """Train a module in place.

    Args:
        module: Takes ``collate``'s batch as keyword arguments, returns ``{"loss": scalar}``.
        items: Training items; drawn without replacement, anew each epoch.
        collate: Items to a batch of tensors.
        optimiser: Learning rate, batch size, steps.
        seed: Of initial order, dropout and whatever draws from torch's generator.
        output_dir: Where the TensorBoard log goes.
        progress: Told of each step.
        log_every: Steps between two losses in the log.

    Raises:
        ConfigError: If the loss stops being finite.
        MissingDependencyError: If the ``train`` extra isn't installed.
    """
    if any(find_spec(package) is None for package in ("accelerate", "tensorboard")):
        raise MissingDependencyError('training needs: pip install "ggm[train]"')
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    losses: dict[int, float] = {}

    class _Report(TrainerCallback):
        """Passes the loss on; the library itself prints nothing."""

        latest = float("nan")

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if logs and "loss" in logs:
                self.latest = losses[state.global_step] = float(logs["loss"])
                if not math.isfinite(self.latest):
                    raise ConfigError(
                        f"training diverged: the loss is {self.latest} by step {state.global_step}; "
                        f"lower the learning rate of {optimiser.learning_rate:g}"
                    )

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            control.should_log |= state.global_step == state.max_steps  # the last steps count too
            if progress:
                progress(state.global_step, state.max_steps, self.latest)

    on_cpu = not torch.cuda.is_available()
    home = next(module.parameters()).device
    trainer = Trainer(
        model=module,
        args=TrainingArguments(
            output_dir=str(output_dir),
            max_steps=optimiser.max_steps,
            per_device_train_batch_size=optimiser.batch_size,
            gradient_accumulation_steps=optimiser.gradient_accumulation_steps,
            learning_rate=optimiser.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=optimiser.warmup_steps,
            weight_decay=optimiser.weight_decay,
            max_grad_norm=optimiser.max_gradient_norm,
            optim="adamw_torch",
            seed=seed,
            logging_steps=log_every,
            logging_nan_inf_filter=False,
            report_to=["tensorboard"],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
            dataloader_drop_last=len(items) >= optimiser.batch_size,
            remove_unused_columns=False,
            label_names=[],
        ),
        train_dataset=_Items(items),
        data_collator=collate,
        callbacks=[_Report()],
    )
    trainer.remove_callback(PrinterCallback)
    result = trainer.train()
    module.eval().to(home)  # what comes next shall not depend on where it was trained
    return FitResult(losses=losses, seconds=float(result.metrics["train_runtime"]))
