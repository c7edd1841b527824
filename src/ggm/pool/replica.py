"""What one process knows of a shared pool: each name's row, and what all rows together say.

No transaction spans two rows, and several processes write. So each row is right by itself, the last
one written for a name wins, and whatever concerns two names is decided when it is read, in the same
way by everybody: a name that stands for one that is gone is gone itself, and what several writers
counted is added up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

from ggm.hashtags import key
from ggm.pool.state import Alias, Entry, Names, PoolSettings, Watched, search_level
from ggm.pool.uses import IN_RESERVE, Uses, joined, unused
from ggm.pool.vectors import Place

Kind = Literal[0, 1, 2]
HASHTAG: Final = 0
ALIAS: Final = 1
REMOVED: Final = 2
ALL: Final = ""
"""The name under which uses of all hashtags together stand."""

_NOWHERE: Final = Place(-1, -1)


@dataclass(frozen=True, slots=True)
class NameRow:
    """What is known of one name.

    Args:
        text: Canonical.
        kind: A hashtag, another name of one, or taken out by hand.
        place: Where it stands in the order in which they came.
        since: When it came, in seconds since 1970; 0 for in reserve, and for what was no hashtag.
        epoch: How often it came anew: uses of earlier ones count no more.
        target: Key that another name stands for; kept when that name is taken out, for its uses.
        target_epoch: The target's, whose later ones this name doesn't belong to.
        writer: Who wrote the row.
        seq: Its how manieth change that was.
    """

    text: str
    kind: Kind
    place: int
    since: float
    epoch: int
    target: str
    target_epoch: int
    writer: str
    seq: int

    def to_row(self) -> dict[str, Any]:
        """As it stands in Milvus."""
        fields = ("text", "kind", "place", "since", "epoch", "target", "target_epoch", "writer", "seq")
        return {"id": key(self.text), **{name: getattr(self, name) for name in fields}}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> NameRow:
        """The reverse of `to_row`.

        Raises:
            KeyError, TypeError, ValueError: If it isn't that.
        """
        kind = int(row["kind"])
        if kind not in (HASHTAG, ALIAS, REMOVED):
            raise ValueError(f"kind {kind}")
        return cls(
            str(row["text"]),
            cast("Kind", kind),
            int(row["place"]),
            float(row["since"]),
            int(row["epoch"]),
            str(row["target"]),
            int(row["target_epoch"]),
            str(row["writer"]),
            int(row["seq"]),
        )


@dataclass(frozen=True, slots=True)
class UsesRow:
    """What one writer counted of one name; nobody else writes that row.

    Args:
        name: Key, or `ALL`.
        text: Canonical.
        epoch: Of the name: what isn't in the pool is counted for when it will have come.
        uses: How often and when.
        sources: Who used it, while it isn't in the pool.
        writer: Who counted.
        seq: Its how manieth change that was.
    """

    name: str
    text: str
    epoch: int
    uses: Uses
    sources: tuple[str, ...]
    writer: str
    seq: int

    def to_row(self) -> dict[str, Any]:
        """As it stands in Milvus."""
        body = json.dumps([self.text, self.epoch, self.uses, self.sources], ensure_ascii=False)
        return {
            "id": f"{self.writer}:{self.name}",
            "name": self.name,
            "body": body,
            "writer": self.writer,
            "seq": self.seq,
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> UsesRow:
        """The reverse of `to_row`.

        Raises:
            KeyError, TypeError, ValueError: If it isn't that.
        """
        text, epoch, uses, sources = json.loads(row["body"])
        return cls(
            str(row["name"]),
            str(text),
            int(epoch),
            Uses(*uses),
            tuple(map(str, sources)),
            str(row["writer"]),
            int(row["seq"]),
        )


class Replica(Names):
    """All names of a pool in memory, without their vectors. One thread changes it at a time.

    Args:
        settings: Of the pool.

    Attributes:
        rows: Of all names, by key.
        next_place: Where the next hashtag will stand.
        records: Another number after each change.
        highest_level: No hashtag's trend is above it, see `ggm.pool.state.level_of`.
    """

    def __init__(self, settings: PoolSettings) -> None:
        super().__init__(settings)
        self.rows: dict[str, NameRow] = {}
        self.next_place = 0
        self.records = 0
        self.highest_level = -math.inf
        self._uses: dict[str, dict[str, UsesRow]] = {}
        self._others: dict[str, set[str]] = {}  # key of an entry -> names whose uses count for it
        self._pointing: set[str] = set()  # names with a target
        self._places: dict[str, int] = {}  # of the entries

    def uses_of(self, name: str, writer: str) -> UsesRow | None:
        """What a writer counted of a name."""
        return self._uses.get(name, {}).get(writer)

    def uses_ids(self, wanted: Callable[[str], bool]) -> list[str]:
        """The ids of all rows of uses of the names that are wanted."""
        return [f"{writer}:{name}" for name, rows in self._uses.items() if wanted(name) for writer in rows]

    def standing_for(self, name: str) -> frozenset[str]:
        """The names whose uses count for a hashtag, besides its own."""
        return frozenset(self._others.get(name, ()))

    def counted_for(self, name: str) -> tuple[str, Uses] | None:
        """The hashtag that another name's uses count for, and these; None if there are none."""
        if name not in self._pointing:
            return None
        end, row = self._end_of(name), self.rows[name]
        uses = self._joined(name, row)
        return None if end is None or uses is None else (end, uses)

    def current_epoch(self, name: str) -> int:
        """The epoch that uses of a name count for now: that of the hashtag, or of when it will come."""
        row = self.rows.get(name)
        if row is None:
            return 0
        return row.epoch if self._is_live(name) else row.epoch + 1

    def apply(self, names: Iterable[NameRow], uses: Iterable[UsesRow]) -> None:
        """Take rows in the place of what was known."""
        touched: dict[str, None] = {}
        for row in sorted(names, key=lambda row: row.place):
            name = key(row.text)
            self.rows[name] = row
            self.next_place = max(self.next_place, row.place + 1)
            touched[name] = None
            if row.target:
                self._pointing.add(name)
            else:
                self._pointing.discard(name)
        for item in uses:
            self._uses.setdefault(item.name, {})[item.writer] = item
            touched[item.name] = None
        # What others stand for may have come, gone, or got another name.
        touched |= dict.fromkeys(sorted(self._point()))
        ordered = True
        for name in touched:
            if name != ALL:
                ordered = self._settle(name) and ordered
        if ALL in touched:
            self.total = None
            for item in self._uses[ALL].values():
                self.total = joined(self.total, item.uses, self.settings.half_lives)
        if not ordered:
            self.entries = dict(
                sorted(self.entries.items(), key=lambda pair: (self.rows[pair[0]].place, pair[0]))
            )
        self.records += 1

    def _order(self, name: str) -> tuple[int, str]:
        return self.rows[name].place, name

    def _point(self) -> set[str]:
        """Find anew what names stand for; gives those whose uses may have changed."""
        touched = set(self._others)
        self._others = {}
        for name in self._pointing:
            end = self._end_of(name)
            if end is not None and end != name:
                self._others.setdefault(end, set()).add(name)
        return touched | set(self._others) | self._pointing

    def _end_of(self, name: str) -> str | None:
        """The hashtag that a name stands for in the end; None if that is gone."""
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            row = self.rows[name]
            if not row.target:
                return name if row.kind == HASHTAG else None
            target = self.rows.get(row.target)
            if target is None or target.epoch != row.target_epoch:
                return None
            name = row.target
        return None  # two processes made each the other's name

    def _is_live(self, name: str) -> bool:
        row = self.rows.get(name)
        if row is None or row.kind == REMOVED:
            return False
        return row.kind == HASHTAG or self._end_of(name) is not None

    def _settle(self, name: str) -> bool:
        """Say anew what a name is; gives whether the entries are still in order."""
        row = self.rows.get(name)
        ordered = True
        end = None if row is None or row.kind == REMOVED else self._end_of(name)
        if row is not None and end == name:
            if name not in self.entries and self.entries:
                last = self.rows[next(reversed(self.entries))]
                ordered = (last.place, key(last.text)) <= (row.place, name)
            elif name in self.entries and self._places.get(name) != row.place:
                ordered = False
            uses = self._total(name, row)
            self.entries[name] = Entry(row.text, _NOWHERE, uses)
            self.highest_level = max(self.highest_level, search_level(uses, self.settings.half_lives))
            self._places[name] = row.place
        elif self.entries.pop(name, None) is not None:
            self._places.pop(name, None)
        if row is not None and end is not None and end != name:
            self.aliases[name] = Alias(row.text, end)
        else:
            self.aliases.pop(name, None)
        if row is not None and row.kind == REMOVED:
            self.removed[name] = None
        else:
            self.removed.pop(name, None)
        self.watched.pop(name, None)
        if end is None and name not in self.removed:
            self._watch(name)
        return ordered

    def _watch(self, name: str) -> None:
        epoch = self.current_epoch(name)
        own = [item for item in self._uses.get(name, {}).values() if item.epoch == epoch]
        if not own:
            return
        own.sort(key=lambda item: (item.uses.first_seen, item.writer))
        uses = own[0].uses
        for item in own[1:]:
            uses = joined(uses, item.uses, self.settings.half_lives)
        sources = tuple(dict.fromkeys(source for item in own for source in item.sources))
        self.watched[name] = Watched(own[0].text, uses, sources)

    def _total(self, name: str, row: NameRow) -> Uses:
        total = self._joined(name, row)
        for other in sorted(self._others.get(name, ())):
            uses = self._joined(other, self.rows[other])
            if uses is not None:
                total = joined(total, uses, self.settings.half_lives)
        return IN_RESERVE if total is None else total

    def _joined(self, name: str, row: NameRow) -> Uses | None:
        """What was counted of one name alone; None for nothing."""
        total = unused(row.since) if row.since > 0 else None
        for item in self._uses.get(name, {}).values():
            if item.epoch == row.epoch:
                total = joined(total, item.uses, self.settings.half_lives)
        return total


