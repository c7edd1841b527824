"""The scripts that a hashtag is written in, by their Unicode names; the only user of regex.

Of the language itself a hashtag says too little: what knows languages by their letters needs
sentences, and guesses at single words. So there is a filter of scripts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import regex

from ggm.errors import ConfigError


def check_scripts(scripts: Sequence[str]) -> None:
    """See to it that these are scripts.

    Args:
        scripts: Unicode names or codes, such as ``Latin``, ``Han`` or ``Cyrl``.

    Raises:
        ConfigError: If one isn't.
    """
    for script in scripts:
        try:
            if not script.replace("_", "").isalpha():
                raise regex.error("no name")
            _other_than((script,))
        except regex.error as error:
            raise ConfigError(
                f"policy.scripts: {script!r} is no Unicode script, such as Latin, Cyrillic, Arabic or Han"
            ) from error


def foreign_character(hashtag: str, scripts: Sequence[str]) -> str | None:
    """The first character of another script than these; None if there is none.

    Digits, and what several scripts share, are of any script.
    """
    found = _other_than(tuple(scripts)).search(hashtag)
    return None if found is None else str(found[0])


@lru_cache(maxsize=64)
def _other_than(scripts: tuple[str, ...]) -> regex.Pattern[str]:
    own = "".join(rf"\p{{Script_Extensions={script}}}" for script in scripts)
    return regex.compile(rf"[^\p{{Script=Common}}\p{{Script=Inherited}}{own}]")
