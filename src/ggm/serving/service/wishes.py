"""What a request may ask of a policy: narrower than the operator's in everything, never wider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ggm.errors import ConfigError
from ggm.generator.decoding import DecodingConfig
from ggm.hashtags.canonical import letters_only
from ggm.policy import Policy

MOST_HASHTAGS: Final = 50
MOST_BEAMS: Final = 10
MOST_PATTERNS: Final = 200
_MOST_WILDCARDS: Final = 4  # of one pattern: more take a long time to match
_LONGEST_PATTERN: Final = 200
_STRICTNESS: Final = ("allow", "flag", "forbid")
_LOWER_WINS: Final = ("max_count", "max_length", "max_total_length", "generic_factor")
_JOINED: Final = ("block", "harmful_words", "generic")
_EITHER: Final = ("harmful", "merge_duplicates")
_KNOWN: Final = ("novel", "platform", "min_score", "aliases", "scripts", *_LOWER_WINS, *_JOINED, *_EITHER)


@dataclass(frozen=True)
class Wish:
    """What is wanted for one video.

    Args:
        top: How many hashtags at most.
        policy: What may be recommended.
        beams: With how many beams hashtags are written; None for the bundle's.
        fitting: Fewer where fewer promise to fit better.
    """

    top: int
    policy: Policy
    beams: int | None = None
    fitting: bool = False

    def decoding(self, usual: DecodingConfig) -> DecodingConfig | None:
        """How hashtags are written; None for as usual."""
        return None if self.beams is None else replace(usual, num_beams=self.beams)


def narrowed(policy: Policy, wishes: Mapping[str, Any]) -> Policy:
    """A policy that allows nothing which the given one doesn't.

    Args:
        policy: The operator's.
        wishes: Fields of a policy: stricter numbers win, lists of what is unwanted are joined, the
            operator's aliases win, filters can be turned on. Of the platform's limits the wish has its
            way, unless the policy names lower ones.

    Raises:
        ConfigError: If a field is unknown, can't be wished for (``allow``, ``harmful_languages``), or
            has a value out of range.
    """
    if unknown := sorted(set(wishes) - set(_KNOWN)):
        raise ConfigError(f"policy: {', '.join(unknown)} can't be asked for; {', '.join(_KNOWN)} can")
    _check_patterns(wishes)
    asked = Policy.from_dict(dict(wishes))  # checks types and ranges
    changes: dict[str, Any] = {}
    if "novel" in wishes:
        changes["novel"] = max(policy.novel, asked.novel, key=_STRICTNESS.index)
    if asked.platform is not None:
        changes["platform"] = asked.platform
    changes["min_score"] = max(policy.min_score, asked.min_score)
    for name in _LOWER_WINS:
        given = [value for one in (policy, asked) if (value := getattr(one, name)) is not None]
        if given:
            changes[name] = min(given)
    for name in _JOINED:
        changes[name] = (*getattr(policy, name), *getattr(asked, name))
    for name in _EITHER:
        if name in wishes:
            changes[name] = getattr(policy, name) or getattr(asked, name)
    if asked.scripts:
        if policy.scripts and not set(asked.scripts) <= set(policy.scripts):
            raise ConfigError(f"policy.scripts: only {', '.join(policy.scripts)} can be asked for")
        changes["scripts"] = asked.scripts
    if asked.aliases:
        taken = {letters_only(alias) for alias in policy.aliases}
        own = {alias: to for alias, to in asked.aliases.items() if letters_only(alias) not in taken}
        changes["aliases"] = {**policy.aliases, **own}
    return replace(policy, **changes)


def _check_patterns(wishes: Mapping[str, Any]) -> None:
    """What would take long to apply."""
    for name in (*_JOINED, "aliases", "scripts"):
        texts = wishes.get(name, ())
        if not isinstance(texts, list | tuple | Mapping):
            continue  # told with its type
        if len(texts) > MOST_PATTERNS:
            raise ConfigError(f"policy.{name}: at most {MOST_PATTERNS} can be asked for, got {len(texts)}")
        for text in (*texts, *(texts.values() if isinstance(texts, Mapping) else ())):
            if isinstance(text, str) and (
                len(text) > _LONGEST_PATTERN or text.count("*") + text.count("?") > _MOST_WILDCARDS
            ):
                raise ConfigError(
                    f"policy.{name}: a pattern has at most {_LONGEST_PATTERN} characters and "
                    f"{_MOST_WILDCARDS} wildcards"
                )
