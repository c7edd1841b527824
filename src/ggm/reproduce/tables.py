"""Tables 2 to 5 and 7 of the paper as values ready for JSON, scores in per cent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ggm.corpus.assignment import UNSEEN
from ggm.evaluation.bootstrap import Interval, bootstrap_f1_of_means, bootstrap_means
from ggm.reproduce.claims import guidance_sweep
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.scoreboard import MOST_COUNTED, RECALL_AT, Entry, Score, Scoreboard
from ggm.reproduce.work import IN_POOL, NEXT_BEST
from ggm.training.dataset import TEST

_SCORES: Final[dict[str, Score]] = {"rouge1": "rouge_1", "rouge2": "rouge_2", "f1": "f1"}
_BERT: Final[dict[str, Score]] = {"bert_score": "bert_f1"}
Row = dict[str, Any]


def system_rows(board: Scoreboard) -> dict[str, Row]:
    """Table 2: a row a system, ranked lists cut to the paper's count and to the best one on validation.

    Names that stand for a system under another recipe are there too, as the same row with ``same_as``.
    """
    rows: dict[str, Row] = {}
    for system in board.done.systems:
        entry = board.entry(system.name)
        if not board.has(entry):
            continue
        about: Row = {"kind": system.kind, "reads": _heard(system.reads, board.done)}
        if system.name in board.done.seconds:
            about["seconds_per_post"] = round(board.done.seconds[system.name], 4)
        rows[system.name] = {**about, **score_row(board, entry), **_checkpoints(board, entry)}
        best = board.best_count(system.name) if board.ranks(system.name) else None
        if best is not None:
            best_entry = Entry(system.name, TEST, best)
            rows[f"{system.name}, best count"] = {
                **about, **score_row(board, best_entry), **_checkpoints(board, best_entry)
            }  # fmt: skip
    for name, target in board.aliases.items():
        if target in rows:
            rows[name] = {**rows[target], "same_as": target}
    return rows


def _heard(reads: str, done: Reproduction) -> str:
    return reads if done.has_sound else reads.replace("sound, ", "")


def score_row(board: Scoreboard, entry: Entry) -> Row:
    """The scores of an entry with intervals: the mean over its seeds, and what each seed has."""
    scores = {**_SCORES, **(_BERT if board.has_bert else {})}
    by_seed = {name: board.by_seed(entry, score) for name, score in scores.items()}
    means = {name: board.mean(entry, score) for name, score in scores.items()}
    intervals = bootstrap_means({**means, "hashtags": board.mean(entry, "num_hashtags")})
    hashtags = intervals.pop("hashtags")
    both = bootstrap_f1_of_means(board.mean(entry, "precision"), board.mean(entry, "recall"))
    row: Row = {}
    for name, interval in {**intervals, "f1_of_means": both}.items():
        row |= in_percent(name, interval)
    for name, runs in by_seed.items():
        values = [float(posts.mean()) for posts in runs.values()]
        row[f"{name}_by_seed"] = [_percent(value) for value in values]
        row[f"{name}_std"] = _percent(_spread(values))
    return {
        **row,
        "hashtags": round(hashtags.mean, 2),
        "posts": hashtags.num_posts,
        "seeds": list(by_seed["rouge1"]),
        "top": entry.top,
    }


def _checkpoints(board: Scoreboard, entry: Entry) -> Row:
    """The paper's way to average (appendix A): over the three best checkpoints on validation."""
    places = [entry, *(Entry(entry.system, f"best-{place}", entry.top) for place in NEXT_BEST)]
    seeds = sorted(board.predictions(places[0]).keys() & board.predictions(places[1]).keys())
    if not seeds:
        return {}
    found: Row = {"seeds": seeds}
    for name, score in _SCORES.items():
        runs = [board.by_seed(place, score) for place in places]
        values = [[float(run[seed].mean()) for run in runs if seed in run] for seed in seeds]
        found[name] = _percent(float(np.mean([np.mean(of_seed) for of_seed in values])))
        # The spread among the checkpoints of one run, pooled over runs.
        found[f"{name}_std"] = _percent(float(np.sqrt(np.mean([np.var(v, ddof=1) for v in values]))))
        found["checkpoints"] = [len(of_seed) for of_seed in values]
    return {"best_checkpoints": found}


def sweep_rows(board: Scoreboard) -> list[Row]:
    """Table 3, left: GGM by the number of guidance hashtags."""
    return [
        {"k": k, "system": name, **score_row(board, Entry(name))} for k, name in guidance_sweep(board).items()
    ]


