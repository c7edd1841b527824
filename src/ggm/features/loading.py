"""Loading with `transformers` as a library should: silently, and with errors that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from transformers import AutoModel
from transformers.utils import logging

from ggm.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_WRONG_KIND: Final = (
    AttributeError,
    ImportError,
    KeyError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What loading a damaged checkpoint, or one of another kind, raises."""

_INSTEAD: Final = "use the profile 'compact', which needs no download"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no load reports; the settings of the process are put back after."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def checkpoint_errors(checkpoint: str, *, wanted: str, instead: str = _INSTEAD) -> Iterator[None]:
    """Turn whatever goes wrong in loading into a `CheckpointError`.

    Args:
        checkpoint: Hub id or directory.
        wanted: What it should be, such as ``a CLIP or SigLIP style model``.
        instead: What else to do where there is no hub.

    Raises:
        CheckpointError: Naming the checkpoint, the reason, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{checkpoint}: cannot load {wanted}: {_first_line(error)}. {_advice(checkpoint, instead)}"
        ) from error
    except _WRONG_KIND as error:
        raise CheckpointError(
            f"{checkpoint}: this is not {wanted}, or it is damaged: {_first_line(error)}"
        ) from error


def load_model(
    checkpoint: str,
    *,
    wanted: str,
    local_files_only: bool = False,
    auto_class: Any = AutoModel,
    config: PretrainedConfig | None = None,
    instead: str = _INSTEAD,
) -> PreTrainedModel:
    """Load a model whose every weight is in the checkpoint. A pooler that has none there is left out.

    Args:
        checkpoint: Hub id or directory.
        wanted: See `checkpoint_errors`.
        local_files_only: Never ask a hub.
        auto_class: Of `transformers`.
        config: In place of the checkpoint's own, such as one of fewer layers.
        instead: See `checkpoint_errors`.

    Raises:
        CheckpointError: If it is missing, damaged, of another kind, or lacks weights.
    """
    options = {} if config is None else {"config": config}
    with quiet_transformers(), checkpoint_errors(checkpoint, wanted=wanted, instead=instead):
        # Where a checkpoint has safetensors they are preferred; a pickle is read with weights_only.
        model, report = auto_class.from_pretrained(
            checkpoint,
            trust_remote_code=False,
            local_files_only=local_files_only,
            output_loading_info=True,
            **options,
        )
    for name in report["missing_keys"]:
        path, pooler, _ = f".{name}".partition(".pooler.")
        if pooler:  # its weights would be random ones
            model.get_submodule(path.removeprefix(".")).pooler = None
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name.split("."))
    if missing or report["mismatched_keys"]:
        broken = missing or sorted(str(key) for key in report["mismatched_keys"])
        raise CheckpointError(
            f"{checkpoint}: this is not {wanted}: {len(broken)} weights are absent or of another shape, "
            f"such as {broken[0]}; name a checkpoint of that kind"
        )
    return model.eval()  # type: ignore[no-any-return]


def _advice(checkpoint: str, instead: str) -> str:
    if Path(checkpoint).exists() or checkpoint.startswith(("/", ".", "~")) or checkpoint.count("/") > 1:
        return "Name a folder that a checkpoint was saved to with all its files, or a hub id"
    return (
        "Is the name right? On a machine without a hub, fetch it elsewhere with "
        f"'hf download {checkpoint} --local-dir FOLDER' and name that folder instead, "
        f"or {instead}"
    )


def _first_line(error: BaseException) -> str:
    return next(
        (line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__
    )
