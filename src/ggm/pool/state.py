"""What a living pool holds, and what each kind of change does to it.

Changes are JSON objects, as they stand in the journal. Applying the same ones in the same order
gives the same state, in the process that wrote them and in every one that reads them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from ggm.errors import ConfigError
from ggm.hashtags import key
from ggm.pool.uses import DAY_SECONDS, IN_RESERVE, HalfLives, Uses, joined, unused
from ggm.pool.vectors import Chunk, ChunkedVectors, Place
from ggm.retriever.index import Vectors
from ggm.retriever.pool import Precision

RESERVE_LEVEL: Final = -1e9
"""Of hashtags in reserve: no trend, and told from that of others without one."""

Change = Mapping[str, Any]
"""One change: its kind under ``change``, and what it changes."""


@dataclass(frozen=True)
class PoolSettings:
    """What is fixed when a pool is made.

    Args:
        embedding_dim: E, the width of the vectors.
        retriever_fingerprint: Of the retriever that makes them.
        precision: What they are rounded to.
        half_lives: How fast uses are forgotten.
        trend_weight: What a search adds to the similarity for ln(1 + trend) = 1; 0 or more.
        reserve_discount: What a search takes off the similarity of hashtags in reserve; 0 or more.

    Raises:
        ConfigError: If a value is out of range.
    """

    embedding_dim: int
    retriever_fingerprint: str
    precision: Precision = "float16"
    half_lives: HalfLives = field(default_factory=HalfLives)
    trend_weight: float = 0.0
    reserve_discount: float = 0.0

    def __post_init__(self) -> None:
        if self.embedding_dim < 1:
            raise ConfigError(f"embedding_dim must be at least 1, got {self.embedding_dim}")
        if self.precision not in ("float16", "float32"):
            raise ConfigError(f"precision must be float16 or float32, got {self.precision!r}")
        if not 0 <= self.trend_weight < math.inf:
            raise ConfigError(f"trend_weight must be 0 or more, got {self.trend_weight}")
        if not 0 <= self.reserve_discount < math.inf:
            raise ConfigError(f"reserve_discount must be 0 or more, got {self.reserve_discount}")

    def to_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PoolSettings:
        """The reverse of `to_dict`.

        Raises:
            TypeError: If a setting is missing or unknown.
            ConfigError: If a value is out of range.
        """
        return cls(**{**values, "half_lives": HalfLives(**values["half_lives"])})


class Entry(NamedTuple):
    """A hashtag of the pool: its text, where its vector is, how often it was used."""

    text: str
    place: Place
    uses: Uses


class Alias(NamedTuple):
    """Another name of a hashtag: as it is written, and that hashtag's key."""

    text: str
    target: str


class Watched(NamedTuple):
    """A hashtag that isn't in the pool yet: who used it decides whether it comes in."""

    text: str
    uses: Uses
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Frozen:
    """A state at one moment, which later changes don't reach."""

    entries: dict[str, Entry]
    aliases: dict[str, Alias]
    watched: dict[str, Watched]
    removed: dict[str, None]
    total: Uses | None
    chunks: dict[int, Chunk]


class Names:
    """What a pool holds, without the vectors.

    Args:
        settings: Of the pool.

    Attributes:
        entries: By key, in the order in which they came.
        aliases: By key; their targets are entries.
        watched: By key; neither entries, nor aliases, nor removed.
        removed: Keys that were taken out by hand and come back by hand only.
        total: Uses of all hashtags together.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self.settings = settings
        self.entries: dict[str, Entry] = {}
        self.aliases: dict[str, Alias] = {}
        self.watched: dict[str, Watched] = {}
        self.removed: dict[str, None] = {}
        self.total: Uses | None = None

    def resolve(self, name: str) -> str:
        """The key that a key stands for: an alias's target, else itself."""
        alias = self.aliases.get(name)
        return name if alias is None else alias.target


