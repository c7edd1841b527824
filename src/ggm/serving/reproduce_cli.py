"""The command ``ggm reproduce``: every system of the paper on one dataset, in one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ggm.serving.options import CacheOption, DataOption
from ggm.serving.show import out, print_warning, progress_bars


def reproduce_command(
    recipe: Annotated[
        Path, typer.Argument(help="The TOML recipe of GGM; the other systems differ in few settings.")
    ],
    data: DataOption,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the models, predictions and the report.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each system: seeds 0, 1, ...")] = 1,
    systems: Annotated[str | None, typer.Option(help="Names, separated by commas; all by default.")] = None,
    cache: CacheOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting: table.key=value; may be repeated.")
    ] = None,
) -> None:
    """Train and evaluate all systems of the paper, and test what it says of them.

    What is done is kept: a run that was killed goes on. A system that fails doesn't stop the others.
    """
    from ggm.features.profiles import profile
    from ggm.reproduce.report import report_of, write_report
    from ggm.reproduce.runs import reproduce
    from ggm.training.recipes import load_recipe

    settings = load_recipe(recipe, overrides=overrides)
    only = None if systems is None else [name.strip() for name in systems.split(",")]
    with progress_bars() as bar:
        done = reproduce(
            settings, data, out_dir, seeds=range(seeds), only=only, cache=cache, bar=bar, warn=print_warning
        )
    report = report_of(done, settings, has_sound=bool(profile(settings.profile).audio))
    write_report(report, out_dir)
    held = [claim["held"] for claim in report["claims"]]
    out.print(f"claims: {held.count(True)} held, {held.count(False)} did not, {held.count(None)} not tested")
    out.print(f"report: {out_dir / 'report.md'}", soft_wrap=True)
    if done.failures:
        raise typer.Exit(1)
