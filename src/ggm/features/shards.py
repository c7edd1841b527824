"""One file of an `ArrayStore`: entries of named arrays, with a checksum for each array.

A shard is a safetensors file of small tables and one block of bytes, so that its index is read
without parsing a name for each array, and any one array without touching the others:

    keys       uint8 (entries, 16)   digest of each entry's key
    offsets    uint64 (arrays,)      where each array begins in ``bytes``
    kinds      uint32 (arrays,)      its name, type and shape: a place in the metadata's ``kinds``
    checksums  uint32 (arrays,)      CRC-32 of its bytes
    ends       uint32 (entries,)     where each entry's rows end in the three tables above
    bytes      uint8 (bytes,)        the arrays themselves, those of one name together

Arrays are read with `os.preadv`, not through a memory map: a disk that fails or a file that is cut
off under a reader is then an error to handle and not the end of the process.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]

FORMAT: Final = "ggm-arrays-1"
KEY_BYTES: Final = 16
SUFFIX: Final = ".shard-1.safetensors"  # another format gets another: what isn't ours is never touched
PARTIAL_SUFFIX: Final = ".partial"

_PLAIN_KINDS: Final = "biufc"  # numpy's letters for booleans and numbers
_LONGEST_HEADER: Final = 100_000_000  # as in safetensors
_FIRST_READ: Final = 32 * 1024  # holds header and tables of most shards
_TABLES: Final = (("offsets", "U64", "<u8"), ("kinds", "U32", "<u4"), ("checksums", "U32", "<u4"))


class DamagedError(ValueError):
    """Bytes that aren't those that were written."""


