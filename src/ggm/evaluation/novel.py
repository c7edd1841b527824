"""Hashtags outside of the training vocabulary: whether they are words, and what they add.

Everywhere, hashtags that are equal (see `ggm.hashtags.same`) count once, and neither case nor order
plays a part: hashtags are split into words in their case-folded form.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ggm.evaluation.metrics import HashtagLists, PostScores, distinct, distinct_pairs
from ggm.hashtags import english_words, key, split_words

MIN_OVERLAP: Final = 0.5
"""Word overlap from which on a novel hashtag earns a part of a reference hashtag."""

_MIN_PIECE_LENGTH: Final = 2
_NUMBER: Final = re.compile(r"\d+[^\W\d]{0,2}")  # with what completes it: 1st, 4k, 90s


@dataclass(frozen=True)
class OpenSetGain:
    """What novel hashtags add to the known ones, of each post.

    Args:
        exact: Share of the reference that novel hashtags match exactly, 0 to 1.
        soft: Share of the reference that they match in part, beyond what known ones do, 0 to 1;
            the sum of both is at most 1.
        num_credited: How many novel hashtags match a reference hashtag exactly or in part.
        num_novel: How many novel hashtags there are.
    """

    exact: PostScores
    soft: PostScores
    num_credited: PostScores
    num_novel: PostScores


def open_set_gain(
    predicted: HashtagLists,
    *,
    reference: HashtagLists,
    known: Collection[str],
    min_overlap: float = MIN_OVERLAP,
) -> OpenSetGain:
    """Recall that is owed to hashtags outside of the training vocabulary, exactly and in part.

    A metric of ours, in the spirit of the Tag Gain of OP-TSG and Open-Tag (which credits relevant
    tags that training never showed) but not its formula. Of each reference hashtag, novel hashtags
    earn

        exact   1, if one of them is equal to it;
        soft    else, unless a known one is equal to it: the best word overlap that a novel hashtag
                has with it, less the best that a known one has, and at least 0.

    Both are means over the post's reference. `exact` is thus exactly the recall that would be lost
    without the novel hashtags; it can't be above 0 unless creators use hashtags that training
    didn't show. The overlap of two hashtags is the F1 of their sets of words, and counts as 0
    below the threshold: of ``coldday`` and ``cold`` it is 2/3.

    What it isn't: a judgement of relevance (what the creator didn't write earns nothing, however
    apt), nor of meaning (synonyms earn nothing), nor a penalty: it never falls when a novel hashtag
    is added. The share of novel hashtags that are credited, `num_credited` of `num_novel`, falls
    when they are added at random; read both.

    Args:
        predicted: Of each post.
        reference: What its creator chose, at least one hashtag a post.
        known: The hashtags of the training posts.
        min_overlap: Least overlap that counts, above 0 and at most 1.

    Raises:
        ValueError: If there isn't one reference a prediction, a reference is empty, or the
            threshold is out of range.
        HashtagError: If a text holds no hashtag.
    """
    if not 0 < min_overlap <= 1:
        raise ValueError(f"min_overlap must be above 0 and at most 1, got {min_overlap}")
    names = {key(text) for text in known}
    pairs = distinct_pairs(predicted, reference)
    values = np.zeros((4, len(pairs)))
    for post, (found, wanted) in enumerate(pairs):
        novel, familiar = found.keys() - names, found.keys() & names
        exact = novel & wanted.keys()
        soft = 0.0
        credited = set(exact)
        for name in wanted:
            overlaps = {other: _overlap(other, name, min_overlap) for other in novel}
            credited |= {other for other, overlap in overlaps.items() if overlap}
            if name not in found:
                best = max((_overlap(other, name, min_overlap) for other in familiar), default=0.0)
                soft += max(0.0, max(overlaps.values(), default=0.0) - best)
        values[:, post] = len(exact) / len(wanted), soft / len(wanted), len(credited), len(novel)
    return OpenSetGain(*values)


def num_well_formed(predicted: HashtagLists, *, known: Collection[str]) -> PostScores:
    """Number of each post's novel hashtags that are made of words.

    A hashtag is well-formed if each of the words that it is split into is a number (``4k`` is one), a
    word of the English list that splits hashtags (wordninja's, with ours), or a word of a known
    hashtag. A word outside of ASCII also counts if it can be divided into words of known hashtags
    of at least two characters: scripts without spaces have no other way. Whether the words make
    sense together isn't asked, and what was split wrongly may count for ill-formed.

    Args:
        predicted: Of each post.
        known: The hashtags of the training posts.

    Raises:
        HashtagError: If a text holds no hashtag.
    """
    names = {key(text) for text in known}
    words = frozenset(word for name in names for word in _words(name))
    return np.array(
        [
            sum(_is_made_of(name, words) for name in distinct(hashtags).keys() - names)
            for hashtags in predicted
        ],
        float,
    )


def _is_made_of(name: str, words: frozenset[str]) -> bool:
    return all(
        word in words
        or word in english_words()
        or _NUMBER.fullmatch(word)
        or (not word.isascii() and _divides(word, words))
        for word in _words(name)
    )


def _divides(text: str, words: frozenset[str]) -> bool:
    """Tell whether a text is some of the words, one after the other."""
    reached = {0}
    for end in range(_MIN_PIECE_LENGTH, len(text) + 1):
        if any(text[start:end] in words for start in reached if end - start >= _MIN_PIECE_LENGTH):
            reached.add(end)
    return len(text) in reached


def _overlap(one: str, other: str, least: float) -> float:
    """F1 of two hashtags' sets of words, 0 below the threshold."""
    words, others = frozenset(_words(one)), frozenset(_words(other))
    overlap = 2 * len(words & others) / (len(words) + len(others))
    return overlap if overlap >= least else 0.0


@lru_cache(maxsize=1 << 17)
def _words(name: str) -> Sequence[str]:
    """The words of a hashtag that is given by its key."""
    return split_words(name)
