"""The commands ``ggm serve``: run the service, make and revoke its keys."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ggm.serving.options import FramesOption, PolicyOption, PrecisionOption, RuntimeOption, UploadOption
from ggm.serving.show import out

if TYPE_CHECKING:
    from collections.abc import Callable

    from ggm.media.sample import FrameChoice
    from ggm.recommend import Recommender
    from ggm.serving.replicas.settings import ReplicaSettings
    from ggm.serving.replicas.stages import Source
    from ggm.serving.service.back_end import BackEnd
    from ggm.serving.service.metrics import Metrics
    from ggm.serving.service.settings import ServiceSettings

    _MakeBackEnd = Callable[[Recommender, ServiceSettings, Metrics], BackEnd]

serve_app = typer.Typer(help="Answer requests over HTTP, for this computer alone unless keys are made.")
keys_app = typer.Typer(no_args_is_help=True, help="Who may ask the service.")
serve_app.add_typer(keys_app, name="keys")

KeysOption = Annotated[Path, typer.Option("--keys", help="File of the keys.")]


@serve_app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A shipped bundle's name, or a folder.")] = "compact",
    device: Annotated[str, typer.Option(help="A torch device, such as cpu or cuda.")] = "cpu",
    host: Annotated[
        str, typer.Option(help="An address of this computer; others than its own need --keys.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host_names: Annotated[
        list[str] | None,
        typer.Option("--host-name", help="A name by which the service is asked; may be repeated."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of `ggm serve keys`; without, all requests are let in.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(help="A living pool, or milvus:…, in place of the bundle's own; requests change it."),
    ] = None,
    read_only_pool: Annotated[
        bool, typer.Option("--read-only-pool", help="Follow what another process writes to the pool.")
    ] = False,
    roots: Annotated[
        list[Path] | None,
        typer.Option("--root", help="Folder whose videos requests may name by path; may be repeated."),
    ] = None,
    frames: FramesOption = "exact",
    runtime: RuntimeOption = None,
    precision: PrecisionOption = "fp32",
    policy: PolicyOption = None,
    max_upload: UploadOption = None,
    max_seconds: Annotated[float, typer.Option(help="Length of a video.")] = 600.0,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Videos that are here at once; more are refused.")
    ] = 32,
    max_wait: Annotated[
        float, typer.Option(help="Seconds that a video may have to wait; if it would be more, it is refused.")
    ] = 10.0,
    max_batch: Annotated[int, typer.Option(min=1, help="Videos that the model takes at once.")] = 4,
    decoders: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    per_minute: Annotated[float, typer.Option(help="Videos a minute, of one key or address.")] = 120.0,
    drain_seconds: Annotated[
        float, typer.Option(help="How long requests may take to end at SIGTERM.")
    ] = 30.0,
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", help="Address whose X-Forwarded-For is believed; may be repeated."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Let replicas on Ray Serve do the work; see docs/scale.md.")
    ] = False,
    ray_address: Annotated[
        str | None, typer.Option(help="A running Ray cluster, such as auto; implies --ray.")
    ] = None,
    replicas: Annotated[
        Path | None, typer.Option(help="TOML: how many replicas of each stage; implies --ray.")
    ] = None,
) -> None:
    """Answer requests over HTTP until SIGTERM or Ctrl+C; see docs/service.md."""
    if context.invoked_subcommand is not None:
        return
    from ggm.policy import Policy
    from ggm.serving.service.settings import MAX_UPLOAD_BYTES, ServiceSettings, check_reach

    check_reach(host, has_keys=keys is not None)
    settings = ServiceSettings(
        hosts=tuple(host_names or ()),
        roots=tuple(roots or ()),
        policy=Policy() if policy is None else Policy.load(policy),
        max_upload_bytes=max_upload or MAX_UPLOAD_BYTES,
        max_duration_seconds=max_seconds,
        max_items=min(16, max_waiting),
        max_waiting=max_waiting,
        max_batch=max_batch,
        decoders=decoders,
        recommendations_per_minute=per_minute,
        requests_per_minute=10 * per_minute,
        wait_seconds=max_wait,
        drain_seconds=drain_seconds,
    )
    ray = ray or ray_address is not None or replicas is not None
    how_many = _replica_settings(replicas) if ray else None
    from ggm.serving.service.app import create_app
    from ggm.serving.service.keys import KeyFile
    from ggm.serving.service.logs import log_to
    from ggm.serving.service.queue import RecommendQueue
    from ggm.serving.service.server import ServiceServer

    key_file = None if keys is None else KeyFile(keys)
    with ExitStack() as held:
        recommender = _recommender(
            held,
            model,
            pool=pool,
            read_only=read_only_pool,
            device="cpu" if ray else device,
            frames=frames,
            runtime=None if ray else runtime,
            precision="fp32" if ray else precision,
        )
        back_end: _MakeBackEnd = RecommendQueue
        if how_many is not None:
            from ggm.serving.replicas.stages import Source

            source = Source(
                model, device, pool, settings, frames=frames, runtime=runtime, precision=precision
            )
            back_end = _replicated(source, how_many, ray_address)
        server = held.enter_context(
            ServiceServer(
                create_app(recommender, settings, keys=key_file, back_end=back_end),
                host=host,
                port=port,
                has_keys=bool(key_file and key_file.all()),
                trusted_proxies=tuple(trusted_proxies or ()),
            )
        )
        log_to(sys.stderr)
        sys.stdout.write(f"serving at {server.url}; Ctrl+C ends\n")
        sys.stdout.flush()
        server.run()


@keys_app.command("create")
def create(
    keys: KeysOption,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    role: Annotated[str, typer.Option(metavar="recommend|manage", help="manage may change the pool.")] = (
        "recommend"
    ),
) -> None:
    """Make a key. It is shown this once."""
    from typing import cast

    from ggm.serving.service.keys import KeyFile, Role

    made, text = KeyFile(keys).create(name, cast("Role", role))
    _print(f"{text}")
    _print(f"id {made.id}, role {made.role}; only its digest is kept, in {keys}")


@keys_app.command("list")
def list_keys(keys: KeysOption) -> None:
    """Show the keys: their ids, not themselves."""
    from ggm.serving.service.keys import KeyFile

    table = Table("id", "name", "role", "created", box=None, padding=(0, 2))
    for key in KeyFile(keys).all():
        table.add_row(key.id, escape(key.name), key.role, key.created_at)
    out.print(table)


@keys_app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `ggm serve keys list` shows it.")],
    keys: KeysOption,
) -> None:
    """Take a key's rights, also from a service that runs."""
    from ggm.serving.service.keys import KeyFile

    _print(f"revoked: {KeyFile(keys).revoke(key_id).id}")


