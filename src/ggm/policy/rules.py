"""What a policy makes of ranked hashtags: what stays, and why the rest doesn't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ggm.hashtags import key
from ggm.hashtags.canonical import letters_only
from ggm.policy.duplicates import signatures
from ggm.policy.harmful import harmful_word
from ggm.policy.scripts import foreign_character
from ggm.policy.settings import Policy
from ggm.ranking import Ranked
from ggm.records import PolicyAction, PolicyChange, PolicyRule


@dataclass(frozen=True)
class Outcome:
    """What a policy left.

    Args:
        kept: Best first.
        changes: What was removed, merged, renamed or damped, in the order in which it came up.
    """

    kept: tuple[Ranked, ...]
    changes: tuple[PolicyChange, ...]


def apply(
    policy: Policy,
    ranked: Sequence[Ranked],
    *,
    top: int | None = None,
    in_pool: Callable[[str], bool] | None = None,
    count: Callable[[str], int] | None = None,
    pool_alias: Callable[[str], str | None] | None = None,
) -> Outcome:
    """Apply a policy to ranked hashtags.

    Scores are damped first; then hashtags are taken from the best down until there are enough, each
    asked in this order: alias, the platform's separators, block, harmful, novel, scripts, length,
    minimum score, near-duplicates, total length. Hashtags below the last one that is needed aren't
    looked at, nor reported. Applied to what it kept, a policy changes nothing.

    Args:
        policy: Which.
        ranked: Best first; canonical hashtags, each once.
        top: How many at most, 1 or more; the policy's limit counts as well. None for all.
        in_pool: Whether a hashtag stands in the pool; for ``novel="forbid"``, which otherwise takes
            all of them for pool hashtags. A hashtag isn't renamed to one outside the pool then.
        count: How many posts carry a hashtag: of two near-duplicates of equal score, the more used
            one stays.
        pool_alias: What an alias of a living pool stands for, None if it is none; as if the policy had
            these aliases too, but its own win.

    Returns:
        The hashtags that stay, and what was changed.

    Raises:
        ValueError: If ``top`` is below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    walk = _Walk(policy, in_pool=in_pool, count=count, pool_alias=pool_alias)
    enough = min((n for n in (top, policy.limits.max_count) if n is not None), default=len(ranked))
    for item in walk.damped(ranked):
        if len(walk.kept) == enough:
            break
        walk.take(item)
    return Outcome(tuple(walk.kept), tuple(walk.changes))


def objection(policy: Policy, hashtag: str) -> tuple[PolicyRule, str] | None:
    """Why a hashtag must not even be shown, as in an explanation; None if it may.

    Args:
        policy: Which.
        hashtag: Canonical or not.

    Returns:
        The rule, ``block`` or ``harmful``, and what it matched.

    Raises:
        HashtagError: If the text holds no hashtag.
    """
    compiled = policy.compiled
    blocked = compiled.block.match(hashtag)
    if blocked is not None:
        return "block", blocked
    if policy.harmful and compiled.allow.match(hashtag) is None:
        word = compiled.harmful_words.match(hashtag) or harmful_word(
            hashtag, languages=policy.harmful_languages
        )
        if word is not None:
            return "harmful", word
    return None


