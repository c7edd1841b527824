"""The command ``ggm``: parse, call, show. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ggm.errors import GgmError, MediaError
from ggm.serving.annotate_cli import annotate_command
from ggm.serving.corpus_cli import corpus_app
from ggm.serving.data_cli import data_app
from ggm.serving.evaluate_cli import evaluate_command, score_command
from ggm.serving.human_cli import human_app
from ggm.serving.options import (
    AllowOption,
    BlockOption,
    CacheOption,
    CacheSizeOption,
    DataOption,
    FramesOption,
    HistoryOption,
    MinScoreOption,
    NovelOption,
    PlatformOption,
    PolicyOption,
    PrecisionOption,
    RuntimeOption,
    make_history,
    make_policy,
)
from ggm.serving.pool_cli import pool_app
from ggm.serving.reproduce_cli import reproduce_command
from ggm.serving.serve_cli import serve_app
from ggm.serving.show import (
    answer_json,
    out,
    print_error,
    print_json_line,
    print_recommendation,
    print_reliability,
    print_warning,
    progress_bars,
)
from ggm.serving.tag_cli import tag_command

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Hashtags for short videos.")
model_app = typer.Typer(no_args_is_help=True, help="What a model is made of.")
train_app = typer.Typer(no_args_is_help=True, help="Train on your own posts.")
app.add_typer(model_app, name="model")
app.add_typer(corpus_app, name="corpus")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")
app.add_typer(human_app, name="human")
app.add_typer(pool_app, name="pool")
app.add_typer(serve_app, name="serve")


def main() -> None:
    """Run the command line; a foreseen error is one line on standard error and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may be of any encoding
    try:
        app(prog_name="ggm")
    except GgmError as error:
        print_error(error)
        sys.exit(1)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Look for no garbage while libraries load: all of it stays, and looking took a fifth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor later, nor at the end, which would take another second
        gc.enable()


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"ggm {version('ggm')}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hashtags for short videos."""


@app.command()
def recommend(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Video files.")],
    description: Annotated[str, typer.Option("--description", "-d", help="What the creator writes.")] = "",
    top: Annotated[int, typer.Option(min=1, help="How many hashtags at most.")] = 5,
    fitting: Annotated[
        bool, typer.Option("--fitting", help="Fewer where fewer promise to fit better, by their scores.")
    ] = False,
    model: Annotated[str, typer.Option(help="A shipped bundle's name, or a folder.")] = "compact",
    device: Annotated[str, typer.Option(help="A torch device, such as cpu or cuda.")] = "cpu",
    pool: Annotated[
        str | None, typer.Option(help="A living pool, or milvus:…, in place of the bundle's own.")
    ] = None,
    frames: FramesOption = "exact",
    runtime: RuntimeOption = None,
    precision: PrecisionOption = "fp32",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line a video.")] = False,
    explain: Annotated[
        bool, typer.Option(help="Show the guidance, where each hashtag came from, and what was left out why.")
    ] = False,
    novel: NovelOption = None,
    platform: PlatformOption = None,
    min_score: MinScoreOption = None,
    block: BlockOption = None,
    allow: AllowOption = None,
    policy: PolicyOption = None,
    history: HistoryOption = None,
) -> None:
    """Recommend hashtags for videos."""
    rules = make_policy(policy, novel=novel, platform=platform, min_score=min_score, block=block, allow=allow)
    past = make_history(history)
    with _without_collecting():
        from ggm.recommend import Recommender

        loaded = Recommender.from_pretrained(
            model, device=device, pool=pool, frames=frames, runtime=runtime, precision=precision
        )
    failed = False
    with loaded as recommender:
        posts = ((path, description) for path in videos)
        answers = recommender.recommend_many(posts, top=top, fitting=fitting, policy=rules, history=past)
        for path, answer in zip(videos, answers, strict=True):
            failed |= isinstance(answer, MediaError)
            if as_json:
                print_json_line(answer_json(path, answer))
            elif isinstance(answer, MediaError):
                print_error(answer)
            else:
                print_recommendation(answer, explain=explain)
    if failed:
        raise typer.Exit(1)


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="A shipped bundle's name, or a folder.")] = "compact",
    *,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to write, for --runtime.")],
) -> None:
    """Write a bundle's encoders as graphs that ONNX Runtime runs: quicker on a CPU."""
    from ggm.bundle import load_bundle
    from ggm.runtime.export import export_bundle

    folder = export_bundle(load_bundle(model), out_folder)
    out.print(f"exported to {folder}; use it with: ggm recommend VIDEO --model {model} --runtime {folder}")


