"""The model card that lies beside the weights: on what they were trained, how well, and where they fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ggm.bundle import Bundle, find_bundle, load_bundle, save_bundle
from ggm.errors import DataError

CARD: Final = "README.md"


def model_card(bundle: Bundle, *, evaluation: str = "") -> str:
    """Write a bundle's model card as Markdown.

    Args:
        bundle: Trained, with its records.
        evaluation: Markdown with measured figures and known failures; may be empty.
    """
    parts = [
        f"# {bundle.name}",
        "",
        "Recommends hashtags for a short video and its description: guided generation after Yu et al., "
        "*Generating Hashtags for Short-form Videos with Guided Signals* (ACL 2023).",
        "",
        "## Parts",
        "",
        "| part | checkpoint |",
        "| --- | --- |",
        *(
            f"| {name} | {getattr(bundle.profile, name) or 'none'} |"
            for name in ("retriever", "vision", "audio", "text")
        ),
        "",
        *(
            [f"Trained further than their checkpoints: {', '.join(bundle.trained_encoders)}.", ""]
            if bundle.trained_encoders
            else []
        ),
        f"The pool holds {len(bundle.pool):,} hashtags; "
        f"those of the training posts are {len(bundle.vocabulary):,}.",
    ]
    if bundle.generator is not None:
        trained = bundle.generator.num_parameters(trainable_only=True)
        parts.append(
            f"{trained:,} of the generator's {bundle.generator.num_parameters():,} parameters were trained."
        )
    for stage, record in bundle.training.items():
        parts += ["", f"## Training: {stage}", "", *_run(stage, record)]
    if evaluation:
        parts += ["", "## Evaluation", "", evaluation.strip()]
    return "\n".join(parts) + "\n"


def _run(stage: str, record: dict[str, Any]) -> list[str]:
    if stage == "scorer":
        return _fit(record)
    recipe = record["recipe"]
    optimiser = recipe[stage]["optimiser"]
    losses = list(record["loss"].values())
    lines = [
        f"- data: {record['data']}, {record['posts']:,} training posts{_left_out(record.get('rejected', 0))}",
        f"- recipe: {recipe['name']}, seed {recipe['seed']}",
        f"- {record.get('steps', optimiser['max_steps']):,} steps of {optimiser['batch_size']} posts, "
        f"learning rate {optimiser['learning_rate']:g}, {record['seconds']:,.0f} s",
        f"- torch {record['torch']}, transformers {record['transformers']}",
    ]
    if losses:
        lines.append(f"- loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    if "chosen_step" in record:
        step = record["chosen_step"]
        score = record["validation_rouge_1"][str(step)]
        lines.append(f"- weights of step {step:,}, validation ROUGE-1 {100 * score:.1f}")
    return lines


def _fit(record: dict[str, Any]) -> list[str]:
    sources = (
        f"{source['data']}, split {source['split']}"
        + (f" (weight {source['weight']:g})" if source["loose"] else "")
        for source in record["sources"]
    )
    errors = ", ".join(f"{name} {value:.3f}" for name, value in record["calibration_error"].items())
    return [
        f"- fitted on {'; '.join(sources)}: {record['posts']:,} posts, with and without description",
        f"- expected calibration error of its probabilities, cross-fitted: {errors}",
    ]


def _left_out(count: int) -> str:
    return f"; {count:,} could not be used" if count else ""


def rewrite_card(name_or_dir: Path | str, *, evaluation: Path | None = None) -> Path:
    """Write a bundle's model card anew, with measured figures; nothing else of the bundle changes.

    Args:
        name_or_dir: A bundle's folder, or a shipped bundle's name.
        evaluation: A Markdown file with the figures; None leaves them out.

    Returns:
        The card.

    Raises:
        BundleError: If there is no bundle, or it can't be written.
        DataError: If the file of figures can't be read.
    """
    try:
        figures = "" if evaluation is None else evaluation.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{evaluation}: can't be read as text: {error}") from error
    folder = find_bundle(name_or_dir)
    bundle = load_bundle(folder)
    save_bundle(replace(bundle, card=model_card(bundle, evaluation=figures)), folder)
    return folder / CARD
