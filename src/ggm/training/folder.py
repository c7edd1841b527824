"""What a run leaves: a bundle in its folder, and beside it a log of what it was and what it left out."""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ggm.bundle import Bundle, save_bundle
from ggm.corpus.manifest import Dataset, write_json_lines
from ggm.training.checkpoints import claim_run, remove_checkpoints
from ggm.training.dataset import Features
from ggm.training.model_card import model_card
from ggm.training.recipes import CheckpointSettings, Recipe
from ggm.training.trainer import FitResult, is_main_process, wait_for_everyone


def record_of(recipe: Recipe, features: Features, posts: int, result: FitResult) -> dict[str, Any]:
    """What a bundle remembers of a run."""
    return {
        "recipe": asdict(recipe),
        "data": str(features.dataset.metadata.get("name") or features.dataset.folder.resolve().name),
        "posts": posts,
        "rejected": len(features.rejected),
        "seconds": round(result.seconds, 1),
        "loss": {str(step): round(loss, 4) for step, loss in result.losses.items()},
        "steps": result.steps,
        **(
            {"validation_rouge_1": {str(step): round(score, 4) for step, score in result.validation.items()}}
            if result.validation
            else {}
        ),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def write_bundle(bundle: Bundle, features: Features, out: Path, *, log: Path | None = None) -> Bundle:
    """Write a bundle with its model card, which has no figures yet, and what was left out.

    Of several processes one writes, and the others wait until it has.
    """
    bundle = replace(bundle, card=model_card(bundle))
    if is_main_process():
        out.parent.mkdir(parents=True, exist_ok=True)
        save_bundle(bundle, out)
        finish_folder(features, log or log_folder(out), done=log is None or log == log_folder(out))
    wait_for_everyone()
    return bundle


def finish_folder(features: Features, log: Path, *, done: bool = True) -> None:
    """Write down what was left out; a finished run needs its checkpoints no more."""
    places = dict(zip((post.id for post in features.dataset.posts), features.dataset.rows, strict=False))
    rows = []
    for what, reason in features.rejected.items():
        kind, _, name = what.partition(" ")
        rows.append({"what": what, "row": int(name) if kind == "row" else places.get(name), "reason": reason})
    log.mkdir(parents=True, exist_ok=True)
    write_json_lines(rows, log / "rejected.jsonl")
    if done:
        remove_checkpoints(log)


def claim_log(out: Path, recipe: Recipe, features: Features, **more: str) -> Path:
    """The run's log folder, seen to belong to this recipe and these posts."""
    log = log_folder(out)
    if is_main_process():
        claim_run(log, {"recipe": asdict(recipe), "data": _data_fingerprint(features.dataset), **more})
    wait_for_everyone()
    return log


def _data_fingerprint(dataset: Dataset) -> str:
    digest = blake2b(digest_size=16)
    for post in dataset.posts:
        digest.update(repr((post.id, post.description, post.hashtags, post.split)).encode())
    return digest.hexdigest()


def without_validation(recipe: Recipe) -> CheckpointSettings:
    """How often a stage is saved that has no validation of its own."""
    return replace(recipe.checkpoints, validate_every=0, patience=0)


def log_folder(out: Path) -> Path:
    """Where a run's log and checkpoints are, by its folder."""
    return out.with_name(f"{out.name}.log")
