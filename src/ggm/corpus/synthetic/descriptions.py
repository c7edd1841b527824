"""Descriptions: an opening that says nothing, words of a gloss, and now and then a hashtag's name.

The share of hashtags that a description names is a setting, so that it is made sure of from both
sides: names are put in as often as wanted, and whatever would name another is taken out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.phrases import NAMINGS, TEMPLATES
from ggm.corpus.synthetic.universe import Label, Subject
from ggm.corpus.wording import description_words, occurs_in

_WORD: Final = re.compile("[a-z]+(?:'[a-z]+)?")
_MIN_GLOSS_WORDS: Final = 2


def describe(
    subjects: Sequence[Subject],
    hashtags: Mapping[Label, bool],
    *,
    stranger: Subject,
    config: SyntheticConfig,
    rng: random.Random,
) -> str:
    """A description for a post.

    Args:
        subjects: What the post is about, at least one.
        hashtags: Its hashtags, and whether each is generic: then it is never named.
        stranger: Another topic, for descriptions that mislead.
        config: The shares.
        rng: Of this post.

    Returns:
        Text in lower case; may be empty.
    """
    if rng.random() < config.empty_descriptions or config.empty_descriptions == 1:
        return ""
    informed = rng.random() < config.informative_descriptions
    subject = rng.choice(subjects) if informed else stranger
    phrases = [rng.choice(TEMPLATES), _from_gloss(subject, config.gloss_words, rng)]
    # Topical hashtags of posts with a description make up for the others, which none names.
    topical = [label for label, generic in hashtags.items() if not generic]
    wanted = config.share_in_description * len(hashtags) / (1 - config.empty_descriptions)
    named = [label for label in topical if rng.random() < wanted / len(topical)]
    hidden = [label for label in hashtags if label not in named]
    phrases = [phrase for phrase in phrases if phrase and not _names_any(phrase, hidden)]
    phrases += [rng.choice(NAMINGS).format(" ".join(label.words)) for label in named]
    return " ".join(phrases)


def _from_gloss(subject: Subject, most: int, rng: random.Random) -> str:
    """Some words in a row, of an example more often than of the definition."""
    synset = subject.synset
    texts = synset.examples if synset.examples and rng.random() < 0.6 else (synset.definition,)
    words = _words(rng.choice(texts))
    count = rng.randint(min(_MIN_GLOSS_WORDS, most), most)
    start = rng.randint(0, max(0, len(words) - count))
    return " ".join(words[start : start + count])


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


def _names_any(phrase: str, labels: Sequence[Label]) -> bool:
    words = description_words(phrase)
    return any(occurs_in(label.text, words) for label in labels)
