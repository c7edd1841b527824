"""The commands ``ggm pool``: a pool of hashtags that changes while services search it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer
from rich.markup import escape
from rich.table import Table

from ggm.errors import ConfigError, DataError
from ggm.serving.show import out, print_json_line, print_settings, print_warning

if TYPE_CHECKING:
    from ggm.bundle import Bundle
    from ggm.corpus.rows import BadRow
    from ggm.pool.changing import ChangingPool
    from ggm.pool.trends import Rising

pool_app = typer.Typer(no_args_is_help=True, help="A pool of hashtags that changes while it is searched.")

_WARNINGS: Final = 20  # rows that are reported one by one

PoolArgument = Annotated[
    str, typer.Argument(metavar="POOL", help="Folder of a living pool, or milvus:…, see docs/pool.md.")
]
IndexOption = Annotated[
    str, typer.Option(help="In Milvus: flat finds exactly the closest, hnsw is for millions.")
]
ModelOption = Annotated[str, typer.Option(help="The bundle that searches it: a shipped one, or a folder.")]
HashtagsArgument = Annotated[list[str], typer.Argument(metavar="HASHTAG...", help="With or without #.")]
TopOption = Annotated[int, typer.Option(min=1, help="How many at most.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@pool_app.command()
def init(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="Folder of the new pool, or milvus:….")],
    model: ModelOption = "compact",
    empty: Annotated[bool, typer.Option("--empty", help="Begin without the bundle's hashtags.")] = False,
    starter: Annotated[
        bool, typer.Option("--starter", help="Put the starter's hashtags in reserve, see docs/pool.md.")
    ] = False,
    forms: Annotated[
        bool, typer.Option("--forms", help="With --starter: also forms, such as #gorillalover.")
    ] = False,
    discount: Annotated[
        float, typer.Option(help="With --starter: what searches take off its similarities.")
    ] = 0.15,
    half_life: Annotated[float, typer.Option(help="Days after which a use counts half: the rate now.")] = 3.0,
    usual_half_life: Annotated[
        float, typer.Option(help="The same for the usual rate, that trends are compared with.")
    ] = 30.0,
    trend_weight: Annotated[
        float, typer.Option(help="What searches add for a trend, see docs/pool.md; 0 for nothing.")
    ] = 0.0,
    index: IndexOption = "flat",
) -> None:
    """Make a living pool of a bundle's hashtags."""
    from ggm.bundle import load_bundle
    from ggm.corpus.starter import shipped_starter
    from ggm.pool.opening import create_pool
    from ggm.pool.uses import HalfLives
    from ggm.retriever.pool import HashtagPool

    half_lives = HalfLives(half_life, usual_half_life)
    bundle = load_bundle(model)
    own = bundle.pool
    assert isinstance(own, HashtagPool)  # as every bundle's that was just loaded
    if empty:
        own = HashtagPool(
            embedding_dim=own.embedding_dim,
            retriever_fingerprint=own.retriever_fingerprint,
            precision=own.precision,
        )
    with create_pool(
        pool,
        own,
        embed=bundle.embed_hashtags,
        half_lives=half_lives,
        trend_weight=trend_weight,
        reserve_discount=discount if starter else 0.0,
        index=index,
    ) as living:
        if starter:
            living.reserve([entry.hashtag for entry in shipped_starter(forms=forms)])
            living.compact()
        _print(f"pool: {pool} ({len(living):,} hashtags)")


@pool_app.command()
def info(pool: PoolArgument, as_json: JsonOption = False) -> None:
    """Show what is in a pool."""
    from ggm.pool.opening import open_pool

    with open_pool(pool, read_only=True) as living:
        record = living.info()
        if as_json:
            print_json_line({**asdict(record), "settings": living.settings.to_dict()})
        else:
            print_settings(record)


