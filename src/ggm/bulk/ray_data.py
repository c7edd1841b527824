"""Work on Ray Data, on this machine or on a cluster. The only user of ray for bulk work.

    shards ──> batches of rows ──> decoded batches ──> annotations ──> here
               a task a shard      a task a batch      actors with a model each

A batch travels as one row, of JSON and of the bytes of its frames, so that it is never cut or joined
and its hashtags are those of a run without Ray. Ray streams: what waits between two stages is
bounded, whatever the manifest's length. A task whose worker dies is tried again; parts are written
by the one process that runs the command.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ggm.errors as known_errors
from ggm.bulk.decoding import Decoding, pack, unpack
from ggm.bulk.plan import Batch, Span, batches
from ggm.bulk.settings import Settings
from ggm.bulk.work import Answers, Work
from ggm.errors import BundleError, ClusterError, GgmError, MissingDependencyError
from ggm.media.workers import DecodingWorkers, available_processors

if TYPE_CHECKING:
    from ggm.bulk.annotator import Annotator

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_DECODING_BYTES: Final = 512 * 1024**2  # of a task, with the process that decodes
_STORE_BYTES: Final = 1024**3  # of decoded batches that wait, on this machine

Row = dict[str, Any]


@dataclass(frozen=True)
class RayEngine:
    """Does work on Ray; see `ggm.bulk.work.Engine`.

    Args:
        address: ``local`` starts Ray on this machine, for this run, reachable from it alone; else that
            of a cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``. Its nodes need ggm, and the
            manifest, videos, model and output under the same paths.
        workers: Tasks that decode at once, 1 or more; by default one for each processor here, or as
            many as the cluster has room for.
        models: Actors that hold a model, 1 or more; each takes a processor, or a GPU if the device is
            one.

    Raises:
        ValueError: If a number isn't positive.
    """

    address: str = "local"
    workers: int | None = None
    models: int = 1

    def __post_init__(self) -> None:
        for name in ("workers", "models"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value}")

    def __call__(self, work: Work, /) -> Generator[Answers, None, None]:
        """Do it; see `ggm.bulk.work.Engine`.

        Raises:
            MissingDependencyError: If ray isn't installed.
            ClusterError: If Ray doesn't start, can't be reached, or gives up.
            GgmError: See `ggm.bulk.annotator.Annotator`.
        """
        with _environment(self.address):
            ray = _library()
            decoding = _decoding_of(work.settings)
            with self._connected(ray):
                yield from self._stream(ray, work, decoding)

    @contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        if ray.is_initialized():  # by whoever uses this as a library: theirs, and left running
            yield
            return
        if self.address == "local" and not _imported_here():
            raise ClusterError(
                "Ray was imported before this run, and wouldn't be kept to this machine any more; "
                "call ray.init yourself, or let ggm import it"
            )
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address == "local":
            options["num_cpus"] = (self.workers or available_processors()) + self.models
            options["object_store_memory"] = _STORE_BYTES
            options["include_dashboard"] = False
        for again in (self.address == "local", False):  # a busy machine may not start it in Ray's 30 s
            try:
                ray.init(address=self.address, **options)
                break
            except Exception as error:  # of many kinds, a bare Exception among them
                ray.shutdown()
                if not again:
                    raise ClusterError(
                        f"Ray at {self.address!r} can't be used: {_last_line(error)}"
                    ) from error
        try:
            yield
        finally:
            ray.shutdown()

    def _stream(self, ray: Any, work: Work, decoding: Decoding) -> Generator[Answers, None, None]:
        from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.issue_detectors_config.detectors = []  # they guess from a process's size alone
        context.print_on_execution_start = False
        settings, on_gpu = work.settings, work.settings.device.startswith("cuda")
        workers = self.workers or (available_processors() if self.address == "local" else None)
        model = {
            "settings": settings.to_dict(),
            "decoding": asdict(decoding),
            "fingerprint": work.bundle_fingerprint,
            "features_folder": None if work.features_folder is None else str(work.features_folder),
        }
        with DataContext.current(context):
            answers = (
                ray.data.from_items([{"span": json.dumps(span.to_dict())} for span in work.spans])
                .flat_map(
                    partial(read, manifest=str(work.manifest), batch_size=settings.batch_size), num_cpus=0.1
                )
                .repartition(target_num_rows_per_block=1)
                .map(
                    partial(decode, decoding=asdict(decoding)),
                    compute=TaskPoolStrategy(workers),
                    num_cpus=1,
                    memory=_DECODING_BYTES,  # other than the actors': Ray would decode in these else
                )
                .map_batches(
                    Model,
                    fn_constructor_args=(json.dumps(model),),
                    batch_size=1,
                    batch_format="pyarrow",
                    compute=ActorPoolStrategy(size=self.models),
                    num_cpus=0 if on_gpu else 1,
                    num_gpus=1 if on_gpu else 0,
                )
            )
            try:
                for row in answers.iter_rows():
                    if row["failure"]:
                        raise _error_of(row["failure"])
                    yield Answers.from_json(row["answers"])
            except ray.exceptions.RayError as error:
                raise ClusterError(
                    f"Ray gave up: {_last_line(error)}; run the same command again to go on"
                ) from error


def _decoding_of(settings: Settings) -> Decoding:
    """How to decode. The system is loaded for it, and what is wrong with it said before Ray starts.

    On the processor: the GPUs may be on other nodes.
    """
    from ggm.bulk.annotator import Annotator

    with Annotator(replace(settings, device="cpu")) as annotator:
        return annotator.decoding


def read(row: Row, *, manifest: str, batch_size: int) -> list[Row]:
    """The batches of a shard. Runs on Ray, as do `decode` and `Model`."""
    try:
        span = Span.from_dict(json.loads(row["span"]))
        found = batches(Path(manifest), span, batch_size=batch_size)
        return [{"batch": batch.to_json(), "failure": ""} for batch in found]
    except GgmError as error:
        return [{"batch": "", "failure": _failure(error)}]


def decode(row: Row, *, decoding: Mapping[str, Any]) -> Row:
    """The videos of a batch, each decoded in a limited process."""
    if row["failure"]:
        return {**row, "videos": b""}
    batch, how = Batch.from_json(row["batch"]), Decoding(**decoding)
    try:
        videos = pack([how(turn, _decoders()) for turn in batch.turns])
    except GgmError as error:
        return {**row, "videos": b"", "failure": _failure(error)}
    return {**row, "videos": videos}


@cache
def _decoders() -> DecodingWorkers:
    """Of this process, which Ray uses for many batches."""
    return DecodingWorkers(1)


class Model:
    """A loaded system in an actor.

    Args:
        described: JSON of settings, decoding, fingerprint and folder of features.
    """

    def __init__(self, described: str) -> None:
        described_ = json.loads(described)
        self._settings = Settings.from_dict(described_["settings"])
        self._decoding = Decoding(**described_["decoding"])
        self._fingerprint = described_["fingerprint"]
        folder = described_["features_folder"]
        self._features_folder = None if folder is None else Path(folder)
        self._annotator: Annotator | None = None

    def __call__(self, table: Any) -> Row:
        """The answers for one batch, given as a table of one row."""
        failure = table["failure"][0].as_py()
        if failure:
            return {"answers": [""], "failure": [failure]}
        batch = Batch.from_json(table["batch"][0].as_py())
        try:
            videos = unpack(memoryview(table["videos"][0].as_buffer()), batch, self._decoding)
            answers = self._loaded()(batch, videos)
        except GgmError as error:
            return {"answers": [""], "failure": [_failure(error)]}
        return {"answers": [answers.to_json()], "failure": [""]}

    def _loaded(self) -> Annotator:
        """Loaded with the first batch: what can't be is an answer then, not an actor that dies and dies."""
        from ggm.bulk.annotator import Annotator
        from ggm.bundle import bundle_fingerprint

        if self._annotator is None:
            if bundle_fingerprint(self._settings.model) != self._fingerprint:
                raise BundleError(
                    f"{self._settings.model}: is another bundle on a node than where the run began; "
                    "put the same one there"
                )
            self._annotator = Annotator(self._settings, self._features_folder)
        return self._annotator


