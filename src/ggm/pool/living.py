"""The living pool: hashtags come, go, get other names and trend, while searches go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.hashtags import key, normalise
from ggm.hashtags.canonical import letters_only
from ggm.pool import vectors as chunks
from ggm.pool.changes import Add, Forget, Observe, Observed, Remove, Rename
from ggm.pool.commit import Commit
from ggm.pool.durable import DurableState, make
from ggm.pool.folder import read_manifest, write_snapshot
from ggm.pool.state import Entry, PoolSettings, State
from ggm.pool.trends import Rising, prior, rising_entries
from ggm.pool.uses import IN_RESERVE, HalfLives, Uses, decayed, unused
from ggm.records import Hit
from ggm.retriever.index import Vectors
from ggm.retriever.pool import Embed, HashtagPool, write_pool
from ggm.retriever.similarity import check_width, stored_units, unit_length

_HASHTAGS_AT_ONCE: Final = 4096  # more in one record would make it very long

Clock = Callable[[], float]
"""Seconds since 1970."""


@dataclass(frozen=True)
class PoolInfo:
    """What is in a pool.

    Args:
        hashtags: That can be found.
        aliases: Other names of them.
        watched: Hashtags that were used, but by too few to come in.
        removed: Hashtags that were taken out by hand.
        uses: Uses that were counted.
        records: Changes since it was made.
        snapshot_records: How many of them the snapshot includes.
        journal_bytes: Size of the journals that are read besides it.
    """

    hashtags: int
    aliases: int
    watched: int
    removed: int
    uses: int
    records: int
    snapshot_records: int
    journal_bytes: int


class LivingPool:
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
        self.folder = durable.folder
        self.settings = durable.manifest.settings
        self.trend_weight = trend_weight
        self._durable = durable
        self._embed = embed
        self._clock = clock
        self._writing = threading.RLock()
        self._compacting = threading.Lock()
        self._commit = Commit(self._writing, lambda: self._state, durable.record)
        self._seen: tuple[int, ...] = ()
        self._listed: tuple[State | None, int, tuple[str, ...]] = None, 0, ()
        self._targets: tuple[State | None, int, dict[str, str]] = None, 0, {}

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
        made_by = settings.retriever_fingerprint
        if retriever_fingerprint is not None and made_by != retriever_fingerprint:
            raise PoolMismatchError(
                f"{folder}: this pool was made by another retriever ({made_by[:12]}, not "
                f"{retriever_fingerprint[:12]}); make it anew with the one that will search it"
            )
        if trend_weight is not None:
            settings = replace(settings, trend_weight=trend_weight)  # checks it
        durable = DurableState(folder, write=not read_only)
        return cls(durable, embed=embed, trend_weight=settings.trend_weight, clock=clock)

    def close(self) -> None:
        """Let another process write. What is in memory can still be searched."""
        with self._writing:
            self._durable.close()

    def __enter__(self) -> LivingPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a pool is

    def __len__(self) -> int:
        return len(self._state.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.hashtags)

    def __contains__(self, text: object) -> bool:
        try:
            if not isinstance(text, str):
                return False
            name = key(text)
        except HashtagError:
            return False
        state = self._state
        return name in state.aliases or name in state.entries

    def __repr__(self) -> str:
        size = f"{len(self)} x {self.embedding_dim} {self.precision}"
        return f"LivingPool({str(self.folder)!r}, {size}{'' if self._durable.writable else ', read only'})"

    @property
    def embedding_dim(self) -> int:
        """E, the width of the vectors."""
        return self.settings.embedding_dim

    @property
    def retriever_fingerprint(self) -> str:
        """Of the retriever that makes the vectors."""
        return self.settings.retriever_fingerprint

    @property
    def precision(self) -> str:
        """What vectors are rounded to when they come in."""
        return self.settings.precision

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._durable.writable

    @property
    def hashtags(self) -> tuple[str, ...]:
        """All hashtags, in the order in which they came, without aliases; the same tuple until a change."""
        state, records, texts = self._listed
        if state is not self._state or records != self._durable.records:
            with self._writing:
                state, records = self._state, self._durable.records
                texts = tuple(entry.text for entry in state.entries.values())
                self._listed = state, records, texts
        return texts

    @property
    def aliases(self) -> dict[str, str]:
        """Other names, each with the hashtag that it stands for."""
        with self._writing:
            state = self._state
            return {alias.text: state.entries[alias.target].text for alias in state.aliases.values()}

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

    def rows(self) -> Iterator[dict[str, Any]]:
        """All hashtags with their aliases and uses, as JSON objects for people and other tools."""
        with self._writing:
            frozen = self._state.freeze()
        others: dict[str, list[str]] = {}
        for alias in frozen.aliases.values():
            others.setdefault(alias.target, []).append(alias.text)
        for name, entry in frozen.entries.items():
            yield {"hashtag": entry.text, "aliases": others.get(name, []), **entry.uses._asdict()}

    def resolve(self, text: str) -> str:
        """The hashtag as the pool writes it, whatever its case or if it is an alias.

        Raises:
            PoolError: If it isn't in the pool.
            HashtagError: If the text holds no hashtag.
        """
        return self._entry(text).text

    def target(self, text: str) -> str | None:
        """The hashtag that an alias stands for, whatever its case and separators.

        Returns:
            As the pool writes it; None if the text is no alias, or a hashtag of its own.

        Raises:
            HashtagError: If the text holds no hashtag.
        """
        name = key(text)
        state, records, targets = self._targets
        if state is not self._state or records != self._durable.records:
            # Without the lock: a list of a dictionary's values is taken at once, and no one waits for disks.
            state, records = self._state, self._durable.records
            pairs = [(alias, state.entries.get(alias.target)) for alias in list(state.aliases.values())]
            targets = {letters_only(alias.text): entry.text for alias, entry in pairs if entry is not None}
            self._targets = state, records, targets
        if name in state.entries:
            return None
        alias_itself = state.aliases.get(name)
        entry = None if alias_itself is None else state.entries.get(alias_itself.target)
        return targets.get(letters_only(name)) if entry is None else entry.text

    def uses(self, text: str) -> Uses:
        """How often and when a hashtag or its aliases were used.

        Raises:
            PoolError: If it isn't in the pool.
            HashtagError: If the text holds no hashtag.
        """
        return self._entry(text).uses

    def trend(self, text: str, now: float | None = None) -> float:
        """The decayed count of a hashtag's uses, with the recent half-life.

        Args:
            text: A hashtag of the pool.
            now: Seconds since 1970; by default the time.

        Raises:
            PoolError: If it isn't in the pool.
            HashtagError: If the text holds no hashtag.
        """
        uses = self.uses(text)
        seconds = (self._clock() if now is None else now) - uses.last_seen
        return decayed(uses.recent, seconds, self.settings.half_lives.recent_days)

    # Searching

    def search(self, query: npt.NDArray[Any], top_k: int) -> tuple[Hit, ...]:
        """The hashtags closest to one query.

        With a `trend_weight` w, hits are ranked by similarity + w ln(1 + trend), and that sum, which
        may exceed 1, is their ``similarity``. That of hashtags in reserve is lowered, see `reserve`.

        Args:
            query: (E,), of any length but zero.
            top_k: How many, at least 1; a smaller pool gives all it has.

        Returns:
            In descending similarity, equal ones in the order of their texts.

        Raises:
            PoolMismatchError: If the query is of another width.
            PoolError: If the pool is empty, or the query is zero, infinite or NaN; in a pool opened
                for reading, as `refresh`.
            ValueError: If ``top_k`` is below 1.
        """
        return self.search_many(np.asarray(query)[None], top_k)[0]

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
        """Vectors of hashtags as they stand in the pool, to save embedding them; waits for no change.

        Returns:
            For each hashtag float32 (E,), of unit length, rounded to the precision; None for one that isn't
            in the pool, and for an alias, whose own vector is another.

        Raises:
            HashtagError: If a text holds no hashtag.
        """
        state = self._state
        entries = [state.entries.get(key(text)) for text in hashtags]
        return [None if entry is None else state.vectors.row(entry.place, entry.text) for entry in entries]

    def starting_with(self, prefix: str, top_k: int) -> list[str]:
        """Hashtags that begin like a text, themselves or by an alias; those that trend first.

        Args:
            prefix: At least one letter; case doesn't matter.
            top_k: How many, at least 1.

        Raises:
            HashtagError: If the prefix has no letter.
            ValueError: If ``top_k`` is below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        start, now = key(prefix), self._clock()
        with self._writing:
            entries, aliases = dict(self._state.entries), dict(self._state.aliases)
        names = {name for name in entries if name.startswith(start)}
        names |= {alias.target for name, alias in aliases.items() if name.startswith(start)}
        found = [entries[name] for name in names]
        days = self.settings.half_lives.recent_days
        found.sort(key=lambda e: (-decayed(e.uses.recent, now - e.uses.last_seen, days), e.text))
        return [entry.text for entry in found[:top_k]]

    def rising(self, *, now: float | None = None, smoothing: float = 1.0, top_k: int = 20) -> list[Rising]:
        """Hashtags of the pool that are used more than usual, in descending rise.

        Args:
            now: Seconds since 1970; by default when the last use was, so that old posts can be
                looked at too.
            smoothing: Uses a day that are added to each rate, above 0; the higher, the more uses
                it takes to be on top.
            top_k: How many at most.

        Raises:
            ValueError: If ``smoothing`` isn't above 0.
        """
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, got {smoothing}")
        with self._writing:
            total = self._state.total
            entries = list(self._state.entries.values())
        if total is None:
            return []
        at = total.last_seen if now is None else now
        half_lives = self.settings.half_lives
        return rising_entries(entries, total, at=at, smoothing=smoothing, half_lives=half_lives)[:top_k]

    # Changing

    def add(self, hashtags: Sequence[str], vectors: npt.NDArray[Any] | None = None) -> None:
        """Put hashtags in; those that are there stay, in the form that is given now.

        Adding an alias changes nothing: its hashtag is there. More than 4,096 at once are several
        records, so that a crash may leave the first of them.

        Args:
            hashtags: n of them; the last of equal ones stays.
            vectors: (n, E) of this pool's retriever, of any length but zero; they replace those that
                are there. By default new hashtags are embedded.

        Raises:
            PoolMismatchError: If the vectors are of another width.
            PoolError: If there isn't one vector a hashtag, one is zero, infinite or NaN, or the pool
                has nothing to embed with; or as `remove`.
            HashtagError: If a text holds no hashtag. The pool stays as it was.
        """
        self._durable.check_writable()
        rows = {key(text): row for row, text in enumerate(hashtags)}
        texts = {name: normalise(hashtags[row]) for name, row in rows.items()}
        if vectors is None:
            texts = {name: text for name, text in texts.items() if not self._is_there(name, text)}
            units = self._embedded(list(texts.values()))
        else:
            units = self._units(hashtags, vectors)[list(rows.values())]
        self._enter(texts, units, self._clock())

    def reserve(self, hashtags: Sequence[str]) -> None:
        """Put hashtags in that stand behind the others until somebody adds or uses them.

        A search takes the pool's ``reserve_discount`` off their similarity. What is in the pool
        stays as it is, and what was removed by hand stays out.

        Args:
            hashtags: Any number; embedded.

        Raises:
            PoolError: As `add`.
            HashtagError: If a text holds no hashtag. The pool stays as it was.
        """
        self._durable.check_writable()
        state = self._state
        texts = {key(text): normalise(text) for text in hashtags}
        known = (state.entries, state.aliases, state.removed)
        texts = {name: text for name, text in texts.items() if not any(name in there for there in known)}
        self._enter(texts, self._embedded(list(texts.values())), IN_RESERVE.first_seen)

    def remove(self, hashtags: Sequence[str]) -> None:
        """Take hashtags out, with their aliases and counts. An alias goes alone, its hashtag stays.

        They come back when they are added again, not by `observe`.

        Raises:
            PoolError: If one isn't in the pool; or if the pool is closed, opened for reading only, or
                can't be written. The pool stays as it was.
            HashtagError: If a text holds no hashtag.
        """
        self._durable.check_writable()
        self._commit.grant(Remove({key(text): text for text in hashtags}))

    def alias(self, hashtag: str, *others: str) -> None:
        """Make others further names of a hashtag: `alias("newyorkcity", "nyc")`.

        They are found no more by themselves; their uses, past and to come, count for the hashtag.

        Args:
            hashtag: In the pool.
            others: In the pool or not.

        Raises:
            PoolError: If the hashtag isn't in the pool, or one of the others is the same; or as `remove`.
            HashtagError: If a text holds no hashtag.
        """
        self._durable.check_writable()
        self._commit.grant(Rename(hashtag, {key(text): normalise(text) for text in others}))

    def observe(self, observed: Mapping[str, Observed], *, min_sources: int = 3) -> list[str]:
        """Count uses of hashtags, and put in those that are new and used by enough people.

        Hashtags that too few have used are watched until more do, over as many calls as it takes.

        Args:
            observed: By key, from `ggm.pool.posts.gather`.
            min_sources: How many different authors (or posts, where these aren't known) it takes, at
                least 1.

        Returns:
            The hashtags that came in.

        Raises:
            PoolError: If there is nothing to embed new ones with; or as `remove`.
            ValueError: If ``min_sources`` is below 1.
        """
        if min_sources < 1:
            raise ValueError(f"min_sources must be at least 1, got {min_sources}")
        self._durable.check_writable()
        wish = Observe(observed, min_sources, self._clock())
        wish.coming = wish.newcomers(self._state)
        wish.vectors = self._embedded(list(wish.coming.values()))
        self._commit.grant(wish)
        return wish.added

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

    def save(self, path: str | Path) -> None:
        """Write hashtags and vectors as one file, which `HashtagPool.load` reads and a bundle holds.

        Raises:
            PoolError: If it can't be written.
        """
        with self._writing:
            frozen = self._state.freeze()
        entries = list(frozen.entries.values())
        units = np.zeros((0, self.embedding_dim), np.float32)
        if entries:
            units = chunks.rows_of(frozen.chunks, [entry.place for entry in entries])
        write_pool(
            path,
            [entry.text for entry in entries],
            units.astype(self.precision),
            retriever_fingerprint=self.retriever_fingerprint,
        )

    def refresh(self) -> bool:
        """Read what another process wrote since; searches of a pool opened for reading do so.

        Returns:
            Whether there was anything.

        Raises:
            PoolError: If the folder is gone or damaged.
        """
        with self._writing:
            if self._durable.writable or self._durable.closed:
                return False
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

    def _entry(self, text: str) -> Entry:
        state = self._state
        entry = state.entries.get(state.resolve(key(text)))
        if entry is None:
            raise PoolError(f"not in the pool: {text}")
        return entry

    def _is_there(self, name: str, text: str) -> bool:
        """Without waiting for the disk, so that threads which add come to share a record."""
        state = self._state
        entry = state.entries.get(name)
        if name in state.aliases:
            return True
        return entry is not None and entry.text == text and entry.uses != IN_RESERVE

    def _enter(self, texts: dict[str, str], units: Vectors, since: float) -> None:
        """Put hashtags in, by their keys, with their vectors (n, E): some thousands a record."""
        names = list(texts)
        for start in range(0, len(names), _HASHTAGS_AT_ONCE):
            part = {name: texts[name] for name in names[start : start + _HASHTAGS_AT_ONCE]}
            self._commit.grant(Add(part, units[start : start + _HASHTAGS_AT_ONCE], since))

    def _embedded(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.embedding_dim), np.float32)
        if self._embed is None:
            raise PoolError(f"{self.folder}: the pool was opened without an embedder; give it the vectors")
        return self._units(texts, np.asarray(self._embed(texts)))

    def _units(self, texts: Sequence[str], vectors: npt.NDArray[Any]) -> Vectors:
        return stored_units(texts, vectors, embedding_dim=self.embedding_dim, precision=self.precision)

    def _prior(self, levels: chunks.Levels) -> npt.NDArray[np.float64]:
        return prior(levels, now=self._clock(), trend_weight=self.trend_weight, settings=self.settings)