class Staged:
    """Rows that a change will write, on top of what a replica knows.

    Args:
        replica: Isn't changed.
        writer: Who changes.
        seq: Its how manieth change it is.
    """

    def __init__(self, replica: Replica, writer: str, seq: int) -> None:
        self.names: dict[str, NameRow] = {}
        self.uses: dict[str, UsesRow] = {}
        self._replica = replica
        self.seq = seq
        self._writer = writer
        self._next_place = replica.next_place

    def add(self, texts: Iterable[str], at: float) -> None:
        """Put hashtags in, or give those that are there another form."""
        for text in texts:
            name = key(text)
            row = self._row(name)
            if row is not None and row.kind == HASHTAG:
                entry = self._replica.entries.get(name)
                since = at if entry is None or entry.uses == IN_RESERVE else row.since
                self._put(replace(row, text=text, since=since))
            else:
                self._put(self._new(text, HASHTAG, at, self._place()))

    def take_from_reserve(self, name: str, since: float) -> None:
        """A hashtag in reserve was used; ``since`` when, in seconds since 1970."""
        row = self._row(name)
        if row is not None:
            self._put(replace(row, since=since))

    def remove(self, names: Iterable[str]) -> None:
        """Take names out. Another name keeps what it stands for: its uses count there on."""
        for name in names:
            row = self._row(name)
            if row is not None:
                self._put(replace(row, kind=REMOVED))

    def alias(self, target: str, texts: Iterable[str]) -> None:
        """Make names stand for a hashtag."""
        own = self._row(target)
        assert own is not None  # a wish asks for what is there
        for text in texts:
            name = key(text)
            row = self._row(name)
            if row is not None and row.kind == HASHTAG:  # its uses go with it, and its other names
                since = row.since if self._was_used(name) else 0.0
                row = replace(row, text=text, kind=ALIAS, since=since, place=self._place())
                for other in self._replica.standing_for(name):
                    self._put(replace(self._replica.rows[other], target=target, target_epoch=own.epoch))
            else:
                row = self._new(text, ALIAS, 0.0, self._place())
            self._put(replace(row, target=target, target_epoch=own.epoch))

    def count(self, name: str, uses: Uses, *, text: str = "", sources: Iterable[str] = ()) -> None:
        """Add uses to what this writer counted of a name, or of `ALL`."""
        if name == ALL:
            epoch = 0
        elif name in self.names:
            epoch = self.names[name].epoch
        else:
            epoch = self._replica.current_epoch(name)
        old = self.uses.get(name) or self._replica.uses_of(name, self._writer)
        known: tuple[str, ...] = ()
        if old is not None and old.epoch == epoch:
            uses = joined(old.uses, uses, self._replica.settings.half_lives)
            known, text = old.sources, old.text or text
        added = tuple(source for source in dict.fromkeys(sources) if source not in known)
        self.uses[name] = UsesRow(name, text, epoch, uses, (*known, *added), self._writer, self.seq)

    def _row(self, name: str) -> NameRow | None:
        return self.names.get(name) or self._replica.rows.get(name)

    def _was_used(self, name: str) -> bool:
        entry = self._replica.entries.get(name)
        return entry is None or entry.uses != IN_RESERVE

    def _put(self, row: NameRow) -> None:
        self.names[key(row.text)] = replace(row, writer=self._writer, seq=self.seq)

    def _new(self, text: str, kind: Kind, since: float, place: int) -> NameRow:
        """A row of a name that was none or another one's; what it counted for that one stays there."""
        name = key(text)
        row = self._row(name)
        epoch = 0 if row is None else row.epoch + 1
        counted = self._replica.counted_for(name)
        if counted is not None:
            self.count(*counted)
        return NameRow(text, kind, place, since, epoch, "", 0, self._writer, self.seq)

    def _place(self) -> int:
        self._next_place += 1
        return self._next_place - 1