@model_app.command("info")
def model_info(
    model: Annotated[str, typer.Argument(help="`base`, `compact`, or a bundle's folder.")] = "compact",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Print the parts of a model and their exact parameter counts, without downloading weights."""
    from ggm.model_info import part_counts

    counts = part_counts(model)
    if as_json:
        sys.stdout.write(json.dumps([asdict(count) for count in counts], indent=2) + "\n")
        return
    table = Table("part", "checkpoint", "parameters", "trained", "in checkpoint", box=None, padding=(0, 2))
    for column in table.columns[2:]:
        column.justify = "right"
    for count in counts:
        sizes = (count.parameters, count.trainable, count.in_checkpoint)
        table.add_row(count.part, count.checkpoint, *(f"{size:,}" for size in sizes))
    totals = (
        sum(c.parameters for c in counts),
        sum(c.trainable for c in counts),
        sum(c.in_checkpoint for c in counts),
    )
    table.add_row("[bold]total[/]", "", *(f"[bold]{size:,}[/]" for size in totals))
    out.print(table)


@model_app.command("card")
def model_card_command(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, or a shipped bundle's name.")],
    evaluation: Annotated[
        Path | None, typer.Option(help="Markdown file with measured figures and known failures.")
    ] = None,
) -> None:
    """Write a bundle's model card anew: what it was trained on, how, and how well it does."""
    from ggm.training.model_card import rewrite_card

    out.print(f"card: {rewrite_card(bundle, evaluation=evaluation)}")


RecipeArgument = Annotated[Path, typer.Argument(help="A TOML recipe, or the name of one that comes along.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: table.key=value; may be repeated.")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the result.")]


@train_app.command("retriever")
def train_retriever_command(
    recipe: RecipeArgument,
    data: DataOption,
    out_dir: OutOption,
    cache: CacheOption = None,
    cache_size: CacheSizeOption = None,
    overrides: SetOption = None,
) -> None:
    """Train the retriever contrastively and build the hashtag pool."""
    from ggm.training.recipes import load_recipe
    from ggm.training.runs import run_retriever

    with progress_bars() as bar:
        run_retriever(
            load_recipe(recipe, overrides=overrides),
            data,
            out_dir,
            cache=cache,
            cache_bytes=cache_size,
            bar=bar,
            warn=print_warning,
        )
    out.print(f"retriever: {out_dir}")


@train_app.command("generator")
def train_generator_command(
    recipe: RecipeArgument,
    data: DataOption,
    retriever: Annotated[Path, typer.Option(help="Folder of a trained retriever.")],
    out_dir: OutOption,
    start: Annotated[
        Path | None, typer.Option(help="Bundle whose generator training begins with: pre-trained elsewhere.")
    ] = None,
    cache: CacheOption = None,
    cache_size: CacheSizeOption = None,
    overrides: SetOption = None,
) -> None:
    """Train the generator on the retriever's guidance and write the bundle."""
    from ggm.training.generator_runs import run_generator
    from ggm.training.recipes import load_recipe

    with progress_bars() as bar:
        run_generator(
            load_recipe(recipe, overrides=overrides),
            data,
            out_dir,
            retriever=retriever,
            start=start,
            cache=cache,
            cache_bytes=cache_size,
            bar=bar,
            warn=print_warning,
        )
    out.print(f"bundle: {out_dir}")


@train_app.command("classifier")
def train_classifier_command(
    recipe: RecipeArgument,
    data: DataOption,
    out_dir: OutOption,
    cache: CacheOption = None,
    cache_size: CacheSizeOption = None,
    overrides: SetOption = None,
) -> None:
    """Train the softmax classifier and write its predictions for validation and test."""
    from ggm.training.recipes import load_recipe
    from ggm.training.runs import run_classifier

    with progress_bars() as bar:
        run_classifier(
            load_recipe(recipe, overrides=overrides),
            data,
            out_dir,
            cache=cache,
            cache_bytes=cache_size,
            bar=bar,
            warn=print_warning,
        )
    out.print(f"predictions: {out_dir}")


@train_app.command("scorer")
def train_scorer_command(
    bundle: Annotated[str, typer.Argument(help="A trained bundle: a folder, or a shipped one's name.")],
    data: DataOption,
    out_dir: OutOption,
    split: Annotated[
        str, typer.Option(help="Split to fit on: neither trained on nor tested on.")
    ] = "validation",
    also: Annotated[
        Path | None,
        typer.Option(help="Another dataset, whose hashtags are those that fit: plurals count as well."),
    ] = None,
    also_split: Annotated[str, typer.Option(help="Split of it.")] = "tuning",
    also_weight: Annotated[float, typer.Option(help="What a post of it counts, above 0.")] = 10.0,
    cache: CacheOption = None,
) -> None:
    """Learn how probable it is that a candidate hashtag is right, and write the bundle with it."""
    from ggm.training.scorer import ScorerSource, run_scorer

    sources = [ScorerSource(data, split)]
    if also is not None:
        sources.append(ScorerSource(also, also_split, also_weight, loose=True))
    with progress_bars() as bar:
        measured = run_scorer(bundle, sources, out_dir, cache=cache, bar=bar, warn=print_warning)
    for name, found in measured.items():
        print_reliability(name, found)
    out.print(f"bundle: {out_dir}")


@app.command("predict")
def predict_command(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a folder.")],
    data: DataOption,
    out_file: Annotated[Path, typer.Option("--out", help="JSON Lines file of predictions.")],
    split: Annotated[str, typer.Option(help="Split to predict for.")] = "test",
    system: Annotated[
        str, typer.Option(help="generator, recommender, retriever, pretrained-retriever or popular.")
    ] = "generator",
    name: Annotated[str | None, typer.Option(help="What to call the system in the file.")] = None,
    without_descriptions: Annotated[bool, typer.Option(help="Recommend from the video alone.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="With the hashtags of the authors' earlier posts.")
    ] = False,
    precision: PrecisionOption = "fp32",
    cache: CacheOption = None,
    cache_size: CacheSizeOption = None,
) -> None:
    """Recommend for the posts of a dataset's split and save what was recommended."""
    from ggm.bundle import load_bundle
    from ggm.errors import ConfigError
    from ggm.evaluation.predict import SYSTEMS, predict
    from ggm.evaluation.predictions import write_predictions
    from ggm.history import earlier_posts
    from ggm.runtime.precision import with_precision
    from ggm.training.dataset import open_features

    chosen = next((known for known in SYSTEMS if known == system), None)
    if chosen is None:
        raise ConfigError(f"no system {system!r}; there are {', '.join(SYSTEMS)}")
    loaded = with_precision(load_bundle(bundle), precision)
    with progress_bars() as bar:
        features = open_features(
            data, loaded.extractor, cache=cache, cache_bytes=cache_size, bar=bar, warn=print_warning
        )
        posts = features.split(split)
        predictions = predict(
            loaded,
            posts,
            system=chosen,
            name=name,
            without_descriptions=without_descriptions,
            histories=earlier_posts(features.dataset.posts, posts.posts) if history else None,
            progress=bar(system),
        )
        write_predictions(out_file, predictions)
    out.print(f"predictions: {out_file}")


app.command("tag")(tag_command)
app.command("annotate")(annotate_command)
app.command("score")(score_command)
app.command("evaluate")(evaluate_command)
app.command("reproduce")(reproduce_command)
