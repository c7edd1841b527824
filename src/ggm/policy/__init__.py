"""What may be recommended: novel hashtags, limits, lists, harmful language, near-duplicates.

`settings` is the policy as a value, `rules` applies it; each filter has a file of its own:
`patterns`, `harmful`, `scripts`, `duplicates`, `platforms`. That no hashtag outside the pool is
written is seen to by `ggm.generator.constraint`.
"""

from ggm.policy.platforms import Limits, platforms
from ggm.policy.rules import Outcome, apply, objection
from ggm.policy.settings import Novel, Policy, read_policy

__all__ = ["Limits", "Novel", "Outcome", "Policy", "apply", "objection", "platforms", "read_policy"]
