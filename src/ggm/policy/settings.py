"""The policy: what may be recommended, as one value that the library, the command line and a
service share.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from ggm.errors import ConfigError, HashtagError
from ggm.hashtags import key, normalise
from ggm.hashtags.canonical import letters_only
from ggm.policy.harmful import check_languages
from ggm.policy.patterns import Patterns
from ggm.policy.platforms import NO_LIMITS, Limits, platforms
from ggm.policy.scripts import check_scripts
from ggm.policy.wordlists import word_lists
from ggm.settings import from_dict

Novel = Literal["allow", "flag", "forbid"]
"""What becomes of hashtags that were coined: they may be recommended, are marked as such, or aren't
written in the first place."""


@dataclass(frozen=True)
class Policy:
    """What may be recommended. By default everything but harmful language.

    Patterns are hashtags in which ``*`` stands for any characters and ``?`` for one; in them and in
    aliases case and separators play no part. ``block`` wins over everything; ``allow`` wins over
    the filters that judge words (harmful, scripts, generic), not over ``block``, limits and scores.

    Args:
        novel: ``allow``, ``flag`` or ``forbid`` coined hashtags. ``forbid`` is a guarantee: no
            hashtag is recommended that isn't in the pool; the generator can't write one.
        platform: Name of a preset of limits (see `platforms`); None for none.
        max_count: Hashtags at most, 1 or more; None for the platform's limit.
        max_length: Characters of one hashtag, 1 or more; None for the platform's.
        max_total_length: Characters of all together with ``#`` and spaces, 2 or more; None for the
            platform's.
        min_score: Lowest score that is recommended, 0 to 1, after damping.
        aliases: Hashtags and what to say instead, such as ``{"nyc": "newyorkcity"}``; chains are
            followed.
        block: Patterns that are never recommended.
        allow: Patterns that the filters of words leave alone.
        harmful: Whether harmful language is removed.
        harmful_languages: Whose words; see `ggm.policy.harmful.LANGUAGES`.
        harmful_words: Patterns that count as harmful too.
        generic_factor: What scores of generic hashtags, such as ``#fyp``, are multiplied by, 0 to 1;
            1 leaves them.
        generic: Patterns that count as generic beside those that come along.
        merge_duplicates: Whether of near-duplicates (case, separators, singular and plural, order of
            words) the best one alone stays.
        scripts: Unicode scripts that hashtags may be written in, such as ``Latin``; empty for any.

    Raises:
        ConfigError: If a value is out of range, or names what there isn't.
    """

    novel: Novel = "allow"
    platform: str | None = None
    max_count: int | None = None
    max_length: int | None = None
    max_total_length: int | None = None
    min_score: float = 0.0
    aliases: dict[str, str] = field(default_factory=dict)
    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    harmful: bool = True
    harmful_languages: tuple[str, ...] = ("english",)
    harmful_words: tuple[str, ...] = ()
    generic_factor: float = 1.0
    generic: tuple[str, ...] = ()
    merge_duplicates: bool = True
    scripts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.novel not in get_args(Novel):
            raise ConfigError(f"policy.novel must be one of {', '.join(get_args(Novel))}, got {self.novel!r}")
        if self.platform is not None and self.platform not in platforms():
            raise ConfigError(
                f"policy.platform: no preset {self.platform!r}; there are {', '.join(platforms())}"
            )
        for name in ("min_score", "generic_factor"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ConfigError(f"policy.{name} must be within 0 and 1, got {value}")
        check_languages(self.harmful_languages)
        check_scripts(self.scripts)
        _ = self.limits, self.compiled  # refuse what can't be used now rather than at the first video

    @cached_property
    def limits(self) -> Limits:
        """The platform's limits with this policy's own in their place."""
        preset = NO_LIMITS if self.platform is None else platforms()[self.platform]
        own = {
            name: getattr(self, name)
            for name in ("max_count", "max_length", "max_total_length")
            if getattr(self, name) is not None
        }
        advice = tuple(name for name in preset.recommended if name not in own)
        return replace(preset, **own, recommended=advice)

    @cached_property
    def compiled(self) -> CompiledPolicy:
        """Patterns and aliases, ready to be asked."""
        return CompiledPolicy(
            aliases=_resolved(self.aliases),
            block=Patterns(self.block, where="policy.block"),
            allow=Patterns(self.allow, where="policy.allow"),
            harmful_words=Patterns(self.harmful_words, where="policy.harmful_words"),
            generic=Patterns((*word_lists().generic, *self.generic), where="policy.generic"),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; what is None is left out, for TOML."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "policy") -> Policy:
        """The reverse of `to_dict`; what is absent has its default.

        Args:
            values: As TOML or JSON has them.
            where: What they are, for messages.

        Raises:
            ConfigError: If a key is unknown, or a value is of another type or refused.
        """
        return from_dict(cls, values, where=where)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy from a TOML file.

        Raises:
            ConfigError: If it can't be read, isn't TOML, or isn't a policy; the message names it.
        """
        return cls.from_dict(read_policy(path), where=str(path))


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy's patterns and aliases, ready to be asked.

    Args:
        aliases: By the letters of the hashtag, without case and separators, what to say instead.
        block: See `Policy`.
        allow: See `Policy`.
        harmful_words: See `Policy`.
        generic: The patterns that come along, and the policy's own.
    """

    aliases: Mapping[str, str]
    block: Patterns
    allow: Patterns
    harmful_words: Patterns
    generic: Patterns


def read_policy(path: str | Path) -> dict[str, Any]:
    """The values of a policy in a TOML file, not yet checked.

    Raises:
        ConfigError: If it can't be read or isn't TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't read the policy: {error.strerror or error}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _resolved(aliases: Mapping[str, str]) -> dict[str, str]:
    """By the letters of each alias, the end of its chain."""
    direct: dict[str, str] = {}
    for alias, target in aliases.items():
        try:
            letters = letters_only(normalise(alias))
            if key(target) == key(alias):
                raise ConfigError(f"policy.aliases: {alias!r} is an alias of itself")
            if letters in direct and key(direct[letters]) != key(target):
                raise ConfigError(f"policy.aliases: {alias!r} has two meanings")
            direct[letters] = normalise(target)
        except HashtagError as error:
            raise ConfigError(f"policy.aliases: {error}") from error
    resolved = {}
    for alias in direct:
        passed, target = [alias], direct[alias]
        while (following := letters_only(target)) in direct and following != passed[-1]:
            if following in passed:
                raise ConfigError(f"policy.aliases: {' -> '.join([*passed, following])} is a circle")
            passed.append(following)
            target = direct[following]
        resolved[alias] = target
    return resolved