def _replica_settings(path: Path | None) -> ReplicaSettings:
    """Whether Ray is here is seen before anything is loaded."""
    import ggm.serving.replicas.graph  # noqa: F401 - raises if it isn't
    from ggm.serving.replicas.settings import ReplicaSettings

    return ReplicaSettings() if path is None else ReplicaSettings.load(path)


def _replicated(source: Source, replicas: ReplicaSettings, address: str | None) -> _MakeBackEnd:
    from functools import partial

    from ggm.serving.replicas.graph import RayGraph
    from ggm.serving.replicas.queue import ReplicatedQueue

    return partial(ReplicatedQueue, graph=RayGraph(source, replicas, address=address))


def _recommender(
    held: ExitStack,
    model: str,
    *,
    pool: str | None,
    read_only: bool,
    device: str,
    frames: FrameChoice,
    runtime: Path | None,
    precision: str,
) -> Recommender:
    from ggm.pool.opening import check_pool, open_pool
    from ggm.recommend import Recommender

    if pool is not None:
        check_pool(pool)  # whether there is one is seen before the bundle is loaded
    recommender = Recommender.from_pretrained(
        model,
        device=device,
        pool=pool if read_only else None,
        frames=frames,
        runtime=runtime,
        precision=precision,
    )
    held.callback(recommender.close)
    recommender.worker.close()  # the service has decoding processes of its own
    if pool is None or read_only:
        return recommender
    bundle = recommender.bundle
    living = open_pool(
        pool, embed=bundle.embed_hashtags, retriever_fingerprint=bundle.pool.retriever_fingerprint
    )
    return Recommender(bundle.with_pool(held.enter_context(living)), frames=frames)


def _print(line: str) -> None:
    out.print(escape(line), highlight=False, soft_wrap=True)