class Kind(NamedTuple):
    """What an array is besides its content."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size of such an array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Shard:
    """The index of one shard. It holds no open file: the caller lends one to read from.

    Args:
        path: The file.
        kinds: Of the shard, each once.
        tables: ``offsets``, ``kinds``, ``checksums`` and ``ends``.
        start: Where ``bytes`` begins in the file.
        num_bytes: Length that the file should have.
    """

    __slots__ = ("_kinds", "_sound", "_start", "_tables", "num_bytes", "path", "touched")

    def __init__(
        self,
        path: Path,
        kinds: tuple[Kind, ...],
        tables: Mapping[str, npt.NDArray[Any]],
        *,
        start: int,
        num_bytes: int,
    ) -> None:
        self.path = path
        self.num_bytes = num_bytes
        self.touched = 0.0  # when the store last noted its use
        self._kinds = kinds
        self._tables = tables
        self._start = start
        self._sound = bytearray(len(tables["offsets"]))  # whose checksum was seen to be right

    def __len__(self) -> int:
        return len(self._tables["ends"])

    def read(self, descriptor: int, entry: int, names: Collection[str] | None = None) -> Arrays:
        """Read an entry's arrays, or those of these names; others aren't touched.

        Args:
            descriptor: The open file.
            entry: Place of the entry.
            names: Names that the entry lacks are passed over.

        Raises:
            DamagedError: If an array was cut off, or at its first reading has another checksum.
            OSError: If the file can't be read.
        """
        ends, arrays = self._tables["ends"], {}
        for row in range(int(ends[entry - 1]) if entry else 0, int(ends[entry])):
            kind = self._kinds[self._tables["kinds"][row]]
            if names is None or kind.name in names:
                arrays[kind.name] = self._read_array(descriptor, row, kind)
        return arrays

    def _read_array(self, descriptor: int, row: int, kind: Kind) -> npt.NDArray[Any]:
        array = np.empty(kind.shape, np.dtype(kind.dtype))
        content = _bytes_of(array)
        position = self._start + int(self._tables["offsets"][row])
        done = 0
        while done < len(content):
            count = os.preadv(descriptor, [content[done:]], position + done)
            if count == 0:
                raise DamagedError(f"{self.path}: cut off")
            done += count
        if not self._sound[row]:
            if zlib.crc32(content) != self._tables["checksums"][row]:
                raise DamagedError(f"{self.path}: {kind.name} has another checksum than it was written with")
            self._sound[row] = 1
        return array


class OpenFiles:
    """The most recently used files, kept open.

    Args:
        most: How many at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._descriptors: OrderedDict[int, int] = OrderedDict()

    def open(self, number: int, path: Path) -> int:
        """The descriptor of a file, which may be closed by the next call.

        Raises:
            OSError: If it can't be opened.
        """
        if number in self._descriptors:
            self._descriptors.move_to_end(number)
        else:
            while len(self._descriptors) >= self._most:
                os.close(self._descriptors.popitem(last=False)[1])
            self._descriptors[number] = os.open(path, os.O_RDONLY)
        return self._descriptors[number]

    def discard(self, number: int) -> None:
        """Close a file, if it is open."""
        if number in self._descriptors:
            os.close(self._descriptors.pop(number))

    def close(self) -> None:
        """Close all files."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


def open_shard(path: Path, *, kinds_seen: dict[Kind, Kind]) -> tuple[Shard, list[bytes]]:
    """Read the index of a shard, and check it.

    Args:
        path: The file.
        kinds_seen: Kinds of other shards, so that equal ones are kept once.

    Returns:
        The shard, and the digests of its entries' keys.

    Raises:
        DamagedError: If header or tables aren't as they were written.
        OSError: If the file can't be read.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        first = os.pread(descriptor, _FIRST_READ, 0)
        try:
            header_end = 8 + int.from_bytes(first[:8], "little")
            if not 8 < header_end <= _LONGEST_HEADER:
                raise DamagedError(f"{path}: not a shard")
            metadata = json.loads(_upto(descriptor, first, header_end)[8:header_end])["__metadata__"]
            if metadata["format"] != FORMAT:
                raise DamagedError(f"{path}: of another format")
            entries, arrays, size = (int(metadata[name]) for name in ("entries", "arrays", "bytes"))
            if not 0 <= max(entries, arrays) < 2**32:
                raise DamagedError(f"{path}: not a shard")
            start = header_end + entries * (KEY_BYTES + 4) + arrays * 16
            content = _upto(descriptor, first, start)[header_end:start]
            if int(metadata["crc32"]) != _index_checksum(metadata, content):
                raise DamagedError(f"{path}: its index has another checksum than it was written with")
            kinds = tuple(
                Kind(name, dtype, tuple(shape)) for name, dtype, shape in json.loads(metadata["kinds"])
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(str(error)) from error
    finally:
        os.close(descriptor)
    tables = _tables_of(content, entries, arrays)
    shard = Shard(
        path,
        tuple(kinds_seen.setdefault(kind, kind) for kind in kinds),
        tables,
        start=start,
        num_bytes=start + size,
    )
    return shard, [content[place : place + KEY_BYTES] for place in range(0, entries * KEY_BYTES, KEY_BYTES)]


class EncodedShard(NamedTuple):
    """A shard that is ready to be written."""

    head: bytes
    arrays: list[npt.NDArray[Any]]

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return len(self.head) + sum(array.nbytes for array in self.arrays)


def write_shard(path: Path, shard: EncodedShard) -> None:
    """Write a shard, whole or not at all; it is on the disk when this returns.

    Args:
        path: Must not exist. Its folder must.
        shard: See `encode_shard`.

    Raises:
        OSError: If it can't be written; nothing is left of it then.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=PARTIAL_SUFFIX)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(shard.head)
            for array in shard.arrays:
                file.write(_bytes_of(array))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # temporary files are private, a cache is shared
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    _sync_folder(path.parent)


def checked(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """A copy that can be written.

    Raises:
        ValueError: If it holds anything but booleans or numbers.
    """
    copy = np.array(array, order="C", copy=True)
    if copy.dtype.kind not in _PLAIN_KINDS:
        raise ValueError(f"only arrays of booleans or numbers can be kept, got {copy.dtype}")
    return copy


def encode_shard(entries: Mapping[bytes, Arrays]) -> EncodedShard:
    """Lay entries out, by the digest of their keys; their arrays are `checked` ones."""
    kinds: dict[Kind, int] = {}
    rows = [
        (Kind(name, array.dtype.str, array.shape), array)
        for arrays in entries.values()
        for name, array in arrays.items()
    ]
    kind_of = [kinds.setdefault(kind, len(kinds)) for kind, _ in rows]
    # Those of one name together: whoever reads a single array of each entry reads a run of bytes.
    order = sorted(range(len(rows)), key=lambda row: rows[row][0].name)
    offsets, end = np.zeros(len(rows), "<u8"), 0
    for row in order:
        offsets[row] = end
        end += rows[row][1].nbytes
    tables = {
        "keys": np.frombuffer(b"".join(entries), np.uint8).reshape(len(entries), KEY_BYTES),
        "offsets": offsets,
        "kinds": np.array(kind_of, "<u4"),
        "checksums": np.array([zlib.crc32(_bytes_of(array)) for _, array in rows], "<u4"),
        "ends": np.cumsum([len(arrays) for arrays in entries.values()], dtype="<u4"),
    }
    content = b"".join(table.tobytes() for table in tables.values())
    metadata = {
        "format": FORMAT,
        "entries": str(len(entries)),
        "arrays": str(len(rows)),
        "bytes": str(end),
        "kinds": json.dumps([list(kind) for kind in kinds]),
    }
    metadata["crc32"] = str(_index_checksum(metadata, content))
    described = json.dumps({"__metadata__": metadata, **_described(tables, end)}).encode()
    described += b" " * (-len(described) % 8)
    head = len(described).to_bytes(8, "little") + described + content
    return EncodedShard(head, [rows[row][1] for row in order])


def _described(tables: Mapping[str, npt.NDArray[Any]], num_bytes: int) -> dict[str, dict[str, Any]]:
    """The tensors as safetensors describes them."""
    types = {"keys": "U8", "ends": "U32", **{name: kind for name, kind, _ in _TABLES}}
    described, position = {}, 0
    for name, table in tables.items():
        offsets = [position, position + table.nbytes]
        described[name] = {"dtype": types[name], "shape": list(table.shape), "data_offsets": offsets}
        position += table.nbytes
    offsets = [position, position + num_bytes]
    return {**described, "bytes": {"dtype": "U8", "shape": [num_bytes], "data_offsets": offsets}}


def _tables_of(content: bytes, entries: int, arrays: int) -> dict[str, npt.NDArray[Any]]:
    tables, position = {}, entries * KEY_BYTES
    for name, _, dtype in _TABLES:
        tables[name] = np.frombuffer(content, dtype, arrays, position).copy()  # not to hold on to the keys
        position += tables[name].nbytes
    tables["ends"] = np.frombuffer(content, "<u4", entries, position).copy()
    return tables


def _index_checksum(metadata: Mapping[str, str], content: bytes) -> int:
    stated = [metadata[name] for name in ("format", "entries", "arrays", "bytes", "kinds")]
    return zlib.crc32(content, zlib.crc32("\n".join(stated).encode()))


def _upto(descriptor: int, first: bytes, end: int) -> bytes:
    """The file's first bytes, of which some are read already."""
    if end <= len(first):
        return first
    if end > os.fstat(descriptor).st_size:  # asked before memory is: the number may be a damaged one
        raise DamagedError("cut off")
    rest = os.pread(descriptor, end - len(first), len(first))
    if len(first) + len(rest) < end:
        raise DamagedError("cut off")
    return first + rest


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems can't
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def shard_names(folder: Path) -> Iterator[str]:
    """Names of the shards of a folder, in no order; none if there is no folder."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
        yield from (file.name for file in files if file.name.endswith(SUFFIX) and file.name[0] != ".")


def new_shard_path(folder: Path, *, like: Path | None = None) -> Path:
    """A path that no other process takes. Sorted by name is sorted by time.

    Args:
        folder: Of the shards.
        like: A shard whose time to take instead of the present.
    """
    moment = like.name.split("-")[0] if like else f"{time.time_ns():020d}"
    return folder / f"{moment}-{os.urandom(6).hex()}{SUFFIX}"
