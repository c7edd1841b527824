from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ggm.corpus import clipart, render
from ggm.corpus.clipart import build_clipart
from ggm.corpus.manifest import load_dataset
from ggm.errors import DataError


@pytest.fixture
def filled(library: Any) -> Any:
    for n in range(6):
        library.add(
            f"things/thing{'abcdef'[n]}",
            title=f"Thing {'abcdef'[n]}",
            tags=["thing", f"kind {n}a"],
            shape=37 * n + 1,
        )
    for n in range(3):
        library.add(f"series/swan_{n}", title=f"Swan {n}", tags=["bird"], shape=400 + 9 * n, author="Bob")
    library.add("other/twin", title="Looks like swan 0", tags=["twin"], shape=400, author="Cy")
    library.add("gpl", licence="http://creativecommons.org/licenses/GPL/2.0/", shape=3)
    library.add("bad", tags=["bad"], shape=4)
    (library.root / "png/bad.png").write_bytes(b"no picture")
    return library


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash of two frames stands for the video: the encoder is slow."""

    def write(frames: Iterator[Image.Image], path: Path) -> None:
        path.write_text(hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest())

    monkeypatch.setattr(render, "write_video", write)
    monkeypatch.setattr(render, "NUM_FRAMES", 2)


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_dataset_is_built(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "out" / "clipart"
    seen: list[tuple[str, int, int]] = []
    summary = build_clipart(out, source=filled.root, progress=lambda *step: seen.append(step))
    dataset = load_dataset(out)
    assert len(dataset.posts) == 10
    assert summary.folder == out
    assert summary.posts_per_split == {
        name: len(dataset.split(name)) for name in ("train", "validation", "test")
    }
    assert summary.dropped == {
        "not stated to be public domain": 1,
        "picture unreadable, too large or too small": 1,
    }
    assert (summary.groups, summary.hashtags, summary.frequent_hashtags) == (7, 9, 1)
    by_id = {post.id: post for post in dataset.posts}
    assert by_id["things/thingc"].description == "Thing c"
    assert by_id["things/thingc"].hashtags == ("thing", "kind2a")
    assert by_id["things/thingc"].author == "Ann Onymous"
    assert by_id["things/thingc"].video == out / "videos/things/thingc.mp4"
    assert ("render", 11, 11) in seen
    assert sorted(p.name for p in out.iterdir()) == [
        "dataset.json",
        "manifest.jsonl",
        "sources.jsonl",
        "videos",
    ]
    assert [p.name for p in out.parent.iterdir()] == ["clipart"]


@pytest.mark.usefixtures("no_encoder")
def test_a_series_and_pictures_that_look_alike_share_a_split(filled: Any, tmp_path: Path) -> None:
    for seed in range(3):
        out = tmp_path / str(seed)
        build_clipart(out, source=filled.root, seed=seed)
        splits = {p.id: p.split for p in load_dataset(out).posts}
        family = ["series/swan_0", "series/swan_1", "series/swan_2", "other/twin"]
        assert len({splits[id_] for id_ in family}) == 1
        rows = [json.loads(line) for line in (out / "sources.jsonl").read_text().splitlines()]
        assert {row["group"] for row in rows if row["id"] in family} == {"other/twin"}


@pytest.mark.usefixtures("no_encoder")
def test_licence_facts_are_recorded(filled: Any, tmp_path: Path) -> None:
    build_clipart(tmp_path / "out", source=filled.root, seed=5)
    facts = json.loads((tmp_path / "out/dataset.json").read_text())
    assert facts["licence_statements"] == {"http://web.resource.org/cc/PublicDomain": 10}
    assert (facts["seed"], facts["made_from"], facts["dropped"]["not stated to be public domain"]) == (
        5,
        ["unpacked folder"],
        1,
    )
    rows = [json.loads(line) for line in (tmp_path / "out/sources.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [p.id for p in load_dataset(tmp_path / "out").posts]
    assert rows[0] == {
        "id": "other/twin",
        "svg": "usr/share/openclipart/svg/other/twin.svg",
        "png": "usr/share/openclipart/png/other/twin.png",
        "title": "Looks like swan 0",
        "author": "Cy",
        "date": "2005/05/30",
        "tags": ["twin"],
        "licence": ["http://web.resource.org/cc/PublicDomain"],
        "group": "other/twin",
    }


@pytest.mark.usefixtures("no_encoder")
def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(filled: Any, tmp_path: Path) -> None:
    for name, workers, seed in (("a", 1, 0), ("b", 3, 0), ("c", 1, 1)):
        build_clipart(tmp_path / name, source=filled.root, workers=workers, seed=seed)
    one, other, third = (content(tmp_path / name) for name in "abc")
    assert one == other
    assert one["manifest.jsonl"] != third["manifest.jsonl"]
    assert one["videos/other/twin.mp4"] != third["videos/other/twin.mp4"]


@pytest.mark.usefixtures("no_encoder")
def test_packages_give_the_same_posts_as_the_unpacked_folder(
    filled: Any, tmp_path: Path, make_deb: Any
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for kind in ("svg", "png"):
        tree = tmp_path / f"only_{kind}"
        shutil.copytree(filled.root / kind, tree / kind)
        make_deb(packages / f"openclipart-{kind}_0.18_all.deb", tree)
    build_clipart(tmp_path / "a", source=filled.root)
    build_clipart(tmp_path / "b", source=packages)
    unpacked, packed = content(tmp_path / "a"), content(tmp_path / "b")
    facts = json.loads(packed["dataset.json"])
    assert facts["made_from"] == ["openclipart-png_0.18_all.deb", "openclipart-svg_0.18_all.deb"]
    for files in (unpacked, packed):
        del files["dataset.json"]
    assert unpacked == packed


@pytest.mark.usefixtures("no_encoder")
def test_without_a_source_the_packages_are_fetched(
    filled: Any, tmp_path: Path, make_deb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = make_deb(tmp_path / "openclipart-svg_0.18_all.deb", filled.root)
    asked = []

    def fetch(names: tuple[str, ...], *, folder: Path) -> tuple[Path, ...]:
        asked.append((names, folder))
        return (deb,)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(clipart, "fetch_packages", fetch)
    summary = build_clipart(tmp_path / "out", limit=2)
    assert sum(summary.posts_per_split.values()) == 2
    assert asked == [(("openclipart-png", "openclipart-svg"), tmp_path / "cache/ggm/packages")]


@pytest.mark.usefixtures("no_encoder")
def test_a_limit_takes_a_random_sample_that_the_seed_decides(filled: Any, tmp_path: Path) -> None:
    chosen = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        summary = build_clipart(tmp_path / name, source=filled.root, limit=5, seed=seed)
        chosen.append([p.id for p in load_dataset(tmp_path / name).posts])
    assert chosen[0] == chosen[1] != chosen[2]
    assert summary.dropped["beyond the limit"] == 6


@pytest.mark.usefixtures("no_encoder")
def test_an_interruption_leaves_nothing(filled: Any, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, _total: int) -> None:
        if stage == "render" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_clipart(tmp_path / "work" / "out", source=filled.root, progress=interrupt)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.usefixtures("no_encoder")
def test_an_empty_folder_may_be_there_a_full_one_may_not(filled: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    build_clipart(out, source=filled.root, limit=1)
    before = content(out)
    with pytest.raises(DataError, match="out: exists already"):
        build_clipart(out, source=filled.root, limit=1)
    assert content(out) == before


def test_bad_arguments_and_sources_are_refused(library: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match="limit must be at least 1, got 0"):
        build_clipart(out, source=library.root, limit=0)
    with pytest.raises(DataError, match="workers must be at least 1, got 0"):
        build_clipart(out, source=library.root, workers=0)
    with pytest.raises(DataError, match="nowhere: not a folder"):
        build_clipart(out, source=tmp_path / "nowhere")
    with pytest.raises(DataError, match="no usable drawing"):
        build_clipart(out, source=library.root)
    assert not out.exists()
