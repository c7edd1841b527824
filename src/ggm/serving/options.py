"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ggm.serving.sizes import parse_bytes


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


DataOption = Annotated[Path, typer.Option(help="Dataset folder with a manifest.")]
CacheOption = Annotated[Path | None, typer.Option(help="Feature cache; by default beside the dataset.")]
CacheSizeOption = Annotated[
    int | None,
    typer.Option(
        "--cache-size",
        parser=_bytes,
        metavar="SIZE",
        help="Most the features may take on disk, such as 50GB; no limit by default.",
    ),
]