@pool_app.command()
def add(
    pool: PoolArgument,
    hashtags: Annotated[
        list[str] | None, typer.Argument(metavar="HASHTAG...", help="With or without #.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="File with a hashtag a line; - for standard input.")
    ] = None,
    model: ModelOption = "compact",
) -> None:
    """Put hashtags in; services that search the pool find them at once."""
    texts = list(hashtags or [])
    if source is not None:
        with _opened(source) as file:
            texts += [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    if not texts:
        raise ConfigError("name a hashtag to add, or a file with --from")
    with _open_with_model(pool, model) as (living, _):
        before = len(living)
        living.add(texts)
        _print(f"added: {len(living) - before:,}; the pool has {len(living):,} hashtags")


@pool_app.command()
def remove(pool: PoolArgument, hashtags: HashtagsArgument) -> None:
    """Take hashtags out; what is learned from posts doesn't bring them back."""
    from ggm.pool.opening import open_pool

    with open_pool(pool) as living:
        living.remove(hashtags)
        _print(f"removed; the pool has {len(living):,} hashtags")


@pool_app.command()
def alias(
    pool: PoolArgument,
    hashtag: Annotated[str, typer.Argument(help="In the pool, such as newyorkcity.")],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Other names, such as nyc.")],
) -> None:
    """Give a hashtag other names: they are found as that hashtag, and count for it."""
    from ggm.pool.opening import open_pool

    with open_pool(pool) as living:
        living.alias(hashtag, *others)
        _print(f"{living.resolve(hashtag)}: also {', '.join(others)}")


@pool_app.command()
def search(
    pool: PoolArgument,
    text: Annotated[str, typer.Argument(help="Words or a hashtag; with --prefix, its beginning.")],
    prefix: Annotated[bool, typer.Option("--prefix", help="Find what begins like the text.")] = False,
    top: TopOption = 10,
    model: ModelOption = "compact",
    as_json: JsonOption = False,
) -> None:
    """Find hashtags of similar meaning, or by how they begin."""
    from ggm.hashtags import normalise
    from ggm.pool.opening import open_pool

    if prefix:
        with open_pool(pool, read_only=True) as living:
            rows = [(found, living.trend(found)) for found in living.starting_with(text, top)]
        measure = "trend"
    else:
        with _open_with_model(pool, model, read_only=True) as (living, bundle):
            query = bundle.embed_hashtags([normalise("_".join(text.split()))])[0]
            rows = [(hit.text, hit.similarity) for hit in living.search(query, top)]
        measure = "similarity"
    if as_json:
        for found, value in rows:
            print_json_line({"hashtag": found, measure: round(value, 6)})
        return
    table = _table("hashtag", measure)
    for found, value in rows:
        table.add_row(f"#{escape(found)}", f"{value:.3f}")
    out.print(table)


@pool_app.command()
def trend(
    pool: PoolArgument,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="JSON Lines of posts with hashtags and created_at; - for standard input."
        ),
    ] = None,
    min_sources: Annotated[
        int, typer.Option(min=1, help="Authors (or posts, if unknown) that let a new hashtag in.")
    ] = 3,
    smoothing: Annotated[
        float, typer.Option(help="Uses a day added to each rate: more show larger trends only.")
    ] = 1.0,
    top: TopOption = 20,
    model: ModelOption = "compact",
    as_json: JsonOption = False,
) -> None:
    """Learn from posts which hashtags are used, take in new ones, and show what is rising."""
    from ggm.pool.opening import open_pool

    if smoothing <= 0:
        raise ConfigError(f"--smoothing must be above 0, got {smoothing:g}")
    if source is None:
        with open_pool(pool, read_only=True) as living:
            _show_rising(living.rising(smoothing=smoothing, top_k=top), as_json=as_json)
        return
    with _opened(source) as file, _open_with_model(pool, model) as (living, _):
        _learn(living, file, str(source), min_sources=min_sources, quiet=as_json)
        _show_rising(living.rising(smoothing=smoothing, top_k=top), as_json=as_json)


