"""Nouns of WordNet that a short video may show or be about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ggm.corpus.starter.candidates import Phrase
from ggm.corpus.synthetic.phrases import UNFIT
from ggm.corpus.synthetic.wordnet import Lexicon, Synset

SOURCE: Final = "wordnet"

_LEMMA: Final = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_MOST_WORDS: Final = 3
_RAREST_OF_SEVERAL: Final = 15_000
_DIM: Final = (
    *UNFIT, "disease", "weapon", "poison", "corpse", "dead ", "death", "drug", "extinct", "fossil", "genus",
    "taxonomic", "military", "war ", "kill", "illegal", "criminal", "parasit", "microorganism", "bacteri",
    "larva", "embryo", "not in technical use", "slaughter",
    "urin", "anus", "prison", "punish", "archaic", "formerly", "medieval", "(old ", "addict", "breasts",
)  # fmt: skip
"""Glosses with these letters are about what nobody looks for here, or would rather not see."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Nouns of one topic.

    Args:
        topic: What they are about, and the domain of WordNet that they stand in.
        rarest: Highest rank of a word.
        below: Lemmas of that domain; what is a kind of one is taken. Empty for the whole domain.
    """

    topic: str
    rarest: int
    below: tuple[str, ...] = ()


KINDS: Final = (
    Kind("animal", 45_000, (
        "bird", "mammal", "fish", "reptile", "amphibian", "insect", "arachnid", "crustacean", "mollusk",
        "dinosaur",
        "echinoderm", "coelenterate", "dog", "cat", "horse",
    )),
    Kind("food", 45_000),
    Kind("plant", 25_000, (
        "flower", "tree", "shrub", "herb", "houseplant", "vegetable", "vine", "fern", "fruit",
    )),
    Kind("event", 20_000, ("social event", "contest")),
    Kind("phenomenon", 30_000, ("weather", "atmospheric phenomenon", "light")),
    Kind("act", 45_000, (
        "sport", "game", "dance", "dancing", "cooking", "travel", "craft", "avocation", "exercise",
        "art", "sewing", "needlework", "swimming", "photography", "skating", "skiing",
    )),
    Kind("artifact", 30_000, (
        "clothing", "garment", "footwear", "vehicle", "musical instrument", "building", "furniture", "toy",
        "adornment", "kitchen utensil", "art", "room", "fabric", "decoration", "sports equipment",
        "game equipment",
        "camera", "computer", "bridge", "cooking utensil", "tableware", "dwelling", "shop", "playground",
        "cosmetic",
        "perfume", "lamp", "bag", "headdress", "home appliance", "book", "picture",
        "photographic equipment", "tower",
        "gem", "path", "road", "electronic equipment", "clock", "handcart", "vessel",
    )),
    Kind("object", 30_000, (
        "geological formation", "body of water", "celestial body", "land", "natural elevation",
    )),
    Kind("location", 15_000, ("tract", "park", "municipality")),
    Kind("person", 20_000, (
        "performer", "entertainer", "athlete", "artist", "relative", "musician", "traveler", "player",
        "scientist",
        "writer", "dancer", "craftsman", "newlywed", "cook", "teacher", "friend", "health professional",
    )),
    Kind("time", 15_000, ("season", "day", "vacation", "time of day")),
    Kind("communication", 25_000, ("music", "movie", "song", "popular music", "comedy")),
    Kind("group", 15_000, ("musical organization", "family", "team")),
    Kind("attribute", 25_000, ("chromatic color",)),
)  # fmt: skip


def noun_phrases(lexicon: Lexicon) -> Iterator[Phrase]:
    """The nouns, by their most usual meaning alone, so that "bass" is no fish.

    Individuals such as towns are left out, and words that are more often no nouns ("simple").

    Args:
        lexicon: All of them.

    Yields:
        In the lexicon's order, kind by kind.
    """
    for kind in KINDS:
        roots = {_root(lexicon, kind.topic, lemma) for lemma in kind.below}
        for synset in lexicon.synsets.values():
            if synset.domain != kind.topic or synset.parent is None:
                continue
            line = {synset.offset, *(above.offset for above in lexicon.ancestors(synset))}
            if (kind.below and not roots & line) or any(part in synset.definition for part in _DIM):
                continue
            yield from _phrases(synset, lexicon, kind)


def _phrases(synset: Synset, lexicon: Lexicon, kind: Kind) -> Iterator[Phrase]:
    for lemma in synset.lemmas:
        if _LEMMA.fullmatch(lemma) is None or lexicon.first_senses.get(lemma) != synset.offset:
            continue
        if lexicon.other_uses.get(lemma, 0) > lexicon.noun_uses.get(lemma, 0):
            continue
        words = tuple(re.split("[ -]", lemma))
        # Most compounds are terms ("line storm"); kept are those that were met in tagged texts.
        usual = lexicon.noun_uses.get(lemma, 0) > 0
        if len(words) > _MOST_WORDS or (len(words) > 1 and not usual):
            continue
        rarest = min(kind.rarest, _RAREST_OF_SEVERAL) if len(words) > 1 else kind.rarest
        yield Phrase(words, SOURCE, kind.topic, rarest)


def _root(lexicon: Lexicon, domain: str, lemma: str) -> str:
    """The most usual meaning of a lemma in a domain; empty if it has none there."""
    found = [one for one in lexicon.synsets.values() if one.domain == domain and lemma in one.lemmas]
    return max(found, key=lambda one: (one.uses, one.offset)).offset if found else ""
