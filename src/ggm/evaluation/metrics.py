"""Scores of recommended hashtags, one value a post (paper, section 4.4 and appendix B.1).

Everywhere, hashtags that are equal (see `ggm.hashtags.same`) count once, the first of them where
order matters, and an empty prediction scores 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ggm.errors import MissingDependencyError
from ggm.hashtags import key, split_words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

PostScores = npt.NDArray[np.float64]
"""One score a post, (posts,)."""

HashtagLists = Sequence[Sequence[str]]
"""The hashtags of each post."""


@dataclass(frozen=True)
class RougeScores:
    """ROUGE F1 of each post, 0 to 1."""

    rouge_1: PostScores
    rouge_2: PostScores


@dataclass(frozen=True)
class BertScores:
    """BERTScore of each post, 0 to 1 (see `ggm.evaluation.bertscore`)."""

    precision: PostScores
    recall: PostScores
    f1: PostScores


@dataclass(frozen=True)
class WordTexts:
    """Each post's hashtags as lower-case words, separated by spaces; empty without a hashtag."""

    predicted: tuple[str, ...]
    reference: tuple[str, ...]


@dataclass(frozen=True)
class MatchScores:
    """Exact match of each post's hashtags, as sets, 0 to 1."""

    precision: PostScores
    recall: PostScores
    f1: PostScores


def word_texts(predicted: HashtagLists, *, reference: HashtagLists, seed: int = 0) -> WordTexts:
    """What ROUGE and BERTScore compare: hashtags split into words, the predicted ones shuffled.

    As in the paper's appendix B.1, so that the order of hashtags plays no part: the shuffle depends
    on the seed and on which hashtags they are, not on how they were ranked. A predicted hashtag
    that is one of the reference is split like it, whatever its case.

    Args:
        predicted: Of each post.
        reference: What its creator chose, at least one hashtag a post.
        seed: Of the shuffle.

    Raises:
        ValueError: If there isn't one reference a prediction, or a reference is empty.
        HashtagError: If a text holds no hashtag.
    """
    texts: list[tuple[str, str]] = []
    for found, wanted in distinct_pairs(predicted, reference):
        words = {name: split_words(text) for name, text in (found | wanted).items()}
        order = sorted(found)
        fixed = zlib.crc32(" ".join(order).encode())
        order = [order[i] for i in np.random.default_rng([seed, fixed]).permutation(len(order))]
        texts.append((_joined(words[name] for name in order), _joined(words[name] for name in wanted)))
    return WordTexts(tuple(text for text, _ in texts), tuple(text for _, text in texts))


def rouge(predicted: HashtagLists, *, reference: HashtagLists, seed: int = 0) -> RougeScores:
    """ROUGE-1 and ROUGE-2 F1 over the words of the hashtags, by the package `rouge-score`.

    See `word_texts` for the words and their order. Two more things that the paper leaves open:
    words aren't stemmed (the package's default), and they are taken as they are, in any script,
    where the package's own tokenizer would drop all but a-z and 0-9. A reference of a single word
    has no bigram, so that its ROUGE-2 is 0 even for a perfect prediction, as `rouge-score` has it.

    Args:
        predicted: Of each post.
        reference: What its creator chose, at least one hashtag a post.
        seed: Of the shuffle.

    Raises:
        ValueError: If there isn't one reference a prediction, or a reference is empty.
        HashtagError: If a text holds no hashtag.
        MissingDependencyError: If `rouge-score` isn't installed.
    """
    scorer = _rouge_scorer()
    texts = word_texts(predicted, reference=reference, seed=seed)
    values = np.zeros((2, len(texts.reference)))
    for post, (found, wanted) in enumerate(zip(texts.predicted, texts.reference, strict=True)):
        score = scorer.score(wanted, found)
        values[:, post] = score["rouge1"].fmeasure, score["rouge2"].fmeasure
    return RougeScores(values[0], values[1])


