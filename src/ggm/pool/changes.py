"""What callers ask of a pool, checked against its state and turned into what the journal records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ggm.errors import PoolError
from ggm.hashtags import key
from ggm.pool.state import Change, Names, pack
from ggm.pool.uses import DAY_SECONDS, Uses
from ggm.retriever.index import Vectors

FORGOTTEN_AFTER: Final = 4.0
"""Usual half-lives without a use, after which a watched hashtag is forgotten."""


class Wish(Protocol):
    """A change that somebody asks for."""

    @property
    def names(self) -> frozenset[str]:
        """Keys that it touches; wishes that share none can be granted together."""

    def changes(self, state: Names) -> list[Change]:
        """What is to be recorded; nothing if the state is as wished already.

        Raises:
            PoolError: If it can't be granted. Nothing is changed.
        """


@dataclass
class Add:
    """Put hashtags in, or replace them.

    Args:
        texts: Canonical, by key.
        vectors: float32 (n, E), as the pool keeps them, in the same order.
        at: Seconds since 1970.
    """

    texts: Mapping[str, str]
    vectors: Vectors
    at: float

    @property
    def names(self) -> frozenset[str]:
        """The hashtags' keys."""
        return frozenset(self.texts)

    def changes(self, state: Names) -> list[Change]:
        """An alias is there already: its hashtag is."""
        rows = [row for row, name in enumerate(self.texts) if name not in state.aliases]
        if not rows:
            return []
        texts = list(self.texts.values())
        vectors = pack(self.vectors[rows], state.settings.precision)
        return [
            {"change": "add", "hashtags": [texts[row] for row in rows], "vectors": vectors, "at": self.at}
        ]


@dataclass
class Remove:
    """Take hashtags or aliases out.

    Args:
        texts: As they were asked for, by key.
    """

    texts: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """The hashtags' keys."""
        return frozenset(self.texts)

    def changes(self, state: Names) -> list[Change]:
        """Aliases first: those of a hashtag go with it."""
        if unknown := [text for name, text in self.texts.items() if not _holds(state, name)]:
            raise PoolError(f"not in the pool: {', '.join(unknown)}")
        ordered = sorted(self.texts, key=lambda name: name not in state.aliases)
        return [{"change": "remove", "keys": ordered}] if ordered else []


@dataclass
class Rename:
    """Make hashtags other names of one that is in the pool.

    Args:
        target: The hashtag, as it was asked for.
        aliases: Canonical, by key.
    """

    target: str
    aliases: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """The keys of the hashtag and its new names."""
        return frozenset({key(self.target), *self.aliases})

    def changes(self, state: Names) -> list[Change]:
        """The hashtag may be named by an alias."""
        target = state.resolve(key(self.target))
        if target not in state.entries:
            raise PoolError(f"not in the pool: {self.target}; add it before giving it other names")
        if target in self.aliases:
            raise PoolError(f"{state.entries[target].text} can't be another name of itself")
        new = [text for name, text in self.aliases.items() if state.resolve(name) != target]
        return [{"change": "alias", "of": target, "aliases": new}] if new else []


@dataclass(frozen=True)
class Observed:
    """Uses of one hashtag in some posts.

    Args:
        text: Canonical hashtag.
        uses: How often and when.
        sources: Who used it: a name of each author or post, each once.
    """

    text: str
    uses: Uses
    sources: tuple[str, ...]


@dataclass
class Observe:
    """Count uses, and put in what enough people use.

    Args:
        observed: By key.
        min_sources: How many different sources let a hashtag in.
        at: Seconds since 1970.
        coming: Canonical hashtags by key that may come in now, see `newcomers`.
        vectors: float32 (n, E), theirs, as the pool keeps them.
    """

    observed: Mapping[str, Observed]
    min_sources: int
    at: float
    coming: Mapping[str, str] = field(default_factory=dict)
    vectors: Vectors | None = None
    added: list[str] = field(default_factory=list)
    """Those that came in."""

    @property
    def names(self) -> frozenset[str]:
        """The hashtags' keys."""
        return frozenset(self.observed)

    def newcomers(self, state: Names) -> dict[str, str]:
        """Those that enough sources have used by now: by key, as they were first written."""
        found = {}
        for name, item in self.observed.items():
            if not _holds(state, name) and name not in state.removed:
                watched = state.watched.get(name)
                sources = {*item.sources, *(watched.sources if watched else ())}
                if len(sources) >= self.min_sources:
                    found[name] = watched.text if watched else item.text
        return found

    def changes(self, state: Names) -> list[Change]:
        """Aliases count for their hashtag; what was taken out by hand is passed over."""
        uses: dict[str, list[Uses]] = {}
        watched = []
        for name, item in self.observed.items():
            if _holds(state, name):
                uses.setdefault(state.resolve(name), []).append(item.uses)
            elif name not in state.removed:
                # More than are needed would only take room.
                sources = _new_sources(state, name, item)[: self.min_sources]
                watched.append([item.text, item.uses, sources])
        changes: list[Change] = []
        most = max((len(found) for found in uses.values()), default=0)
        for turn in range(most):  # a hashtag and its aliases in the same posts take several turns
            part = {name: found[turn] for name, found in uses.items() if turn < len(found)}
            changes.append({"change": "use", "uses": part})
        if watched:
            changes.append({"change": "watch", "hashtags": watched})
        expected = self.newcomers(state)
        rows = [row for row, name in enumerate(self.coming) if name in expected]
        if rows and self.vectors is not None:
            texts = list(self.coming.values())
            self.added = [texts[row] for row in rows]
            vectors = pack(self.vectors[rows], state.settings.precision)
            changes.append({"change": "add", "hashtags": self.added, "vectors": vectors, "at": self.at})
        return changes


@dataclass
class Forget:
    """Forget watched hashtags that nobody used for long.

    Args:
        at: Seconds since 1970.
    """

    at: float
    names: frozenset[str] = frozenset()

    def changes(self, state: Names) -> list[Change]:
        """Those whose last use is `FORGOTTEN_AFTER` usual half-lives ago."""
        before = self.at - FORGOTTEN_AFTER * state.settings.half_lives.usual_days * DAY_SECONDS
        names = [name for name, item in state.watched.items() if item.uses.last_seen < before]
        return [{"change": "forget", "keys": names}] if names else []


def _holds(state: Names, name: str) -> bool:
    return name in state.aliases or name in state.entries


def _new_sources(state: Names, name: str, item: Observed) -> Sequence[str]:
    known = state.watched[name].sources if name in state.watched else ()
    return [source for source in item.sources if source not in known]
