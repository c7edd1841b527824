"""The commands ``ggm corpus``: corpora that anybody can build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ggm.serving.show import print_settings, stage_bars

corpus_app = typer.Typer(no_args_is_help=True, help="Public corpora, built by a command.")


@corpus_app.command("clipart")
def corpus_clipart(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the dataset is written; must not exist.")
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with the Debian packages or their unpacked files; fetched if absent."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of split, motion and background.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many posts.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make videos.")] = 2,
) -> None:
    """Build a dataset of short videos from the Open Clip Art Library (public domain)."""
    from ggm.corpus.clipart import build_clipart

    with stage_bars() as progress:
        summary = build_clipart(
            folder, source=source, seed=seed, limit=limit, workers=workers, progress=progress
        )
    print_settings(summary)


@corpus_app.command("art")
def corpus_art(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the dataset is written; must not exist.")
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with the npm and Debian packages; fetched if absent."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many pictures.")] = None,
    clips_per_item: Annotated[int, typer.Option(min=1, help="Videos of each picture.")] = 1,
    minimum: Annotated[
        int, typer.Option(min=1, help="Of groups of pictures that a hashtag must have, to be kept.")
    ] = 2,
    only: Annotated[
        list[str] | None, typer.Option(help="Use this set alone, such as lucide; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make videos.")] = 2,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one more setting, see docs/corpora.md: key=value; repeatable."),
    ] = None,
) -> None:
    """Build a dataset of short videos from clip art, colour emoji and icons with keywords."""
    from ggm.corpus.art import ArtConfig, build_art
    from ggm.settings import from_dict, override

    values: dict[str, Any] = {
        "seed": seed,
        "limit": limit,
        "clips_per_item": clips_per_item,
        "minimum": minimum,
        "only": only or [],
    }
    for text in overrides or []:
        override(values, text)
    config = from_dict(ArtConfig, values, where="--set")
    with stage_bars() as progress:
        summary = build_art(folder, config, source=source, workers=workers, progress=progress)
    print_settings(summary)


@corpus_app.command("synthetic")
def corpus_synthetic(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the dataset is written; must have no manifest.")
    ],
    posts: Annotated[int, typer.Option(min=1, help="How many posts.")] = 100_000,
    hashtags: Annotated[int, typer.Option(min=1, help="How many different hashtags there are.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    unseen: Annotated[
        int | None,
        typer.Option(min=0, help="Hashtags that no training post carries; a twentieth of all if absent."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with WordNet's files or Debian's wordnet-base; fetched if absent."),
    ] = None,
    render: Annotated[
        bool, typer.Option("--render", help="Make small videos, for tests; at most 1,000 posts.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one more setting, see docs/synthetic.md: key=value; repeatable."),
    ] = None,
) -> None:
    """Build a controlled corpus, a simulation at the paper's scale, of WordNet's nouns."""
    from ggm.corpus.synthetic import SyntheticConfig, build_synthetic
    from ggm.settings import from_dict, override

    values: dict[str, Any] = {"posts": posts, "hashtags": hashtags, "seed": seed}
    values["unseen_hashtags"] = hashtags // 20 if unseen is None else unseen
    for text in overrides or []:
        override(values, text)
    config = from_dict(SyntheticConfig, values, where="--set")
    with stage_bars() as progress:
        summary = build_synthetic(folder, config, source=source, render=render, progress=progress)
    print_settings(summary)


@corpus_app.command("words")
def corpus_words(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Where the dataset is written; must have no manifest.")
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with WordNet's files or Debian's wordnet-base; fetched if absent."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many meanings.")] = None,
    minimum: Annotated[int, typer.Option(min=1, help="Of posts that carry a hashtag, to be kept.")] = 5,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one more setting, see docs/corpora.md: key=value; repeatable."),
    ] = None,
) -> None:
    """Build a dataset of texts without videos, for pre-training, of WordNet's glosses and words."""
    from ggm.corpus.words import WordsConfig, build_words
    from ggm.settings import from_dict, override

    values: dict[str, Any] = {"seed": seed, "limit": limit, "minimum": minimum}
    for text in overrides or []:
        override(values, text)
    config = from_dict(WordsConfig, values, where="--set")
    with stage_bars() as progress:
        summary = build_words(folder, config, source=source, progress=progress)
    print_settings(summary)


@corpus_app.command("hashtags")
def corpus_hashtags(
    out_file: Annotated[Path, typer.Option("--out", help="File that is written, or replaced.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder with Debian's wordnet-base and the npm packages; fetched if absent."),
    ] = None,
) -> None:
    """Build the starter: hashtags for everyday short videos, from free word lists."""
    from ggm.corpus.starter import build_starter

    print_settings(build_starter(out_file, source=source))