def exact_match(predicted: HashtagLists, *, reference: HashtagLists) -> MatchScores:
    """Precision, recall and F1 of whole hashtags.

    The paper doesn't say how the F1 of many posts comes from these: as the mean of each post's F1,
    or as the F1 of mean precision and mean recall (`bootstrap_f1_of_means`). Both are reported.

    Args:
        predicted: Of each post.
        reference: What its creator chose, at least one hashtag a post.

    Raises:
        ValueError: If there isn't one reference a prediction, or a reference is empty.
        HashtagError: If a text holds no hashtag.
    """
    pairs = distinct_pairs(predicted, reference)
    matches = np.array([len(found.keys() & wanted.keys()) for found, wanted in pairs], float)
    num_found = np.array([len(found) for found, _ in pairs], float)
    num_wanted = np.array([len(wanted) for _, wanted in pairs], float)
    return MatchScores(
        precision=matches / np.maximum(num_found, 1),
        recall=matches / num_wanted,
        f1=2 * matches / (num_found + num_wanted),
    )


def recall_at(ranked: HashtagLists, *, reference: HashtagLists, k: int) -> PostScores:
    """Share of each post's hashtags among its first k.

    Args:
        ranked: Of each post, best first.
        reference: What its creator chose, at least one hashtag a post.
        k: At least 1.

    Raises:
        ValueError: If k is below 1, there isn't one reference a prediction, or one is empty.
        HashtagError: If a text holds no hashtag.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    pairs = distinct_pairs(ranked, reference)
    return np.array(
        [len(set(list(found)[:k]) & wanted.keys()) / len(wanted) for found, wanted in pairs], float
    )


def unseen_recalled(
    predicted: HashtagLists, *, reference: HashtagLists, unseen: Collection[str]
) -> frozenset[str]:
    """The unseen hashtags that were recommended at least once for a post that carries them.

    Args:
        predicted: Of each post.
        reference: What its creator chose, at least one hashtag a post.
        unseen: Hashtags that no training post carries (paper, section 5.3).

    Returns:
        Their keys (see `ggm.hashtags.key`).

    Raises:
        ValueError: If there isn't one reference a prediction, or a reference is empty.
        HashtagError: If a text holds no hashtag.
    """
    names = {key(text) for text in unseen}
    recalled: set[str] = set()
    for found, wanted in distinct_pairs(predicted, reference):
        recalled |= found.keys() & wanted.keys() & names
    return frozenset(recalled)


def num_novel(predicted: HashtagLists, *, known: Collection[str]) -> PostScores:
    """Number of each post's different predicted hashtags that are novel (paper, section 5.4).

    Args:
        predicted: Of each post.
        known: The hashtags of the training posts.

    Raises:
        HashtagError: If a text holds no hashtag.
    """
    names = {key(text) for text in known}
    return np.array([len(distinct(hashtags).keys() - names) for hashtags in predicted], float)


def num_predicted(predicted: HashtagLists) -> PostScores:
    """Number of each post's different predicted hashtags.

    Raises:
        HashtagError: If a text holds no hashtag.
    """
    return np.array([len(distinct(hashtags)) for hashtags in predicted], float)


_key = lru_cache(maxsize=1 << 17)(key)  # the same hashtags come again and again


def distinct(hashtags: Sequence[str]) -> dict[str, str]:
    """Hashtags by key, in order; of equal ones the first stays.

    Raises:
        HashtagError: If a text holds no hashtag.
    """
    found: dict[str, str] = {}
    for text in hashtags:
        found.setdefault(_key(text), text)
    return found


def distinct_pairs(
    predicted: HashtagLists, reference: HashtagLists
) -> list[tuple[dict[str, str], dict[str, str]]]:
    """The `distinct` predicted and reference hashtags of each post.

    Raises:
        ValueError: If there isn't one reference a prediction, or a reference is empty.
        HashtagError: If a text holds no hashtag.
    """
    if len(predicted) != len(reference):
        raise ValueError(f"{len(predicted)} predictions need as many references, got {len(reference)}")
    if empty := [post for post, wanted in enumerate(reference) if not wanted]:
        raise ValueError(f"the reference of post number {empty[0]} is empty; a post has at least one hashtag")
    return [(distinct(found), distinct(wanted)) for found, wanted in zip(predicted, reference, strict=True)]


def _joined(words: Iterable[tuple[str, ...]]) -> str:
    return " ".join(word.casefold() for of_hashtag in words for word in of_hashtag)


class _SplitAtSpaces:
    """A tokenizer for text that is words already; the default one knows only a-z and 0-9."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


@cache
def _rouge_scorer() -> RougeScorer:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingDependencyError(
            "ROUGE needs the package rouge-score: pip install 'ggm[eval]'"
        ) from error
    return RougeScorer(["rouge1", "rouge2"], tokenizer=_SplitAtSpaces())