def _failure(error: GgmError) -> str:
    return json.dumps([type(error).__name__, str(error)])


def _error_of(failure: str) -> GgmError:
    kind, message = json.loads(failure)
    found = getattr(known_errors, kind, GgmError)
    error: GgmError = found(message) if issubclass(found, GgmError) else GgmError(message)
    return error


def _last_line(error: BaseException) -> str:
    """What went wrong, of a message that may be a page long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _environment(address: str) -> Iterator[None]:
    """What Ray and its processes read of the environment, which afterwards is as before."""
    changes = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == "local":
        _imported_here()
        paths = [str(_PACKAGE_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        changes |= {
            # So named for the firewalls of such systems: all servers of Ray then listen on loopback alone.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _token(),
            "RAY_BACKEND_LOG_LEVEL": "fatal",  # what matters comes as an error
            "RAY_worker_niceness": "0",  # as nice as this process: they work for nobody else
            "PYTHONPATH": os.pathsep.join(paths),
        }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@cache
def _token() -> str:
    """What Ray's processes show each other; Ray reads it once in a process."""
    return secrets.token_hex(32)


@cache
def _imported_here() -> bool:
    """Whether Ray reads the environment of `_environment`, which it does when it is imported."""
    return "ray" not in sys.modules


def _library() -> Any:
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError("--ray needs the package ray: pip install 'ggm[ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # else it tells its plans on standard error
    return ray
