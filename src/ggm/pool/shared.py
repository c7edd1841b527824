"""A pool in Milvus that many processes search and change at the same time."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.errors import GgmError, PoolError
from ggm.hashtags import key
from ggm.pool.address import MilvusAddress
from ggm.pool.changes import Forget, Wish
from ggm.pool.changing import ChangingPool, Clock, Contents, PoolInfo, check_retriever
from ggm.pool.milvus_store import HASHTAGS, MOST_HITS, USES, VERSIONS, Found, IndexKind, MilvusStore, Row
from ggm.pool.replica import ALL, HASHTAG, NameRow, Replica, Staged, UsesRow
from ggm.pool.shared_rows import (
    NAMES_AT_ONCE,
    POOL,
    TOKEN,
    check_exists,
    fill,
    index_kind,
    pages,
    read_settings,
    uses_rows,
    version,
)
from ggm.pool.state import Change, PoolSettings, search_level, unpack
from ggm.pool.uses import IN_RESERVE, HalfLives, Uses, unused
from ggm.records import Hit
from ggm.retriever.index import Vectors
from ggm.retriever.pool import Embed, HashtagPool
from ggm.retriever.similarity import check_width, closest, unit_length

_REMEMBERED: Final = 200  # keys of the last changes that a writer tells of
_MORE: Final = 16  # hits besides those asked for, to see whether others are as close
_ROUNDING: Final = 1e-5  # more than Milvus's float32 products of unit vectors can be off
_VECTOR_PAGE: Final = 8_192
_QUERIES_AT_ONCE: Final = 64
_QUIET_SECONDS: Final = 3600.0

_Vectors = dict[str, npt.NDArray[np.float32]]


class SharedPool(ChangingPool):
    """A hashtag pool in Milvus, searched there. Make one with `create` or `open`.

    It answers as `ggm.pool.LivingPool` does. Any number of processes may have it open and write: a
    change is in the next search of each of them when the call that makes it has returned. Of
    two that change the same name at the same time, the last wins; uses that several count are added up.
    An embedded database is open in one process at a time, for any number of pools and threads.
    """

    def __init__(
        self,
        store: MilvusStore,
        settings: PoolSettings,
        *,
        index: IndexKind,
        embed: Embed | None,
        read_only: bool,
        trend_weight: float,
        clock: Clock,
    ) -> None:
        """Not for callers: use `create` or `open`."""
        super().__init__(str(store.address), settings, embed=embed, trend_weight=trend_weight, clock=clock)
        self.address = store.address
        self.index: IndexKind = index
        self._store = store
        self._read_only = read_only
        self._closed = False
        self._writer = uuid.uuid4().hex[:16]
        self._replica = Replica(settings)
        self._seen: dict[str, int] = {}  # writer -> how many of its changes are known
        self._token = ""
        self._generation = ""
        self._told: list[tuple[int, str, str]] = []  # of this writer's last changes: which, and the rows
        self._told_after = 0  # of later ones it tells all
        self._granting = threading.Lock()
        self._load()

    @classmethod
    def create(
        cls,
        address: MilvusAddress,
        pool: HashtagPool,
        *,
        embed: Embed | None = None,
        half_lives: HalfLives | None = None,
        trend_weight: float = 0.0,
        reserve_discount: float = 0.0,
        index: IndexKind = "flat",
        clock: Clock = time.time,
    ) -> SharedPool:
        """Make a shared pool of another one, and open it.

        Args:
            address: Where there is no pool of that name yet.
            pool: Its hashtags, vectors, precision and fingerprint are taken over; may be empty.
            embed: See `ggm.pool.LivingPool.open`.
            half_lives: How fast uses are forgotten; by default 3 and 30 days.
            trend_weight: See `search`; 0 for none.
            reserve_discount: See `reserve`; 0 for none.
            index: ``flat`` finds exactly the closest; ``hnsw`` is for pools of millions.
            clock: See `ggm.pool.LivingPool.open`.

        Raises:
            PoolError: If there is one, or Milvus can't be used.
            ConfigError: If a setting is out of range.
            MissingDependencyError: If pymilvus or milvus-lite isn't installed.
        """
        settings = PoolSettings(
            embedding_dim=pool.embedding_dim,
            retriever_fingerprint=pool.retriever_fingerprint,
            precision=pool.precision,
            half_lives=half_lives or HalfLives(),
            trend_weight=trend_weight,
            reserve_discount=reserve_discount,
        )
        uses = [unused(clock())] * len(pool)
        contents = Contents(settings, list(pool.hashtags), uses, pool.vectors, {}, {}, [], None)
        fill(address, contents, index_kind(index))
        return cls.open(address, embed=embed, clock=clock)

    @classmethod
    def open(
        cls,
        address: MilvusAddress,
        *,
        embed: Embed | None = None,
        retriever_fingerprint: str | None = None,
        read_only: bool = False,
        trend_weight: float | None = None,
        clock: Clock = time.time,
    ) -> SharedPool:
        """Open a pool.

        Args:
            address: Of a pool that `create` or `ggm pool migrate` made.
            embed: Embeds hashtags that come in without vectors: the retriever's text tower.
            retriever_fingerprint: Of the retriever that will search it; None accepts any pool.
            read_only: Refuse changes.
            trend_weight: See `search`; by default what the pool was made with.
            clock: The time, in seconds since 1970.

        Raises:
            PoolError: If there is no pool, Milvus can't be used, or another process has the embedded
                database open.
            PoolMismatchError: If another retriever made its vectors.
            ConfigError: If the weight is out of range.
            MissingDependencyError: If pymilvus or milvus-lite isn't installed.
        """
        check_exists(address)
        store = MilvusStore(address)
        try:
            settings, index = read_settings(store)
            check_retriever(str(address), settings, retriever_fingerprint)
            if trend_weight is not None:
                settings = replace(settings, trend_weight=trend_weight)  # checks it
            return cls(
                store,
                settings,
                index=index,
                embed=embed,
                read_only=read_only,
                trend_weight=settings.trend_weight,
                clock=clock,
            )
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Let go of the database. It can't be searched any more."""
        with self._granting, self._writing:
            if not self._closed:
                self._closed = True
                self._store.close()

    def __repr__(self) -> str:
        size = f"{len(self)} x {self.embedding_dim} {self.precision}"
        return f"SharedPool({self.where!r}, {size}{'' if self.writable else ', read only'})"

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return not self._read_only and not self._closed

    def info(self) -> PoolInfo:
        """How much there is of everything. Milvus keeps the journal, whose size isn't told: 0."""
        with self._writing:
            names = self._replica
            return PoolInfo(
                len(names.entries),
                len(names.aliases),
                len(names.watched),
                len(names.removed),
                0 if names.total is None else names.total.num_uses,
                sum(self._seen.values()),
                0,
                0,
            )

    def search_many(self, queries: npt.NDArray[Any], top_k: int) -> list[tuple[Hit, ...]]:
        """Search for each of (B, E) queries exactly as `search` does; see there.

        Milvus proposes, and the proposals are scored here as every pool scores them. With the index
        ``flat`` nothing is missed, as long as 16,384 proposals are enough.

        Raises:
            PoolMismatchError: If the queries are of another width.
            PoolError: As for `search`.
            ValueError: If ``top_k`` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        self.refresh()
        if not self._replica.entries:
            raise PoolError("the hashtag pool is empty; add hashtags before searching it")
        check_width(queries, self.embedding_dim)
        units = unit_length(queries, "query {}".format)
        if not len(units):
            return []
        highest = max(0.0, float(self._prior(np.array([self._replica.highest_level]))[0]))
        parts = {f"kind == {HASHTAG}": highest}
        if discount := self.settings.reserve_discount:  # apart, else one sort fills the first places
            parts = {
                f"kind == {HASHTAG} and since > 0": highest,
                f"kind == {HASHTAG} and since <= 0": -discount,
            }
        found = [self._closest(units, condition, most, top_k) for condition, most in parts.items()]
        return [
            tuple(
                sorted(
                    (hit for hits in of_query for hit in hits), key=lambda hit: (-hit.similarity, hit.text)
                )[:top_k]
            )
            for of_query in zip(*found, strict=True)
        ]

    def compact(self) -> None:
        """Forget watched hashtags that nobody used for four usual half-lives, and writers that are gone.

        All processes read the names anew after it.

        Raises:
            PoolError: As for `remove`.
        """
        self._check_writable()
        with self._granting, self._writing:
            self._follow()
            (forgotten,) = Forget(self._clock()).changes(self._replica) or [{"keys": []}]
            gone = set(forgotten["keys"])
            self._store.delete(USES, self._replica.uses_ids(gone.__contains__))
            rows = self._versions()
            before = self._clock() - _QUIET_SECONDS
            quiet = [name for name, body in rows.items() if name not in (POOL, TOKEN) and body["at"] < before]
            pool = rows[POOL]
            records = int(pool.get("records", 0)) + sum(rows[name]["seq"] for name in quiet)
            end = max(int(body["end"]) for name, body in rows.items() if name != TOKEN)
            self._store.delete(VERSIONS, quiet)
            pool |= {"generation": uuid.uuid4().hex, "records": records, "end": end}
            self._store.write(VERSIONS, [version(POOL, pool), version(TOKEN, uuid.uuid4().hex)])
            self._load()

    def refresh(self) -> bool:
        """Read what others wrote since; every search does so.

        Returns:
            Whether there was anything.

        Raises:
            PoolError: If Milvus can't be read.
        """
        if self._closed:
            raise PoolError(f"{self.where}: the pool was closed")
        token = self._current_token()
        if token == self._token:
            return False
        with self._writing:
            before = self._replica.records
            self._follow()
            return self._replica.records != before

    def vectors_of(self, hashtags: Sequence[str]) -> list[Vectors | None]:
        """See `ChangingPool`.

        Raises:
            HashtagError: If a text holds no hashtag.
            PoolError: If Milvus can't be asked.
        """
        names = [key(text) for text in hashtags]
        known = list(dict.fromkeys(name for name in names if name in self._replica.entries))
        rows = self._store.get(HASHTAGS, known, ["id", "vector"]) if known else []
        found = {row["id"]: np.asarray(row["vector"], np.float32) for row in rows}
        return [found.get(name) for name in names]

    # Inside

    @property
    def _names(self) -> Replica:
        return self._replica

    @property
    def _records(self) -> int:
        return self._replica.records

    def _vectors(self, names: Sequence[str]) -> Vectors:
        places = {name: place for place, name in enumerate(names)}
        vectors = np.zeros((len(names), self.embedding_dim), np.float32)
        missing = set(names)
        condition = f" and kind == {HASHTAG}"
        for page in pages(self._store, self._replica.next_place, _VECTOR_PAGE, ["id", "vector"], condition):
            for row in page:
                if row["id"] in places:
                    vectors[places[row["id"]]] = row["vector"]
                    missing.discard(row["id"])
        if missing:
            raise PoolError(f"{self.where}: {len(missing):,} hashtags went while it was read; read it again")
        return vectors

    def _check_writable(self) -> None:
        self._check_open()
        self.refresh()  # what others did decides what is new

    def _check_open(self) -> None:
        if self._closed:
            raise PoolError(f"{self.where}: the pool was closed")
        if self._read_only:
            raise PoolError(f"{self.where}: the pool was opened for reading only")

    def _grant(self, wish: Wish) -> None:
        """One at a time in this process; those of other processes may be between."""
        with self._granting:
            with self._writing:
                self._check_open()
                self._follow()
                changes = wish.changes(self._replica)
                staged, vectors = self._stage(changes)
            self._write(staged, vectors)

    def _stage(self, changes: Sequence[Change]) -> tuple[Staged, _Vectors]:
        """The rows that changes come to, and the vectors of the hashtags among them."""
        staged = Staged(self._replica, self._writer, self._seen.get(self._writer, 0) + 1)
        vectors: _Vectors = {}
        for change in changes:
            match change["change"]:
                case "add":
                    staged.add(change["hashtags"], change["at"])
                    own = unpack(change["vectors"], self.settings)
                    vectors |= dict(zip(map(key, change["hashtags"]), own, strict=True))
                case "remove":
                    staged.remove(change["keys"])
                case "alias":
                    names = self._replica
                    given = [
                        names.entries.get(key(text)) or names.watched.get(key(text))
                        for text in change["aliases"]
                    ]
                    for other in given:
                        if other is not None and other.uses != IN_RESERVE:
                            self._leave_reserve(staged, vectors, {change["of"]: other.uses})
                    staged.alias(change["of"], change["aliases"])
                case "use":
                    self._leave_reserve(staged, vectors, {n: Uses(*v) for n, v in change["uses"].items()})
                    for name, values in change["uses"].items():
                        staged.count(name, Uses(*values))
                        staged.count(ALL, Uses(*values))
                case "watch":
                    for text, values, sources in change["hashtags"]:
                        staged.count(key(text), Uses(*values), text=text, sources=sources)
                        staged.count(ALL, Uses(*values))
        return staged, vectors

    def _leave_reserve(self, staged: Staged, vectors: _Vectors, uses: Mapping[str, Uses]) -> None:
        """Used hashtags are in reserve no more; their rows are written anew, with the vectors they have."""
        entries = self._replica.entries
        used = {name: own for name, own in uses.items() if entries[name].uses == IN_RESERVE}
        for row in self._store.get(HASHTAGS, list(used), ["id", "vector"]):
            vectors[row["id"]] = np.asarray(row["vector"], np.float32)
            staged.take_from_reserve(row["id"], used[row["id"]].first_seen)

    def _write(self, staged: Staged, vectors: _Vectors) -> None:
        """Rows first, then what tells others of them; this process knows them when both are written."""
        if not staged.names and not staged.uses:
            return
        nothing = np.zeros(self.embedding_dim, np.float32)
        names, uses = list(staged.names.items()), [row.to_row() for row in staged.uses.values()]
        try:
            if names:
                own = np.stack([vectors.get(name, nothing) for name, _ in names])
                self._store.write(HASHTAGS, [row.to_row() for _, row in names], own)
            self._store.write(USES, uses)
            self._tell(staged.seq, [name for name, _ in names], [str(row["id"]) for row in uses])
            end = max([self._replica.next_place, *(row.place + 1 for _, row in names)])
            body = {
                "seq": staged.seq,
                "at": self._clock(),
                "after": self._told_after,
                "last": self._told,
                "end": end,
            }
            self._store.write(VERSIONS, [version(self._writer, body), version(TOKEN, uuid.uuid4().hex)])
        except BaseException:
            with self._writing:
                self._token, self._generation = "", ""  # what was written isn't known: all is read anew
            raise
        with self._writing:
            self._replica.apply(staged.names.values(), staged.uses.values())
            self._seen[self._writer] = staged.seq

    def _tell(self, seq: int, names: list[str], uses: list[str]) -> None:
        """Note which rows a change wrote, and forget changes of long ago."""
        self._told += [(seq, HASHTAGS, name) for name in names] + [(seq, USES, own) for own in uses]
        while len(self._told) > _REMEMBERED:
            self._told_after = self._told[0][0]
            self._told = [item for item in self._told if item[0] != self._told_after]

    def _follow(self) -> None:
        """Take in what others wrote; the lock is held."""
        token = self._current_token()
        if token == self._token:
            return
        versions = self._versions()
        if versions[POOL]["generation"] != self._generation:
            self._load()
            return
        ids: dict[str, set[str]] = {HASHTAGS: set(), USES: set()}
        rows: dict[str, list[Row]] = {HASHTAGS: [], USES: []}
        seen = dict(self._seen)
        for writer, body in versions.items():
            known = seen.get(writer, 0)
            if writer in (POOL, TOKEN, self._writer) or body["seq"] <= known:
                continue
            seen[writer] = body["seq"]
            if body["after"] <= known:
                for seq, part, own in body["last"]:
                    if seq > known:
                        ids[part].add(own)
            else:
                for part, found in rows.items():
                    found += self._store.where(part, f'writer == "{writer}" and seq > {known}')
        for part, found in rows.items():
            found += self._store.get(part, sorted(ids[part]))
        self._apply(self._replica, rows[HASHTAGS], rows[USES])
        self._seen, self._token = seen, token

    def _apply(self, replica: Replica, names: list[Row], uses: list[Row]) -> None:
        try:
            replica.apply(map(NameRow.from_row, names), map(UsesRow.from_row, uses))
        except (KeyError, TypeError, ValueError, GgmError) as error:
            raise PoolError(f"{self.where}: a row that no pool writes: {error}") from error

    def _load(self) -> None:
        """Read all names anew, as another writer: of the one before, changes may have been cut off."""
        token, versions = self._current_token(), self._versions()
        self._writer, self._told, self._told_after = uuid.uuid4().hex[:16], [], 0
        writers = {name: body for name, body in versions.items() if name not in (POOL, TOKEN)}
        end = max(int(body["end"]) for name, body in versions.items() if name != TOKEN)
        replica = Replica(self.settings)
        names = [row for page in pages(self._store, end, NAMES_AT_ONCE) for row in page]
        last = max([0, *(int(body["seq"]) for body in writers.values())])
        self._apply(replica, names, list(uses_rows(self._store, last)))
        # Only now: searches of other threads go on in the old one.
        self._replica = replica
        self._seen = {writer: int(body["seq"]) for writer, body in writers.items()}
        self._token, self._generation = token, str(versions[POOL]["generation"])

    def _current_token(self) -> str:
        rows = self._store.get(VERSIONS, [TOKEN])
        if not rows:
            raise PoolError(f"{self.where}: the pool is gone")
        return str(rows[0]["body"])

    def _versions(self) -> dict[str, Any]:
        """The rows of versions by their ids."""
        found = {str(row["id"]): json.loads(row["body"]) for row in self._store.where(VERSIONS, 'id != ""')}
        if POOL not in found:
            raise PoolError(f"{self.where}: the pool is gone")
        return found

    def _closest(
        self, units: npt.NDArray[np.float64], condition: str, highest_prior: float, top_k: int
    ) -> list[tuple[Hit, ...]]:
        """The best rows that a condition holds for: as many proposals as it takes to be sure."""
        answers: dict[int, tuple[Hit, ...]] = {}
        for start in range(0, len(units), _QUERIES_AT_ONCE):
            waiting = list(range(start, min(start + _QUERIES_AT_ONCE, len(units))))
            limit = min(top_k + _MORE, MOST_HITS)
            while waiting:
                queries = units[waiting].astype(np.float32)
                proposed = self._store.search(queries, condition, limit, index=self.index)
                unsure = []
                for row, found in zip(waiting, proposed, strict=True):
                    answers[row], lowest = self._scored(units[row], found, top_k)
                    others = lowest + highest_prior + _ROUNDING  # none of those not proposed can have more
                    sure = len(answers[row]) == top_k and answers[row][-1].similarity > others
                    if not sure and len(found) == limit < MOST_HITS:
                        unsure.append(row)
                waiting, limit = unsure, min(4 * limit, MOST_HITS)
        return [answers[row] for row in range(len(units))]

    def _scored(
        self, query: npt.NDArray[np.float64], found: list[Found], top_k: int
    ) -> tuple[tuple[Hit, ...], float]:
        """The best of what was proposed, and the similarity of the worst."""
        if strange := [item.key for item in found if item.key not in self._replica.entries]:
            with self._writing:  # another process is just about to tell of them, or died before it could
                self._apply(self._replica, self._store.get(HASHTAGS, strange), [])
        entries = self._replica.entries
        pairs = [(entries[item.key], item.vector) for item in found if item.key in entries]
        if not pairs:
            return (), -1.0
        vectors = np.stack([vector for _, vector in pairs])
        priors = None
        if self.trend_weight or self.settings.reserve_discount:
            half_lives = self.settings.half_lives
            priors = self._prior(np.array([search_level(entry.uses, half_lives) for entry, _ in pairs]))
        hits = closest(query, [entry.text for entry, _ in pairs], vectors, top_k, priors=priors)
        return hits, float((vectors @ query).min())
