"""A pool that changes while it is searched, wherever it is kept: what is asked of it, what changes it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from ggm.errors import HashtagError, PoolError, PoolMismatchError
from ggm.hashtags import key, normalise
from ggm.hashtags.canonical import letters_only
from ggm.pool.changes import Add, Observe, Observed, Remove, Rename, Wish
from ggm.pool.state import Entry, Names, PoolSettings, Watched
from ggm.pool.trends import Rising, prior, rising_entries
from ggm.pool.uses import IN_RESERVE, Uses, decayed
from ggm.pool.vectors import Levels
from ggm.records import Hit
from ggm.retriever.index import Vectors
from ggm.retriever.pool import Embed, Precision, write_pool
from ggm.retriever.similarity import stored_units

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


@dataclass(frozen=True)
class Contents:
    """All that a pool holds.

    Args:
        settings: Of the pool.
        texts: n hashtags, in the order in which they came.
        uses: Theirs.
        vectors: float32 (n, E), theirs, of unit length.
        aliases: Other names, each with the hashtag that it stands for.
        watched: By key.
        removed: Keys of what was taken out by hand.
        total: Uses of all hashtags together; None for none.
    """

    settings: PoolSettings
    texts: list[str]
    uses: list[Uses]
    vectors: Vectors
    aliases: dict[str, str]
    watched: dict[str, Watched]
    removed: list[str]
    total: Uses | None


class ChangingPool(ABC):
    """What `ggm.pool.LivingPool` and `ggm.pool.SharedPool` have in common.

    Any number of threads may use one.

    Args:
        where: What to call it in errors.
        settings: Of the pool.
        embed: Embeds hashtags that come in without vectors; None for nothing.
        trend_weight: See `search`.
        clock: The time.
    """

    def __init__(
        self, where: str, settings: PoolSettings, *, embed: Embed | None, trend_weight: float, clock: Clock
    ) -> None:
        self.where = where
        self.settings = settings
        self.trend_weight = trend_weight
        self._embed = embed
        self._clock = clock
        self._writing = threading.RLock()
        self._listed: tuple[Names | None, int, tuple[str, ...]] = None, 0, ()
        self._targets: tuple[Names | None, int, dict[str, str]] = None, 0, {}

    # What each kind does in its own way

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether it was opened for writing."""

    @property
    @abstractmethod
    def _names(self) -> Names:
        """What it holds."""

    @property
    @abstractmethod
    def _records(self) -> int:
        """A number that is another one after each change."""

    @abstractmethod
    def vectors_of(self, hashtags: Sequence[str]) -> list[Vectors | None]:
        """Vectors of hashtags as they stand in the pool, to save embedding them; waits for no change.

        Returns:
            For each hashtag float32 (E,), of unit length, rounded to the precision; None for one that isn't
            in the pool, and for an alias, whose own vector is another.

        Raises:
            HashtagError: If a text holds no hashtag.
        """

    @abstractmethod
    def _check_writable(self) -> None:
        """Raise PoolError if it can't be written."""

    @abstractmethod
    def _grant(self, wish: Wish) -> None:
        """Return when the wish is durable and visible."""

    @abstractmethod
    def close(self) -> None:
        """Let go of where it is kept."""

    @abstractmethod
    def info(self) -> PoolInfo:
        """How much there is of everything."""

    @abstractmethod
    def search_many(self, queries: npt.NDArray[Any], top_k: int) -> list[tuple[Hit, ...]]:
        """Search for each of (B, E) queries exactly as `search` does; see there.

        Raises:
            PoolMismatchError: If the queries are of another width.
            PoolError: As for `search`.
            ValueError: If ``top_k`` is below 1.
        """

    @abstractmethod
    def compact(self) -> None:
        """Tidy up: forget watched hashtags that nobody used for long, and what no reader needs.

        Raises:
            PoolError: As for `remove`.
        """

    @abstractmethod
    def _vectors(self, names: Sequence[str]) -> Vectors:
        """The unit vectors float32 (n, E) of n entries, by their keys."""

    def contents(self) -> Contents:
        """All of it, at one moment.

        Raises:
            PoolError: If it can't be read.
        """
        self.refresh()
        with self._writing:
            names = self._names
            entries = dict(names.entries)
            return Contents(
                self.settings,
                [entry.text for entry in entries.values()],
                [entry.uses for entry in entries.values()],
                self._vectors(list(entries)),
                {alias.text: entries[alias.target].text for alias in names.aliases.values()},
                dict(names.watched),
                list(names.removed),
                names.total,
            )

    def save(self, path: str | Path) -> None:
        """Write hashtags and vectors as one file, which `HashtagPool.load` reads and a bundle holds.

        Raises:
            PoolError: If it can't be written.
        """
        contents = self.contents()
        write_pool(
            path,
            contents.texts,
            contents.vectors.astype(self.precision),
            retriever_fingerprint=self.retriever_fingerprint,
        )

    @abstractmethod
    def refresh(self) -> bool:
        """Read what other processes wrote since.

        Returns:
            Whether there was anything.

        Raises:
            PoolError: If it can't be read.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What a pool is

    def __len__(self) -> int:
        return len(self._names.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.hashtags)

    def __contains__(self, text: object) -> bool:
        try:
            if not isinstance(text, str):
                return False
            name = key(text)
        except HashtagError:
            return False
        names = self._names
        return name in names.aliases or name in names.entries

    @property
    def embedding_dim(self) -> int:
        """E, the width of the vectors."""
        return self.settings.embedding_dim

    @property
    def retriever_fingerprint(self) -> str:
        """Of the retriever that makes the vectors."""
        return self.settings.retriever_fingerprint

    @property
    def precision(self) -> Precision:
        """What vectors are rounded to when they come in."""
        return self.settings.precision

    @property
    def hashtags(self) -> tuple[str, ...]:
        """All hashtags, in the order in which they came, without aliases; the same tuple until a change."""
        names, records, texts = self._listed
        if names is not self._names or records != self._records:
            with self._writing:
                names, records = self._names, self._records
                texts = tuple(entry.text for entry in names.entries.values())
                self._listed = names, records, texts
        return texts

    @property
    def aliases(self) -> dict[str, str]:
        """Other names, each with the hashtag that it stands for."""
        with self._writing:
            names = self._names
            return {alias.text: names.entries[alias.target].text for alias in names.aliases.values()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """All hashtags with their aliases and uses, as JSON objects for people and other tools."""
        with self._writing:
            entries, aliases = dict(self._names.entries), dict(self._names.aliases)
        others: dict[str, list[str]] = {}
        for alias in aliases.values():
            others.setdefault(alias.target, []).append(alias.text)
        for name, entry in entries.items():
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
        names, records, targets = self._targets
        if names is not self._names or records != self._records:
            # Without the lock: a list of a dictionary's values is taken at once, and no one waits for disks.
            names, records = self._names, self._records
            pairs = [(alias, names.entries.get(alias.target)) for alias in list(names.aliases.values())]
            targets = {letters_only(alias.text): entry.text for alias, entry in pairs if entry is not None}
            self._targets = names, records, targets
        if name in names.entries:
            return None
        alias_itself = names.aliases.get(name)
        entry = None if alias_itself is None else names.entries.get(alias_itself.target)
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
            entries, aliases = dict(self._names.entries), dict(self._names.aliases)
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
            total = self._names.total
            entries = list(self._names.entries.values())
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
        self._check_writable()
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
        self._check_writable()
        names = self._names
        texts = {key(text): normalise(text) for text in hashtags}
        known = (names.entries, names.aliases, names.removed)
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
        self._check_writable()
        self._grant(Remove({key(text): text for text in hashtags}))

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
        self._check_writable()
        self._grant(Rename(hashtag, {key(text): normalise(text) for text in others}))

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
        self._check_writable()
        wish = Observe(observed, min_sources, self._clock())
        wish.coming = wish.newcomers(self._names)
        wish.vectors = self._embedded(list(wish.coming.values()))
        self._grant(wish)
        return wish.added

    # Inside

    def _entry(self, text: str) -> Entry:
        names = self._names
        entry = names.entries.get(names.resolve(key(text)))
        if entry is None:
            raise PoolError(f"not in the pool: {text}")
        return entry

    def _is_there(self, name: str, text: str) -> bool:
        """Without waiting for the disk, so that threads which add come to share a record."""
        names = self._names
        entry = names.entries.get(name)
        if name in names.aliases:
            return True
        return entry is not None and entry.text == text and entry.uses != IN_RESERVE

    def _enter(self, texts: dict[str, str], units: Vectors, since: float) -> None:
        """Put hashtags in, by their keys, with their vectors (n, E): some thousands a record."""
        names = list(texts)
        for start in range(0, len(names), _HASHTAGS_AT_ONCE):
            part = {name: texts[name] for name in names[start : start + _HASHTAGS_AT_ONCE]}
            self._grant(Add(part, units[start : start + _HASHTAGS_AT_ONCE], since))

    def _embedded(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.embedding_dim), np.float32)
        if self._embed is None:
            raise PoolError(f"{self.where}: the pool was opened without an embedder; give it the vectors")
        return self._units(texts, np.asarray(self._embed(texts)))

    def _units(self, texts: Sequence[str], vectors: npt.NDArray[Any]) -> Vectors:
        return stored_units(texts, vectors, embedding_dim=self.embedding_dim, precision=self.precision)

    def _prior(self, levels: Levels) -> npt.NDArray[np.float64]:
        return prior(levels, now=self._clock(), trend_weight=self.trend_weight, settings=self.settings)


def check_retriever(where: str, settings: PoolSettings, retriever_fingerprint: str | None) -> None:
    """Refuse a pool that another retriever made.

    Args:
        where: What to call the pool.
        settings: Of the pool.
        retriever_fingerprint: Of the retriever that will search it; None accepts any pool.

    Raises:
        PoolMismatchError: If it is another one.
    """
    made_by = settings.retriever_fingerprint
    if retriever_fingerprint is not None and made_by != retriever_fingerprint:
        raise PoolMismatchError(
            f"{where}: this pool was made by another retriever ({made_by[:12]}, not "
            f"{retriever_fingerprint[:12]}); make it anew with the one that will search it"
        )