class State(Names):
    """The contents of a pool in memory. One thread changes it at a time.

    Args:
        settings: Of the pool.

    Attributes:
        vectors: Of the entries.
    """

    def __init__(self, settings: PoolSettings) -> None:
        super().__init__(settings)
        self.vectors = ChunkedVectors(settings.embedding_dim)

    def freeze(self) -> Frozen:
        """A copy without the vectors, which never change."""
        return Frozen(
            dict(self.entries),
            dict(self.aliases),
            dict(self.watched),
            dict(self.removed),
            self.total,
            self.vectors.chunks(),
        )

    def apply(self, changes: Iterable[Change]) -> None:
        """Make changes, and show them to the next search together.

        Raises:
            KeyError, TypeError, ValueError: If one is not of this format, or doesn't fit the state.
        """
        for change in changes:
            _APPLY[change["change"]](self, change)
        for text, place in self.vectors.pack().items():
            name = key(text)
            self.entries[name] = self.entries[name]._replace(place=place)
        self.vectors.publish()

    def enter(self, texts: list[str], uses: list[Uses], vectors: Vectors) -> None:
        """Take in hashtags with vectors (n, E), or replace those that are there."""
        names = [key(text) for text in texts]
        gone = [self.entries[name].place for name in names if name in self.entries]
        places = self.vectors.append(texts, vectors)
        self.vectors.take_out(gone)
        for name, text, own, place in zip(names, texts, uses, places, strict=True):
            self.entries[name] = Entry(text, place, own)
            self._set_level(place, own)

    def _add(self, change: Change) -> None:
        texts: list[str] = change["hashtags"]
        vectors = unpack(change["vectors"], self.settings)
        since = unused(float(change["at"]))
        uses = []
        for text in texts:
            name = key(text)
            old = self.entries.get(name)
            watched = self.watched.pop(name, None)
            self.removed.pop(name, None)
            own = since if old is None or old.uses == IN_RESERVE else old.uses
            uses.append(own if watched is None else joined(watched.uses, own, self.settings.half_lives))
        self.enter(texts, uses, vectors)

    def _remove(self, change: Change) -> None:
        for name in change["keys"]:
            self.removed[name] = None
            if name in self.aliases:
                del self.aliases[name]
                continue
            self.vectors.take_out([self.entries.pop(name).place])
            for other in [other for other, alias in self.aliases.items() if alias.target == name]:
                del self.aliases[other]

    def _alias(self, change: Change) -> None:
        target = change["of"]
        for text in change["aliases"]:
            name = key(text)
            self.removed.pop(name, None)
            self.aliases[name] = Alias(text, target)  # first: who looks meanwhile finds it either way
            entry, watched = self.entries.pop(name, None), self.watched.pop(name, None)
            if entry is not None:
                self.vectors.take_out([entry.place])
                if entry.uses != IN_RESERVE:
                    self._use(target, entry.uses)
                for other, alias in self.aliases.items():
                    if alias.target == name:
                        self.aliases[other] = alias._replace(target=target)
            if watched is not None:
                self._use(target, watched.uses)

    def _count(self, change: Change) -> None:
        for name, values in change["uses"].items():
            uses = Uses(*values)
            self._use(name, uses)
            self.total = joined(self.total, uses, self.settings.half_lives)

    def _watch(self, change: Change) -> None:
        for text, values, sources in change["hashtags"]:
            name, uses = key(text), Uses(*values)
            old = self.watched.get(name)
            if old is None:
                self.watched[name] = Watched(text, uses, tuple(sources))
            else:
                uses_of_both = joined(old.uses, uses, self.settings.half_lives)
                self.watched[name] = Watched(old.text, uses_of_both, (*old.sources, *sources))
            self.total = joined(self.total, uses, self.settings.half_lives)

    def _forget(self, change: Change) -> None:
        for name in change["keys"]:
            del self.watched[name]

    def _use(self, name: str, uses: Uses) -> None:
        entry = self.entries[name]
        if entry.uses != IN_RESERVE:
            uses = joined(entry.uses, uses, self.settings.half_lives)
        self.entries[name] = entry._replace(uses=uses)
        self._set_level(entry.place, uses)

    def _set_level(self, place: Place, uses: Uses) -> None:
        self.vectors.set_level(place, search_level(uses, self.settings.half_lives))


_APPLY = {
    "add": State._add,
    "remove": State._remove,
    "alias": State._alias,
    "use": State._count,
    "watch": State._watch,
    "forget": State._forget,
}


def level_of(uses: Uses, half_lives: HalfLives) -> float:
    """The trend of a hashtag in one number that time doesn't change.

    The logarithm to base 2 of the decayed count falls by 1 each half-life, so that with the time in
    half-lives added it stays what it is: the trend at any time t is 2^(level - t / half-life).
    """
    return math.log2(uses.recent) + uses.last_seen / (half_lives.recent_days * DAY_SECONDS)


def search_level(uses: Uses, half_lives: HalfLives) -> float:
    """What a search goes by: `level_of`, -inf without a trend, or `RESERVE_LEVEL`."""
    if uses.recent > 0:
        return level_of(uses, half_lives)
    return RESERVE_LEVEL if uses == IN_RESERVE else -math.inf


def pack(vectors: Vectors, precision: Literal["float16", "float32"]) -> str:
    """Vectors (n, E) as they stand in the journal: base64 of little-endian numbers."""
    return base64.b64encode(vectors.astype(np.dtype(precision).newbyteorder("<")).tobytes()).decode()


def unpack(text: str, settings: PoolSettings) -> Vectors:
    """The reverse of `pack`: float32 (n, E).

    Raises:
        ValueError: If it isn't that.
    """
    raw = base64.b64decode(text, validate=True)
    stored = np.frombuffer(raw, np.dtype(settings.precision).newbyteorder("<"))
    return stored.reshape(-1, settings.embedding_dim).astype(np.float32)
