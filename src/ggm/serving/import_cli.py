"""The command ``ggm data import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ggm.serving.show import out, print_warning, progress_bars

if TYPE_CHECKING:
    from ggm.corpus.importers import ImportSummary


def import_command(
    source: Annotated[str, typer.Argument(help="A file, a folder, or a dataset's name on the hub.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="captions, csv, json, yfcc100m, vine, ytdlp, huggingface or research-jsonl.",
        ),
    ],
    out_dir: Annotated[Path, typer.Option("--out", help="Dataset folder to make; must have no manifest.")],
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos; by default the source's folder.")
    ] = None,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Let rows name videos outside of that folder.")
    ] = False,
    without_videos: Annotated[
        bool, typer.Option("--without-videos", help="Keep posts whose video isn't there (yet).")
    ] = False,
    manifest_format: Annotated[
        str, typer.Option("--format", help="Of the manifest: jsonl or parquet.")
    ] = "jsonl",
    video_column: Annotated[
        str | None, typer.Option(help="csv, json, huggingface: column, or dotted key, of the video.")
    ] = None,
    description_column: Annotated[str | None, typer.Option(help="... of the description.")] = None,
    hashtags_column: Annotated[str | None, typer.Option(help="... of the hashtags.")] = None,
    id_column: Annotated[str | None, typer.Option(help="... of the post's id.")] = None,
    author_column: Annotated[str | None, typer.Option(help="... of the author.")] = None,
    time_column: Annotated[str | None, typer.Option(help="... of the time of posting.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="csv: what separates cells; found if not given.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="captions, csv, json: of the text; utf-8 if not given.")
    ] = None,
    durations: Annotated[
        Path | None, typer.Option(help="yfcc100m: video_length.txt, for --max-seconds.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0, help="yfcc100m: leave longer videos out, such as 90.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="huggingface: split to import; may be repeated; by default all."),
    ] = None,
    config: Annotated[str | None, typer.Option(help="huggingface: configuration of the dataset.")] = None,
) -> None:
    """Make a dataset of what you have; inline hashtags become labels and leave the description."""
    from ggm.corpus.importers import import_posts, make_importer
    from ggm.errors import ConfigError

    if manifest_format not in ("jsonl", "parquet"):
        raise ConfigError(f"--format is jsonl or parquet, got {manifest_format!r}")
    importer = make_importer(
        format_name,
        video_column=video_column,
        description_column=description_column,
        hashtags_column=hashtags_column,
        id_column=id_column,
        author_column=author_column,
        time_column=time_column,
        delimiter=delimiter,
        encoding=encoding,
        durations=durations,
        max_seconds=max_seconds,
        split=tuple(split) if split else None,
        config=config,
    )
    with progress_bars() as bar:
        summary = import_posts(
            source,
            out_dir,
            importer=importer,
            videos=videos,
            allow_outside=allow_outside,
            check_videos=not without_videos,
            manifest=f"manifest.{manifest_format}",
            progress=bar("import"),
        )
    _print_summary(summary)
    if summary.rejected:
        total = sum(summary.rejected.values())
        print_warning(f"{total:,} rows were set aside in {out_dir / 'rejected.jsonl'}")
    out.print(f"dataset: {escape(str(out_dir))}", highlight=False, soft_wrap=True)


def _print_summary(summary: ImportSummary) -> None:
    """What came of it, a count a line."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right")
    table.add_row(f"[bold]{summary.posts:,}[/]", "[bold]posts[/]")
    kinds = (
        ("rejected", summary.rejected),
        ("skipped", summary.skipped),
        ("left out of a post", summary.notes),
        ("licence", summary.licences),
    )
    for kind, counts in kinds:
        for reason, count in counts.items():
            table.add_row(f"{count:,}", f"{kind}: {escape(reason)}")
    out.print(table)
