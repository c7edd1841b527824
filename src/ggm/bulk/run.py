"""A bulk run: the manifest is cut, what isn't there yet is done, and whole shards take their place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from ggm.bulk.folder import FEATURES, Output
from ggm.bulk.plan import digest_of, num_rows, plan
from ggm.bulk.settings import Settings
from ggm.bulk.work import Annotation, Engine, Work
from ggm.bundle import bundle_fingerprint, find_bundle
from ggm.corpus.manifest import find_manifest


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        total: Rows of the manifest.
        before: Of these, in shards that earlier runs finished.
        done: Worked on by this run.
        bad: Of these, those that have a problem.
    """

    total: int
    before: int = 0
    done: int = 0
    bad: int = 0


def annotate(
    manifest: Path | str,
    out: Path | str,
    settings: Settings,
    engine: Engine,
    *,
    report: Callable[[Progress], object] | None = None,
) -> Progress:
    """Annotate all clips of a manifest. A clip that can't be used gets a row with the reason.

    A run that was ended at any moment, and is begun again with the same manifest, folder and settings,
    goes on with the shards that aren't there: each row is in the output exactly once.

    Args:
        manifest: JSON Lines or Parquet, or the folder of a dataset; hashtags may be missing.
        out: Folder of the output, see `ggm.bulk.folder`.
        settings: What is wanted.
        engine: Where it is done: `ggm.bulk.local.LocalEngine`, `ggm.bulk.ray_data.RayEngine`.
        report: Is told how far the run is, after each batch.

    Returns:
        How it ended.

    Raises:
        DataError: If the manifest can't be read, or the folder not be written or used.
        ConfigError: If a run with other settings began in the folder.
        GgmError: What is wrong with the system itself, or with the place where it is done.
    """
    manifest, out = find_manifest(manifest).absolute(), Path(out).absolute()
    tell = report or (lambda _: None)
    fingerprint = bundle_fingerprint(settings.model)
    settings = _absolute(settings)
    spans = plan(manifest, shard_rows=settings.shard_rows)
    identity = settings.identity(bundle_fingerprint=fingerprint, manifest_digest=digest_of(manifest))
    about = {
        "ggm": version("ggm"),
        "manifest": str(manifest),
        "rows": num_rows(spans),
        "shards": len(spans),
    }
    with Output(out, identity, about=about) as output:
        done = output.finished(spans)
        todo = tuple(span for span in spans if span.shard not in done)
        progress = Progress(num_rows(spans), num_rows(spans) - num_rows(todo))
        tell(progress)
        if not todo:
            return progress
        work = Work(manifest, todo, settings, fingerprint, out / FEATURES if settings.features else None)
        gathered: dict[int, list[Annotation]] = {}
        wanted = {span.shard: span.rows for span in todo}
        with closing(engine(work)) as batches:
            for answers in batches:
                rows = gathered.setdefault(answers.shard, [])
                rows += answers.annotations
                if len(rows) == wanted[answers.shard]:
                    output.publish(answers.shard, gathered.pop(answers.shard), bundle_fingerprint=fingerprint)
                progress = replace(
                    progress,
                    done=progress.done + len(answers.annotations),
                    bad=progress.bad + sum(one.problem is not None for one in answers.annotations),
                )
                tell(progress)
    return progress


def _absolute(settings: Settings) -> Settings:
    """The same, for processes whose current folder is another one."""
    is_folder = find_bundle(settings.model) == Path(settings.model)  # else its name will do
    return replace(
        settings,
        model=str(Path(settings.model).absolute()) if is_folder else settings.model,
        pool=None if settings.pool is None else str(Path(settings.pool).absolute()),
        runtime=None if settings.runtime is None else str(Path(settings.runtime).absolute()),
    )