def count_rows(board: Scoreboard) -> dict[str, list[Row]]:
    """Table 3, right: systems that rank, by how many hashtags count, and VG-BART's lead over each."""
    rows: dict[str, list[Row]] = {}
    rival = Entry("VG-BART")
    for system in board.done.systems:
        if not board.ranks(system.name) or not board.has(Entry(system.name)):
            continue
        rows[system.name] = []
        for count in range(1, MOST_COUNTED + 1):
            entry = Entry(system.name, TEST, count)
            means = bootstrap_means({name: board.mean(entry, score) for name, score in _SCORES.items()})
            row: Row = {"count": count}
            for name, interval in means.items():
                row |= in_percent(name, interval)
            paired = board.compare(rival, entry) if board.has(rival) else None
            if paired is not None:
                found = paired.comparison
                ends = {"difference": found.difference, "low": found.low, "high": found.high}
                row["lead"] = {name: _percent(value) for name, value in ends.items()}
                row["lead"]["p"] = round(found.p_value, 4)
            rows[system.name].append(row)
    return rows


def recall_rows(board: Scoreboard) -> list[Row]:
    """Table 4: recall@k of what ranks, on the test split, and of the retriever on the unseen split."""
    rows = []
    for system in board.done.systems:
        if not board.ranks(system.name):
            continue
        wanted: list[tuple[str, str, frozenset[str] | None]] = [(TEST, "test", None)]
        if board.done.unseen_hashtags:
            for what in (UNSEEN, IN_POOL):
                wanted += [(what, "unseen", None), (what, "unseen", board.done.unseen_hashtags)]
        for what, split, of in wanted:
            entry = Entry(system.name, what)
            if not board.has(entry):
                continue
            runs = list(board.recalls(entry, of=of).values())
            means = bootstrap_means({str(k): np.mean([run[k] for run in runs], axis=0) for k in RECALL_AT})
            rows.append(
                {
                    "system": system.name,
                    "split": split,
                    "unseen_in_pool": what == IN_POOL,
                    "hashtags": "all" if of is None else "unseen",
                    "posts": next(iter(means.values())).num_posts,
                    "at": {k: _percent(interval.mean) for k, interval in means.items()},
                    "low": {k: _percent(interval.low) for k, interval in means.items()},
                    "high": {k: _percent(interval.high) for k, interval in means.items()},
                }
            )
    return rows


def unseen_rows(board: Scoreboard) -> list[Row]:
    """Table 5: generators on the unseen split."""
    rows = []
    for system in ("VG-BART", "GGM", "GGM pointer", "GGM joined"):
        for what in (UNSEEN, IN_POOL):
            entry = Entry(system, what)
            if board.has(entry):
                row = {"system": system, "unseen_in_pool": what == IN_POOL}
                rows.append({**row, **score_row(board, entry), **_recalled(board, entry)})
    return rows


def unseen_recalled(board: Scoreboard) -> Row:
    """How many unseen hashtags GGM recalled at least once, the mean over seeds; empty if it wasn't run."""
    entries = {"without_pool": Entry("GGM", UNSEEN), "with_pool": Entry("GGM", IN_POOL)}
    if not all(map(board.has, entries.values())):
        return {}
    return {label: _recalled(board, entry) for label, entry in entries.items()}


def _recalled(board: Scoreboard, entry: Entry) -> Row:
    counts = [len(names) for names in board.recalled_unseen(entry).values()]
    mean = float(np.mean(counts))
    return {
        "recalled": int(mean) if mean.is_integer() else round(mean, 2),
        "recalled_by_seed": counts,
        "of": len(board.done.unseen_hashtags),
    }


def part_rows(done: Reproduction) -> dict[str, Row]:
    """Table 7: what each system is made of, and how much of it is trained."""
    return {
        name: {
            "trainable": sum(part.trainable for part in parts),
            "parameters": sum(part.parameters for part in parts),
            "parts": [
                {"part": part.part, "checkpoint": part.checkpoint, "parameters": part.parameters,
                 "trainable": part.trainable}
                for part in parts
            ],
        }
        for name, parts in done.parts.items()
    }  # fmt: skip


def latency_rows(systems: Mapping[str, Row]) -> list[Row]:
    """Accuracy beside seconds a post, where they were measured."""
    return [
        {"system": name, "seconds": row["seconds_per_post"], "rouge1": row["rouge1"]}
        for name, row in systems.items()
        if "seconds_per_post" in row and "same_as" not in row and not name.endswith(", best count")
    ]


def in_percent(name: str, interval: Interval) -> Row:
    """A figure and the ends of its interval."""
    return {
        name: _percent(interval.mean),
        f"{name}_low": _percent(interval.low),
        f"{name}_high": _percent(interval.high),
    }


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)
