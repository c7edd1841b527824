"""The folder of a living pool, of which every file takes its place whole or not at all.

    pool.json                   settings, and which of the files below count: the one file that is replaced
    hashtags-000000000457.jsonl hashtags with their uses, aliases and the rest, after record 457
    vectors-000000000457.npy    the hashtags' unit vectors, row by row
    journal-000000000458.jsonl  what happened since (`ggm.pool.journal`)
    lock                        held by the one process that writes

A file that `pool.json` doesn't name is what a crash left, and goes when the pool is next written to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np

from ggm.corpus.atomic import lock_file
from ggm.errors import GgmError, PoolError
from ggm.hashtags import key
from ggm.pool.journal import name_of
from ggm.pool.state import Alias, Frozen, PoolSettings, State, Watched
from ggm.pool.uses import Uses
from ggm.pool.vectors import rows_of

MANIFEST: Final = "pool.json"
LOCK: Final = "lock"

_FORMAT: Final = "ggm-living-pool-1"
_OURS: Final = re.compile(r"(hashtags|vectors|journal)-\d{12}\.(jsonl|npy)|\.pool\.json\.[0-9a-f]{8}\.tmp")
_ROWS_AT_ONCE: Final = 4096
_MAPPED_FROM_BYTES: Final = 16 * 1024**2


@dataclass(frozen=True)
class Manifest:
    """What ``pool.json`` says.

    Args:
        pool_id: Drawn when the pool was made, so that files of two pools can't be mixed.
        settings: Of the pool.
        records: How many records the snapshot includes.
        sha256: Of the snapshot's files, by name.
        journals: The first record of each journal, in order; the last one is written to.
    """

    pool_id: str
    settings: PoolSettings
    records: int
    sha256: Mapping[str, str]
    journals: tuple[int, ...]


def exists(folder: Path) -> bool:
    """Tell whether there is a living pool."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """Read ``pool.json``.

    Raises:
        PoolError: If it is missing, damaged, or of another format.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_bytes())
        checksum = values.pop("crc32")
        if values["format"] != _FORMAT:
            raise PoolError(f"{path}: format {values['format']!r}, but this version of ggm reads {_FORMAT!r}")
        if checksum != _crc32(values):
            raise PoolError(f"{path}: damaged: its checksum doesn't fit; restore the folder from a backup")
        return Manifest(
            values["pool"],
            PoolSettings.from_dict(values["settings"]),
            values["snapshot"]["records"],
            values["snapshot"]["sha256"],
            tuple(values["journals"]),
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PoolError(f"{folder}: no living pool there; `ggm pool init {folder}` makes one") from error
    except OSError as error:
        raise PoolError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, GgmError) as error:
        if isinstance(error, PoolError):
            raise
        raise PoolError(f"{path}: damaged: {error}; restore the folder from a backup") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace ``pool.json``; the new one counts, even after a power failure, when this returns.

    Raises:
        PoolError: If it can't be written.
    """
    values: dict[str, Any] = {
        "format": _FORMAT,
        "pool": manifest.pool_id,
        "settings": manifest.settings.to_dict(),
        "snapshot": {"records": manifest.records, "sha256": dict(manifest.sha256)},
        "journals": list(manifest.journals),
    }
    values["crc32"] = _crc32(values)
    path = folder / MANIFEST
    temporary = folder / f".{MANIFEST}.{secrets.token_hex(4)}.tmp"
    with _durable(temporary) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
    try:
        os.replace(temporary, path)  # noqa: PTH105 - a call of os, as all that makes a change durable
        sync_folder(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise PoolError(f"{path}: can't be written: {error.strerror or error}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a small file that is on disk when this returns; its name is, after `sync_folder`.

    Raises:
        PoolError: If it can't be written.
    """
    with _durable(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable.

    Raises:
        OSError: If that fails.
    """
    if os.name != "posix":
        return  # elsewhere folders can't be synced, nor need they be
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_snapshot(folder: Path, records: int, frozen: Frozen, settings: PoolSettings) -> dict[str, str]:
    """Write a state's files; they count once the manifest names them.

    Args:
        folder: Of the pool.
        records: How many records the state includes.
        frozen: The state.
        settings: Of the pool.

    Returns:
        The SHA-256 of each file, by name.

    Raises:
        PoolError: If one can't be written.
    """
    writers: dict[str, Callable[[Callable[[bytes], None]], None]] = {
        f"hashtags-{records:012d}.jsonl": lambda write: _write_hashtags(frozen, write),
        f"vectors-{records:012d}.npy": lambda write: _write_vectors(frozen, settings, write),
    }
    digests: dict[str, str] = {}
    for name, writer in writers.items():
        digest = hashlib.sha256()
        with _durable(folder / name) as file:

            def write(content: bytes, file: BinaryIO = file, digest: Any = digest) -> None:
                digest.update(content)
                file.write(content)

            writer(write)
        digests[name] = digest.hexdigest()
    try:
        sync_folder(folder)
    except OSError as error:
        raise PoolError(f"{folder}: can't be written: {error.strerror or error}") from error
    return digests


def read_snapshot(folder: Path, manifest: Manifest) -> State:
    """Read the state that the manifest's snapshot holds.

    Raises:
        PoolError: If a file is damaged or can't be read.
        FileNotFoundError: If one isn't there.
    """
    paths = {name.split("-")[0]: folder / name for name in manifest.sha256}
    try:
        for path in paths.values():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != manifest.sha256[path.name]:
                    raise PoolError(
                        f"{path}: damaged: it is not the file that was written; "
                        "restore the pool's folder from a backup"
                    )
        return _read_state(paths["hashtags"], paths["vectors"], manifest.settings)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PoolError(f"{folder}: can't be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, GgmError) as error:
        if isinstance(error, PoolError):
            raise
        raise PoolError(f"{folder}: damaged snapshot: {error}") from error


def remove_leftovers(folder: Path, manifest: Manifest | None) -> None:
    """Remove files of ours that the manifest doesn't name; None names nothing."""
    named: set[str] = set()
    if manifest is not None:
        named = {*manifest.sha256, *map(name_of, manifest.journals)}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in named:
            with suppress(OSError):  # it only takes room
                path.unlink()


def holds_something_else(folder: Path) -> bool:
    """Tell whether there are files that no pool makes."""
    return any(
        path.name not in (MANIFEST, LOCK) and not _OURS.fullmatch(path.name) for path in folder.iterdir()
    )


def lock(folder: Path) -> IO[bytes]:
    """Become the one process that writes, until the file is closed or this process ends.

    Raises:
        PoolError: If another one is, or the lock can't be written.
    """
    path = folder / LOCK
    try:
        file = path.open("a+b")
    except OSError as error:
        raise PoolError(f"{path}: can't be written: {error.strerror or error}") from error
    if not lock_file(file):
        file.seek(0)
        holder = file.read(200).decode("utf-8", "replace").strip() or "another process"
        file.close()
        raise PoolError(
            f"{folder}: {holder} writes to this pool, and one process can at a time; "
            "end it, or open the pool for reading"
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
    return file


@contextmanager
def _durable(path: Path) -> Iterator[BinaryIO]:
    """A new file that is on disk when the block ends well, and gone if it doesn't."""
    try:
        try:
            with path.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except Exception:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PoolError(f"{path}: can't be written: {error.strerror or error}") from error


def _write_hashtags(frozen: Frozen, write: Callable[[bytes], None]) -> None:
    def line(**values: Any) -> None:
        write((json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode())

    for entry in frozen.entries.values():
        line(hashtag=entry.text, uses=entry.uses)
    for alias in frozen.aliases.values():
        line(alias=alias.text, of=alias.target)
    for item in frozen.watched.values():
        line(watched=item.text, uses=item.uses, sources=item.sources)
    for name in frozen.removed:
        line(removed=name)
    if frozen.total is not None:
        line(all=frozen.total)


def _write_vectors(frozen: Frozen, settings: PoolSettings, write: Callable[[bytes], None]) -> None:
    places = [entry.place for entry in frozen.entries.values()]
    dtype = np.dtype(settings.precision).newbyteorder("<")
    shape = (len(places), settings.embedding_dim)
    description = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(_Writer(write), description)
    for start in range(0, len(places), _ROWS_AT_ONCE):
        block = rows_of(frozen.chunks, places[start : start + _ROWS_AT_ONCE])
        write(block.astype(dtype).tobytes())


class _Writer:
    """A file for numpy, which writes the header of an array to it."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


def _read_state(hashtags: Path, vectors: Path, settings: PoolSettings) -> State:
    state = State(settings)
    large = vectors.stat().st_size > _MAPPED_FROM_BYTES  # an empty array can't be mapped
    stored = np.load(vectors, mmap_mode="r" if large else None, allow_pickle=False)
    if stored.ndim != 2 or stored.shape[1] != settings.embedding_dim:
        raise PoolError(f"{vectors}: damaged: vectors of shape {stored.shape}")
    texts: list[str] = []
    uses: list[Uses] = []

    def enter() -> None:
        start = len(state.entries)
        if start + len(texts) > len(stored):
            raise PoolError(f"{hashtags}: damaged: more hashtags than vectors")
        state.enter(texts, uses, stored[start : start + len(texts)].astype(np.float32))
        texts.clear()
        uses.clear()

    with hashtags.open("rb") as file:
        for line in file:
            values = json.loads(line)
            if "hashtag" in values:
                texts.append(values["hashtag"])
                uses.append(Uses(*values["uses"]))
                if len(texts) == _ROWS_AT_ONCE:
                    enter()
            elif "alias" in values:
                state.aliases[key(values["alias"])] = Alias(values["alias"], values["of"])
            elif "watched" in values:
                state.watched[key(values["watched"])] = Watched(
                    values["watched"], Uses(*values["uses"]), tuple(values["sources"])
                )
            elif "removed" in values:
                state.removed[values["removed"]] = None
            else:
                state.total = Uses(*values["all"])
    if texts:
        enter()
    if len(state.entries) != len(stored):
        raise PoolError(f"{hashtags}: damaged: {len(state.entries)} hashtags, {len(stored)} vectors")
    state.apply(())
    return state


def _crc32(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"
