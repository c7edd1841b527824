"""The command ``ggm reproduce``: every system of the paper on one dataset, in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ggm.errors import ConfigError
from ggm.serving.options import CacheOption, DataOption
from ggm.serving.show import out, print_warning, progress_bars

RECIPES: Final = {"compact": "compact-clipart", "base": "paper-vine", "synthetic": "synthetic"}
"""Which recipe a profile is trained by unless another one is named."""


def reproduce_command(
    data: DataOption,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the models, predictions and the report.")],
    profile: Annotated[
        str | None,
        typer.Option(help="compact (default), base or synthetic: trained by the recipe that ships for it."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Instead, the recipe of GGM: a TOML file or a name; other systems differ little."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each system: seeds 0, 1, ...")] = 1,
    systems: Annotated[str | None, typer.Option(help="Names, separated by commas; all by default.")] = None,
    posts: Annotated[
        int | None, typer.Option(min=1, help="Predict for so many posts of a split at most, always the same.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Systems at once, each in a process with its share of the cores.")
    ] = 1,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing: report what is there already.")
    ] = False,
    bert_score: Annotated[
        str | None,
        typer.Option("--bert-score", metavar="MODEL", help="BERTScore too, by a hub id, a folder or minilm."),
    ] = None,
    human: Annotated[Path | None, typer.Option(help="The JSON that `ggm human report` wrote.")] = None,
    cache: CacheOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting: table.key=value; may be repeated.")
    ] = None,
) -> None:
    """Train and evaluate all systems of the paper, and test what it says of them.

    What is done is kept: a run that was killed goes on. A system that fails doesn't stop the others.
    """
    from ggm.evaluation.bertscore import load_bert_scorer
    from ggm.evaluation.human.tables import read_report
    from ggm.reproduce.report import report_of, write_report
    from ggm.reproduce.runs import reproduce
    from ggm.training.recipes import load_recipe

    chosen = _recipe_for(profile, recipe)
    settings = load_recipe(chosen, overrides=overrides)
    ratings = None if human is None else read_report(human)
    scorer = None if bert_score is None else load_bert_scorer(bert_score)
    only = None if systems is None else [name.strip() for name in systems.split(",")]
    with progress_bars() as bar:
        done = reproduce(
            settings,
            data,
            out_dir,
            seeds=range(seeds),
            only=only,
            posts=posts,
            jobs=jobs,
            train=not report_only,
            cache=cache,
            bar=bar,
            warn=print_warning,
        )
    report = report_of(done, bert=scorer, human=ratings, base=load_recipe(chosen))
    write_report(report, out_dir)
    held = [claim["held"] for claim in report["claims"]]
    out.print(f"claims: {held.count(True)} held, {held.count(False)} did not, {held.count(None)} not tested")
    out.print(f"report: {out_dir / 'report.html'}, report.md and report.json beside it", soft_wrap=True)
    if done.failures:
        raise typer.Exit(1)


def _recipe_for(profile: str | None, recipe: Path | None) -> Path | str:
    if recipe is not None:
        if profile is not None:
            raise ConfigError("give either --profile or --recipe: a recipe names its profile")
        return recipe
    chosen = profile or "compact"
    if chosen not in RECIPES:
        raise ConfigError(
            f"no recipe ships for profile {chosen!r}, only for {', '.join(RECIPES)}; give --recipe"
        )
    return RECIPES[chosen]