def _learn(living: ChangingPool, file: BinaryIO, name: str, *, min_sources: int, quiet: bool) -> None:
    import time

    from ggm.pool.posts import learn, read_post_uses

    bad = 0

    def warn(row: BadRow) -> None:
        nonlocal bad
        bad += 1
        if bad <= _WARNINGS:
            print_warning(f"{name}, line {row.number}: {row.reason}")

    posts = read_post_uses(file, name, now=time.time, on_bad_row=warn)
    learned = learn(living, posts, min_sources=min_sources)
    if bad:
        print_warning(f"{bad:,} lines can't be used and were left out")
    if not quiet:
        _print(f"posts: {learned.posts:,}; uses of hashtags: {learned.uses:,}")
        new = "  ".join(f"#{text}" for text in learned.added) or "none"
        _print(f"new in the pool: {new}")


@pool_app.command()
def compact(pool: PoolArgument) -> None:
    """Write all changes so far into a snapshot: the pool opens faster and takes less room."""
    from ggm.pool.opening import open_pool

    with open_pool(pool) as living:
        living.compact()
        _print(f"records in the snapshot: {living.info().snapshot_records:,}")


@pool_app.command()
def export(
    pool: PoolArgument,
    out_file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Ends with .safetensors (with vectors) or .jsonl.")
    ],
) -> None:
    """Write the pool as one file: for a bundle, or for people."""
    from ggm.corpus.jsonlines import write_json_lines
    from ggm.pool.opening import open_pool

    if out_file.suffix not in (".safetensors", ".jsonl"):
        raise ConfigError(f"{out_file}: the name must end with .safetensors or .jsonl")
    with open_pool(pool, read_only=True) as living:
        if out_file.suffix == ".safetensors":
            living.save(out_file)
        else:
            write_json_lines(living.rows(), out_file)
        _print(f"written: {out_file} ({len(living):,} hashtags)")


@pool_app.command()
def migrate(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A folder, milvus:…, or a bundle's pool.safetensors.")
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="A folder or milvus:…, where no pool is yet.")],
    index: IndexOption = "flat",
) -> None:
    """Copy a pool with all that is known of its hashtags, between a folder and Milvus."""
    from ggm.pool.migrate import migrate as copy_pool

    _print(f"pool: {target} ({copy_pool(source, target, index=index):,} hashtags)")


@contextmanager
def _open_with_model(
    pool: str, model: str, *, read_only: bool = False
) -> Iterator[tuple[ChangingPool, Bundle]]:
    """The pool with the bundle that searches it; whether there is one is seen before the bundle is loaded."""
    from ggm.bundle import load_bundle
    from ggm.pool.opening import check_pool, open_pool

    check_pool(pool)
    bundle = load_bundle(model)
    with open_pool(
        pool,
        embed=bundle.embed_hashtags,
        retriever_fingerprint=bundle.pool.retriever_fingerprint,
        read_only=read_only,
    ) as living:
        yield living, bundle


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    try:
        with source.open("rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"{source}: can't be read: {error.strerror or error}") from error


def _show_rising(rising: list[Rising], *, as_json: bool) -> None:
    if as_json:
        for item in rising:
            print_json_line(
                {
                    "hashtag": item.text,
                    "rise": round(item.rise, 6),
                    "per_day": round(item.per_day, 6),
                    "per_day_before": round(item.per_day_before, 6),
                    "uses": item.uses.num_uses,
                    "first_seen": _date(item.uses.first_seen),
                    "last_seen": _date(item.uses.last_seen),
                }
            )
        return
    if not rising:
        _print("nothing is used more than usual")
        return
    table = _table("rising", "rise", "a day", "a day before", "uses", "first seen", "last seen")
    for item in rising:
        table.add_row(
            f"#{escape(item.text)}",
            f"{item.rise:.2f}",
            f"{item.per_day:,.1f}",
            f"{item.per_day_before:,.1f}",
            f"{item.uses.num_uses:,}",
            _date(item.uses.first_seen),
            _date(item.uses.last_seen),
        )
    out.print(table)


def _date(seconds: float) -> str:
    """ISO 8601 in UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _table(*titles: str) -> Table:
    table = Table(*titles, box=None, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _print(line: str) -> None:
    out.print(escape(line), highlight=False, soft_wrap=True)
