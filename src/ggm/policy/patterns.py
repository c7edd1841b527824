"""Wildcard patterns over hashtags: ``*sale*`` finds ``BigSale2025`` and ``s_a_l_e``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from ggm.errors import ConfigError
from ggm.hashtags.canonical import (
    HASH_SIGNS,
    SEPARATORS,
    fold,
    is_digit,
    is_letter,
    is_mark,
    letters_only,
    normalise,
)

_WILDCARD: Final = re.compile("([*?]+)")


class Patterns:
    """Hashtags and wildcard patterns, matched whatever the case and the separators.

    ``*`` stands for any characters, or none, ``?`` for one; a pattern has to match the whole hashtag.

    Args:
        patterns: As somebody wrote them, with or without ``#``.
        where: What they are, for messages, such as ``policy.block``.

    Raises:
        ConfigError: If a pattern has no letter or digit, or a character that no hashtag has.
    """

    def __init__(self, patterns: Iterable[str], *, where: str) -> None:
        self._exact: dict[str, str] = {}
        self._wild: list[tuple[re.Pattern[str], str]] = []
        for pattern in patterns:
            pieces = _pieces(pattern, where=where)
            if len(pieces) == 1:
                self._exact.setdefault(_bare(pieces[0]), pattern)
            else:
                source = "".join(
                    piece.replace("*", ".*").replace("?", ".") if place % 2 else re.escape(_bare(piece))
                    for place, piece in enumerate(pieces)
                )
                self._wild.append((re.compile(source, re.DOTALL), pattern))

    def match(self, hashtag: str) -> str | None:
        """The first pattern that matches, as it was written; None if none does.

        Raises:
            HashtagError: If the text holds no hashtag.
        """
        bare = letters_only(normalise(hashtag))
        exact = self._exact.get(bare)
        if exact is not None:
            return exact
        return next((pattern for source, pattern in self._wild if source.fullmatch(bare)), None)


def _pieces(pattern: str, *, where: str) -> list[str]:
    """What stands between the wildcards, and at odd places these; folded."""
    text = unicodedata.normalize("NFKC", pattern.strip()).lstrip(HASH_SIGNS)
    pieces = _WILDCARD.split(text)
    literal = "".join(pieces[::2])
    wrong = sorted({c for c in literal if not (_stands_in_hashtags(c) or c in SEPARATORS)})
    if wrong:
        raise ConfigError(f"{where}: {pattern!r} matches no hashtag: none has {' '.join(map(repr, wrong))}")
    if not any(map(_stands_in_hashtags, literal)):
        raise ConfigError(f"{where}: {pattern!r} has no letter or digit, so that it would match anything")
    return [piece if place % 2 else fold(piece) for place, piece in enumerate(pieces)]


def _stands_in_hashtags(character: str) -> bool:
    return is_letter(character) or is_digit(character) or is_mark(character)


def _bare(piece: str) -> str:
    return piece.replace("-", "").replace("_", "")
