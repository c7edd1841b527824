"""The hashtag pool K that guidance comes from (paper, section 3.1), and the search in it.

A pool is living: hashtags come and go without any training. Its vectors belong to the retriever
that made them, and the pool carries that retriever's fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.hashtags import key, normalise
from ggm.records import Hit
from ggm.retriever.index import ExactIndex, Index, Vectors
from ggm.retriever.similarity import check_width, closest, stored_units, unit_length

Precision = Literal["float16", "float32"]
Embed = Callable[[Sequence[str]], npt.NDArray[Any]]
"""Canonical hashtags to vectors (n, E) of any length; the retriever's text tower."""

_FORMAT: Final = "ggm-pool-1"
_HEADER: Final = "pool"


class Pool(Protocol):
    """What guidance needs of a pool: `HashtagPool`, or a pool that changes while it is searched."""

    @property
    def embedding_dim(self) -> int:
        """E, the width of the vectors."""

    @property
    def retriever_fingerprint(self) -> str:
        """Of the retriever that makes the vectors."""

    @property
    def hashtags(self) -> tuple[str, ...]:
        """All hashtags, in the order in which they came."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, text: object) -> bool: ...

    def target(self, text: str) -> str | None:
        """The hashtag that another name stands for; None if the text is no such name."""

    def vectors_of(self, hashtags: Sequence[str]) -> list[Vectors | None]:
        """Vectors (E,) of hashtags as they stand in the pool; see `HashtagPool.vectors_of`."""

    def search(self, query: npt.NDArray[Any], top_k: int) -> tuple[Hit, ...]:
        """The hashtags closest to one query (E,); see `HashtagPool.search`."""

    def search_many(self, queries: npt.NDArray[Any], top_k: int) -> list[tuple[Hit, ...]]:
        """The same for each of (B, E) queries; see `HashtagPool.search_many`."""

    def save(self, path: str | Path) -> None:
        """Write the one file that `HashtagPool.load` reads."""


@dataclass(frozen=True)
class _Contents:
    """What a pool holds at one moment; replaced as a whole, so that searches need no lock."""

    texts: tuple[str, ...]
    rows: dict[str, int]  # key of each text -> its row
    vectors: Vectors
    index: Index


class HashtagPool:
    """Hashtags and their unit vectors, searched by cosine similarity (paper, equation 2).

    Equal hashtags (see `ggm.hashtags.same`) stand in it once. Searching is safe while another
    thread adds or removes: it sees the pool before or after, never between.

    Args:
        embedding_dim: E, the width of the vectors.
        retriever_fingerprint: Of the retriever that makes the vectors.
        precision: What vectors are rounded to when they come in. They are saved in it, so that a
            saved pool answers exactly as it did before.
        make_index: How the search is organised.

    Raises:
        PoolError: If the precision is unknown or the width isn't positive.
    """

    def __init__(
        self,
        *,
        embedding_dim: int,
        retriever_fingerprint: str,
        precision: Precision = "float16",
        make_index: Callable[[Vectors], Index] = ExactIndex,
    ) -> None:
        if precision not in ("float16", "float32"):
            raise PoolError(f"precision must be float16 or float32, got {precision!r}")
        if embedding_dim < 1:
            raise PoolError(f"embedding_dim must be at least 1, got {embedding_dim}")
        self.embedding_dim = embedding_dim
        self.retriever_fingerprint = retriever_fingerprint
        self.precision: Precision = precision
        self._make_index = make_index
        self._writing = threading.Lock()
        self._set({}, np.zeros((0, embedding_dim), np.float32))

    @classmethod
    def build(
        cls,
        hashtags: Sequence[str],
        embed: Embed,
        *,
        retriever_fingerprint: str,
        precision: Precision = "float16",
        make_index: Callable[[Vectors], Index] = ExactIndex,
    ) -> HashtagPool:
        """Embed hashtags once and pool them.

        Args:
            hashtags: At least one; the last of equal ones stays.
            embed: Called once, with the canonical hashtags.
            retriever_fingerprint: Of the retriever behind ``embed``.
            precision: See `HashtagPool`.
            make_index: See `HashtagPool`.

        Raises:
            PoolError: If there is no hashtag, or a vector is zero, infinite or NaN.
            HashtagError: If a text holds no hashtag.
        """
        texts = list({key(text): normalise(text) for text in hashtags}.values())
        if not texts:
            raise PoolError("a pool needs at least one hashtag to be built from")
        vectors = np.asarray(embed(texts))
        if vectors.ndim != 2 or vectors.shape[1] == 0:
            raise PoolError(f"vectors must be ({len(texts)}, width), got {vectors.shape}")
        pool = cls(
            embedding_dim=vectors.shape[1],
            retriever_fingerprint=retriever_fingerprint,
            precision=precision,
            make_index=make_index,
        )
        pool.add(texts, vectors)
        return pool

    def __len__(self) -> int:
        return len(self._contents.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents.texts)

    def __contains__(self, text: object) -> bool:
        try:
            return isinstance(text, str) and key(text) in self._contents.rows
        except HashtagError:
            return False

    def __repr__(self) -> str:
        return f"HashtagPool({len(self)} x {self.embedding_dim} {self.precision})"

    @property
    def hashtags(self) -> tuple[str, ...]:
        """All hashtags, in the order in which they came."""
        return self._contents.texts

    @property
    def vectors(self) -> Vectors:
        """float32 (n, E): the unit vectors of `hashtags`, rounded to the precision; can't be written to."""
        return self._contents.vectors

    def vectors_of(self, hashtags: Sequence[str]) -> list[Vectors | None]:
        """Vectors of hashtags as they stand in the pool, to save embedding them again.

        Returns:
            For each hashtag float32 (E,), of unit length, rounded to the precision; None for one that isn't
            in the pool.

        Raises:
            HashtagError: If a text holds no hashtag.
        """
        contents = self._contents
        rows = [contents.rows.get(key(text)) for text in hashtags]
        return [None if row is None else contents.vectors[row] for row in rows]

    def add(self, hashtags: Sequence[str], vectors: npt.NDArray[Any]) -> None:
        """Add hashtags, or replace those that are there already.

        Copies the pool, so add many at once rather than one by one.

        Args:
            hashtags: n of them; the last of equal ones stays.
            vectors: (n, E) of this pool's retriever, of any length but zero.

        Raises:
            PoolMismatchError: If the vectors are of another width.
            PoolError: If there isn't one vector a hashtag, or one is zero, infinite or NaN.
            HashtagError: If a text holds no hashtag. The pool stays as it was.
        """
        units = stored_units(hashtags, vectors, embedding_dim=self.embedding_dim, precision=self.precision)
        incoming = {key(text): (normalise(text), row) for row, text in enumerate(hashtags)}
        with self._writing:
            old = self._contents
            texts = dict(zip(old.rows, old.texts, strict=True))
            texts |= {name: text for name, (text, _) in incoming.items()}
            places = {name: place for place, name in enumerate(texts)}
            merged = np.empty((len(texts), self.embedding_dim), np.float32)
            merged[: len(old.texts)] = old.vectors
            for name, (_, row) in incoming.items():
                merged[places[name]] = units[row]
            self._set(texts, merged)

    def remove(self, hashtags: Sequence[str]) -> None:
        """Take hashtags out.

        Raises:
            PoolError: If one isn't in the pool. The pool stays as it was.
            HashtagError: If a text holds no hashtag.
        """
        names = {key(text): text for text in hashtags}
        with self._writing:
            old = self._contents
            if unknown := [text for name, text in names.items() if name not in old.rows]:
                raise PoolError(f"not in the pool: {', '.join(unknown)}")
            kept = [row for name, row in old.rows.items() if name not in names]
            self._set({key(old.texts[row]): old.texts[row] for row in kept}, old.vectors[kept])

    def target(self, text: str) -> str | None:  # noqa: ARG002
        """None: hashtags have no other names here, as they have in a living pool."""
        return None

    def search(self, query: npt.NDArray[Any], top_k: int) -> tuple[Hit, ...]:
        """The hashtags closest to one query.

        Args:
            query: (E,), of any length but zero.
            top_k: How many, at least 1; a smaller pool gives all it has.

        Returns:
            In descending similarity, equal ones in the order of their texts.

        Raises:
            PoolMismatchError: If the query is of another width.
            PoolError: If the pool is empty, or the query is zero, infinite or NaN.
            ValueError: If ``top_k`` is below 1.
        """
        return self.search_many(np.asarray(query)[None], top_k)[0]

    def search_many(self, queries: npt.NDArray[Any], top_k: int) -> list[tuple[Hit, ...]]:
        """Search for each of (B, E) queries exactly as `search` does; see there.

        Raises:
            PoolMismatchError: If the queries are of another width.
            PoolError: If the pool is empty, or a query is zero, infinite or NaN.
            ValueError: If ``top_k`` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        contents = self._contents
        if not contents.texts:
            raise PoolError("the hashtag pool is empty; add hashtags before searching it")
        check_width(queries, self.embedding_dim)
        units = unit_length(queries, "query {}".format)
        found = contents.index.candidates(units.astype(np.float32), min(top_k, len(contents.texts)))
        return [
            closest(query, [contents.texts[row] for row in rows], contents.vectors[rows], top_k)
            for query, rows in zip(units, found, strict=True)
        ]

    def save(self, path: str | Path) -> None:
        """Write the pool to one file, or leave what was there.

        The file is in safetensors format; its header holds the hashtags and what they belong to as
        JSON, so that vectors and texts can't be parted.

        Raises:
            PoolError: If it can't be written.
        """
        contents = self._contents
        stored = contents.vectors.astype(self.precision)
        write_pool(path, contents.texts, stored, retriever_fingerprint=self.retriever_fingerprint)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        retriever_fingerprint: str | None = None,
        make_index: Callable[[Vectors], Index] = ExactIndex,
    ) -> HashtagPool:
        """Read a pool.

        Args:
            path: A file that `save` wrote.
            retriever_fingerprint: Of the retriever that will search it; None accepts any pool.
            make_index: See `HashtagPool`.

        Raises:
            PoolError: If there is no such file, or it isn't a pool or is damaged.
            PoolMismatchError: If another retriever made it.
        """
        header, stored = _read(Path(path))
        if header.get("format") != _FORMAT:
            raise PoolError(f"{path}: not a hashtag pool of format {_FORMAT}")
        made_by = header.get("retriever_fingerprint", "")
        if retriever_fingerprint is not None and made_by != retriever_fingerprint:
            raise PoolMismatchError(
                f"{path}: this pool was made by another retriever ({made_by[:12]}, not "
                f"{retriever_fingerprint[:12]}); build it anew with the one that will search it"
            )
        try:
            texts = list(header["hashtags"])
            names = {key(text): text for text in texts}
            intact = header["sha256"] == _digest(texts, stored)
            precision: Any = str(stored.dtype)
            pool = cls(
                embedding_dim=stored.shape[1],
                retriever_fingerprint=made_by,
                precision=precision,
                make_index=make_index,
            )
        except (
            KeyError,
            ValueError,
            TypeError,
            IndexError,
            AttributeError,
            HashtagError,
            PoolError,
        ) as error:
            raise PoolError(f"{path}: damaged pool: {error}") from error
        if not intact or len(names) != len(stored) or len(texts) != len(stored):
            raise PoolError(f"{path}: damaged pool: its hashtags and vectors aren't those that were saved")
        pool._set(names, stored.astype(np.float32))
        return pool

    def _set(self, texts: dict[str, str], vectors: Vectors) -> None:
        """Replace the contents, in one assignment."""
        vectors.flags.writeable = False
        rows = {name: row for row, name in enumerate(texts)}
        self._contents = _Contents(tuple(texts.values()), rows, vectors, self._make_index(vectors))


def write_pool(
    path: str | Path, texts: Sequence[str], stored: npt.NDArray[Any], *, retriever_fingerprint: str
) -> None:
    """Write the file that `HashtagPool.load` reads, or leave what was there.

    Args:
        path: Where to.
        texts: n different canonical hashtags.
        stored: (n, E), their unit vectors in the pool's precision.
        retriever_fingerprint: Of the retriever that made them.

    Raises:
        PoolError: If it can't be written.
    """
    header = {
        "format": _FORMAT,
        "retriever_fingerprint": retriever_fingerprint,
        "count": len(texts),
        "sha256": _digest(texts, stored),
        "hashtags": list(texts),
    }
    # One entry: safetensors writes several in any order, and equal pools shall be equal files.
    metadata = {_HEADER: json.dumps(header, ensure_ascii=False)}
    _write_atomically(Path(path), save({"vectors": stored}, metadata=metadata))


def _digest(texts: Sequence[str], stored: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode())
    digest.update(np.ascontiguousarray(stored).tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            return header if isinstance(header, dict) else {}, file.get_tensor("vectors")
    except (SafetensorError, ValueError) as error:
        raise PoolError(f"{path}: not a hashtag pool, or damaged: {error}") from error
    except OSError as error:
        raise PoolError(f"{path}: can't read the hashtag pool: {error.strerror or error}") from error


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise PoolError(f"{path}: can't write the hashtag pool: {error.strerror or error}") from error
