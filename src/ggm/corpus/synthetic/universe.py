"""What there is to post about, and the hashtags of each topic: decided before any post is drawn.

Topics are meanings of WordNet, the most used first; their own hashtags are its lemmas, their wider
ones the lemmas of what they are a kind of. Others are coined in the course of time.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.phrases import GENERIC_HASHTAGS, MODIFIERS, UNFIT, WIDE_WORDS
from ggm.corpus.synthetic.wordnet import Lexicon, Synset
from ggm.errors import DataError
from ggm.scenes import Topic

_LEMMA: Final = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_LETTERS: Final = range(3, 25)
_MAX_PART_LETTERS: Final = 10
_WIDER_LEVELS: Final = 2
_SHUFFLE: Final = 2.0  # one that is used seven times as often may come after
_TRIES: Final = 50  # for each compound that is coined


@dataclass(frozen=True, slots=True)
class Label:
    """A hashtag of this corpus.

    Args:
        words: That it is made of, in lower case.
        born_day: When it is coined, in days from the start; before the start for most.
    """

    words: tuple[str, ...]
    born_day: float = -1.0

    @property
    def text(self) -> str:
        """As most people write it."""
        return "".join(self.words)

    @property
    def capitals(self) -> str:
        """As some people write it."""
        return "".join(word.capitalize() for word in self.words)


@dataclass(frozen=True, slots=True)
class Subject:
    """A topic with its hashtags.

    Args:
        row: In the table of topics.
        synset: Its meaning.
        own: What it is called.
        wider: What it is a kind of, the nearest first.
        audible: Whether it has a sound of its own.
        coined: Compounds with its name, the oldest first.
    """

    row: int
    synset: Synset
    own: tuple[Label, ...]
    wider: tuple[Label, ...]
    audible: bool
    coined: list[Label] = field(default_factory=list)


@dataclass(frozen=True, repr=False)
class Universe:
    """All topics and hashtags.

    Args:
        subjects: The most popular first.
        popularity: Of each, summed up to it.
        audible: Places of the audible ones among them.
        audible_popularity: Of these, summed up.
        generic: Hashtags that suit any post.
        generic_popularity: Of these, summed up.
        topics: The table of all that scenes can show, and of what it is a kind of.
        hashtags: Texts of all hashtags.
    """

    subjects: tuple[Subject, ...]
    popularity: tuple[float, ...]
    audible: tuple[int, ...]
    audible_popularity: tuple[float, ...]
    generic: tuple[Label, ...]
    generic_popularity: tuple[float, ...]
    topics: tuple[Topic, ...]
    hashtags: frozenset[str]

    def __repr__(self) -> str:
        return f"Universe(subjects={len(self.subjects)}, hashtags={len(self.hashtags)})"


def make_universe(lexicon: Lexicon, config: SyntheticConfig) -> Universe:
    """Chooses topics until there are as many hashtags as wanted.

    Raises:
        DataError: If the lexicon has too few.
    """
    generic = tuple(Label((text,)) for text in GENERIC_HASHTAGS[: config.generic_hashtags])
    num_coined = round(config.coined_share * config.hashtags)
    known = {label.text for label in generic}
    chosen = _choose(lexicon, config, known, wanted=config.hashtags - num_coined)
    table = TopicTable(lexicon)
    rng = random.Random(f"{config.seed}/audible")
    subjects = tuple(
        Subject(table.row_of(synset), synset, own, wider, audible=rng.random() < config.audible_topics)
        for synset, own, wider in chosen
    )
    popularity = [
        (rank + config.zipf_offset) ** -config.zipf_exponent for rank in range(1, len(subjects) + 1)
    ]
    _coin(subjects, tuple(accumulate(popularity)), known, config, count=num_coined)
    audible = tuple(place for place, subject in enumerate(subjects) if subject.audible)
    return Universe(
        subjects=subjects,
        popularity=tuple(accumulate(popularity)),
        audible=audible,
        audible_popularity=tuple(accumulate(popularity[place] for place in audible)),
        generic=generic,
        generic_popularity=tuple(accumulate(1 / rank for rank in range(1, len(generic) + 1))),
        topics=tuple(table.topics),
        hashtags=frozenset(known),
    )


_Chosen = tuple[Synset, tuple[Label, ...], tuple[Label, ...]]


def _choose(lexicon: Lexicon, config: SyntheticConfig, known: set[str], *, wanted: int) -> list[_Chosen]:
    """Topics with their own and wider hashtags, which `known` gets too, until it has as many as wanted."""
    chosen: list[_Chosen] = []
    for synset in _candidates(lexicon, config):
        own = _new(_labels(synset, lexicon), known, room=wanted - len(known))
        if not own:
            continue
        known.update(label.text for label in own)
        wide = [*_wider_labels(synset, lexicon), Label((WIDE_WORDS.get(synset.domain, synset.domain),))]
        wider = _new(wide, known, room=wanted - len(known), also_known=True)
        known.update(label.text for label in wider)
        chosen.append((synset, own, wider))
        if len(known) >= wanted:
            return chosen
    raise DataError(
        f"{len(known):,} hashtags can be had of these nouns, {wanted:,} are wanted beside coined ones; "
        "ask for fewer hashtags, or name more domains"
    )


def _candidates(lexicon: Lexicon, config: SyntheticConfig) -> list[Synset]:
    """Meanings that can be topics, roughly the most used first: the same few lead no two corpora."""
    rng = random.Random(f"{config.seed}/topics")
    fit = [
        synset for synset in lexicon.synsets.values() if synset.domain in config.domains and _is_fit(synset)
    ]
    deep = [synset for synset in fit if len(lexicon.ancestors(synset)) >= config.min_depth]
    deep.sort(key=lambda synset: synset.offset)
    score = {synset.offset: math.log1p(synset.uses) + rng.uniform(0, _SHUFFLE) for synset in deep}
    return sorted(deep, key=lambda synset: -score[synset.offset])


def _is_fit(synset: Synset) -> bool:
    gloss = f"{synset.definition} {' '.join(synset.lemmas)}".lower()
    return not any(letters in gloss for letters in UNFIT)


def _labels(synset: Synset, lexicon: Lexicon) -> Iterator[Label]:
    """Its lemmas as hashtags, those that are proper nouns or usually mean something else left out."""
    for lemma in synset.lemmas:
        words = tuple(re.split("[ -]", lemma))
        is_first = lexicon.first_senses.get(lemma) == synset.offset
        if is_first and _LEMMA.fullmatch(lemma) and len("".join(words)) in _LETTERS:
            yield Label(words)


def _wider_labels(synset: Synset, lexicon: Lexicon) -> Iterator[Label]:
    for above in lexicon.ancestors(synset)[:_WIDER_LEVELS]:
        if above.domain == synset.domain and _is_fit(above):
            yield from list(_labels(above, lexicon))[:1]


def _new(
    labels: Iterable[Label], known: set[str], *, room: int, also_known: bool = False
) -> tuple[Label, ...]:
    """The labels that aren't known, as many as there is room for; known ones as well if wanted."""
    kept: dict[str, Label] = {}
    for label in labels:
        if label.text in known:
            if also_known:
                kept.setdefault(label.text, label)
        elif label.text not in kept and room > 0:
            kept[label.text] = label
            room -= 1
    return tuple(kept.values())


