"""The nouns of WordNet, read from the files of the Debian package ``wordnet-base``.

Formats: wndb(5WN), cntlist(5WN), lexnames(5WN). Only what the corpus needs is kept: lemmas, gloss,
the first hypernym, the lexicographer's domain, and how often a sense was met in tagged texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from ggm.errors import DataError

PACKAGE: Final = "wordnet-base"
PACKAGE_PREFIX: Final = "usr/share/wordnet/"
FILES: Final = ("data.noun", "index.noun", "cntlist.rev")

LICENCE: Final = (
    "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. The WordNet 3.0 licence "
    "permits use, copying, modification and distribution without fee, with this notice. The name of "
    "Princeton University may not be used in advertising or publicity."
)

DOMAINS: Final = (
    "Tops", "act", "animal", "artifact", "attribute", "body", "cognition", "communication", "event",
    "feeling", "food", "group", "location", "motive", "object", "person", "phenomenon", "plant",
    "possession", "process", "quantity", "relation", "shape", "state", "substance", "time",
)  # fmt: skip
"""Of nouns, in the order of lexnames(5WN), where the first has the number 3."""

T = TypeVar("T")
_FIRST_DOMAIN: Final = 3
_QUOTED: Final = re.compile(r'"([^"]*)"?')


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning.

    Args:
        offset: Its identifier.
        domain: One of `DOMAINS`.
        lemmas: Words and phrases that mean it, as they are written, with spaces.
        parent: Identifier of its first hypernym; None for the topmost, and for individuals such as
            a town.
        definition: Its gloss, without examples.
        examples: Sentences and phrases of the gloss.
        uses: How often it was met in the texts that WordNet's makers tagged.
        fields: Identifiers of the fields that it is used in, such as that of law.
    """

    offset: str
    domain: str
    lemmas: tuple[str, ...]
    parent: str | None
    definition: str
    examples: tuple[str, ...]
    uses: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Lexicon:
    """Nouns.

    Args:
        synsets: By identifier.
        first_senses: Identifier of the most usual meaning of each lemma, in lower case.
        noun_uses: How often each lemma was met as a noun, in whatever meaning; 0 if it isn't there.
        other_uses: The same as a verb, adjective or adverb.
    """

    synsets: Mapping[str, Synset]
    first_senses: Mapping[str, str]
    noun_uses: Mapping[str, int] = field(default_factory=dict)
    other_uses: Mapping[str, int] = field(default_factory=dict)

    def ancestors(self, synset: Synset) -> list[Synset]:
        """What it is a kind of, the nearest first."""
        found: dict[str, Synset] = {}
        above = self.synsets.get(synset.parent or "")
        while above is not None and above.offset not in found:  # a damaged file may have a circle
            found[above.offset] = above
            above = self.synsets.get(above.parent or "")
        return list(found.values())

    def __repr__(self) -> str:
        return f"Lexicon({len(self.synsets)} synsets)"


def read_wordnet(folder: Path) -> Lexicon:
    """Reads the noun files of a folder.

    Args:
        folder: With `FILES`, or an unpacked package around it.

    Raises:
        DataError: If a file is missing, can't be read, or has another format.
    """
    if not (folder / FILES[0]).exists():
        folder = folder / PACKAGE_PREFIX
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder}: has no {name}; name a folder with WordNet's {', '.join(FILES)}")
    uses = dict(_parsed(folder / "cntlist.rev", _parse_count))
    synsets = dict(_parsed(folder / "data.noun", lambda line: _parse_synset(line, uses)))
    nouns, others = _lemma_uses(uses)
    return Lexicon(synsets, dict(_parsed(folder / "index.noun", _parse_index)), nouns, others)


def _lemma_uses(uses: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """As nouns, and as anything else; the keys of senses are such as ``dog%1:05:00::``."""
    nouns: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for sense, count in uses.items():
        lemma, _, rest = sense.partition("%")
        (nouns if rest.startswith("1") else others)[lemma.replace("_", " ")] += count
    return dict(nouns), dict(others)


def _parsed(path: Path, parse: Callable[[str], T]) -> Iterator[T]:
    """What each line says; the licence at the top of a file is indented."""
    number = 1
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.strip() and not line.startswith(" "):
                    yield parse(line)
                number += 1
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}, line {number}: not in WordNet's format; download it again") from error


def _parse_count(line: str) -> tuple[str, int]:
    """``dog%1:05:00:: 1 42``: a sense, and how often it was met."""
    sense, _number, count = line.split()
    return sense, int(count)


def _parse_index(line: str) -> tuple[str, str]:
    """``dog n 7 5 @ ~ #m #p %p 7 1 02084071 …``: the meanings of a lemma, the most usual first."""
    lemma, _kind, _synsets, num_pointers, *rest = line.split()
    return lemma.replace("_", " "), rest[int(num_pointers) + 2]


def _parse_synset(line: str, uses: Mapping[str, int]) -> tuple[str, Synset]:
    """``02084071 05 n 03 dog 0 domestic_dog 0 … 022 @ 02083346 n 0000 … | a member of …``."""
    facts, _, gloss = line.partition(" | ")
    offset, domain, _kind, num_lemmas, *rest = facts.split()
    end = 2 * int(num_lemmas, 16)
    lemmas, lex_ids = rest[:end:2], rest[1:end:2]
    pointers = rest[end + 1 :]
    named = list(zip(pointers[::4], pointers[1::4], strict=False))
    parents = [target for symbol, target in named if symbol == "@"]
    senses = (
        f"{lemma.lower()}%1:{domain}:{int(lex_id, 16):02d}::"
        for lemma, lex_id in zip(lemmas, lex_ids, strict=True)
    )
    return offset, Synset(
        offset=offset,
        domain=DOMAINS[int(domain) - _FIRST_DOMAIN],
        lemmas=tuple(lemma.replace("_", " ") for lemma in lemmas),
        parent=parents[0] if parents else None,
        definition=" ".join(_QUOTED.sub("", gloss).split()).strip(" ;"),
        examples=tuple(_QUOTED.findall(gloss)),
        uses=sum(uses.get(sense, 0) for sense in senses),
        fields=tuple(target for symbol, target in named if symbol == ";c"),
    )
