"""Two services, each a process, on one pool in Milvus."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

pytest.importorskip("pymilvus")

from ggm.bundle import Bundle
from ggm.errors import PoolError
from ggm.pool import SharedPool
from ggm.pool.address import MilvusAddress
from ggm.recommend import Recommender
from ggm.records import VideoFeatures
from services import ServiceProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def milvus_server(folder: Path) -> Iterator[str]:
    """Milvus Lite as a server of its own: what stands here for a cluster."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "milvus-lite", "server", "--data-dir", folder / "shared.db"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-workers", "1"]
    with (folder / "milvus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def created(address: MilvusAddress, bundle: Bundle) -> None:
    """Make a pool as soon as the server is there."""
    for _ in range(100):
        try:
            SharedPool.create(address, bundle.pool).close()
            return
        except PoolError as error:
            if "already" in str(error):
                raise
            time.sleep(0.2)
    raise AssertionError("no server")


def features_of(bundle: Bundle, video: Path) -> VideoFeatures:
    with Recommender(bundle) as recommender:
        return recommender.features(recommender.decode(video))


def recommended(service: ServiceProcess, video: Path, **options: object) -> list[str]:
    with video.open("rb") as file:
        answer = httpx2.post(
            f"{service.url}/v1/recommend",
            files={"video": file},
            data={"options": json.dumps({"max_hashtags": 20, **options})},
            timeout=300,
        )
    assert answer.status_code == 200, answer.text
    return [item["hashtag"] for item in answer.json()["hashtags"]]


def test_what_one_service_adds_the_other_recommends_next(
    bundle: Bundle, tiny_bundle_dir: Path, clips: list[Path], tmp_path: Path
) -> None:
    video = clips[0]
    query = bundle.embed_videos([features_of(bundle, video)])[0]
    with milvus_server(tmp_path) as uri:
        created(MilvusAddress(uri), bundle)
        pool = ("--pool", f"milvus:{uri}", "--per-minute", "1e6")
        with (
            ServiceProcess(tiny_bundle_dir, tmp_path / "log1", *pool) as first,
            ServiceProcess(tiny_bundle_dir, tmp_path / "log2", *pool) as second,
        ):
            services = (first, second)
            texts = [f"coined{letter}{other}" for letter in "abcdefghij" for other in "abcdefghij"]
            closeness = bundle.embed_hashtags(texts) @ query
            coined = [texts[place] for place in np.argsort(-closeness)[:4]]
            for turn, text in enumerate(coined):
                one, other = services[turn % 2], services[1 - turn % 2]
                assert text not in recommended(other, video)
                added = httpx2.post(f"{one.url}/v1/pool", json={"add": [text]}, timeout=300)
                assert added.status_code == 200, added.text
                assert text in recommended(other, video)
                assert text in recommended(one, video)
                assert text in recommended(other, video, novel="forbid")
            late = httpx2.post(f"{first.url}/v1/pool", json={"add": ["late"]}, timeout=300)
            assert late.status_code == 200, late.text
            again = httpx2.request(
                "DELETE", f"{second.url}/v1/pool", json={"hashtags": ["late"]}, timeout=300
            )
            assert again.status_code == 200, again.text  # though it hasn't searched since
            gone = httpx2.request(
                "DELETE", f"{first.url}/v1/pool", json={"hashtags": coined[:1]}, timeout=300
            )
            assert gone.status_code == 200, gone.text
            assert coined[0] not in recommended(second, video)
            named = httpx2.post(
                f"{second.url}/v1/pool", json={"alias": {coined[1]: [coined[2]]}}, timeout=300
            )
            assert named.status_code == 200, named.text
            assert coined[2] not in recommended(first, video)
            counts = [
                httpx2.get(f"{one.url}/v1/pool", params={"prefix": "coined"}, timeout=300).json()["total"]
                for one in services
            ]
            assert counts == [2, 2]
