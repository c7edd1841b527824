"""What the generators wrote: words a hashtag (Figure 4), novel hashtags (section 5.4), cases (Figure 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from ggm.evaluation.bootstrap import bootstrap_means, bootstrap_ratio
from ggm.evaluation.metrics import HashtagLists, PostScores, distinct, num_predicted
from ggm.evaluation.novel import num_well_formed, open_set_gain
from ggm.evaluation.predictions import Prediction
from ggm.hashtags import key, split_words
from ggm.reproduce.scoreboard import Entry, Scoreboard
from ggm.reproduce.tables import in_percent
from ggm.training.dataset import TEST, TRAIN

MOST_WORDS: Final = 5
"""Hashtags of more words are counted with those of so many."""
CASES: Final = 6
"""How many posts are shown."""
SHOWN: Final = ("VG-BART", "ViT-BERT", "GGM")


def known_hashtags(board: Scoreboard) -> frozenset[str]:
    """Keys of the hashtags of the training posts; all others are novel."""
    return frozenset(key(text) for post in board.done.dataset.splits.get(TRAIN, ()) for text in post.hashtags)


def generators(board: Scoreboard) -> list[str]:
    """Names of the generators that were run."""
    return [
        system.name
        for system in board.done.systems
        if system.kind == "generator" and board.has(Entry(system.name))
    ]


def words_by_generator(board: Scoreboard) -> dict[str, dict[int, int]]:
    """How many of the hashtags that each generator wrote, in all runs, have so many words."""
    return {name: _count_words(_lists(board, name)) for name in generators(board)}


def word_shares(by_words: Mapping[Any, int]) -> list[float]:
    """Shares of the hashtags that have 1, 2, ... words, the last one of `MOST_WORDS` or more."""
    total = sum(by_words.values())
    shares = [0.0] * MOST_WORDS
    for words, uses in by_words.items():
        shares[min(int(words), MOST_WORDS) - 1] += uses / total
    return shares


def _count_words(lists: HashtagLists) -> dict[int, int]:
    counts = Counter(len(split_words(text)) for hashtags in lists for text in distinct(hashtags).values())
    return dict(sorted(counts.items()))


def _lists(board: Scoreboard, name: str) -> HashtagLists:
    """Of all runs, one after the other, posts in order of their ids."""
    return [found for posts in board.measured(Entry(name)).values() for found in posts.found]


def novel_rows(board: Scoreboard, known: Collection[str]) -> dict[str, dict[str, Any]]:
    """How many of each generator's hashtags are novel and well-formed, and what they gain, in per cent.

    Figures are as in `ggm.evaluation.score.NovelScores`, averaged over seeds first.
    """
    rows = {}
    for name in generators(board):
        lists, runs = _lists(board, name), board.measured(Entry(name))
        wanted = [reference for posts in runs.values() for reference in posts.wanted]
        gain = open_set_gain(lists, reference=wanted, known=known)

        def mean(values: PostScores, num_runs: int = len(runs)) -> PostScores:
            averaged: PostScores = values.reshape(num_runs, -1).mean(axis=0)
            return averaged

        novel = mean(gain.num_novel)
        gains = bootstrap_means({"gain_exact": mean(gain.exact), "gain_soft": mean(gain.soft)})
        shares = {
            "share": bootstrap_ratio(novel, mean(num_predicted(lists))),
            "well_formed": bootstrap_ratio(mean(num_well_formed(lists, known=known)), novel),
            "credited": bootstrap_ratio(mean(gain.num_credited), novel),
        }
        row: dict[str, Any] = {"novel": round(float(np.sum(novel)), 2), "posts": len(novel)}
        for figure, interval in {**shares, **gains}.items():
            row |= in_percent(figure, interval)
        rows[name] = row
    return rows


def cases(board: Scoreboard, known: Collection[str]) -> list[dict[str, Any]]:
    """Posts for which GGM wrote a novel hashtag: the first of the test split by a hash of their ids.

    Nobody picks them. Each is shown as the first seed of GGM has it.
    """
    runs = {name: board.predictions(Entry(name)) for name in SHOWN}
    if not runs["GGM"]:
        return []
    seed = min(runs["GGM"])
    written = {name: {one.id: one for one in run.get(seed, ())} for name, run in runs.items()}
    posts = {post.id: post for post in board.done.dataset.splits.get(TEST, ())}
    ordered = sorted(written["GGM"], key=lambda name: blake2b(name.encode()).digest())
    chosen = [name for name in ordered if name in posts and _novel(written["GGM"][name].hashtags, known)]
    return [
        {
            "post": name,
            "seed": seed,
            "description": posts[name].description,
            "ground_truth": list(posts[name].hashtags),
            "systems": {
                system: _marked(found[name], board.entry(system).top, known)
                for system, found in written.items()
                if name in found
            },
        }
        for name in chosen[:CASES]
    ]


def _novel(hashtags: Sequence[str], known: Collection[str]) -> bool:
    return any(key(text) not in known for text in hashtags)


def _marked(prediction: Prediction, top: int | None, known: Collection[str]) -> list[dict[str, Any]]:
    return [
        {
            "hashtag": text,
            "novel": key(text) not in known,
            "right": key(text) in set(map(key, prediction.reference)),
        }
        for text in prediction.hashtags[:top]
    ]
