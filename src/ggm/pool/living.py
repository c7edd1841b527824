"""The living pool: hashtags come, go, get other names and trend, while searches go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggm.errors import PoolError
from ggm.hashtags import key
from ggm.pool import vectors as chunks
from ggm.pool.changes import Forget, Wish
from ggm.pool.changing import ChangingPool, Clock, PoolInfo, check_retriever
from ggm.pool.commit import Commit
from ggm.pool.durable import DurableState, make
from ggm.pool.folder import read_manifest, write_snapshot
from ggm.pool.state import PoolSettings, State
from ggm.pool.uses import HalfLives, unused
from ggm.records import Hit
from ggm.retriever.index import Vectors
from ggm.retriever.pool import Embed, HashtagPool
from ggm.retriever.similarity import check_width, unit_length


class LivingPool(ChangingPool):
    """A hashtag pool in a folder, which changes while it is searched. Make one with `create` or `open`.

    It answers as `HashtagPool` does and can stand in its place. Equal hashtags (see
    `ggm.hashtags.same`) stand in it once. A change is on disk when the call that makes it returns,
    and the next search sees it; in other processes, the next search of a pool that is opened for
    reading. Searches don't wait for changes. Any number of threads may use it; one process writes.
    """

    def __init__(
        self,
        durable: DurableState,
        *,
        embed: Embed | None,
        trend_weight: float,
        clock: Clock,
    ) -> None:
        """Not for callers: use `create` or `open`."""
        super().__init__(
            str(durable.folder),
            durable.manifest.settings,
            embed=embed,
            trend_weight=trend_weight,
            clock=clock,
        )
        self.folder = durable.folder
        self._durable = durable
        self._compacting = threading.Lock()
        self._commit = Commit(self._writing, lambda: self._state, durable.record)
        self._seen: tuple[int, ...] = ()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        pool: HashtagPool,
        *,
        embed: Embed | None = None,
        half_lives: HalfLives | None = None,
        trend_weight: float = 0.0,
        reserve_discount: float = 0.0,
        clock: Clock = time.time,
    ) -> LivingPool:
        """Make a living pool of another one, and open it for writing.

        Args:
            folder: Made if it isn't there; else empty.
            pool: Its hashtags, vectors, precision and fingerprint are taken over; may be empty.
            embed: See `open`.
            half_lives: How fast uses are forgotten; by default 3 and 30 days.
            trend_weight: See `search`; 0 for none.
            reserve_discount: See `reserve`; 0 for none.
            clock: See `open`.

        Raises:
            PoolError: If the folder holds anything, or can't be written.
            ConfigError: If a setting is out of range.
        """
        state = State(
            PoolSettings(
                embedding_dim=pool.embedding_dim,
                retriever_fingerprint=pool.retriever_fingerprint,
                precision=pool.precision,
                half_lives=half_lives or HalfLives(),
                trend_weight=trend_weight,
                reserve_discount=reserve_discount,
            )
        )
        texts = list(pool.hashtags)
        state.enter(texts, [unused(clock())] * len(texts), pool.vectors)
        make(Path(folder), state)
        return cls.open(folder, embed=embed, clock=clock)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        embed: Embed | None = None,
        retriever_fingerprint: str | None = None,
        read_only: bool = False,
        trend_weight: float | None = None,
        clock: Clock = time.time,
    ) -> LivingPool:
        """Open a pool, with all that was ever acknowledged.

        Args:
            folder: That `create` made.
            embed: Embeds hashtags that come in without vectors: the retriever's text tower.
            retriever_fingerprint: Of the retriever that will search it; None accepts any pool.
            read_only: Whether another process may write; its changes are followed.
            trend_weight: See `search`; by default what the pool was made with.
            clock: The time, in seconds since 1970.

        Raises:
            PoolError: If there is no pool, it is damaged, or another process writes to it.
            PoolMismatchError: If another retriever made its vectors.
            ConfigError: If the weight is out of range.
        """
        folder = Path(folder)
        settings = read_manifest(folder).settings
        check_retriever(str(folder), settings, retriever_fingerprint)
        if trend_weight is not None:
            settings = replace(settings, trend_weight=trend_weight)  # checks it
        durable = DurableState(folder, write=not read_only)
        return cls(durable, embed=embed, trend_weight=settings.trend_weight, clock=clock)

    def close(self) -> None:
        """Let another process write. What is in memory can still be searched."""
        with self._writing:
            self._durable.close()

    # What a pool is

    def __repr__(self) -> str:
        size = f"{len(self)} x {self.embedding_dim} {self.precision}"
        return f"LivingPool({str(self.folder)!r}, {size}{'' if self._durable.writable else ', read only'})"

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._durable.writable

    def info(self) -> PoolInfo:
        """How much there is of everything."""
        with self._writing:
            state = self._state
            return PoolInfo(
                len(state.entries),
                len(state.aliases),
                len(state.watched),
                len(state.removed),
                0 if state.total is None else state.total.num_uses,
                self._durable.records,
                self._durable.manifest.records,
                self._durable.journal_bytes,
            )

    def search_many(self, queries: npt.NDArray[Any], top_k: int) -> list[tuple[Hit, ...]]:
        """Search for each of (B, E) queries exactly as `search` does; see there.

        Raises:
            PoolMismatchError: If the queries are of another width.
            PoolError: As for `search`.
            ValueError: If ``top_k`` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        if not self._durable.writable and not self._durable.closed and self._is_behind():
            self.refresh()
        snapshot = self._state.vectors.snapshot
        if not snapshot:
            raise PoolError("the hashtag pool is empty; add hashtags before searching it")
        check_width(queries, self.embedding_dim)
        units = unit_length(queries, "query {}".format)
        weighted = self.trend_weight or self.settings.reserve_discount
        return chunks.search(snapshot, units, top_k, prior=self._prior if weighted else None)

    def vectors_of(self, hashtags: Sequence[str]) -> list[Vectors | None]:
        """See `ChangingPool`."""
        state = self._state
        entries = [state.entries.get(key(text)) for text in hashtags]
        return [None if entry is None else state.vectors.row(entry.place, entry.text) for entry in entries]

    def compact(self) -> None:
        """Write what the journals say into a snapshot, so that the pool opens fast and takes less room.

        Watched hashtags that nobody used for four usual half-lives are forgotten. Changes go on
        meanwhile. A crash at any moment loses nothing.

        Raises:
            PoolError: As for `remove`.
        """
        with self._compacting:
            with self._writing:
                self._durable.check_writable()
                if forgotten := Forget(self._clock()).changes(self._state):
                    self._durable.record(forgotten)
                records = self._durable.records
                frozen = self._durable.begin_compaction()
            if frozen is None:
                return
            sha256 = write_snapshot(self.folder, records, frozen, self.settings)
            with self._writing:
                self._durable.end_compaction(records, sha256)

    def refresh(self) -> bool:
        """Read what another process wrote since; searches of a pool opened for reading do so.

        Returns:
            Whether there was anything.

        Raises:
            PoolError: If the folder is gone or damaged.
        """
        if self._durable.writable or self._durable.closed:
            return False
        with self._writing:
            before, seen = self._durable.records, self._durable.look()
            self._durable.follow()
            self._seen = seen
            return self._durable.records != before

    # Inside

    def _is_behind(self) -> bool:
        seen = self._durable.look()
        return not seen or seen != self._seen

    @property
    def _state(self) -> State:
        return self._durable.state

    @property
    def _names(self) -> State:
        return self._durable.state

    @property
    def _records(self) -> int:
        return self._durable.records

    def _vectors(self, names: Sequence[str]) -> Vectors:
        state = self._state
        if not names:
            return np.zeros((0, self.embedding_dim), np.float32)
        return chunks.rows_of(state.vectors.chunks(), [state.entries[name].place for name in names])

    def _check_writable(self) -> None:
        self._durable.check_writable()

    def _grant(self, wish: Wish) -> None:
        self._commit.grant(wish)
