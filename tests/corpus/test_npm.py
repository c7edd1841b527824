from __future__ import annotations

import gzip
import io
import stat
import tarfile
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus import npm
from ggm.corpus.npm import NpmPackage, fetch_npm_package, find_npm_package, read_npm_package
from ggm.errors import DataError
from npm_packages import write_package


def member(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def test_names_and_addresses() -> None:
    scoped, plain = NpmPackage("@tabler/icons", "3.52.0", ""), NpmPackage("ionicons", "8.1.0", "")
    assert (scoped.file_name, plain.file_name) == ("tabler-icons-3.52.0.tgz", "ionicons-8.1.0.tgz")
    assert scoped.url == "https://registry.npmjs.org/@tabler/icons/-/icons-3.52.0.tgz"
    assert plain.url == "https://registry.npmjs.org/ionicons/-/ionicons-8.1.0.tgz"


def test_what_is_wanted_is_read(tmp_path: Path) -> None:
    package = write_package(tmp_path, "@a/b", {"icons/x.svg": "<svg/>", "big.js": "never mind"})
    path = find_npm_package(package, folder=tmp_path)
    assert read_npm_package(path, wanted=lambda name: name.endswith(".svg")) == {"icons/x.svg": b"<svg/>"}


def test_a_changed_package_is_refused(tmp_path: Path) -> None:
    package = write_package(tmp_path, "a", {"x": "1"})
    path = tmp_path / package.file_name
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"a-1\.0\.0\.tgz: not a 1\.0\.0 as it was published"):
        find_npm_package(package, folder=tmp_path)
    with pytest.raises(
        DataError, match=r"has no b-1\.0\.0\.tgz; get it from https://registry\.npmjs\.org/b/-/b"
    ):
        find_npm_package(replace(package, name="b"), folder=tmp_path)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (member("package/../../evil"), "a path that leads elsewhere"),
        (member("/etc/evil"), "a path that leads elsewhere"),
        (member("package\\..\\evil"), "a path that leads elsewhere"),
        (member("package/link", tarfile.SYMTYPE, link="/etc/passwd"), "holds a link or a device"),
        (member("package/link", tarfile.LNKTYPE, link="package/package.json"), "holds a link or a device"),
        (member("package/pipe", tarfile.FIFOTYPE), "holds a link or a device"),
        (member("package/big.svg", size=300), "has 300 bytes, 200 are allowed"),
    ],
)
def test_hostile_archives_are_refused(
    tmp_path: Path, odd: tarfile.TarInfo, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npm, "MAX_MEMBER_BYTES", 200)
    package = write_package(tmp_path / "in", "a", {}, odd=(odd,))
    with pytest.raises(DataError, match=reason):
        read_npm_package(tmp_path / "in" / package.file_name, wanted=lambda name: True)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_archives_that_swell_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "MAX_UNPACKED_BYTES", 100_000)
    package = write_package(tmp_path, "a", {"unwanted": b"\0" * 200_000})
    assert (tmp_path / package.file_name).stat().st_size < 1000
    with pytest.raises(DataError, match="unpacks to more than 100,000 bytes"):
        read_npm_package(tmp_path / package.file_name, wanted=lambda name: name == "package.json")
    monkeypatch.setattr(npm, "MAX_MEMBERS", 2)
    package = write_package(tmp_path, "b", {"1": "", "2": ""})
    with pytest.raises(DataError, match="more than 2 files"):
        read_npm_package(tmp_path / package.file_name, wanted=lambda name: False)


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no tar")])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tgz: can't be read: .*; fetch it again"):
        read_npm_package(tmp_path / "x.tgz", wanted=lambda name: True)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    package = write_package(tmp_path, "a", {"x": bytes(range(256)) * 100})
    path = tmp_path / package.file_name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="can't be read"):
        read_npm_package(path, wanted=lambda name: True)


@pytest.fixture
def published(tmp_path: Path) -> tuple[NpmPackage, Path]:
    package = write_package(tmp_path / "registry", "@a/b", {"x": "1"})
    return package, tmp_path / "registry" / package.file_name


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    command = folder / "npm"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_npm_fetches_once(
    tmp_path: Path, published: tuple[NpmPackage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, path = published
    fake_npm(tmp_path / "bin", f'echo "$@" >> {tmp_path}/calls; cp {path} .', monkeypatch)
    for _ in range(2):
        fetched = fetch_npm_package(package, folder=tmp_path / "cache")
        assert fetched == tmp_path / "cache" / "a-b-1.0.0.tgz"
    assert (tmp_path / "calls").read_text() == "pack --silent --ignore-scripts @a/b@1.0.0\n"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["a-b-1.0.0.tgz"]


def test_what_npm_cannot_fetch_or_was_changed_leaves_nothing(
    tmp_path: Path, published: tuple[NpmPackage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, _ = published
    fake_npm(tmp_path / "bin", "echo no such package >&2; exit 1", monkeypatch)
    with pytest.raises(DataError, match=r"npm pack @a/b@1\.0\.0 failed: no such package; put a-b-1"):
        fetch_npm_package(package, folder=tmp_path / "cache")
    fake_npm(tmp_path / "bin2", "echo something else > a-b-1.0.0.tgz", monkeypatch)
    with pytest.raises(DataError, match="not @a/b"):
        fetch_npm_package(package, folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_npm_the_public_registry_is_asked(
    tmp_path: Path, published: tuple[NpmPackage, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, path = published
    asked = []

    def urlopen(url: str, **_: Any) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(path.read_bytes())

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    assert fetch_npm_package(package, folder=tmp_path / "cache").read_bytes() == path.read_bytes()
    assert asked == [package.url]

    def refuse(url: str, **_: Any) -> io.BytesIO:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(DataError, match=r"can't be fetched: .*no network"):
        fetch_npm_package(package, folder=tmp_path / "other")
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setattr(npm, "MAX_PACKAGE_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        fetch_npm_package(package, folder=tmp_path / "other")
