"""Debian packages without root: `apt-get download` fetches them, the standard library unpacks them.

A .deb is an `ar` archive whose member ``data.tar.*`` holds the files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ggm.errors import DataError

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/ggm/packages``, else ``~/.cache/ggm/packages``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ggm" / "packages"


def find_package(name: str, *, folder: Path) -> Path | None:
    """The newest ``NAME_VERSION_ARCH.deb`` in a folder, or None."""
    found = sorted(folder.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def fetch_packages(names: Sequence[str], *, folder: Path | None = None) -> tuple[Path, ...]:
    """Downloads packages with `apt-get download`, which needs no root and checks their hashes.

    Args:
        names: Package names.
        folder: Where they go; by default `cache_folder()`. What is already there is kept.

    Returns:
        One .deb path a name.

    Raises:
        DataError: If apt-get is absent or fails.
    """
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if find_package(name, folder=folder) is None]
    if missing:
        _download(missing, folder)
    paths = []
    for name in names:
        path = find_package(name, folder=folder)
        if path is None:
            raise DataError(f"{folder}: apt-get reported success, but there is no {name}_*.deb")
        paths.append(path)
    return tuple(paths)


def _download(names: Sequence[str], folder: Path) -> None:
    wanted = " ".join(names)
    by_hand = (
        f"download {wanted} (packages.debian.org has them) into a folder by hand "
        "and name that folder as the source"
    )
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        raise DataError(f"apt-get isn't installed, so {wanted} can't be fetched; {by_hand}")
    # A folder of its own, so that a broken download never looks like a package.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        done = subprocess.run(
            [apt_get, "download", *names], cwd=temporary, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise DataError(
                f"apt-get download {wanted} failed: {reason[0]}; run `apt-get update` as root once, "
                f"or {by_hand}"
            )
        for path in sorted(Path(temporary).glob("*.deb")):
            path.replace(folder / path.name)


def unpack_package(path: Path, *, into: Path, prefix: str) -> int:
    """Unpacks the part of a .deb that lies under a prefix.

    Args:
        path: The .deb.
        into: Folder that gets the files, under their whole paths.
        prefix: Such as ``usr/share/openclipart/``.

    Returns:
        Number of files and links unpacked.

    Raises:
        DataError: If the file isn't a Debian package, is truncated, or wants to write elsewhere.
    """
    try:
        with path.open("rb") as package:
            _seek_data(package, path)
            # Streamed: the archive is read once, from here on, and never whole into memory.
            with tarfile.open(fileobj=package, mode="r|*") as archive:
                return _extract(archive, into, prefix)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path}: can't be unpacked: {error}; download it again") from error


def _extract(archive: tarfile.TarFile, into: Path, prefix: str) -> int:
    count = 0
    for member in archive:
        if member.name.removeprefix("./").startswith(prefix):
            # "data" refuses absolute paths, parents, devices and links that lead outside.
            archive.extract(member, into, filter="data")
            count += not member.isdir()
    return count


def _seek_data(package: BinaryIO, path: Path) -> None:
    """Moves to the first byte of the member ``data.tar.*``."""
    if package.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise DataError(f"{path}: not a Debian package")
    while len(header := package.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
        name = header[:16].decode("ascii", "replace").strip().rstrip("/")
        try:
            size = int(header[48:58])
        except ValueError:
            break
        if name.startswith("data.tar"):
            # Cut off between two of its files, an archive looks whole to tarfile.
            missing = size - (os.fstat(package.fileno()).st_size - package.tell())
            if missing > 0:
                raise DataError(
                    f"{path}: can't be unpacked: its last {missing:,} bytes are missing; download it again"
                )
            return
        package.seek(size + size % 2, os.SEEK_CUR)
    raise DataError(f"{path}: a Debian package without data, so damaged; download it again")
