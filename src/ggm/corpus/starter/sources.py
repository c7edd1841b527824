"""What the starter is made of, under which licences, and what is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ggm.corpus.art.sources import EMOJIBASE
from ggm.corpus.npm import NpmPackage
from ggm.corpus.synthetic.wordnet import LICENCE

COUNTRIES: Final = NpmPackage(
    "countries-list",
    "3.4.1",
    "sha512-sKLGAZD5EAdzQwQ19vOp/9u33MTjmZ0CkdXPYtp/An6cyIlJ/E8TwGf2FcPe1AnzHO+h7nbTfoHyXIi58Hpa+Q==",
)


@dataclass(frozen=True, slots=True)
class StarterSource:
    """One list of words.

    Args:
        key: Its name in the file.
        title: Its own name, and the package that it comes in.
        licence: SPDX expression, or the licence's name.
        attribution: Whom to name.
    """

    key: str
    title: str
    licence: str
    attribution: str


SOURCES: Final = (
    StarterSource("creators", "creators.toml of this project", "CC0-1.0", "the ggm authors"),
    StarterSource("wordnet", "WordNet 3.0 (Debian's wordnet-base)", "WordNet 3.0", "Princeton University"),
    StarterSource(
        "emoji",
        f"emojibase-data {EMOJIBASE.version} (npm), English names from Unicode CLDR",
        "MIT AND Unicode-3.0",
        "Miles Johnson",
    ),
    StarterSource(
        "countries", f"countries-list {COUNTRIES.version} (npm)", "MIT", "Dmitriy Nechaenko, Annexare Studio"
    ),
)
"""The first of two that have a hashtag is named as its source."""

HEADER: Final = (
    "Starter pool of ggm: hashtags for everyday short videos, made by `ggm corpus hashtags`.",
    "Each line: hashtag, source, topic. Words by which entries were chosen: wordninja (MIT).",
    "",
    *(f"{one.key}: {one.title}; {one.licence}; {one.attribution}" for one in SOURCES),
    "",
    f"wordnet: {LICENCE}",
    'WordNet is provided "AS IS", and Princeton University makes no representations or warranties,',
    "express or implied; the whole licence stands in NOTICE.",
)
