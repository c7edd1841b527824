"""The stages as deployments of Ray Serve, each with replicas of its own; nothing else knows Ray."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from ggm.errors import ConfigError, MissingDependencyError
from ggm.recommend import AskedPost
from ggm.records import Guidance, Video, VideoFeatures
from ggm.serving.replicas.queue import Clip
from ggm.serving.replicas.settings import ReplicaSettings, StageSettings
from ggm.serving.replicas.stages import (
    DecodeStage,
    FeaturesStage,
    Found,
    GenerateStage,
    Handed,
    RetrieveStage,
    Source,
)
from ggm.serving.service.errors import Refusal
from ggm.serving.service.jobs import MODEL_STAGES
from ggm.serving.service.logs import log_to

try:
    import ray as untyped_ray
    from ray import serve as untyped_serve
    from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError
    from ray.serve.exceptions import DeploymentUnavailableError
except ImportError as error:
    raise MissingDependencyError("replicas need Ray Serve: pip install 'ggm[ray]'") from error

# Their types say of batches, handles and options what isn't so.
ray: Any = untyped_ray
serve: Any = untyped_serve

APPLICATION: Final = "ggm"
_READS: Final = {
    "decode": (),
    "features": ("decode",),
    "retrieve": ("features",),
    "generate": ("features", "retrieve"),
}
"""Which stages' outcomes each stage is given."""

_ATTEMPTS: Final = 5  # of a video whose replica or machine was lost
_PAUSE_SECONDS: Final = 0.2
_CONNECT_SECONDS: Final = 10.0
_LOOPBACK: Final = "127.0.0.1"


class _Replica:
    """What all deployments have: a log without anything that users wrote."""

    def __init__(self, source: Source, *_before: object) -> None:
        log_to(sys.stderr)
        _listen_to_the_cluster_alone()
        self.recommender = source.load()
        self.settings = source.settings

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()


