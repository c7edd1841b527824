"""What a policy does to an answer as a whole: what it hides, what it costs, what to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ggm.hashtags import key
from ggm.policy.rules import Outcome, objection
from ggm.policy.settings import Policy
from ggm.ranking import Ranked
from ggm.records import Guidance, PolicyChange

_BY_LIMIT: Final = {"min_score", "total_length"}
"""Rules under which more candidates would fare no better."""


def wants_more(outcome: Outcome, top: int, policy: Policy) -> bool:
    """Whether the policy took so much that more candidates should be looked for.

    Args:
        outcome: Of the candidates so far.
        top: How many hashtags were asked for.
        policy: What was applied.
    """
    most = policy.limits.max_count
    wanted = top if most is None else min(top, most)
    taken = {change.rule for change in outcome.changes if change.action in ("removed", "merged")}
    return len(outcome.kept) < wanted and bool(taken - _BY_LIMIT) and not policy.min_score


def shown_guidance(
    guidance: Guidance, ranked: Sequence[Ranked], outcome: Outcome, policy: Policy
) -> tuple[Guidance, list[PolicyChange]]:
    """The guidance that may be shown, and what was hidden without having been removed already."""
    objections = {hit.text: reason for hit in guidance.hits if (reason := objection(policy, hit.text))}
    reported = {key(change.text) for change in outcome.changes if change.action == "removed"}
    scores = {key(item.text): item.score for item in ranked}
    hidden = [
        PolicyChange(text, "removed", rule, matched, scores.get(key(text), 0.0))
        for text, (rule, matched) in objections.items()
        if key(text) not in reported
    ]
    return Guidance(tuple(hit for hit in guidance.hits if hit.text not in objections)), hidden


def limit_notices(top: int, policy: Policy) -> list[str]:
    """What a platform's limit does to the number that was asked for."""
    most = policy.limits.max_count
    if policy.platform is None or policy.max_count is not None or most is None or most >= top:
        return []
    verb = "advised" if "max_count" in policy.limits.recommended else "allowed"
    return [f"{policy.platform}: no more than {most} {verb}, {top} hashtags were asked for"]
