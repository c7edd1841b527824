"""The model card that lies beside the weights: on what they were trained, how well, and where they fail."""

from __future__ import annotations

from typing import Any

from ggm.bundle import Bundle


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
        *(f"| {name} | {getattr(bundle.profile, name) or 'none'} |" for name in ("retriever", "vision", "audio", "text")),
        "",
        f"The pool holds {len(bundle.pool):,} hashtags; those of the training posts are {len(bundle.vocabulary):,}.",
    ]
    if bundle.generator is not None:
        trained = bundle.generator.num_parameters(trainable_only=True)
        parts.append(f"{trained:,} of the generator's {bundle.generator.num_parameters():,} parameters were trained.")
    for stage, record in bundle.training.items():
        parts += ["", f"## Training: {stage}", "", *_run(stage, record)]
    if evaluation:
        parts += ["", "## Evaluation", "", evaluation.strip()]
    return "\n".join(parts) + "\n"


def _run(stage: str, record: dict[str, Any]) -> list[str]:
    recipe = record["recipe"]
    optimiser = recipe[stage]["optimiser"]
    losses = list(record["loss"].values())
    lines = [
        f"- data: {record['data']}, {record['posts']:,} training posts",
        f"- recipe: {recipe['name']}, seed {recipe['seed']}",
        f"- {optimiser['max_steps']:,} steps of {optimiser['batch_size']} posts, learning rate "
        f"{optimiser['learning_rate']:g}, {record['seconds']:,.0f} s",
        f"- torch {record['torch']}, transformers {record['transformers']}",
    ]
    if losses:
        lines.append(f"- loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    return lines
