from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.debian import cache_folder, fetch_packages, find_package, unpack_package
from ggm.errors import DataError

PREFIX = "usr/share/openclipart/"


def test_only_the_wanted_tree_is_unpacked(tmp_path: Path, library: Any, make_deb: Any) -> None:
    library.add("birds/swan")
    (library.root / "svg/link.svg").symlink_to("birds/swan.svg")
    deb = make_deb(tmp_path / "a.deb", library.root, **{"./etc/elsewhere": b"x"})
    out = tmp_path / "out"
    assert unpack_package(deb, into=out, prefix=PREFIX) == 3
    unpacked = out / "usr/share/openclipart"
    assert (unpacked / "svg/birds/swan.svg").read_bytes() == (
        library.root / "svg/birds/swan.svg"
    ).read_bytes()
    assert (unpacked / "png/birds/swan.png").read_bytes() == (
        library.root / "png/birds/swan.png"
    ).read_bytes()
    assert (unpacked / "svg/link.svg").is_symlink()
    assert not (out / "etc").exists()


def test_a_package_that_wants_to_write_elsewhere_is_refused(tmp_path: Path, make_deb: Any) -> None:
    deb = make_deb(tmp_path / "evil.deb", **{f"{PREFIX}../../../../evil": b"x"})
    with pytest.raises(DataError, match=r"evil\.deb: can't be unpacked"):
        unpack_package(deb, into=tmp_path / "deep" / "er", prefix=PREFIX)
    assert not list(tmp_path.rglob("evil"))


def test_damaged_packages_are_named(tmp_path: Path, library: Any, make_deb: Any) -> None:
    library.add("swan")
    deb = make_deb(tmp_path / "a.deb", library.root)
    whole = deb.read_bytes()
    for content, reason in [
        (b"", "not a Debian package"),
        (b"PK\x03\x04" * 30, "not a Debian package"),
        (whole[:90], "without data"),
        (whole[: len(whole) - 400], "can't be unpacked"),
        (whole[:50] + b"x" * 20 + whole[70:], "without data"),
    ]:
        deb.write_bytes(content)
        with pytest.raises(DataError, match=reason) as caught:
            unpack_package(deb, into=tmp_path / "out", prefix=PREFIX)
        assert "a.deb" in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        unpack_package(tmp_path / "none.deb", into=tmp_path / "out", prefix=PREFIX)


def fake_apt_get(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    program = folder / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_packages_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt_get(
        tmp_path / "bin",
        f'shift; for p; do echo "$p" >> {tmp_path}/log; : > "${{p}}_1%3a2_all.deb"; done',
        monkeypatch,
    )
    folder = tmp_path / "cache"
    expected = (folder / "one_1%3a2_all.deb", folder / "two_1%3a2_all.deb")
    assert fetch_packages(["one", "two"], folder=folder) == expected
    assert fetch_packages(["two", "one"], folder=folder) == expected[::-1]
    assert (tmp_path / "log").read_text().split() == ["one", "two"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in expected), "no temporary folder"


def test_a_failed_download_says_what_to_do_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_apt_get(tmp_path / "bin", ": > one_half.deb; echo 'E: Unable to locate' >&2; exit 100", monkeypatch)
    with pytest.raises(DataError, match="E: Unable to locate; run `apt-get update`"):
        fetch_packages(["one"], folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_success_without_a_package_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt_get(tmp_path / "bin", "exit 0", monkeypatch)
    with pytest.raises(DataError, match=r"no one_\*\.deb"):
        fetch_packages(["one"], folder=tmp_path / "cache")


def test_without_apt_get_the_error_names_the_other_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"apt-get isn't installed.*name that folder as the source"):
        fetch_packages(["one"], folder=tmp_path / "cache")


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ggm" / "packages"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ggm" / "packages"


def test_a_package_is_found_by_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "one-svg_1_all.deb").touch()
    assert find_package("one", folder=tmp_path) is None
    assert find_package("one-svg", folder=tmp_path) == tmp_path / "one-svg_1_all.deb"