@dataclass
class _Walk:
    """From the best hashtag down, and what was kept and changed so far."""

    policy: Policy
    in_pool: Callable[[str], bool] | None
    count: Callable[[str], int] | None
    pool_alias: Callable[[str], str | None] | None
    kept: list[Ranked] = field(default_factory=list)
    changes: list[PolicyChange] = field(default_factory=list)
    _keys: dict[str, int] = field(default_factory=dict)  # of each hashtag that was kept, its place
    _places: dict[tuple[int, str], int] = field(default_factory=dict)  # by signature
    _total_length: int = -1  # there is one space less than hashtags

    def damped(self, ranked: Sequence[Ranked]) -> list[Ranked]:
        """In the order of damped scores; a hashtag is damped once."""
        factor, compiled = self.policy.generic_factor, self.policy.compiled
        if factor == 1:
            return list(ranked)
        damped = []
        for item in ranked:
            text = self._alias(item) or item.text  # what it will be called
            pattern = None if item.damped else compiled.generic.match(text)
            if pattern is None or compiled.allow.match(text) is not None:
                damped.append(item)
                continue
            self.changes.append(
                PolicyChange(item.text, "damped", "generic", f"{pattern} x {factor:g}", item.score)
            )
            damped.append(replace(item, score=item.score * factor, damped=True))
        return sorted(damped, key=lambda item: -item.score)

    def take(self, item: Ranked) -> None:
        """Keep a hashtag, or say why not."""
        item = self._renamed(item)
        if (reason := self._reason(item)) is not None:
            self._change(item, "removed", *reason)
        elif (place := self._duplicate(item)) is not None:
            self._merge(item, place)
        elif (reason := self._too_much(item)) is not None:
            self._change(item, "removed", *reason)
        else:
            self._keep(item)

    def _renamed(self, item: Ranked) -> Ranked:
        """By an alias, and without separators that the platform doesn't know."""
        steps: list[tuple[PolicyRule, str, str]] = []
        text = item.text
        if (alias := self._alias(item)) is not None:
            steps.append(("alias", text, alias))
            text = alias
        wrong = self._wrong_separators(text)
        bare = "".join(c for c in text if c not in wrong)
        if wrong and self._may_be_written(bare):
            steps.append(("characters", wrong, bare))
            text = bare
        if key(text) == key(item.text):  # an alias that only puts in what the platform can't have
            return item
        for rule, matched, result in steps:
            self._change(item, "renamed", rule, matched, result)
            item = replace(item, text=result)
        return item

    def _alias(self, item: Ranked) -> str | None:
        aliases = self.policy.compiled.aliases
        alias = aliases.get(letters_only(item.text), item.text)
        target = None if self.pool_alias is None else self.pool_alias(alias)
        if target is not None:
            target = aliases.get(letters_only(target), target)
            if letters_only(target) not in (letters_only(alias), letters_only(item.text)):  # no circle
                alias = target
        if key(alias) == key(item.text) or not self._may_be_written(alias):
            return None
        return alias

    def _wrong_separators(self, text: str) -> str:
        return "".join(c for c in "-_" if c in text and c not in self.policy.limits.separators)

    def _may_be_written(self, text: str) -> bool:
        return self.policy.novel != "forbid" or self.in_pool is None or self.in_pool(text)

    def _reason(self, item: Ranked) -> tuple[PolicyRule, str] | None:
        """Why this hashtag may not stay, whatever the others are: the rule and what it matched."""
        policy, text = self.policy, item.text
        if (reason := objection(policy, text)) is not None:
            return reason
        if not self._may_be_written(text):
            return "novel", "not in the pool"
        if policy.scripts and policy.compiled.allow.match(text) is None:
            foreign = foreign_character(text, policy.scripts)
            if foreign is not None:
                return "script", foreign
        if wrong := self._wrong_separators(text):
            return "characters", wrong
        limits = policy.limits
        if limits.max_length is not None and len(text) > limits.max_length:
            return "length", f"{len(text)} > {limits.max_length}"
        if item.score < policy.min_score:
            return "min_score", f"{item.score:.3g} < {policy.min_score:g}"
        return None

    def _duplicate(self, item: Ranked) -> int | None:
        """The place of what was kept and says the same."""
        place = self._keys.get(key(item.text))  # also without merging, after a renaming
        if place is None and self.policy.merge_duplicates:
            places = (self._places.get(pair) for pair in enumerate(signatures(item.text)))
            place = next((place for place in places if place is not None), None)
        return place

    def _merge(self, item: Ranked, place: int) -> None:
        kept = self.kept[place]
        if self._replaces(item, kept):
            self.kept[place] = item
            self._total_length += len(item.text) - len(kept.text)
            self._remember(item, place)
            item, kept = kept, item
        self._change(item, "merged", "duplicate", kept.text, kept.text)

    def _replaces(self, item: Ranked, kept: Ranked) -> bool:
        """Whether of two equally good ones the later is more used, and fits."""
        if item.score < kept.score or self.count is None or self.count(item.text) <= self.count(kept.text):
            return False
        most = self.policy.limits.max_total_length
        return most is None or self._total_length + len(item.text) - len(kept.text) <= most

    def _too_much(self, item: Ranked) -> tuple[PolicyRule, str] | None:
        most = self.policy.limits.max_total_length
        length = self._total_length + len(item.text) + 2  # a space and a number sign
        if most is not None and length > most:
            return "total_length", f"{length} > {most}"
        return None

    def _keep(self, item: Ranked) -> None:
        self.kept.append(item)
        self._total_length += len(item.text) + 2
        self._remember(item, len(self.kept) - 1)

    def _remember(self, item: Ranked, place: int) -> None:
        self._keys[key(item.text)] = place
        if self.policy.merge_duplicates:
            for pair in enumerate(signatures(item.text)):
                self._places.setdefault(pair, place)

    def _change(
        self,
        item: Ranked,
        action: PolicyAction,
        rule: PolicyRule,
        matched: str,
        result: str | None = None,
    ) -> None:
        self.changes.append(PolicyChange(item.text, action, rule, matched, item.score, result))
