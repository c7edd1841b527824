"""Two processes train like one with twice the batch, and one of them writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

import ggm
from checkpoints import write_base_checkpoints
from ggm.bundle import load_bundle
from ggm.evaluation.predictions import read_predictions
from ggm.training.generator_runs import run_generator
from ggm.training.recipes import CheckpointSettings, Recipe
from ggm.training.runs import run_classifier, run_retriever
from recipe_files import toml

CONFIG = Path(__file__).parents[2] / "recipes" / "accelerate-8xa100.yaml"


def launch(*arguments: object) -> None:
    """``accelerate launch`` by the shipped file, but with two processes, kept on the CPU."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1])}
    environment |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)]
    command += ["--num_processes", "2", "--dynamo_backend", "no", "--main_process_port", "0"]
    result = subprocess.run(
        [*command, "-m", "ggm", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


def test_accelerate_reads_the_shipped_file() -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    config = load_config_from_file(str(CONFIG))
    assert (config.num_processes, config.num_machines, config.mixed_precision) == (8, 1, "no")
    line = ["--config_file", str(CONFIG), "-m", "ggm", "train", "retriever"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(line))
    assert (arguments.multi_gpu, arguments.num_processes, arguments.main_process_port) == (True, 8, 29500)
    more = ["--num_machines", "2", "--num_processes", "16", "--machine_rank", "1"]
    more += ["--main_process_ip", "10.0.0.1"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args([*more, *line]))
    assert (arguments.num_machines, arguments.num_processes, arguments.machine_rank) == (2, 16, 1)


def test_work_that_is_done_once_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    from ggm.training.trainer import gathered, num_local_processes, share_of

    assert share_of("abcdefg") == "abcdefg"
    assert gathered({"a": 1}) == [{"a": 1}]
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        shares.append(share_of("abcdefg"))
    assert shares == ["adg", "be", "cf"]
    assert num_local_processes() == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert num_local_processes() == 2


def losses(out: Path, stage: str) -> list[float]:
    record = json.loads((out / "bundle.json").read_text())["training"][stage]
    return list(record["loss"].values())


@pytest.fixture
def without_chance(recipe: Recipe) -> Recipe:
    """No dropout: its masks are drawn by each process for itself."""
    return replace(
        recipe,
        retriever=replace(
            recipe.retriever,
            dropout=0.0,
            optimiser=replace(recipe.retriever.optimiser, max_steps=20),
        ),
        generator=replace(
            recipe.generator,
            dropout=0.0,
            optimiser=replace(recipe.generator.optimiser, max_steps=20),
        ),
        checkpoints=CheckpointSettings(
            checkpoint_every=10, validate_every=10, validation_posts=4, keep_best=2
        ),
    )


def end_to_end(recipe: Recipe, folder: Path) -> Recipe:
    """All that can learn does, in a system of checkpoints without dropout."""
    profile = write_base_checkpoints(folder)
    for path in folder.glob("*/config.json"):
        path.write_text(re.sub(r'("\w*dropout\w*"): [\d.]+', r"\1: 0.0", path.read_text()))
    gently = replace(recipe.generator.optimiser, learning_rate=3e-3)
    return replace(
        recipe,
        profile=profile,
        retriever=replace(recipe.retriever, trained="towers", optimiser=gently),
        generator=replace(
            recipe.generator,
            train_vision=True,
            train_sound=True,
            trained_encoder_layers=-1,
            optimiser=gently,
        ),
    )


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize("all_learn", [False, True], ids=["frozen", "end to end"])
def test_two_processes_learn_what_one_learns_from_twice_the_batch(
    without_chance: Recipe, painted_dataset: Path, tmp_path: Path, all_learn: bool
) -> None:
    recipe = end_to_end(without_chance, tmp_path / "checkpoints") if all_learn else without_chance
    half = replace(
        recipe,
        retriever=replace(recipe.retriever, optimiser=replace(recipe.retriever.optimiser, batch_size=6)),
        generator=replace(recipe.generator, optimiser=replace(recipe.generator.optimiser, batch_size=6)),
    )
    one, two = tmp_path / "one", tmp_path / "two"
    (tmp_path / "half.toml").write_text(toml(half))
    run_retriever(recipe, painted_dataset, one / "retriever", cache=tmp_path / "cache")
    run_generator(recipe, painted_dataset, one / "all", retriever=one / "retriever", cache=tmp_path / "cache")
    common = ["--data", painted_dataset, "--cache", two / "cache"]
    launch("train", "retriever", tmp_path / "half.toml", *common, "--out", two / "retriever")
    launch(
        *("train", "generator", tmp_path / "half.toml", *common),
        *("--retriever", two / "retriever", "--out", two / "all"),
    )
    for name, stage in (("retriever", "retriever"), ("all", "generator")):
        assert losses(two / name, stage) == pytest.approx(losses(one / name, stage), rel=2e-3)
    load_bundle(two / "all")
    written = sorted(path.name for path in (two / "all.log").iterdir())
    assert written.count("best") == 1
    assert not list((two / "all.log").rglob("checkpoint-*"))
    assert len(list((two / "all.log").rglob("events*"))) == 1
    if not all_learn:  # both processes have written files, each with the features of its share
        caches = tmp_path / "cache", two / "cache"
        files = [len(list(cache.glob("*/pooled/*.safetensors"))) for cache in caches]
        assert files[1] > files[0]


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize("trained", ["heads", "encoders"])
def test_two_processes_train_one_classifier(
    without_chance: Recipe, painted_dataset: Path, tmp_path: Path, trained: Literal["heads", "encoders"]
) -> None:
    settings = replace(without_chance.classifier, trained=trained, inputs="video", dropout=0.0)
    recipe = replace(without_chance, classifier=settings)
    half = replace(settings, optimiser=replace(settings.optimiser, batch_size=6))
    (tmp_path / "half.toml").write_text(toml(replace(recipe, classifier=half)))
    run_classifier(recipe, painted_dataset, tmp_path / "one", cache=tmp_path / "cache")
    launch(
        *("train", "classifier", tmp_path / "half.toml", "--data", painted_dataset),
        *("--cache", tmp_path / "cache-of-two", "--out", tmp_path / "two"),
    )
    for name in ("validation.jsonl", "test.jsonl", "best-2.test.jsonl"):
        one, two = (read_predictions(tmp_path / run / name) for run in ("one", "two"))
        for first, second in zip(one, two, strict=True):
            scores = [dict(zip(found.hashtags, found.scores, strict=True)) for found in (first, second)]
            assert scores[1] == pytest.approx(scores[0], abs=2e-3)
