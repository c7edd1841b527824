"""The starter, built: phrases of all sources, sifted, each hashtag once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ggm.corpus.art.sources import EMOJIBASE
from ggm.corpus.npm import NpmPackage, fetch_npm_package, find_npm_package, read_npm_package
from ggm.corpus.starter.candidates import Phrase
from ggm.corpus.starter.creators import creator_phrases, left_out
from ggm.corpus.starter.entries import StarterEntry, write_entries
from ggm.corpus.starter.names import (
    COUNTRIES_FILE,
    EMOJI_FILE,
    LANGUAGES_FILE,
    country_phrases,
    emoji_phrases,
)
from ggm.corpus.starter.nouns import noun_phrases
from ggm.corpus.starter.sources import COUNTRIES, HEADER
from ggm.corpus.synthetic.build import read_words
from ggm.errors import HashtagError
from ggm.hashtags import normalise, split_words, word_ranks
from ggm.policy.duplicates import signatures
from ggm.policy.harmful import harmful_word
from ggm.policy.patterns import Patterns
from ggm.policy.wordlists import word_lists

SHORTEST: Final = 3
LONGEST: Final = 24
"""Letters of a hashtag."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FUNCTION_WORDS: Final = _words("""
    a about above after again all also an and another any are as at back be been before being below
    both but by can could did do does down each else even every few for from get give go had has
    have he her here him his how if in into is it its just last less let like made make many may me
    might more most much must my near no nor not now of off on once one only or other our out over
    own per put said same say see she should so some such take than that the their them then there
    these they this those through thus to too two under until up upon us use very was way we well
    were what when where which while who whom whose why will with within without would yet you your
    yes
""")


@dataclass(frozen=True)
class StarterSummary:
    """What was built.

    Args:
        file: Where it is.
        hashtags: How many.
        by_source: How many of each source.
        dropped: Phrases left out, by reason.
    """

    file: Path
    hashtags: int
    by_source: dict[str, int]
    dropped: dict[str, int]


def build_starter(out: Path | str, *, source: Path | None = None) -> StarterSummary:
    """Build the starter's file; the same sources give the same bytes.

    Args:
        out: Is replaced.
        source: Folder with the packages (``wordnet-base_*.deb`` and the npm archives); fetched once
            if absent.

    Raises:
        DataError: If a package can't be had or read, or the file can't be written.
    """
    sift = Sift()
    entries = sorted(sift.sifted(_phrases(source)), key=lambda entry: entry.hashtag)
    write_entries(Path(out), entries, HEADER)
    return StarterSummary(
        Path(out), len(entries), dict(Counter(entry.source for entry in entries)), dict(sift.dropped)
    )


def _phrases(source: Path | None) -> Iterator[Phrase]:
    lexicon, _ = read_words(source)
    yield from creator_phrases()
    yield from country_phrases(_npm(COUNTRIES, {COUNTRIES_FILE, LANGUAGES_FILE}, source))
    yield from emoji_phrases(_npm(EMOJIBASE, {EMOJI_FILE}, source))
    yield from noun_phrases(lexicon)


def _npm(package: NpmPackage, wanted: set[str], source: Path | None) -> dict[str, bytes]:
    path = fetch_npm_package(package) if source is None else find_npm_package(package, folder=source)
    return read_npm_package(path, wanted=wanted.__contains__)


class Sift:
    """What may become a hashtag of the starter; phrases that come first win over near-duplicates.

    Attributes:
        dropped: Number of phrases left out, by reason.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._known: set[str] = set()
        self._alike: set[tuple[int, str]] = set()
        self._left_out = left_out()
        self._generic = Patterns(word_lists().generic, where="words.toml")

    def sifted(self, phrases: Iterable[Phrase]) -> Iterator[StarterEntry]:
        """The entries of the phrases that stay, in their order."""
        for phrase in phrases:
            try:
                hashtag = normalise("".join(phrase.words)).casefold()
            except HashtagError:
                self.dropped["no hashtag"] += 1
                continue
            if hashtag in self._known:
                continue  # the same from another source, or once more: nothing is lost
            reason = self._objection(hashtag, phrase)
            if reason is not None:
                self.dropped[reason] += 1
                continue
            self._known.add(hashtag)
            self._alike.update(enumerate(signatures(hashtag)))
            yield StarterEntry(hashtag, phrase.source, phrase.topic)

    def _objection(self, hashtag: str, phrase: Phrase) -> str | None:
        checks: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("length", lambda: not SHORTEST <= len(hashtag) <= LONGEST),
            ("on the list of what stays out", lambda: hashtag in self._left_out),
            ("function word", lambda: _FUNCTION_WORDS.issuperset(phrase.words)),
            ("rare word", lambda: _is_rare(phrase)),
            # What isn't divided as it was joined gets another meaning: "homerun" is no "hom erun".
            ("divided wrongly", lambda: not phrase.written and split_words(hashtag) != phrase.words),
            ("says nothing of a video", lambda: self._generic.match(hashtag) is not None),
            ("near-duplicate", lambda: not self._alike.isdisjoint(enumerate(signatures(hashtag)))),
            ("harmful language", lambda: harmful_word(hashtag) is not None),
        )
        return next((reason for reason, holds in checks if holds()), None)


def _is_rare(phrase: Phrase) -> bool:
    ranks, rarest = word_ranks(), phrase.rarest
    return rarest is not None and any(ranks.get(word, rarest + 1) > rarest for word in phrase.words)
