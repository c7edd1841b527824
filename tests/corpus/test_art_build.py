from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ggm.corpus import render
from ggm.corpus.art import build, render_worker
from ggm.corpus.art.build import build_art, widespread
from ggm.corpus.art.config import ArtConfig
from ggm.corpus.art.metadata import ArtSummary
from ggm.corpus.art.render_worker import render_item
from ggm.corpus.art.sources import LEFT_OUT, SOURCES
from ggm.corpus.grouping import read_groups
from ggm.corpus.manifest import load_dataset
from ggm.corpus.npm import NpmPackage
from ggm.errors import ConfigError, DataError, MissingDependencyError
from npm_packages import write_package

pytest.importorskip("resvg_py")

# Shapes that no two of look alike: the bits of a number are the squares of a 3x3 grid.
THINGS = {"sun": 7, "moon": 73, "dog": 84, "boat": 325}


def svg(shape: int, colour: str = "currentColor") -> str:
    squares = "".join(
        f'<rect x="{2 + 7 * (bit % 3)}" y="{2 + 7 * (bit // 3)}" width="6" height="6" fill="{colour}"/>'
        for bit in range(9)
        if shape >> bit & 1
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">{squares}</svg>'


def lucide(folder: Path, more: Mapping[str, str] | None = None, *, licence: str = "ISC") -> NpmPackage:
    tags = {name: ["thing", f"{name} word", "shared"] for name in THINGS}
    tags |= {f"{name}-circle": ["thing", f"{name} word"] for name in THINGS} | {"github": ["logo"]}
    files = {f"icons/{name}.svg": svg(shape) for name, shape in THINGS.items()}
    files |= {f"icons/{name}-circle.svg": svg(shape ^ 16) for name, shape in THINGS.items()}
    files |= {"icons/github.svg": svg(511), **(more or {})}
    tags |= {path[6:-4]: ["thing"] for path in more or {}}
    return write_package(folder, "lucide-static", {"tags.json": json.dumps(tags), **files}, licence=licence)


def emoji(folder: Path, name: str) -> NpmPackage:
    body = svg(84, "#a52").partition(">")[2].removesuffix("</svg>")
    icons = {"width": 24, "height": 24, "icons": {"dog-face": {"body": body}}}
    chars = {"1f436": "dog-face", "1f3fb": "light-skin-tone"}
    return write_package(folder, name, {"icons.json": json.dumps(icons), "chars.json": json.dumps(chars)})


def names(folder: Path) -> tuple[NpmPackage, NpmPackage]:
    facts = [
        {"label": "dog face", "hexcode": "1F436", "emoji": "🐶", "tags": ["dog", "pet"], "group": 3},
        {"label": "light skin tone", "hexcode": "1F3FB", "emoji": "🏻", "tags": ["skin"], "group": 2},
    ]
    words = {"🐶": ["dog_face", "woof", ":D", "thing", "a_b_c_d"]}
    return (
        write_package(folder, "emojibase-data", {"en/data.json": json.dumps(facts)}),
        write_package(folder, "emojilib", {"dist/emoji-en-US.json": json.dumps(words)}),
    )


class World:
    """A folder with packages, and the sets that are made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        emojibase, emojilib = names(folder)
        by_key = {source.key: source for source in SOURCES}
        self.catalogue = [
            replace(by_key["lucide"], packages={"pictures": lucide(folder)}),
            *(
                replace(
                    by_key[key],
                    licence="MIT",
                    packages={"pictures": emoji(folder, key), "names": emojibase, "keywords": emojilib},
                )
                for key in ("noto", "fluent")
            ),
        ]

    def build(self, out: Path, **options: Any) -> ArtSummary:
        config = options.pop("config", ArtConfig(minimum=1, only=("lucide", "noto", "fluent")))
        return build_art(out, config, source=self.folder, catalogue=self.catalogue, **options)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "packages")


class Here:
    """Renders in this process; a hash of two frames stands for the video."""

    def __init__(self, _workers: int) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def render(
        self, requests: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[tuple[str, dict[str, str]]]:
        for id_, request in requests:
            try:
                yield id_, {"hash": render_item(request)}
            except DataError as error:
                yield id_, {"error": str(error)}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(frames: Iterator[Image.Image], path: Path, **_: Any) -> None:
        path.write_text(hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest())

    monkeypatch.setattr(build, "Renderer", Here)
    monkeypatch.setattr(render, "write_video", write)
    monkeypatch.setattr(render_worker, "NUM_FRAMES", 2)


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_dataset_is_built_in_processes(world: World, tmp_path: Path) -> None:
    out = tmp_path / "made" / "art"
    seen: list[tuple[str, int, int]] = []
    config = ArtConfig(minimum=1, only=("noto", "fluent"))
    summary = world.build(out, config=config, workers=1, progress=lambda *step: seen.append(step))
    dataset = load_dataset(out)
    assert [post.id for post in dataset.posts] == ["fluent/1f436", "noto/1f436"]
    assert {post.hashtags for post in dataset.posts} == {("dogface", "dog", "pet", "woof", "thing")}
    assert len({post.split for post in dataset.posts}) == 1
    assert summary.pictures_per_source == {"fluent": 1, "noto": 1}
    assert (summary.groups, summary.hashtags, summary.widespread_hashtags) == (1, 5, 0)
    assert seen[0][0] == "read"
    assert ("render", 2, 2) in seen
    assert sorted(p.name for p in out.iterdir()) == [
        "dataset.json",
        "manifest.jsonl",
        "sources.jsonl",
        "videos",
    ]
    assert [p.name for p in out.parent.iterdir()] == ["art"]
    video = json.loads((out / "dataset.json").read_text())["video"]
    assert video["duration_seconds"] == 2


@pytest.mark.usefixtures("in_process")
def test_a_concept_lies_in_one_split(world: World, tmp_path: Path) -> None:
    for seed in range(2):
        out = tmp_path / str(seed)
        config = ArtConfig(seed=seed, minimum=1, clips_per_item=2, only=("lucide", "noto", "fluent"))
        summary = world.build(out, config=config)
        posts = load_dataset(out).posts
        assert len(posts) == sum(summary.posts_per_split.values()) == 20
        rows = [json.loads(line) for line in (out / "sources.jsonl").read_text().splitlines()]
        assert [row["id"] for row in rows] == [post.id for post in posts]
        of_group: dict[str, set[str | None]] = {}
        for post, row in zip(posts, rows, strict=True):
            of_group.setdefault(row["group"], set()).add(post.split)
        assert all(len(found) == 1 for found in of_group.values())
        dogs = {row["group"] for row in rows if "dog" in row["title"]}
        assert len(dogs) == 1
        assert len({read_groups(out / "sources.jsonl")(post) for post in posts}) == summary.groups


@pytest.mark.usefixtures("in_process")
def test_licences_are_recorded(world: World, tmp_path: Path) -> None:
    world.build(tmp_path / "out")
    facts = json.loads((tmp_path / "out/dataset.json").read_text())
    lucide_facts = next(source for source in facts["sources"] if source["key"] == "lucide")
    assert lucide_facts["licence"] == "ISC AND MIT"
    assert "Feather" in lucide_facts["attribution"]
    assert lucide_facts["packages"][0]["integrity"].startswith("sha512-")
    assert lucide_facts["pictures"] == 8
    assert {one["licence"] for one in facts["left_out"]} >= {"CC-BY-SA-4.0", "GPL-2.0"}
    assert "emojilib" in facts["keyword_sources"]
    assert "lucide-static-1.0.0.tgz" in facts["made_from"]
    rows = [json.loads(line) for line in (tmp_path / "out/sources.jsonl").read_text().splitlines()]
    assert {tuple(row["licence"]) for row in rows} == {("ISC",), ("MIT",)}


def test_a_package_of_another_licence_is_refused(world: World, tmp_path: Path) -> None:
    changed = lucide(world.folder, licence="GPL-3.0")
    world.catalogue[0] = replace(world.catalogue[0], packages={"pictures": changed})
    with pytest.raises(DataError, match=r"states the licence 'GPL-3\.0', not 'ISC'"):
        world.build(tmp_path / "out")


def test_a_changed_or_absent_package_is_refused(world: World, tmp_path: Path) -> None:
    path = world.folder / "lucide-static-1.0.0.tgz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"not lucide-static 1\.0\.0 as it was published"):
        world.build(tmp_path / "out")
    path.unlink()
    with pytest.raises(DataError, match=r"has no lucide-static-1\.0\.0\.tgz"):
        world.build(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("in_process")
def test_the_same_seed_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    only = ("lucide", "noto", "fluent")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        world.build(
            tmp_path / name, config=ArtConfig(seed=seed, minimum=1, only=only), workers=1 + (name == "b")
        )
    one, other, third = (content(tmp_path / name) for name in "abc")
    assert one == other
    assert one["manifest.jsonl"] != third["manifest.jsonl"]
    assert one["videos/lucide/sun.mp4"] != third["videos/lucide/sun.mp4"]


@pytest.mark.usefixtures("in_process")
def test_bad_drawings_are_reported_and_left_out(world: World, tmp_path: Path) -> None:
    more = {
        "icons/broken.svg": "<svg",
        "icons/nothing.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>',
        "icons/white.svg": svg(85, "#fff"),
        "icons/entity.svg": '<!DOCTYPE svg [<!ENTITY a "b">]>' + svg(85),
        "icons/file.svg": svg(85).replace("<rect", '<image href="/etc/passwd"/><rect', 1),
        "icons/use.svg": svg(85).replace("<rect", '<use href="other.svg#a"/><rect', 1),
        "icons/large.svg": svg(85) + " " * 1024**2,
    }
    world.catalogue[0] = replace(world.catalogue[0], packages={"pictures": lucide(world.folder, more)})
    summary = world.build(tmp_path / "out")
    assert summary.dropped == {"picture unusable, see rejected": 7}
    assert summary.pictures_per_source["lucide"] == 8
    facts = json.loads((tmp_path / "out/dataset.json").read_text())
    reasons = {row["id"].removeprefix("lucide/"): row["reason"] for row in facts["rejected"]}
    assert set(reasons) == {Path(path).stem for path in more}
    for name in ("entity", "file", "use"):
        assert "asks for more than itself" in reasons[name]
    assert "can't be drawn" in reasons["broken"]
    assert "transparent" in reasons["nothing"]
    assert not (tmp_path / "out/videos/lucide/file.mp4").exists()


@pytest.mark.usefixtures("in_process")
def test_odd_names_are_left_out(tmp_path: Path, world: World) -> None:
    icons = {
        name: {"category": "Nature", "tags": ["thing"]}
        for name in ("sun", "SUN", "mo on", "brand", "x/../../y")
    }
    icons["brand"]["category"] = "Brand"
    files = {f"icons/outline/{name}.svg": svg(85) for name in ("sun", "SUN", "mo on", "brand")}
    package = write_package(world.folder, "@tabler/icons", {"icons.json": json.dumps(icons), **files})
    tabler = replace(next(s for s in SOURCES if s.key == "tabler"), packages={"pictures": package})
    summary = build_art(
        tmp_path / "out", ArtConfig(minimum=1, only=("tabler",)), source=world.folder, catalogue=[tabler]
    )
    assert summary.dropped == {"name twice": 1, "odd name": 1}
    assert summary.pictures_per_source == {"tabler": 1}


@pytest.mark.usefixtures("in_process")
def test_a_build_goes_on_where_it_was_ended(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build(tmp_path / "whole")
    out = tmp_path / "work" / "out"

    def interrupt(stage: str, done: int, _total: int) -> None:
        if stage == "render" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.build(out, progress=interrupt)
    assert not out.exists()
    journal = out.parent / ".out.building" / ".rendered.jsonl"
    journal.write_text(journal.read_text() + '{"id": "lucide/cut')
    sorted((journal.parent / "videos").rglob("*.mp4"))[0].unlink()
    rendered = []
    original = render_item

    def counted(request: Mapping[str, Any]) -> str:
        rendered.append(request)
        return original(request)

    monkeypatch.setitem(globals(), "render_item", counted)
    world.build(out)
    assert len(rendered) == 10 - 4
    assert content(out) == content(tmp_path / "whole")
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.usefixtures("in_process")
def test_what_another_build_left_is_not_used(world: World, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, _total: int) -> None:
        if stage == "render" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.build(tmp_path / "out", progress=interrupt)
    steps: list[tuple[str, int, int]] = []
    config = ArtConfig(seed=1, minimum=1, only=("lucide",))
    world.build(tmp_path / "out", config=config, progress=lambda *step: steps.append(step))
    assert ("render", 0, 8) in steps
    assert all(
        path.startswith("videos/lucide") for path in content(tmp_path / "out") if path.startswith("vid")
    )


@pytest.mark.usefixtures("in_process")
def test_clip_art_joins(library: Any, world: World, tmp_path: Path) -> None:
    library.add("animals/dog_01", title="Dog 1", tags=["dog", "thing"], shape=5, description="It barks")
    for kind in ("svg", "png"):
        (world.folder / kind).symlink_to(library.root / kind)
    summary = world.build(tmp_path / "out", config=ArtConfig(minimum=1))
    assert summary.pictures_per_source == {"lucide": 8, "noto": 1, "fluent": 1, "clipart": 1}
    rows = {
        row["id"]: row for row in map(json.loads, (tmp_path / "out/sources.jsonl").read_text().splitlines())
    }
    assert rows["clipart/animals/dog_01"]["group"] == rows["lucide/dog"]["group"]
    assert rows["clipart/animals/dog_01"]["licence"] == ["http://web.resource.org/cc/PublicDomain"]
    posts = {post.id: post for post in load_dataset(tmp_path / "out").posts}
    assert posts["clipart/animals/dog_01"].author == "Ann Onymous"


@pytest.mark.usefixtures("in_process")
def test_rare_hashtags_and_the_posts_that_have_no_others_are_left_out(world: World, tmp_path: Path) -> None:
    summary = world.build(tmp_path / "out", config=ArtConfig(minimum=4, only=("lucide", "noto", "fluent")))
    tags = {tag for post in load_dataset(tmp_path / "out").posts for tag in post.hashtags}
    assert tags == {"thing", "shared"}
    assert (summary.hashtags, summary.widespread_hashtags) == (2, 0)
    videos = [path for path in content(tmp_path / "out") if path.startswith("videos/")]
    assert len(videos) == sum(summary.posts_per_split.values())


def test_hashtags_are_counted_by_group() -> None:
    hashtags = {"a": ("Sun", "hot"), "b": ("sun",), "c": ("hot",)}
    groups = {"a": "a", "b": "b", "c": "a"}
    assert widespread(hashtags, groups, minimum=2) == {"sun"}


def test_bad_arguments_are_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DataError, match="full: exists already"):
        world.build(tmp_path / "full")
    with pytest.raises(DataError, match="workers must be at least 1, got 0"):
        world.build(tmp_path / "out", workers=0)
    with pytest.raises(ConfigError, match="no set 'openmoji'; there are clipart, lucide, noto"):
        world.build(tmp_path / "out", config=ArtConfig(only=("openmoji",)))
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ggm\[art\]'"):
        world.build(tmp_path / "out")


def test_packages_in_another_format_are_refused(world: World, tmp_path: Path) -> None:
    for files in ({}, {"tags.json": "[]"}, {"tags.json": "{"}, {"tags.json": '{"a": 1}', "icons/a.svg": ""}):
        package = write_package(world.folder, "lucide-static", files, licence="ISC")
        world.catalogue[0] = replace(world.catalogue[0], packages={"pictures": package})
        with pytest.raises(DataError, match=r"package|isn't in its format"):
            world.build(tmp_path / "out")


def test_the_catalogue_is_complete() -> None:
    for source in SOURCES:
        assert source.licence
        assert source.attribution
        assert not {"SA", "NC", "ND", "GPL"} & set(re.split(r"[- ]", source.licence))
        assert set(source.packages) == set(source.wanted)
        for package in source.packages.values():
            assert len(package.integrity) == len("sha512-") + 88
    assert len({source.key for source in SOURCES}) == len(SOURCES)
    assert all(one.reason for one in LEFT_OUT)


@pytest.mark.slow
def test_the_real_packages(tmp_path: Path) -> None:
    packages = [package for source in SOURCES for package in source.packages.values()]
    missing = [p.file_name for p in packages if not (real_cache() / p.file_name).is_file()]
    if missing:
        pytest.skip(f"not in {real_cache()}: {', '.join(missing)}; `ggm corpus art` fetches them")
    keys = tuple(source.key for source in SOURCES)
    summary = build_art(tmp_path / "out", ArtConfig(limit=200, only=keys), source=real_cache())
    assert summary.dropped["beyond the limit"] > 30_000
    assert sum(summary.pictures_per_source.values()) > 150


def real_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ggm" / "packages"
