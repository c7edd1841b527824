"""Names of emoji, and names of countries, capitals and languages, from npm packages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ggm.corpus.starter.candidates import Phrase
from ggm.errors import DataError

EMOJI_FILE: Final = "en/data.json"
COUNTRIES_FILE: Final = "countries.min.json"
LANGUAGES_FILE: Final = "languages.min.json"

_TOPICS: Final = {
    3: "animals and nature", 4: "food and drink", 5: "travel and places", 6: "activities", 7: "objects",
}  # fmt: skip
"""Of emojibase's groups; the others are faces, gestures, parts, symbols and flags."""

_RAREST: Final = 50_000
_RAREST_LANGUAGE: Final = 25_000
_MOST_WORDS: Final = 3


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PICTURED: Final = _words("""
    with without behind over thirty oncoming quarter waxing waning speaker
""")
_PHRASE: Final = re.compile(r"[a-z]+(?:[ -][a-z]+)*")


def emoji_phrases(files: Mapping[str, bytes]) -> Iterator[Phrase]:
    """Names of emoji such as ``hot air balloon``; their tags are moods and uses, and stay out.

    Raises:
        DataError: If the package isn't what it was.
    """
    for facts in _json(files, EMOJI_FILE):
        if facts.get("group") in _TOPICS:
            label = facts["label"].removesuffix(" face")
            yield from _phrases(label, "emoji", _TOPICS[facts["group"]], _RAREST)


def country_phrases(files: Mapping[str, bytes]) -> Iterator[Phrase]:
    """Names of countries, capitals and languages.

    Raises:
        DataError: If the package isn't what it was.
    """
    countries = _json(files, COUNTRIES_FILE).values()
    for topic in ("name", "capital"):
        for facts in countries:
            yield from _phrases(
                facts.get(topic, ""), "countries", {"name": "country"}.get(topic, topic), None
            )
    for facts in _json(files, LANGUAGES_FILE).values():
        yield from _phrases(facts["name"], "countries", "language", _RAREST_LANGUAGE)


def _phrases(text: str, source: str, topic: str, rarest: int | None) -> Iterator[Phrase]:
    text = text.casefold().replace("’", "").replace(".", "")
    if _PHRASE.fullmatch(text) is None:
        return
    words = tuple(re.split("[ -]", text))
    # "twelve-thirty", "beach with umbrella": what a picture is, not what anybody says.
    if len(words) <= _MOST_WORDS and not _PICTURED.intersection(words):
        yield Phrase(words, source, topic, rarest)


def _json(files: Mapping[str, bytes], path: str) -> Any:
    try:
        return json.loads(files[path])
    except (KeyError, ValueError) as error:
        raise DataError(f"the package has no usable {path}: {error!r}; fetch it again") from error