class Decode(_Replica):
    """Files become frames and sound, each replica one at a time, in a process with limits."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._stage = DecodeStage(self.recommender, source.settings)

    async def run(self, content: bytes, name: str) -> Handed[Video]:
        """See `DecodeStage`."""
        return await asyncio.to_thread(self._stage.run, content, name)


class Features(_Replica):
    """Frames and sound become features, in batches."""

    def __init__(self, source: Source, stage: StageSettings, *before: object) -> None:
        super().__init__(source, *before)
        self._stage = FeaturesStage(self.recommender)
        _set_batches(self._batch, stage)

    async def run(self, video: Handed[Video]) -> Handed[VideoFeatures]:
        """See `FeaturesStage`."""
        found: Handed[VideoFeatures] = await self._batch(video)
        return found

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batch(self, videos: list[Handed[Video]]) -> list[Handed[VideoFeatures]]:
        return await asyncio.to_thread(self._stage.run, videos)


class Retrieve(_Replica):
    """Features find guidance, in batches."""

    def __init__(self, source: Source, stage: StageSettings, *before: object) -> None:
        super().__init__(source, *before)
        self._stage = RetrieveStage(self.recommender)
        _set_batches(self._batch, stage)

    async def run(self, features: Handed[VideoFeatures], asked: AskedPost) -> Handed[Guidance]:
        """See `RetrieveStage`."""
        found: Handed[Guidance] = await self._batch(features, asked)
        return found

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batch(
        self, features: list[Handed[VideoFeatures]], asked: list[AskedPost]
    ) -> list[Handed[Guidance]]:
        return await asyncio.to_thread(self._stage.run, features, asked)


class Generate(_Replica):
    """Features and guidance become hashtags, in batches."""

    def __init__(self, source: Source, stage: StageSettings, *before: object) -> None:
        super().__init__(source, *before)
        self._stage = GenerateStage(self.recommender)
        _set_batches(self._batch, stage)

    async def run(
        self, features: Handed[VideoFeatures], guidance: Handed[Guidance], asked: AskedPost
    ) -> Handed[Found]:
        """See `GenerateStage`."""
        found: Handed[Found] = await self._batch(features, guidance, asked)
        return found

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batch(
        self,
        features: list[Handed[VideoFeatures]],
        guidance: list[Handed[Guidance]],
        asked: list[AskedPost],
    ) -> list[Handed[Found]]:
        return await asyncio.to_thread(self._stage.run, features, guidance, asked)


def _set_batches(batch: Any, stage: StageSettings) -> None:
    batch.set_max_batch_size(stage.max_batch)
    batch.set_batch_wait_timeout_s(stage.batch_wait_seconds)


def application(source: Source, replicas: ReplicaSettings) -> Any:
    """The four deployments. Replicas are made where they run: what is sent there is where the model lies.

    Args:
        source: The model.
        replicas: How many of what.

    Returns:
        For `ray.serve.run`.
    """
    classes = {"decode": Decode, "features": Features, "retrieve": Retrieve, "generate": Generate}
    bound: Any = None
    for name, stage in replicas.stages():
        made = serve.deployment(
            classes[name],
            name=name,
            # Each is a stage on its way plus the next batch; what is more waits where it can go anywhere.
            max_ongoing_requests=2 * stage.max_batch,
            autoscaling_config={
                "min_replicas": stage.min_replicas,
                "max_replicas": stage.max_replicas,
                "target_ongoing_requests": stage.target,
                "upscale_delay_s": replicas.upscale_seconds,
                "downscale_delay_s": replicas.downscale_seconds,
            },
            ray_actor_options={"num_cpus": stage.cpus, "num_gpus": stage.gpus},
            health_check_period_s=5.0,
            health_check_timeout_s=30.0,
            graceful_shutdown_timeout_s=source.settings.drain_seconds,
        )
        # Serve deploys what the last one is bound to; the stages don't call each other.
        bound = made.bind(source) if bound is None else made.bind(source, stage, bound)
    return bound


class RayGraph:
    """The deployments of one Ray cluster, which several services may share.

    What a stage makes goes to the next one by reference: it isn't sent through here. If a replica
    or its machine is lost, the video is sent again from the beginning.

    Args:
        source: The model.
        replicas: How many of what.
        address: Of a running cluster, such as ``auto``; by default a cluster is started on this
            computer alone, without a dashboard, and ended with this.

    Raises:
        ConfigError: If there is no cluster at the address, or the deployments don't come up.
    """

    def __init__(self, source: Source, replicas: ReplicaSettings, *, address: str | None = None) -> None:
        self.num_at_work = replicas.num_at_work
        self._is_own = address is None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or it would report to its makers
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if address is None:
                _stay_on_this_computer()
                os.environ.setdefault("RAY_worker_niceness", "0")  # or anything else would go before it
                # On a small computer the first of each stage share the processors; more there won't be.
                least = math.ceil(sum(stage.min_replicas * stage.cpus for _, stage in replicas.stages()))
                ray.init(
                    include_dashboard=False,
                    _node_ip_address=_LOOPBACK,
                    num_cpus=max(os.cpu_count() or 1, least),
                    **quiet,
                )
            else:
                _see_whether_it_answers(address)
                ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"serve: Ray can't be used: {str(error).splitlines()[0]}") from error
        try:
            serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
            if APPLICATION not in serve.status().applications:
                serve.run(application(source, replicas), name=APPLICATION, route_prefix=None)
            self._handles = {
                name: serve.get_deployment_handle(name, APPLICATION).run for name, _ in replicas.stages()
            }
        except (RuntimeError, RayError) as error:
            self.close()
            raise ConfigError(f"serve: the replicas don't start: {error}") from error

    @property
    def is_running(self) -> bool:
        """Whether each stage has a replica, or will have one soon."""
        try:
            found = serve.status().applications.get(APPLICATION)
        except (RuntimeError, RayError):
            return False
        return found is not None and found.status == "RUNNING"

    def close(self) -> None:
        """End a cluster of one's own; leave another one, with what is deployed there."""
        if self._is_own:
            serve.shutdown()
        ray.shutdown()

    def recommend(
        self, clip: Clip, goes_on: Callable[[str], bool]
    ) -> tuple[Handed[Found], Handed[Video] | None] | None:
        """See `ggm.serving.replicas.queue.Graph`."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._recommend(clip, goes_on)
            except TimeoutError:
                break
            except Exception as error:
                if not _is_loss(error):
                    raise
            time.sleep(_PAUSE_SECONDS * attempt)
        raise Refusal(
            503, "waited_too_long", "no replica could do it in time; try again later", retry_after=10
        )

    def _recommend(
        self, clip: Clip, goes_on: Callable[[str], bool]
    ) -> tuple[Handed[Found], Handed[Video] | None] | None:
        made: dict[str, Any] = {}
        for stage in ("decode", *MODEL_STAGES):
            if not goes_on(stage):
                return None
            arguments: tuple[Any, ...] = tuple(made[one] for one in _READS[stage])
            if stage == "decode":
                arguments = clip.content, clip.asked.name
            elif stage in ("retrieve", "generate"):
                arguments = *arguments, clip.asked
            made[stage] = self._handles[stage].remote(*arguments)
            # Waited for, not fetched: or the next stage's replicas would be taken by what isn't there yet.
            reference = made[stage]._to_object_ref_sync(_left(clip))
            if not ray.wait([reference], timeout=_left(clip), fetch_local=False)[0]:
                raise TimeoutError
        found: Handed[Found] = made["generate"].result(timeout_s=_left(clip))
        video: Handed[Video] | None = None
        if clip.with_video and found.error is None:
            video = made["decode"].result(timeout_s=_left(clip))
        return found, video


def _stay_on_this_computer() -> None:
    """Let all of Ray's processes listen to this computer alone.

    `ray.init` takes a loopback address for the one by which others reach this computer, and listens
    to all of them, unless it is told that there are no others; on Linux it believes that there are.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # for the processes that it starts
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # and for this one, which read it before