def _coin(
    subjects: Sequence[Subject],
    popularity: tuple[float, ...],
    known: set[str],
    config: SyntheticConfig,
    *,
    count: int,
) -> None:
    """Coins compounds of words that are hashtags: a topic's name and a modifier, or another's name."""
    rng = random.Random(f"{config.seed}/coined")
    short = [
        place
        for place, subject in enumerate(subjects)
        if len(subject.own[0].words) == 1 and len(subject.own[0].text) <= _MAX_PART_LETTERS
    ]
    if not short and count:
        raise DataError("no topic has a name that hashtags could be coined with; name more domains")
    weights = tuple(
        accumulate(popularity[place] - (popularity[place - 1] if place else 0) for place in short)
    )
    for _ in range(count * _TRIES):
        if not count:
            break
        subject, other = (subjects[place] for place in rng.choices(short, cum_weights=weights, k=2))
        second = rng.choice(MODIFIERS) if rng.random() < 0.5 else other.own[0].text
        label = Label((subject.own[0].text, second), born_day=rng.uniform(0, config.days))
        if label.text not in known and subject.own[0].text != second:
            known.add(label.text)
            subject.coined.append(label)
            count -= 1
    if count:
        raise DataError(f"{count:,} hashtags couldn't be coined: too few topics; lower coined_share")
    for subject in subjects:
        subject.coined.sort(key=lambda label: label.born_day)


class TopicTable:
    """The rows of all topics and of what they are a kind of; a parent comes before its kinds.

    Args:
        lexicon: That knows what meanings are kinds of.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._rows: dict[str, int] = {}
        self.topics: list[Topic] = []

    def row_of(self, synset: Synset) -> int:
        """The row of a meaning; it gets one if it has none."""
        for one in (*reversed(self._lexicon.ancestors(synset)), synset):
            if one.offset not in self._rows:
                parent = None if one.parent is None else self._rows.get(one.parent)
                self._rows[one.offset] = len(self.topics)
                self.topics.append(Topic(one.lemmas[0], parent, f"{one.offset}-n"))
        return self._rows[synset.offset]