def _see_whether_it_answers(address: str) -> None:
    """Ray would try for minutes.

    Raises:
        OSError: If nothing answers at an address and port; names such as ``auto`` are Ray's to find.
    """
    host, _, port = address.rpartition(":")
    if host and "//" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def _listen_to_the_cluster_alone() -> None:
    """Let this replica's own server listen where the cluster is, and not to all networks.

    Serve starts it after the replica is made, for callers that don't go by reference, and lets it
    take pickles from anybody who reaches it.

    Raises:
        ConfigError: If this version of Ray starts it in another way, and should stay on this computer.
    """
    from ray.serve._private import replica as serve_replica

    module: Any = serve_replica
    here = ray.util.get_node_ip_address()
    add_port = getattr(module, "add_port_to_grpc_server", None)
    if add_port is None:
        if here == _LOOPBACK:
            raise ConfigError(
                f"serve: replicas of Ray {ray.__version__} would listen to other computers; "
                "use the version in constraints.txt"
            )
        return
    own = f"[{here}]" if ":" in here else here
    module.add_port_to_grpc_server = lambda server, address: add_port(server, address.replace("[::]", own))


def _left(clip: Clip) -> float:
    """Seconds until nobody waits."""
    return max(0.01, clip.deadline - time.monotonic())


def _is_loss(error: BaseException | None) -> bool:
    """Whether it came of a replica that is lost, or of what it had made, be it of a stage before.

    Serve wraps what it is told by Ray, and Ray what it is told by another task.
    """
    while error is not None:
        told = error.cause if isinstance(error, RayTaskError) else error
        if isinstance(told, RayActorError | ObjectLostError | DeploymentUnavailableError):
            return True
        error = error.__cause__
    return False
